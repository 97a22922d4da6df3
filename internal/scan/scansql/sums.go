package scansql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// bucket names a row of an answer.
type bucket struct {
	start    int64
	number   int64
	province string
}

// Sum implements scan.Statistics.
func (s *Statistics) Sum(ctx context.Context, ask scan.SumAsk) ([]scan.Sum, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	stored, err := storedSums(ctx, s.db.Reader(), ask)
	if err != nil {
		return nil, fmt.Errorf("sum scans: %w", err)
	}
	sums := map[bucket]*scan.Counts{}
	add := func(b bucket, c scan.Counts) {
		if sums[b] == nil {
			sums[b] = &scan.Counts{}
		}
		sums[b].Add(c)
	}
	for _, u := range stored {
		add(bucket{u.Start, u.Number, u.Province}, u.Counts)
	}
	cells := s.pending.Cells
	if ask.Grain == scan.EachDay {
		cells = s.pending.Days()
	}
	for cell, c := range cells {
		if cell.Grain == ask.Grain && ask.From <= cell.Start && cell.Start < ask.To && ask.Matches(cell.Brand, cell.Product, cell.Batch) {
			add(bucketOf(ask, cell), *c)
		}
	}
	if len(sums) > ask.RowsMax {
		return nil, scan.ErrTooMuch
	}
	out := make([]scan.Sum, 0, len(sums))
	for b, c := range sums {
		out = append(out, scan.Sum{Start: b.start, Number: b.number, Province: b.province, Counts: *c})
	}
	slices.SortFunc(out, compareSums)
	return out, nil
}

func bucketOf(ask scan.SumAsk, cell scan.Cell) bucket {
	b := bucket{start: cell.Start}
	if ask.Whole {
		b.start = 0
	}
	switch ask.By {
	case scan.ByBrand:
		b.number = int64(cell.Brand)
	case scan.ByProduct:
		b.number = int64(cell.Product)
	case scan.ByBatch:
		b.number = int64(cell.Batch)
	case scan.ByVerdict:
		b.number = int64(cell.Verdict)
	case scan.ByProvince:
		b.province = cell.Province
	case scan.ByNothing:
	}
	return b
}

// storedSums sums the table. The statement is put together from constants: what is not
// filtered costs nothing.
func storedSums(ctx context.Context, q sqldb.Querier, ask scan.SumAsk) ([]scan.Sum, error) {
	var args []any
	query := `SELECT c.start`
	if ask.Whole {
		query = `SELECT 0`
	}
	switch ask.By {
	case scan.ByBrand:
		query += `, c.brand_id`
	case scan.ByProduct:
		query += `, c.product_id`
	case scan.ByBatch:
		query += `, c.batch_first`
	case scan.ByVerdict:
		query += `, c.verdict`
	case scan.ByProvince:
		query += `, c.province`
	case scan.ByNothing:
		query += `, 0`
	}
	query += `, SUM(c.scans), SUM(c.sessions), SUM(c.first_scans), SUM(c.first_of_day) FROM `
	if ask.Brand != 0 {
		query += `scan_counts c WHERE c.brand_id = ?`
		args = append(args, ask.Brand)
	} else {
		query += `scan_brands b CROSS JOIN scan_counts c WHERE c.brand_id = b.brand_id`
	}
	query += ` AND c.grain = ? AND c.start >= ? AND c.start < ?`
	args = append(args, ask.Grain, ask.From, ask.To)
	if ask.Product != 0 {
		query += ` AND c.product_id = ?`
		args = append(args, ask.Product)
	}
	if ask.HasBatch {
		query += ` AND c.batch_first = ?`
		args = append(args, int64(ask.Batch))
	}
	query += ` GROUP BY 1, 2 LIMIT ?`
	args = append(args, ask.RowsMax+1)
	return sqldb.Collect(ctx, q, scanSum(ask.By), query, args...)
}

func scanSum(by scan.Dimension) func(r *sql.Rows) (scan.Sum, error) {
	return func(r *sql.Rows) (u scan.Sum, err error) {
		var which any = &u.Number
		if by == scan.ByProvince {
			which = &u.Province
		}
		err = r.Scan(&u.Start, which, &u.Scans, &u.Sessions, &u.Firsts, &u.FirstsOfDay)
		return u, err
	}
}

// sketchesMax bounds how many sketches one answer unites: at 8 KiB each, what can be
// read in about a second.
const sketchesMax = 20_000

var errSketches = errors.New("scansql: too many sketches")

// Distinct implements scan.Statistics.
func (s *Statistics) Distinct(ctx context.Context, f scan.Filter, from, to scan.Day) (_ *scan.Sketch, ok bool, _ error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return distinct(ctx, s.db.Reader(), f, from, to, s.pending)
}

// distinct unites the stored sketches with those that are pending.
func distinct(ctx context.Context, q sqldb.Querier, f scan.Filter, from, to scan.Day, pending *scan.Tally) (_ *scan.Sketch, ok bool, _ error) {
	total, n := &scan.Sketch{}, 0
	err := sketches(ctx, q, f, from, to, func(r *sql.Rows) (struct{}, error) {
		var raw []byte
		if n++; n > sketchesMax {
			return struct{}{}, errSketches
		}
		if err := r.Scan(&raw); err != nil {
			return struct{}{}, err
		}
		k, err := scan.ParseSketch(raw)
		if err == nil {
			total.Unite(k)
		}
		return struct{}{}, err
	})
	if errors.Is(err, errSketches) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("count distinct codes: %w", err)
	}
	for id, k := range pending.Codes {
		if from <= id.Day && id.Day < to && f.Matches(id.Brand, id.Product, id.Batch) {
			total.Unite(k.Copy())
		}
	}
	return total, true, nil
}

// sketches reads the stored sketches of batches, or of whole brands when that will do.
func sketches(ctx context.Context, q sqldb.Querier, f scan.Filter, from, to scan.Day, each func(*sql.Rows) (struct{}, error)) error {
	var args []any
	query := `SELECT k.sketch FROM scan_sketches k WHERE k.brand_id = ?`
	if f.Brand == 0 {
		query = `SELECT k.sketch FROM scan_brands b CROSS JOIN scan_sketches k WHERE k.brand_id = b.brand_id`
	} else {
		args = append(args, f.Brand)
	}
	query += ` AND k.day >= ? AND k.day < ?`
	args = append(args, from, to)
	if f.Product == 0 && !f.HasBatch {
		query += ` AND k.product_id = 0 AND k.batch_first = ?`
		args = append(args, wholeBrand)
	}
	if f.Product != 0 {
		query += ` AND k.product_id = ?`
		args = append(args, f.Product)
	}
	if f.HasBatch {
		query += ` AND k.batch_first = ?`
		args = append(args, int64(f.Batch))
	}
	_, err := sqldb.Collect(ctx, q, each, query, args...)
	return err
}

// Items implements scan.Statistics.
func (s *Statistics) Items(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]scan.Item, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	items, err := storedItems(ctx, s.db.Reader(), brand, since, before, beforeSerial, limit)
	if err != nil {
		return nil, err
	}
	stored := len(items)
	for _, i := range s.pending.Items[brand] {
		if c := i.At.Compare(before); !i.At.Before(since) && (c < 0 || c == 0 && i.Serial < beforeSerial) {
			items = append(items, i)
		}
	}
	if len(items) > stored {
		slices.SortFunc(items, func(a, b scan.Item) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Serial, a.Serial)) })
	}
	return items[:min(limit, len(items))], nil
}

func storedItems(ctx context.Context, q sqldb.Querier, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]scan.Item, error) {
	at := sqldb.Micros(before)
	items, err := sqldb.Collect(ctx, q, func(r *sql.Rows) (i scan.Item, err error) {
		var first int64
		err = r.Scan(&i.Serial, &first)
		i.At = sqldb.Time(first)
		return i, err
	}, `SELECT serial, first_at FROM scanned_items WHERE brand_id = ? AND first_at >= ? AND first_at <= ? AND (first_at < ? OR serial < ?)
		ORDER BY first_at DESC, serial DESC LIMIT ?`, brand, sqldb.Micros(since), at, at, int64(beforeSerial), limit)
	if err != nil {
		return nil, fmt.Errorf("list scanned codes of brand %d: %w", brand, err)
	}
	return items, nil
}

// Newest implements scan.Statistics.
func (s *Statistics) Newest() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return sqldb.Time(s.newest)
}
