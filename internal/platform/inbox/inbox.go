// Package inbox remembers what a group of a stream has consumed, in the transaction of
// the effect, so that a message that is given again has no second effect.
//
// Promise: of all transactions that Take a message, on whatever road it came (again
// after a crash, by another consumer, from a dead letter), exactly one that commits is
// told that it is new (TestTakeAgainstModel).
//
// What is kept are stretches of each lane in which everything was consumed. A
// watermark would be one number less, and wrong: two consumers of a group finish in
// any order, and a dead letter lies below what was consumed after it. In the usual
// case a lane has one stretch, which grows: one row, one update for a batch. A dead
// letter is the gap between two, and consuming it closes the gap.
package inbox

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

//go:embed schema
var schema embed.FS

// Schema is the tables' definition, a directory for each dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// ErrLanes answers a number of lanes that is not the one the group began with.
var ErrLanes = errors.New("inbox: the group was consumed with another number of lanes")

// Lanes notes how many lanes a group has, once, and holds every later start to it:
// with another number a message would be looked for in the wrong lane. To change it,
// let the group consume everything, replay or discard its letters, and Forget.
func Lanes(ctx context.Context, tx *sqldb.Tx, group string, lanes int) error {
	there, err := countLanes(ctx, tx, group)
	if err != nil {
		return err
	}
	for lane := 0; lane < lanes && there == 0; lane++ {
		_, err := tx.ExecContext(ctx, `INSERT INTO inbox_lane (grp, lane, turn) VALUES (?,?,0)`, group, lane)
		switch {
		case sqldb.IsDuplicate(err) && lane == 0: // another process was first, with all of its lanes
			if there, err = countLanes(ctx, tx, group); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("note lanes of %s: %w", group, err)
		}
	}
	if there != 0 && there != lanes {
		return fmt.Errorf("%w: %s has %d, not %d", ErrLanes, group, there, lanes)
	}
	return nil
}

func countLanes(ctx context.Context, tx *sqldb.Tx, group string) (n int, _ error) {
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM inbox_lane WHERE grp = ?`, group).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read lanes of %s: %w", group, err)
	}
	return n, nil
}

// Forget drops everything that is known of a group. What is given again after it has
// its effect again.
func Forget(ctx context.Context, tx *sqldb.Tx, group string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM inbox WHERE grp = ?`, group)
	_, err2 := tx.ExecContext(ctx, `DELETE FROM inbox_lane WHERE grp = ?`, group)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("forget inbox of %s: %w", group, err)
	}
	return nil
}

// Take gives those of a batch that are new, in order, and notes all of it as consumed.
// The batch is what a stream.Handler got: of one lane; its order does not matter. The effects of
// what it gives belong into the same transaction.
func Take(ctx context.Context, tx *sqldb.Tx, group string, lane int, batch []stream.Message) ([]stream.Message, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	first, last := batch[0].Since, batch[0].Until
	for i := range batch {
		m := &batch[i]
		if m.Since.Compare(m.Place()) > 0 || m.Until.Compare(m.Place()) < 0 || m.Until.At >= math.MaxInt64 {
			return nil, fmt.Errorf("inbox of %s: message %s:%d has no good place", group, m.At, m.N)
		}
		first, last = least(first, m.Since), most(last, m.Until)
	}
	if err := lock(ctx, tx, group, lane); err != nil {
		return nil, err
	}
	known, err := load(ctx, tx, group, lane, first, last)
	if err != nil {
		return nil, fmt.Errorf("read inbox of %s: %w", group, err)
	}
	fresh := unseen(known, batch)
	if err := store(ctx, tx, group, lane, known, join(known, batch)); err != nil {
		return nil, fmt.Errorf("write inbox of %s: %w", group, err)
	}
	return fresh, nil
}

// lock makes transactions over one lane wait for each other, also where the engine
// lets readers pass writers. It is the first statement, on a row that is there.
func lock(ctx context.Context, tx *sqldb.Tx, group string, lane int) error {
	res, err := tx.ExecContext(ctx, `UPDATE inbox_lane SET turn = turn + 1 WHERE grp = ? AND lane = ?`, group, lane)
	if err != nil {
		return fmt.Errorf("lock lane %d of %s: %w", lane, group, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("inbox of %s has no lane %d: call Lanes at the start", group, lane))
	}
	return nil
}

// stretch is a part of a lane in which everything was consumed; both ends belong to it.
type stretch struct{ from, to stream.Place }

func least(a, b stream.Place) stream.Place {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}

func most(a, b stream.Place) stream.Place {
	if b.Compare(a) > 0 {
		return b
	}
	return a
}

// load gives the stretches that overlap or touch first..last, in order. They lie
// apart from each other, so reading backwards can end at the first that lies before.
func load(ctx context.Context, tx *sqldb.Tx, group string, lane int, first, last stream.Place) ([]stretch, error) {
	rows, err := tx.QueryContext(ctx, `SELECT from_at, from_n, to_at, to_n FROM inbox
		WHERE grp = ? AND lane = ? AND from_at <= ? ORDER BY from_at DESC, from_n DESC`, group, lane, int64(last.At)+1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var known []stretch
	for rows.Next() {
		var s stretch
		if err := rows.Scan(&s.from.At, &s.from.N, &s.to.At, &s.to.N); err != nil {
			return nil, err
		}
		if s.to.Next().Compare(first) < 0 {
			break
		}
		if s.from.Compare(last.Next()) <= 0 {
			known = append(known, s)
		}
	}
	slices.Reverse(known)
	return known, rows.Err()
}

// unseen gives the messages that no stretch holds, each once; usually that is the
// batch itself.
func unseen(known []stretch, batch []stream.Message) []stream.Message {
	seen := func(m stream.Message) bool {
		i, found := slices.BinarySearchFunc(known, m.Place(), func(s stretch, p stream.Place) int { return s.from.Compare(p) })
		return found || i > 0 && known[i-1].to.Compare(m.Place()) >= 0
	}
	ordered := true
	for i := range batch[1:] {
		ordered = ordered && batch[i].Place().Compare(batch[i+1].Place()) < 0
	}
	if ordered && !slices.ContainsFunc(batch, seen) {
		return batch
	}
	given := map[stream.Place]bool{} // a record that was taken over and back may be in it twice
	return slices.DeleteFunc(slices.Clone(batch), func(m stream.Message) bool {
		twice := given[m.Place()]
		given[m.Place()] = true
		return twice || seen(m)
	})
}

// join adds the batch's places to the stretches.
func join(known []stretch, batch []stream.Message) []stretch {
	all := slices.Clone(known)
	for i := range batch {
		m := &batch[i]
		if n := len(all); n > 0 && all[n-1].from.Compare(m.Since) <= 0 && all[n-1].to.Next().Compare(m.Since) >= 0 {
			all[n-1].to = most(all[n-1].to, m.Until) // the usual case: it goes on
			continue
		}
		all = append(all, stretch{m.Since, m.Until})
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to)) })
	joined := all[:0]
	for _, s := range all {
		if n := len(joined); n > 0 && joined[n-1].to.Next().Compare(s.from) >= 0 {
			joined[n-1].to = most(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// store writes what has changed: usually one row.
func store(ctx context.Context, tx *sqldb.Tx, group string, lane int, before, after []stretch) error {
	const (
		drop = `DELETE FROM inbox WHERE grp = ? AND lane = ? AND from_at = ? AND from_n = ?`
		grow = `UPDATE inbox SET to_at = ?, to_n = ? WHERE grp = ? AND lane = ? AND from_at = ? AND from_n = ?`
		add  = `INSERT INTO inbox (grp, lane, from_at, from_n, to_at, to_n) VALUES (?,?,?,?,?,?)`
	)
	for _, s := range before {
		if slices.ContainsFunc(after, func(a stretch) bool { return a.from == s.from }) {
			continue
		}
		if _, err := tx.ExecContext(ctx, drop, group, lane, int64(s.from.At), s.from.N); err != nil {
			return err
		}
	}
	for _, s := range after {
		var err error
		switch i := slices.IndexFunc(before, func(b stretch) bool { return b.from == s.from }); {
		case i < 0:
			_, err = tx.ExecContext(ctx, add, group, lane, int64(s.from.At), s.from.N, int64(s.to.At), s.to.N)
		case before[i].to != s.to:
			_, err = tx.ExecContext(ctx, grow, int64(s.to.At), s.to.N, group, lane, int64(s.from.At), s.from.N)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Highest is the last position that a group has consumed something of; 0 = nothing.
func Highest(ctx context.Context, q sqldb.Querier, group string) (at stream.Position, _ error) {
	var high int64
	if err := q.QueryRowContext(ctx, `SELECT COALESCE(MAX(to_at), 0) FROM inbox WHERE grp = ?`, group).Scan(&high); err != nil {
		return 0, fmt.Errorf("read inbox of %s: %w", group, err)
	}
	return stream.Position(high), nil
}
