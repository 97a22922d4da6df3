package scansql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// delta is sightings that no sketch has yet.
type delta struct {
	id   int64
	body []byte
}

func readDeltas(ctx context.Context, q sqldb.Querier, query string, args ...any) ([]delta, error) {
	return sqldb.Collect(ctx, q, func(r *sql.Rows) (d delta, err error) {
		err = r.Scan(&d.id, &d.body)
		return d, err
	}, query, args...)
}

func addDeltas(t *scan.Tally, deltas []delta) error {
	for _, d := range deltas {
		if err := scan.EachSlim(d.body, t.Add); err != nil {
			return err
		}
	}
	return nil
}

const (
	deltasMax   = 1000 // that one transaction folds
	sketchesPer = 64   // that go with one statement: half a megabyte
)

// Fold moves what is pending into the sketches. It may run in several processes at
// once: who is second unites what is there already.
func (s *SharedStatistics) Fold(ctx context.Context) error {
	for {
		n := 0
		err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			deltas, err := readDeltas(ctx, tx, `SELECT id, body FROM scan_deltas ORDER BY id LIMIT ?`, deltasMax)
			if n = len(deltas); err != nil || n == 0 {
				return err
			}
			pending := scan.NewTally()
			if err := addDeltas(pending, deltas); err != nil {
				return err
			}
			if err := uniteSketches(ctx, tx, sketchesOf(pending)); err != nil {
				return err
			}
			return dropDeltas(ctx, tx, deltas)
		})
		if err != nil {
			return fmt.Errorf("fold sketches: %w", err)
		}
		if n < deltasMax {
			return nil
		}
	}
}

// dropDeltas deletes those that were read, and none that came meanwhile.
func dropDeltas(ctx context.Context, tx *sqldb.Tx, deltas []delta) error {
	known := make([]any, len(deltas))
	for i, d := range deltas {
		known[i] = d.id
	}
	query := `DELETE FROM scan_deltas WHERE id IN (?` + strings.Repeat(`,?`, len(known)-1) + `)`
	_, err := tx.ExecContext(ctx, query, known...)
	return err
}

// uniteSketches writes sketches united with those that are there. Each row is taken
// first, by an insert that changes nothing of it, so that nobody else unites meanwhile.
func uniteSketches(ctx context.Context, tx *sqldb.Tx, all map[sketchID]*scan.Sketch) error {
	order := slices.SortedFunc(maps.Keys(all), func(a, b sketchID) int {
		return cmp.Or(cmp.Compare(a.brand, b.brand), cmp.Compare(a.day, b.day), cmp.Compare(a.product, b.product), cmp.Compare(a.first, b.first))
	})
	const insert = `INSERT INTO scan_sketches (brand_id, day, product_id, batch_first, sketch) VALUES (?,?,?,?,?)`
	for part := range slices.Chunk(order, sketchesPer) {
		var keys, rows []any
		for _, id := range part {
			keys = append(keys, int64(id.brand), int64(id.day), int64(id.product), id.first)
			rows = append(rows, int64(id.brand), int64(id.day), int64(id.product), id.first, all[id].Bytes())
		}
		query := insert + strings.Repeat(`,(?,?,?,?,?)`, len(part)-1) + ` ON DUPLICATE KEY UPDATE day = VALUES(day)`
		if _, err := tx.ExecContext(ctx, query, rows...); err != nil {
			return err
		}
		query = `SELECT brand_id, day, product_id, batch_first, sketch FROM scan_sketches
			WHERE (brand_id, day, product_id, batch_first) IN ((?,?,?,?)` + strings.Repeat(`,(?,?,?,?)`, len(part)-1) + `)`
		_, err := sqldb.Collect(ctx, tx, func(r *sql.Rows) (struct{}, error) {
			var id sketchID
			var raw []byte
			if err := r.Scan(&id.brand, &id.day, &id.product, &id.first, &raw); err != nil {
				return struct{}{}, err
			}
			k, err := scan.ParseSketch(raw)
			if err == nil {
				all[id].Unite(k)
			}
			return struct{}{}, err
		}, query, keys...)
		if err != nil {
			return err
		}
		for i, id := range part {
			rows[5*i+4] = all[id].Bytes()
		}
		query = insert + strings.Repeat(`,(?,?,?,?,?)`, len(part)-1) + ` ON DUPLICATE KEY UPDATE sketch = VALUES(sketch)`
		if _, err := tx.ExecContext(ctx, query, rows...); err != nil {
			return err
		}
	}
	return nil
}

// pruneStep is how many rows one transaction deletes: consumers go on between them.
const pruneStep = 10_000

// Prune deletes buckets that are older than their grain is kept.
func (s *SharedStatistics) Prune(ctx context.Context) error {
	brands, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (b ids.BrandID, err error) {
		err = r.Scan(&b)
		return b, err
	}, `SELECT brand_id FROM scan_brands`)
	if err != nil {
		return fmt.Errorf("prune statistics: %w", err)
	}
	now := s.clock.Now()
	for _, brand := range brands {
		for grain, kept := range map[scan.Grain]time.Duration{scan.Minute: minutesKept, scan.Hour: hoursKept} {
			for n := int64(pruneStep); n == pruneStep; {
				err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
					res, err := tx.ExecContext(ctx, `DELETE FROM scan_counts WHERE grain = ? AND brand_id = ? AND start < ? LIMIT ?`,
						grain, brand, now.Add(-kept).Unix(), pruneStep)
					if err != nil {
						return err
					}
					n, err = res.RowsAffected()
					return err
				})
				if err != nil {
					return fmt.Errorf("prune statistics of brand %d: %w", brand, err)
				}
			}
		}
	}
	return nil
}
