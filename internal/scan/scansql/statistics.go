package scansql

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
)

// Statistics counts sightings. What is counted goes, in one transaction with the
// inbox, into one row of slim sightings; memory adds it up, answers ask memory and
// tables together, and Fold brings it into the tables in large sorted steps. An
// upsert for each sighting and grain instead was measured at three times the CPU.
//
// It implements stream.Handler.
type Statistics struct {
	db    *sqldb.DB
	clock clock.Clock
	adds  combiner[consumed]

	// mu is held by readers over tables and memory together, and by what changes both
	// from before its commit on, so that nothing is seen twice or not at all.
	mu      sync.RWMutex
	pending *scan.Tally               // guarded by mu; what the rows of scan_deltas add up to
	since   time.Time                 // guarded by mu; of the oldest that is pending
	newest  int64                     // guarded by mu; microseconds
	tops    map[ids.BrandID]*topCodes // guarded by mu; of the brands that were seen since the start
}

var (
	_ scan.Statistics = (*Statistics)(nil)
	_ stream.Handler  = (*Statistics)(nil)
)

// consumed is one batch of a lane.
type consumed struct {
	ctx   context.Context //nolint:containedctx // who asked may go; the group goes on without its cancellation
	lane  int
	batch []stream.Message
}

// NewStatistics takes up a migrated database. lanes is how many its group is consumed
// with, for ever.
func NewStatistics(ctx context.Context, db *sqldb.DB, lanes int, c clock.Clock) (*Statistics, error) {
	s := &Statistics{db: db, clock: c, pending: scan.NewTally(), tops: map[ids.BrandID]*topCodes{}}
	s.adds = combiner[consumed]{run: s.count, size: func(c consumed) int { return len(c.batch) }, most: togetherMax}
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return inbox.Lanes(ctx, tx, scan.GroupStatistics, lanes)
	})
	if err != nil {
		return nil, err
	}
	if err := db.Reader().QueryRowContext(ctx, `SELECT COALESCE(MAX(at), 0) FROM scan_newest`).Scan(&s.newest); err != nil {
		return nil, fmt.Errorf("take up statistics: %w", err)
	}
	bodies, err := sqldb.Collect(ctx, db.Reader(), func(r *sql.Rows) (b []byte, err error) {
		err = r.Scan(&b)
		return b, err
	}, `SELECT body FROM scan_deltas ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("take up statistics: %w", err)
	}
	for _, b := range bodies {
		var slims []scan.Slim
		if err := scan.EachSlim(b, func(v *scan.Slim) { slims = append(slims, *v) }); err != nil {
			return nil, fmt.Errorf("take up statistics: %w", err)
		}
		if err := s.load(ctx, slims); err != nil {
			return nil, err
		}
		s.add(slims)
	}
	return s, nil
}

// load makes sure that memory has the top codes of the brands, before it is told of
// more. Only who has the turn, or the start, calls it.
func (s *Statistics) load(ctx context.Context, slims []scan.Slim) error {
	for i := range slims {
		brand := slims[i].Brand
		if i > 0 && brand == slims[i-1].Brand || s.tops[brand] != nil {
			continue // only who has the turn writes to tops, so reading needs no lock here
		}
		top, err := s.readTop(ctx, brand)
		if err != nil {
			return fmt.Errorf("read top codes of brand %d: %w", brand, err)
		}
		s.mu.Lock()
		s.tops[brand] = top
		s.mu.Unlock()
	}
	return nil
}

// add tells memory what was committed.
func (s *Statistics) add(slims []scan.Slim) {
	if len(slims) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range slims {
		s.pending.Add(&slims[i])
		s.tops[slims[i].Brand].see(&slims[i])
	}
	s.newest = max(s.newest, s.pending.Newest)
	if s.since.IsZero() {
		s.since = s.clock.Now()
	}
}

// Handle implements stream.Handler. Batches of several lanes that come at the same
// time share a transaction.
func (s *Statistics) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	for i := range batch {
		if err := unfit(&batch[i]); err != nil {
			return err
		}
	}
	return outOfReach(s.adds.do(consumed{ctx, lane, batch}))
}

// pendingMax bounds what memory adds up: past it the one who counts folds.
const pendingMax = 400_000

// count commits a group of batches, and folds when much is pending.
func (s *Statistics) count(groups []consumed) error {
	ctx := context.WithoutCancel(groups[0].ctx)
	n := 0
	for _, g := range groups {
		n += len(g.batch)
	}
	slims := make([]scan.Slim, 0, n)
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		slims = slims[:0]
		for _, g := range groups {
			fresh, err := inbox.Take(ctx, tx, scan.GroupStatistics, g.lane, g.batch)
			if err != nil {
				return err
			}
			for i := range fresh {
				seen, err := seenOf(&fresh[i])
				if err != nil {
					return err
				}
				slims = append(slims, scan.SlimOf(&seen.Sighting))
			}
		}
		if len(slims) == 0 {
			return nil
		}
		if err := s.load(ctx, slims); err != nil {
			return err
		}
		body := make([]byte, 0, 48*len(slims))
		for i := range slims {
			body = scan.AppendSlim(body, &slims[i])
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO scan_deltas (body) VALUES (?)`, body)
		return err
	})
	if err != nil {
		return fmt.Errorf("count scans: %w", err)
	}
	if s.add(slims); s.pending.Sightings < pendingMax {
		return nil
	}
	return s.fold(ctx)
}

// insertMany binds rows of so many values, as many rows at a time as the statement
// takes, and gives those that are left.
func insertMany(ctx context.Context, tx *sqldb.Tx, values []any, step int, query string) (rest []any, _ error) {
	if len(values) < step {
		return values, nil
	}
	stmt, err := tx.PrepareContext(ctx, query) //nolint:sqlclosecheck // the end of the transaction closes it
	if err != nil {
		return nil, err
	}
	for ; len(values) >= step; values = values[step:] {
		if _, err := stmt.ExecContext(ctx, values[:step]...); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// insertSingly binds rows of so many values one after the other.
func insertSingly(ctx context.Context, tx *sqldb.Tx, values []any, width int, query string) error {
	if len(values) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, query) //nolint:sqlclosecheck // the end of the transaction closes it
	if err != nil {
		return err
	}
	for ; len(values) > 0; values = values[width:] {
		if _, err := stmt.ExecContext(ctx, values[:width]...); err != nil {
			return err
		}
	}
	return nil
}
