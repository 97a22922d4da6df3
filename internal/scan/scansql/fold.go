package scansql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// foldEvery is how long sightings wait in memory: long enough that most of a minute's
// scans of a batch become one upsert, short enough that a start is quick.
const foldEvery = 2 * time.Minute

// Fold brings what is pending into the tables when it is old enough. It is meant to
// be called each few seconds.
func (s *Statistics) Fold(ctx context.Context) error {
	s.mu.RLock()
	due := !s.since.IsZero() && s.clock.Now().Sub(s.since) >= foldEvery
	s.mu.RUnlock()
	if !due {
		return nil
	}
	return s.FoldNow(ctx)
}

// FoldNow brings all that is pending into the tables.
func (s *Statistics) FoldNow(ctx context.Context) error {
	s.adds.turn.Lock() // nothing is counted meanwhile
	defer s.adds.turn.Unlock()
	return s.fold(context.WithoutCancel(ctx))
}

// fold is called by whoever has the turn.
func (s *Statistics) fold(ctx context.Context) error {
	if s.pending.Empty() { // only who has the turn changes it
		return nil
	}
	locked := false
	unlock := func() {
		if locked {
			s.mu.Unlock()
		}
		locked = false
	}
	defer unlock()
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		unlock() // of a run before this one
		if err := foldCounts(ctx, tx, s.pending); err != nil {
			return err
		}
		if err := foldSketches(ctx, tx, s.pending); err != nil {
			return err
		}
		if err := foldItems(ctx, tx, s.pending); err != nil {
			return err
		}
		if err := foldTops(ctx, tx, s.tops); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, upsertNewest, s.newest); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM scan_deltas`); err != nil {
			return err
		}
		s.mu.Lock() // until memory says the same as the tables
		locked = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("fold statistics: %w", err)
	}
	s.pending, s.since = scan.NewTally(), time.Time{}
	for _, t := range s.tops {
		t.folded()
	}
	return nil
}

const (
	insertItem = `INSERT INTO scanned_items (brand_id, first_at, serial) VALUES (?,?,?)`
	itemShape  = 32
)

// itemValues are the rows of what was scanned for the first time.
func itemValues(t *scan.Tally) (values []any) {
	for _, brand := range slices.Sorted(maps.Keys(t.Items)) {
		for _, i := range t.Items[brand] {
			values = append(values, int64(brand), sqldb.Micros(i.At), int64(i.Serial))
		}
	}
	return values
}

func foldItems(ctx context.Context, tx *sqldb.Tx, t *scan.Tally) error {
	values := itemValues(t)
	rest, err := insertMany(ctx, tx, values, 3*itemShape, insertItem+strings.Repeat(`,(?,?,?)`, itemShape-1)+ignoreDuplicates)
	if err == nil {
		err = insertSingly(ctx, tx, rest, 3, insertItem+ignoreDuplicates)
	}
	if err != nil {
		return fmt.Errorf("list scanned codes: %w", err)
	}
	return nil
}

const (
	insertCounts = `INSERT INTO scan_counts (grain, brand_id, start, product_id, batch_first, province, verdict, scans, sessions, first_scans, first_of_day) VALUES `
	countsRow    = `(?,?,?,?,?,?,?,?,?,?,?)`
	countsWidth  = 11
	countsShape  = 16
)

// countValues are the rows of a tally's sums in the order of their key, and the brands
// that it has something of.
func countValues(t *scan.Tally) (values, brands []any) {
	type sum struct {
		scan.Cell
		*scan.Counts
	}
	days := t.Days()
	sums := make([]sum, 0, len(t.Cells)+len(days))
	for cell, c := range t.Cells {
		sums = append(sums, sum{cell, c})
	}
	for cell, c := range days {
		sums = append(sums, sum{cell, c})
	}
	slices.SortFunc(sums, func(a, b sum) int {
		return cmp.Or(cmp.Compare(a.Grain, b.Grain), cmp.Compare(a.Brand, b.Brand), cmp.Compare(a.Start, b.Start),
			cmp.Compare(a.Product, b.Product), cmp.Compare(a.Batch, b.Batch), cmp.Compare(a.Province, b.Province), cmp.Compare(a.Verdict, b.Verdict))
	})
	values = make([]any, 0, len(sums)*countsWidth)
	seen := map[ids.BrandID]bool{}
	for _, u := range sums {
		values = append(values, int64(u.Grain), int64(u.Brand), u.Start, int64(u.Product), int64(u.Batch), u.Province, int64(u.Verdict),
			u.Scans, u.Sessions, u.Firsts, u.FirstsOfDay)
		if !seen[u.Brand] {
			seen[u.Brand] = true
			brands = append(brands, int64(u.Brand))
		}
	}
	return values, brands
}

func foldCounts(ctx context.Context, tx *sqldb.Tx, t *scan.Tally) error {
	values, brands := countValues(t)
	rest, err := insertMany(ctx, tx, values, countsWidth*countsShape, insertCounts+countsRow+strings.Repeat(`,`+countsRow, countsShape-1)+addCounts)
	if err != nil {
		return err
	}
	if err := insertSingly(ctx, tx, rest, countsWidth, insertCounts+countsRow+addCounts); err != nil {
		return err
	}
	return insertSingly(ctx, tx, brands, 1, `INSERT INTO scan_brands (brand_id) VALUES (?)`+ignoreDuplicates)
}

// wholeBrand stands for the batch in a brand's own sketch.
const wholeBrand = -1

type sketchID struct {
	brand   ids.BrandID
	day     scan.Day
	product ids.ProductID
	first   int64
}

// sketchesOf are a tally's sketches, of batches and of whole brands.
func sketchesOf(t *scan.Tally) map[sketchID]*scan.Sketch {
	all := map[sketchID]*scan.Sketch{}
	for id, k := range t.Codes {
		k = k.Copy() // readers may be at it: to unite sorts
		all[sketchID{id.Brand, id.Day, id.Product, int64(id.Batch)}] = k
		whole := sketchID{id.Brand, id.Day, 0, wholeBrand}
		if all[whole] == nil {
			all[whole] = &scan.Sketch{}
		}
		all[whole].Unite(k)
	}
	return all
}

func foldSketches(ctx context.Context, tx *sqldb.Tx, t *scan.Tally) error {
	all := sketchesOf(t)
	if len(all) == 0 {
		return nil
	}
	//nolint:sqlclosecheck // the end of the transaction closes it
	read, err := tx.PrepareContext(ctx, `SELECT sketch FROM scan_sketches WHERE brand_id = ? AND day = ? AND product_id = ? AND batch_first = ?`)
	if err != nil {
		return err
	}
	write, err := tx.PrepareContext(ctx, upsertSketch) //nolint:sqlclosecheck // as read
	if err != nil {
		return err
	}
	for id, k := range all {
		var have []byte
		err := read.QueryRowContext(ctx, id.brand, id.day, id.product, id.first).Scan(&have)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		united := k
		if have != nil {
			if united, err = scan.ParseSketch(have); err != nil {
				return err
			}
			united.Unite(k)
		}
		if _, err := write.ExecContext(ctx, id.brand, id.day, id.product, id.first, united.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// How long the grains are kept; days are kept for ever.
const (
	minutesKept = 48 * time.Hour
	hoursKept   = 90 * 24 * time.Hour
)

// Prune deletes buckets that are older than their grain is kept.
func (s *Statistics) Prune(ctx context.Context) error {
	brands, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (b ids.BrandID, err error) {
		err = r.Scan(&b)
		return b, err
	}, `SELECT brand_id FROM scan_brands`)
	if err != nil {
		return fmt.Errorf("prune statistics: %w", err)
	}
	now := s.clock.Now()
	for _, brand := range brands { // each in its own transaction: consumers go on between them
		err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			for grain, kept := range map[scan.Grain]time.Duration{scan.Minute: minutesKept, scan.Hour: hoursKept} {
				_, err := tx.ExecContext(ctx, `DELETE FROM scan_counts WHERE grain = ? AND brand_id = ? AND start < ?`, grain, brand, now.Add(-kept).Unix())
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("prune statistics of brand %d: %w", brand, err)
		}
	}
	return nil
}
