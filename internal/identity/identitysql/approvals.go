package identitysql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const approvalColumns = `approval_id, tenant_id, brand_id, kind, items, body, reason, asked_by, asked_at, state, decided_by, decided_at, note, effect`

func scanApproval(r *sql.Rows) (a identity.Approval, err error) {
	var asked, decided int64
	err = r.Scan(&a.ID, &a.Tenant, &a.Brand, &a.Kind, &a.Items, &a.Body, &a.Reason, &a.AskedBy, &asked, &a.State, &a.DecidedBy, &decided, &a.Note, &a.Effect)
	a.AskedAt, a.DecidedAt = sqldb.Time(asked), sqldb.Time(decided)
	return a, err
}

// AddApproval implements identity.Store.
func (s *Store) AddApproval(ctx context.Context, r ids.Request, a identity.Approval) (string, bool, error) {
	const insert = `INSERT INTO identity_approvals (` + approvalColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,'',0,'','')`
	return s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		_, err := tx.ExecContext(ctx, insert, a.ID, string(a.Tenant), a.Brand, a.Kind, a.Items, a.Body, a.Reason, a.AskedBy,
			sqldb.Micros(a.AskedAt), string(a.State))
		if err != nil {
			return "", fmt.Errorf("insert approval: %w", err)
		}
		return a.ID, nil
	})
}

// Approval implements identity.Store.
func (s *Store) Approval(ctx context.Context, id string) (identity.Approval, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanApproval, `SELECT `+approvalColumns+` FROM identity_approvals WHERE approval_id = ?`, id)
	switch {
	case err != nil:
		return identity.Approval{}, fmt.Errorf("select approval: %w", err)
	case len(all) == 0:
		return identity.Approval{}, identity.ErrUnknownApproval
	}
	return all[0], nil
}

// ListApprovals implements identity.Store.
func (s *Store) ListApprovals(ctx context.Context, state identity.ApprovalState, before time.Time, beforeID string, limit int) ([]identity.Approval, error) {
	const query = `SELECT ` + approvalColumns + ` FROM identity_approvals
		WHERE (? = '' OR state = ?) AND (asked_at < ? OR (asked_at = ? AND approval_id < ?)) ORDER BY asked_at DESC, approval_id DESC LIMIT ?`
	us := sqldb.Micros(before)
	return sqldb.Collect(ctx, s.db.Reader(), scanApproval, query, string(state), string(state), us, us, beforeID, limit)
}

// DecideApproval implements identity.Store.
func (s *Store) DecideApproval(ctx context.Context, id string, from identity.ApprovalState, to identity.Approval) error {
	const decide = `UPDATE identity_approvals SET state = ?, decided_by = ?, decided_at = ?, note = ?, effect = ? WHERE approval_id = ? AND state = ?`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := changed(tx.ExecContext(ctx, decide, string(to.State), to.DecidedBy, sqldb.Micros(to.DecidedAt), to.Note, to.Effect, id, string(from)))
		switch {
		case err != nil:
			return fmt.Errorf("decide approval %s: %w", id, err)
		case !ok:
			return identity.ErrDecided
		}
		return nil
	})
}
