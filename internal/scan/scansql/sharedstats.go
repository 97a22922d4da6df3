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
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// SharedStatistics counts sightings in tables only. The sums of a batch go into them
// with the inbox, in the order of their keys. A lane is one brand's, and the inbox lets
// one transaction at a time into a lane, so that the rows of a brand have one writer.
type SharedStatistics struct {
	db    *sqldb.DB
	mine  func(ids.BrandID) bool // nil = all brands are counted here
	clock clock.Clock

	mu     sync.Mutex
	newest int64                 // guarded by mu; the last that was read, for when none can be
	tops   map[ids.BrandID]entry // guarded by mu
}

// entry is what a code must pass to be among a brand's top codes. What it was some time
// ago will do: it only grows, and too many are cut off later.
type entry struct {
	least int64
	since int // codes that were put in after least was read
}

var (
	_ scan.Statistics = (*SharedStatistics)(nil)
	_ stream.Handler  = (*SharedStatistics)(nil)
)

func newSharedStatistics(db *sqldb.DB, c clock.Clock) *SharedStatistics {
	return &SharedStatistics{db: db, clock: c, tops: map[ids.BrandID]entry{}}
}

// Handle implements stream.Handler.
func (s *SharedStatistics) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	if _, err := seenOfAll(batch); err != nil {
		return err
	}
	var tops map[ids.BrandID]entry
	err := s.db.Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		tops = map[ids.BrandID]entry{}
		fresh, err := inbox.Take(ctx, tx, scan.GroupStatistics, lane, batch)
		if err != nil || len(fresh) == 0 {
			return err
		}
		seen, err := seenOfAll(fresh)
		if err != nil {
			return err
		}
		if seen = own(seen, s.mine); len(seen) == 0 {
			return nil
		}
		return s.count(ctx, tx, lane, seen, tops)
	})
	if err != nil {
		return outOfReach(fmt.Errorf("count scans: %w", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.tops, tops) // only what is committed may keep others out
	return nil
}

// count adds sightings to the tables. What it learns of entries it puts into tops.
func (s *SharedStatistics) count(ctx context.Context, tx *sqldb.Tx, lane int, seen []*scan.Seen, tops map[ids.BrandID]entry) error {
	tally := scan.NewTally()
	var firsts []byte
	most := map[ids.BrandID]map[ids.Serial]scan.TopCode{}
	for _, v := range seen {
		slim := scan.SlimOf(&v.Sighting)
		tally.Add(&slim)
		if slim.What.Has(verifyevent.FirstOfDay) {
			firsts = scan.AppendSlim(firsts, &slim)
		}
		if most[slim.Brand] == nil {
			most[slim.Brand] = map[ids.Serial]scan.TopCode{}
		}
		c := most[slim.Brand][slim.Serial]
		at := sqldb.Time(slim.At)
		if c.LastAt.After(at) {
			at = c.LastAt
		}
		most[slim.Brand][slim.Serial] = scan.TopCode{Serial: slim.Serial, Count: max(c.Count, slim.Count), LastAt: at}
	}
	if err := addSums(ctx, tx, tally); err != nil {
		return err
	}
	if len(firsts) > 0 {
		if _, err := tx.ExecContext(ctx, `INSERT INTO scan_deltas (body) VALUES (?)`, firsts); err != nil {
			return err
		}
	}
	for _, brand := range slices.Sorted(maps.Keys(most)) {
		if err := s.addTop(ctx, tx, brand, most[brand], tops); err != nil {
			return fmt.Errorf("keep top codes of brand %d: %w", brand, err)
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO scan_newest (lane, at) VALUES (?,?) ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at))`, lane, tally.Newest)
	return err
}

// addSums adds a tally's sums, and lists its brands and the codes that it saw first.
func addSums(ctx context.Context, tx *sqldb.Tx, tally *scan.Tally) error {
	sums, brands := countValues(tally)
	for chunk := range slices.Chunk(sums, rowsMax*countsWidth) {
		query := insertCounts + countsRow + strings.Repeat(`,`+countsRow, len(chunk)/countsWidth-1) + ` ON DUPLICATE KEY UPDATE
			scans = scans + VALUES(scans), sessions = sessions + VALUES(sessions),
			first_scans = first_scans + VALUES(first_scans), first_of_day = first_of_day + VALUES(first_of_day)`
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(brands, rowsMax) {
		query := `INSERT INTO scan_brands (brand_id) VALUES (?)` + strings.Repeat(`,(?)`, len(chunk)-1) +
			` ON DUPLICATE KEY UPDATE brand_id = VALUES(brand_id)`
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(itemValues(tally), 3*rowsMax) {
		query := insertItem + strings.Repeat(`,(?,?,?)`, len(chunk)/3-1) + ` ON DUPLICATE KEY UPDATE brand_id = VALUES(brand_id)`
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return err
		}
	}
	return nil
}

// addTop puts codes into a brand's list whose counts are large enough.
func (s *SharedStatistics) addTop(ctx context.Context, tx *sqldb.Tx, brand ids.BrandID, most map[ids.Serial]scan.TopCode, tops map[ids.BrandID]entry) error {
	s.mu.Lock()
	t, known := s.tops[brand]
	s.mu.Unlock()
	var err error
	if !known {
		if t.least, err = leastTop(ctx, tx, brand); err != nil {
			return err
		}
	}
	var codes []scan.TopCode
	for _, c := range most {
		if c.Count > t.least {
			codes = append(codes, c)
		}
	}
	slices.SortFunc(codes, func(a, b scan.TopCode) int { return cmp.Compare(a.Serial, b.Serial) })
	values := make([]any, 0, 4*len(codes))
	for _, c := range codes {
		values = append(values, int64(brand), int64(c.Serial), c.Count, sqldb.Micros(c.LastAt))
	}
	for chunk := range slices.Chunk(values, 4*rowsMax) {
		query := `INSERT INTO scan_top_codes (brand_id, serial, scans, last_at) VALUES (?,?,?,?)` + strings.Repeat(`,(?,?,?,?)`, len(chunk)/4-1) +
			` ON DUPLICATE KEY UPDATE scans = GREATEST(scans, VALUES(scans)), last_at = GREATEST(last_at, VALUES(last_at))`
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return err
		}
	}
	if t.since += len(codes); t.since > scan.TopCodesKept {
		t.since = 0
		if t.least, err = leastTop(ctx, tx, brand); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM scan_top_codes WHERE brand_id = ? AND scans < ?`, brand, t.least); err != nil {
			return err
		}
	}
	tops[brand] = t
	return nil
}

// leastTop is the count of the last of a brand's top codes; 0 while there is room.
func leastTop(ctx context.Context, q sqldb.Querier, brand ids.BrandID) (least int64, _ error) {
	err := q.QueryRowContext(ctx, `SELECT scans FROM scan_top_codes WHERE brand_id = ? ORDER BY scans DESC LIMIT 1 OFFSET ?`,
		brand, scan.TopCodesKept-1).Scan(&least)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return least, nil
}

// Sum implements scan.Statistics.
func (s *SharedStatistics) Sum(ctx context.Context, ask scan.SumAsk) ([]scan.Sum, error) {
	sums, err := sqldb.ReadStale(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]scan.Sum, error) {
		return storedSums(ctx, q, ask)
	})
	if err != nil {
		return nil, fmt.Errorf("sum scans: %w", err)
	}
	if len(sums) > ask.RowsMax {
		return nil, scan.ErrTooMuch
	}
	slices.SortFunc(sums, compareSums)
	return sums, nil
}

func compareSums(a, b scan.Sum) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Province, b.Province))
}

// Distinct implements scan.Statistics. What is pending is read first: Fold moves it
// into the sketches, and to unite it twice changes nothing.
func (s *SharedStatistics) Distinct(ctx context.Context, f scan.Filter, from, to scan.Day) (*scan.Sketch, bool, error) {
	sketch, err := sqldb.ReadStale(ctx, s.db, func(ctx context.Context, q sqldb.Querier) (*scan.Sketch, error) {
		pending := scan.NewTally()
		deltas, err := readDeltas(ctx, q, `SELECT id, body FROM scan_deltas`)
		if err == nil {
			err = addDeltas(pending, deltas)
		}
		if err != nil {
			return nil, fmt.Errorf("count distinct codes: %w", err)
		}
		sketch, _, err := distinct(ctx, q, f, from, to, pending)
		return sketch, err
	})
	return sketch, sketch != nil, err
}

// TopCodes implements scan.Statistics.
func (s *SharedStatistics) TopCodes(ctx context.Context, brand ids.BrandID, limit int) ([]scan.TopCode, error) {
	const query = `SELECT serial, scans, last_at FROM scan_top_codes WHERE brand_id = ? ORDER BY scans DESC, last_at DESC, serial LIMIT ?`
	codes, err := sqldb.ReadStale(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]scan.TopCode, error) {
		return sqldb.Collect(ctx, q, scanTop, query, brand, min(limit, scan.TopCodesKept))
	})
	if err != nil {
		return nil, fmt.Errorf("read top codes of brand %d: %w", brand, err)
	}
	return codes, nil
}

// Items implements scan.Statistics.
func (s *SharedStatistics) Items(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]scan.Item, error) {
	return sqldb.ReadStale(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]scan.Item, error) {
		return storedItems(ctx, q, brand, since, before, beforeSerial, limit)
	})
}

// newestWait is how long an answer waits for the one number that may be missing.
const newestWait = 2 * time.Second

// Newest implements scan.Statistics. When the database does not answer it is what it
// was.
func (s *SharedStatistics) Newest() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), newestWait)
	defer cancel()
	at, err := sqldb.ReadStale(ctx, s.db, func(ctx context.Context, q sqldb.Querier) (at int64, err error) {
		err = q.QueryRowContext(ctx, `SELECT COALESCE(MAX(at), 0) FROM scan_newest`).Scan(&at)
		return at, err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.newest = at
	}
	return sqldb.Time(s.newest)
}
