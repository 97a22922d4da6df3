package linesql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Closing implements line.Upkeep.
func (s *Store) Closing(ctx context.Context, before time.Time, limit int) (all []line.Container, _ error) {
	const query = `SELECT ` + columns + ` FROM line_containers WHERE state = 'closing' AND listed = 1 AND closed_at < ? ORDER BY closed_at LIMIT ?`
	var errs []error
	for _, db := range s.dbs.All() { // one that does not answer keeps up no other's
		found, err := sqldb.Collect(ctx, db.Reader(), scan, query, sqldb.Micros(before), limit)
		all, errs = append(all, found...), append(errs, err)
	}
	slices.SortFunc(all, func(a, b line.Container) int { return a.ClosedAt.Compare(b.ClosedAt) })
	if len(all) > 0 {
		return all[:min(limit, len(all))], nil
	}
	return nil, errors.Join(errs...)
}

// Forget implements line.Upkeep.
func (s *Store) Forget(ctx context.Context, before time.Time, limit int) (n int, _ error) {
	const query = `SELECT ` + columns + ` FROM line_containers WHERE state = 'closed' AND listed = 1 AND closed_at < ? ORDER BY closed_at LIMIT ?`
	var errs []error
	for _, db := range s.dbs.All() {
		old, err := sqldb.Collect(ctx, db.Reader(), scan, query, sqldb.Micros(before), limit-n)
		errs = append(errs, err)
		for i := range old {
			if err := forget(ctx, db, &old[i]); err != nil {
				return n, errors.Join(append(errs, fmt.Errorf("forget what was in container %s: %w", old[i].SSCC, err))...)
			}
			n++
		}
	}
	return n, errors.Join(errs...)
}

func forget(ctx context.Context, db *sqldb.DB, c *line.Container) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE line_containers SET listed = 0 WHERE brand_id = ? AND sscc = ?`, c.Brand, c.SSCC)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM line_children WHERE brand_id = ? AND sscc = ?`, c.Brand, c.SSCC)
		}
		return err
	})
}
