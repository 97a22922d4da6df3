package identitysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const auditColumns = `tenant_id, n, at, actor, role_id, action, subject, ends, status, was, became, reason, request_id, hash`

func scanEntry(r *sql.Rows) (e identity.Entry, err error) {
	var at int64
	var was, became, hash []byte
	err = r.Scan(&e.Tenant, &e.N, &at, &e.Actor, &e.Role, &e.Action, &e.Subject, &e.Ends, &e.Status, &was, &became, &e.Reason, &e.RequestID, &hash)
	e.At, e.Before, e.After = sqldb.Time(at), string(was), string(became)
	copy(e.Hash[:], hash)
	return e, err
}

// AppendAudit implements identity.Store. A chain's head is taken before its end is read, and chains are
// taken in the order of their tenants.
func (s *Store) AppendAudit(ctx context.Context, entries []identity.Entry, link func(identity.Hash, *identity.Entry) identity.Hash) ([]identity.Entry, error) {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(string(entries[a].Tenant), string(entries[b].Tenant)) })
	var done []identity.Entry
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		done = slices.Clone(entries)
		var head identity.AuditHead
		for at, i := range order {
			e := &done[i]
			first := at == 0 || done[order[at-1]].Tenant != e.Tenant
			if first {
				var err error
				if head, err = takeHead(ctx, tx, e.Tenant); err != nil {
					return err
				}
			}
			e.N = head.N + 1
			e.Hash = link(head.Hash, e)
			head = identity.AuditHead{N: e.N, Hash: e.Hash}
			if err := insertEntry(ctx, tx, e); err != nil {
				return err
			}
			if at+1 == len(order) || done[order[at+1]].Tenant != e.Tenant {
				_, err := tx.ExecContext(ctx, `UPDATE identity_audit_heads SET n = ?, hash = ? WHERE tenant_id = ?`, head.N, head.Hash[:], string(e.Tenant))
				if err != nil {
					return fmt.Errorf("move the end of the log of %s: %w", e.Tenant, err)
				}
			}
		}
		return nil
	})
	return done, err
}

func insertEntry(ctx context.Context, tx *sqldb.Tx, e *identity.Entry) error {
	const insert = `INSERT INTO identity_audit (` + auditColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	_, err := tx.ExecContext(ctx, insert, string(e.Tenant), e.N, sqldb.Micros(e.At), e.Actor, string(e.Role), e.Action, e.Subject, e.Ends, e.Status,
		[]byte(e.Before), []byte(e.After), e.Reason, e.RequestID, e.Hash[:])
	if err != nil {
		return fmt.Errorf("insert entry %d of the log of %s: %w", e.N, e.Tenant, err)
	}
	return nil
}

// takeHead locks and reads the end of a chain; the first entry makes it.
func takeHead(ctx context.Context, tx *sqldb.Tx, t identity.TenantID) (h identity.AuditHead, _ error) {
	const take = `UPDATE identity_audit_heads SET n = n + 1 WHERE tenant_id = ?`
	ok, err := changed(tx.ExecContext(ctx, take, string(t)))
	if err == nil && !ok {
		_, err = tx.ExecContext(ctx, `INSERT INTO identity_audit_heads (tenant_id, n, hash) VALUES (?,0,?)`, string(t), make([]byte, len(h.Hash)))
		if err == nil || sqldb.IsDuplicate(err) { // another was first to begin it
			_, err = tx.ExecContext(ctx, take, string(t))
		}
	}
	if err != nil {
		return h, fmt.Errorf("take the end of the log of %s: %w", t, err)
	}
	var hash []byte
	err = tx.QueryRowContext(ctx, `SELECT n, hash FROM identity_audit_heads WHERE tenant_id = ?`, string(t)).Scan(&h.N, &hash)
	h.N--
	copy(h.Hash[:], hash)
	return h, err
}

// Audit implements identity.Store.
func (s *Store) Audit(ctx context.Context, t identity.TenantID, before int64, limit int) ([]identity.Entry, error) {
	const query = `SELECT ` + auditColumns + ` FROM identity_audit WHERE tenant_id = ? AND n < ? ORDER BY n DESC LIMIT ?`
	return sqldb.Collect(ctx, s.db.Reader(), scanEntry, query, string(t), before, limit)
}

// AuditFrom implements identity.Store.
func (s *Store) AuditFrom(ctx context.Context, t identity.TenantID, after int64, limit int) ([]identity.Entry, error) {
	const query = `SELECT ` + auditColumns + ` FROM identity_audit WHERE tenant_id = ? AND n > ? ORDER BY n LIMIT ?`
	return sqldb.Collect(ctx, s.db.Reader(), scanEntry, query, string(t), after, limit)
}

// AuditHeads implements identity.Store.
func (s *Store) AuditHeads(ctx context.Context) (map[identity.TenantID]identity.AuditHead, error) {
	type end struct {
		tenant identity.TenantID
		head   identity.AuditHead
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (e end, err error) {
		var hash []byte
		err = r.Scan(&e.tenant, &e.head.N, &hash)
		copy(e.head.Hash[:], hash)
		return e, err
	}, `SELECT tenant_id, n, hash FROM identity_audit_heads`)
	if err != nil {
		return nil, fmt.Errorf("select ends of the log: %w", err)
	}
	heads := map[identity.TenantID]identity.AuditHead{}
	for _, e := range all {
		heads[e.tenant] = e.head
	}
	lost, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (t identity.TenantID, err error) {
		err = r.Scan(&t)
		return t, err
	}, `SELECT DISTINCT tenant_id FROM identity_audit`)
	for _, t := range lost { // a chain without an end was meddled with: it ends before its entries
		if _, ok := heads[t]; !ok {
			heads[t] = identity.AuditHead{}
		}
	}
	return heads, err
}
