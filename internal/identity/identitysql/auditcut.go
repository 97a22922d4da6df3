package identitysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// AuditCuts implements identity.Store.
func (s *Store) AuditCuts(ctx context.Context) (map[identity.TenantID]identity.AuditCut, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (c identity.AuditCut, err error) {
		var at int64
		var hash, mac []byte
		err = r.Scan(&c.Tenant, &c.N, &hash, &at, &mac)
		c.At = sqldb.Time(at)
		copy(c.Hash[:], hash)
		copy(c.MAC[:], mac)
		return c, err
	}, `SELECT tenant_id, n, hash, cut_at, mac FROM identity_audit_cuts`)
	if err != nil {
		return nil, fmt.Errorf("select cuts of the log: %w", err)
	}
	cuts := map[identity.TenantID]identity.AuditCut{}
	for _, c := range all {
		cuts[c.Tenant] = c
	}
	return cuts, nil
}

// CutAudit implements identity.Store. The head is taken first, as by who appends.
func (s *Store) CutAudit(ctx context.Context, was int64, c identity.AuditCut) (ok bool, _ error) {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if _, err := tx.ExecContext(ctx, `UPDATE identity_audit_heads SET n = n WHERE tenant_id = ?`, string(c.Tenant)); err != nil {
			return fmt.Errorf("take the end of the log of %s: %w", c.Tenant, err)
		}
		if ok, err = putCut(ctx, tx, was, &c); err != nil || !ok {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_audit WHERE tenant_id = ? AND n <= ?`, string(c.Tenant), c.N); err != nil {
			return fmt.Errorf("cut the log of %s: %w", c.Tenant, err)
		}
		return nil
	})
	return ok && err == nil, err
}

func putCut(ctx context.Context, tx *sqldb.Tx, was int64, c *identity.AuditCut) (ok bool, err error) {
	const (
		begin = `INSERT INTO identity_audit_cuts (tenant_id, n, hash, cut_at, mac) VALUES (?,?,?,?,?)`
		move  = `UPDATE identity_audit_cuts SET n = ?, hash = ?, cut_at = ?, mac = ? WHERE tenant_id = ? AND n = ?`
	)
	at := sqldb.Micros(c.At)
	if was != 0 {
		return changed(tx.ExecContext(ctx, move, c.N, c.Hash[:], at, c.MAC[:], string(c.Tenant), was))
	}
	ok, err = changed(tx.ExecContext(ctx, begin, string(c.Tenant), c.N, c.Hash[:], at, c.MAC[:]))
	if sqldb.IsDuplicate(err) {
		return false, nil
	}
	return ok, err
}
