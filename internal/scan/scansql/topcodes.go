package scansql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// topCodes is a brand's most scanned codes. It is exact: counts only grow, and an
// item's last scan brings its whole count, so whoever belongs here beats the
// smallest at that moment.
type topCodes struct {
	codes   map[ids.Serial]scan.TopCode
	least   int64 // the smallest count when the list is full, else 0
	changed map[ids.Serial]bool
	gone    []ids.Serial
}

// readTop gives a brand's list as the table has it.
func (s *Statistics) readTop(ctx context.Context, brand ids.BrandID) (*topCodes, error) {
	rows, err := sqldb.Collect(ctx, s.db.Reader(), scanTop, `SELECT serial, scans, last_at FROM scan_top_codes WHERE brand_id = ?`, brand)
	if err != nil {
		return nil, err
	}
	t := &topCodes{codes: map[ids.Serial]scan.TopCode{}, changed: map[ids.Serial]bool{}}
	for _, c := range rows {
		t.codes[c.Serial] = c
	}
	t.settle()
	return t, nil
}

func scanTop(r *sql.Rows) (c scan.TopCode, err error) {
	var at int64
	err = r.Scan(&c.Serial, &c.Count, &at)
	c.LastAt = sqldb.Time(at)
	return c, err
}

// see puts an item in when its count is large enough.
func (t *topCodes) see(s *scan.Slim) {
	if s.Count <= t.least {
		return
	}
	have := t.codes[s.Serial]
	at := sqldb.Time(s.At)
	if have.LastAt.After(at) {
		at = have.LastAt
	}
	t.codes[s.Serial] = scan.TopCode{Serial: s.Serial, Count: max(have.Count, s.Count), LastAt: at}
	t.changed[s.Serial] = true
	if len(t.codes) > 2*scan.TopCodesKept {
		t.settle()
	}
}

// settle cuts the list to its length. Of equal counts any may stay.
func (t *topCodes) settle() {
	t.least = 0
	if len(t.codes) < scan.TopCodesKept {
		return
	}
	all := slices.SortedFunc(maps.Values(t.codes), func(a, b scan.TopCode) int { return cmp.Compare(b.Count, a.Count) })
	for _, c := range all[scan.TopCodesKept:] {
		delete(t.codes, c.Serial)
		delete(t.changed, c.Serial)
		t.gone = append(t.gone, c.Serial)
	}
	t.least = all[scan.TopCodesKept-1].Count
}

// foldTops stores what changed. What memory still has to note as stored it notes
// when the fold is committed.
func foldTops(ctx context.Context, tx *sqldb.Tx, tops map[ids.BrandID]*topCodes) error {
	var kept, gone []any
	for brand, t := range tops {
		for serial := range t.changed {
			if c, ok := t.codes[serial]; ok {
				kept = append(kept, int64(brand), int64(serial), c.Count, sqldb.Micros(c.LastAt))
			}
		}
		for _, serial := range t.gone {
			if _, back := t.codes[serial]; !back {
				gone = append(gone, int64(brand), int64(serial))
			}
		}
	}
	if err := insertSingly(ctx, tx, kept, 4, upsertTop); err != nil {
		return fmt.Errorf("keep top codes: %w", err)
	}
	return insertSingly(ctx, tx, gone, 2, `DELETE FROM scan_top_codes WHERE brand_id = ? AND serial = ?`)
}

// folded forgets which codes changed.
func (t *topCodes) folded() {
	clear(t.changed)
	t.gone = t.gone[:0]
}

// list gives the best, the most scanned first.
func (t *topCodes) list(limit int) []scan.TopCode {
	all := slices.SortedFunc(maps.Values(t.codes), func(a, b scan.TopCode) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.LastAt.Compare(a.LastAt), cmp.Compare(a.Serial, b.Serial))
	})
	return all[:min(limit, scan.TopCodesKept, len(all))]
}

// TopCodes implements scan.Statistics.
func (s *Statistics) TopCodes(ctx context.Context, brand ids.BrandID, limit int) ([]scan.TopCode, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tops[brand]
	if t == nil { // nothing came of the brand since the start
		var err error
		if t, err = s.readTop(ctx, brand); err != nil {
			return nil, fmt.Errorf("read top codes of brand %d: %w", brand, err)
		}
	}
	return t.list(limit), nil
}
