package identitysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Requests implements identity.Store.
func (s *Store) Requests(ctx context.Context) (map[identity.TenantID]time.Time, error) {
	type account struct {
		tenant identity.TenantID
		until  int64
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (a account, err error) {
		err = r.Scan(&a.tenant, &a.until)
		return a, err
	}, `SELECT tenant_id, paid_until FROM identity_requests`)
	drawn := map[identity.TenantID]time.Time{}
	for _, a := range all {
		drawn[a.tenant] = sqldb.Time(a.until)
	}
	return drawn, err
}

// KeepRequests implements identity.Store. Rows are taken in one order: nobody waits in a circle.
func (s *Store) KeepRequests(ctx context.Context, drawn map[identity.TenantID]time.Time) error {
	const (
		begin = `INSERT INTO identity_requests (tenant_id, paid_until) VALUES (?,0)`
		move  = `UPDATE identity_requests SET paid_until = CASE WHEN paid_until < ? THEN ? ELSE paid_until END WHERE tenant_id = ?`
	)
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for _, t := range slices.Sorted(maps.Keys(drawn)) {
			until := sqldb.Micros(drawn[t])
			ok, err := changed(tx.ExecContext(ctx, move, until, until, string(t)))
			if err == nil && !ok {
				if _, err = tx.ExecContext(ctx, begin, string(t)); err == nil || sqldb.IsDuplicate(err) {
					_, err = tx.ExecContext(ctx, move, until, until, string(t))
				}
			}
			if err != nil {
				return fmt.Errorf("keep what tenant %s asked: %w", t, err)
			}
		}
		return nil
	})
}
