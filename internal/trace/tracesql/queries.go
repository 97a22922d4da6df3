package tracesql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
)

var _ trace.Queries = (*Store)(nil)

func scanQuery(r *sql.Rows) (q trace.NamedQuery, err error) {
	var params []byte
	var created int64
	if err := r.Scan(&q.Brand, &q.Name, &params, &created); err != nil {
		return q, err
	}
	q.CreatedAt = sqldb.Time(created)
	if err := json.Unmarshal(params, &q.Params); err != nil {
		return q, fmt.Errorf("decode query %s: %w", q.Name, err)
	}
	return q, nil
}

// AddQuery implements trace.Queries.
func (s *Store) AddQuery(ctx context.Context, q trace.NamedQuery) error {
	params, err := json.Marshal(q.Params)
	if err != nil {
		return fmt.Errorf("encode query: %w", err)
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO trace_named (brand_id, name, params, created_at) VALUES (?,?,?,?)`, q.Brand, q.Name, params, sqldb.Micros(q.CreatedAt))
		if sqldb.IsDuplicate(err) {
			return trace.ErrQueryExists
		}
		return err
	})
}

// Query implements trace.Queries.
func (s *Store) Query(ctx context.Context, brand ids.BrandID, name string) (trace.NamedQuery, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanQuery,
		`SELECT brand_id, name, params, created_at FROM trace_named WHERE brand_id = ? AND name = ?`, brand, name)
	if err != nil {
		return trace.NamedQuery{}, fmt.Errorf("load query: %w", err)
	}
	if len(all) == 0 {
		return trace.NamedQuery{}, trace.ErrNoQuery
	}
	return all[0], nil
}

// Queries implements trace.Queries.
func (s *Store) Queries(ctx context.Context, brand ids.BrandID, after string, limit int) ([]trace.NamedQuery, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanQuery,
		`SELECT brand_id, name, params, created_at FROM trace_named WHERE brand_id = ? AND name > ? ORDER BY name LIMIT ?`, brand, after, limit)
}

// RemoveQuery implements trace.Queries.
func (s *Store) RemoveQuery(ctx context.Context, brand ids.BrandID, name string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM trace_named WHERE brand_id = ? AND name = ?`, brand, name)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return trace.ErrNoQuery
	})
}
