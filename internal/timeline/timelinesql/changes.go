package timelinesql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/timeline"
)

// number gives places that were changed the next numbers. The counter's row is held until
// the commit, so that the order of numbers is that of commits.
func number(ctx context.Context, tx *sqldb.Tx, brand ids.BrandID, changed []string) error {
	const (
		take   = `UPDATE timeline_counters SET last = last + ? WHERE one = 1`
		drop   = `DELETE FROM timeline_place_changes WHERE brand_id = ? AND place_id = ?`
		insert = `INSERT INTO timeline_place_changes (change_no, brand_id, place_id) VALUES (?,?,?)`
	)
	slices.Sort(changed)
	if changed = slices.Compact(changed); len(changed) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, take, len(changed)); err != nil {
		return fmt.Errorf("number changes: %w", err)
	}
	var last int64
	if err := tx.QueryRowContext(ctx, `SELECT last FROM timeline_counters WHERE one = 1`).Scan(&last); err != nil {
		return fmt.Errorf("number changes: %w", err)
	}
	for i, id := range changed {
		if _, err := tx.ExecContext(ctx, drop, brand, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, insert, last-int64(len(changed)-1-i), brand, id); err != nil {
			return err
		}
	}
	return nil
}

// PlaceHeads implements timeline.Places: an order for each database, as in dbs.All.
func (s *Store) PlaceHeads(ctx context.Context) (heads []int64, _ error) {
	for _, db := range s.dbs.All() {
		var last int64
		if err := db.Reader().QueryRowContext(ctx, `SELECT last FROM timeline_counters WHERE one = 1`).Scan(&last); err != nil {
			return nil, fmt.Errorf("read up to where places were changed: %w", err)
		}
		heads = append(heads, last)
	}
	return heads, nil
}

// PlacesSince implements timeline.Places.
func (s *Store) PlacesSince(ctx context.Context, order int, after int64, limit int) ([]timeline.PlaceChange, error) {
	const query = `SELECT c.change_no, c.brand_id, c.place_id, p.name, p.kind FROM timeline_place_changes c
		LEFT JOIN timeline_places p ON p.brand_id = c.brand_id AND p.place_id = c.place_id
		WHERE c.change_no > ? ORDER BY c.change_no LIMIT ?`
	return sqldb.Collect(ctx, s.dbs.All()[order].Reader(), func(r *sql.Rows) (c timeline.PlaceChange, err error) {
		var id, name []byte
		var kind sql.NullString
		err = r.Scan(&c.No, &c.Brand, &id, &name, &kind)
		c.Place, c.Gone = timeline.Place{ID: string(id), Name: string(name), Kind: kind.String}, !kind.Valid
		return c, err
	}, query, after, limit)
}
