package inbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

func migrated(t *testing.T, fresh sqldbtest.Fresh) *sqldb.DB {
	t.Helper()
	db := fresh(t)()
	if err := db.Migrate(t.Context(), "inbox", Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func write(t *testing.T, db *sqldb.DB, fn func(ctx context.Context, tx *sqldb.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func lanes(t *testing.T, db *sqldb.DB, group string, n int) {
	t.Helper()
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return Lanes(ctx, tx, group, n) })
}

func take(t *testing.T, db *sqldb.DB, group string, lane int, batch []stream.Message) (fresh []stream.Message) {
	t.Helper()
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		fresh, err = Take(ctx, tx, group, lane, batch)
		return err
	})
	return fresh
}

func places(messages []stream.Message) (all []stream.Place) {
	for i := range messages {
		all = append(all, messages[i].Place())
	}
	return all
}

// rows gives what is stored of a lane.
func rows(t *testing.T, db *sqldb.DB, group string, lane int) []stretch {
	t.Helper()
	var all []stretch
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		all, err = load(ctx, tx, group, lane, stream.Place{}, stream.Place{At: 1 << 62})
		return err
	})
	return all
}

// line is the messages of one lane, and which places around each are empty.
type line []stream.Message

// newLine spreads messages over records, of which some have none of the lane.
func newLine(rng *rand.Rand, size int) line {
	var l line
	p := stream.Place{At: stream.At(1, 1)}
	for range size {
		switch rng.IntN(3) {
		case 0:
			p.N += 1 + rng.IntN(3)
		case 1:
			p = stream.Place{At: p.At + 1 + stream.Position(rng.IntN(3)), N: rng.IntN(2)}
		default:
			p = stream.Place{At: stream.At(p.At.Generation()+1, 1), N: rng.IntN(2)}
		}
		l = append(l, stream.Message{At: p.At, N: p.N})
	}
	return l
}

// give is message i as some consumer knows it: joined to the one before, or to the
// record before, or to nothing.
func (l line) give(rng *rand.Rand, i int) stream.Message {
	m := l[i]
	m.Since, m.Until = m.Place(), m.Place()
	last := i+1 == len(l) || l[i+1].At != m.At
	known := rng.IntN(3) > 0
	if last && known {
		m.Until = stream.EndOf(m.At)
	}
	switch {
	case i == 0:
	case rng.IntN(3) == 0 && l[i-1].At != m.At:
		m.Since = stream.EndOf(m.At - 1).Next() // a new record
	case l[i-1].At == m.At:
		m.Since = l[i-1].Place().Next()
	case rng.IntN(2) == 0:
		m.Since = stream.EndOf(l[i-1].At).Next()
	}
	return m
}

var errRolledBack = errors.New("rolled back")

// TestTakeAgainstModel gives messages again and again, in any pieces and any order,
// and rolls some of it back: each is new exactly once.
func TestTakeAgainstModel(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "g", 1)
		for round := range 40 {
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			group := fmt.Sprint("g", round)
			lanes(t, db, group, 2)
			l := newLine(rng, 40)
			model := map[stream.Place]bool{}
			for range 120 {
				batch := l.batch(rng)
				var want []stream.Place
				for i := range batch {
					if p := batch[i].Place(); !model[p] && !slices.Contains(want, p) {
						want = append(want, p)
					}
				}
				commit := rng.IntN(4) > 0
				var fresh []stream.Message
				err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
					if fresh, err = Take(ctx, tx, group, 1, batch); err == nil && !commit {
						err = errRolledBack
					}
					return err
				})
				if err != nil && !errors.Is(err, errRolledBack) {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, places(fresh)); diff != "" {
					t.Fatalf("seed %d: new messages (-model +inbox):\n%s", seed, diff)
				}
				if commit {
					for _, p := range want {
						model[p] = true
					}
				}
				l.check(t, rows(t, db, group, 1), model)
			}
			if left := rows(t, db, group, 0); left != nil {
				t.Fatalf("seed %d: the other lane has %v", seed, left)
			}
		}
	})
}

// batch is a run of messages, or any, sometimes shuffled.
func (l line) batch(rng *rand.Rand) []stream.Message {
	var batch []stream.Message
	from := rng.IntN(len(l))
	for i := from; i < len(l) && i < from+1+rng.IntN(8); i++ {
		if rng.IntN(10) > 0 { // one that is missing was buried
			batch = append(batch, l.give(rng, i))
		}
	}
	if rng.IntN(4) == 0 {
		batch = append(batch, l.give(rng, rng.IntN(len(l))), l.give(rng, rng.IntN(len(l))))
	}
	if rng.IntN(4) == 0 {
		rng.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	return batch
}

// check holds the stretches to their invariant: apart from each other, and over
// exactly the messages that were consumed.
func (l line) check(t *testing.T, stored []stretch, model map[stream.Place]bool) {
	t.Helper()
	for i, s := range stored {
		if s.from.Compare(s.to) > 0 || i > 0 && stored[i-1].to.Next().Compare(s.from) >= 0 {
			t.Fatalf("stretches %v", stored)
		}
	}
	for i := range l {
		p := l[i].Place()
		held := slices.ContainsFunc(stored, func(s stretch) bool { return s.from.Compare(p) <= 0 && s.to.Compare(p) >= 0 })
		if held != model[p] {
			t.Fatalf("message %v: held %v, consumed %v", p, held, model[p])
		}
	}
}

// linked is messages of one lane in records that follow each other.
func linked(records, each int) (all []stream.Message) {
	next := stream.Place{At: stream.At(1, 1)}
	for r := range records {
		for n := range each {
			m := stream.Message{At: stream.At(1, uint64(r+1)), N: n, Since: next}
			m.Until = m.Place()
			if n == each-1 {
				m.Until = stream.EndOf(m.At)
			}
			next = m.Until.Next()
			all = append(all, m)
		}
	}
	return all
}

func TestOneRowGrows(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "g", 1)
		all := linked(30, 3)
		for from := 0; from < len(all); from += 5 {
			if fresh := take(t, db, "g", 0, all[from:from+5]); len(fresh) != 5 {
				t.Fatalf("%d of 5 are new", len(fresh))
			}
			if stored := rows(t, db, "g", 0); len(stored) != 1 {
				t.Fatalf("rows %v", stored)
			}
		}
		if fresh := take(t, db, "g", 0, all); len(fresh) != 0 {
			t.Errorf("given again, %v are new", places(fresh))
		}
	})
}

func TestLetterIsAGapThatCloses(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "g", 1)
		all := linked(4, 3)
		take(t, db, "g", 0, all[:5])
		take(t, db, "g", 0, all[6:])
		if stored := rows(t, db, "g", 0); len(stored) != 2 {
			t.Errorf("with a letter: %v", stored)
		}
		for i, want := range []int{1, 0} {
			if fresh := take(t, db, "g", 0, all[5:6]); len(fresh) != want {
				t.Errorf("replayed for the %d. time it is new: %v", i+1, places(fresh))
			}
		}
		if stored := rows(t, db, "g", 0); len(stored) != 1 {
			t.Errorf("after the replay: %v", stored)
		}
	})
}

// TestTwoConsumersOutOfOrder is where a watermark loses messages.
func TestTwoConsumersOutOfOrder(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "g", 1)
		all := linked(2, 2)
		later := slices.Clone(all[2:])
		later[0].Since = stream.Place{At: later[0].At} // it knows its own record only
		for i, batch := range [][]stream.Message{later, all[:2]} {
			if fresh := take(t, db, "g", 0, batch); len(fresh) != 2 {
				t.Errorf("batch %d: new are %v", i, places(fresh))
			}
		}
		if stored := rows(t, db, "g", 0); len(stored) != 1 {
			t.Errorf("rows %v", stored)
		}
	})
}

func TestGroupsAndLanesAreApart(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "a", 2)
		lanes(t, db, "b", 2)
		all := linked(1, 3)
		for _, group := range []string{"a", "b"} {
			for lane := range 2 {
				if fresh := take(t, db, group, lane, all); len(fresh) != 3 {
					t.Errorf("%s %d: new are %v", group, lane, places(fresh))
				}
			}
		}
	})
}

func TestLanesAreFixed(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "g", 4)
		lanes(t, db, "g", 4)
		for _, n := range []int{1, 3, 5} {
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return Lanes(ctx, tx, "g", n) })
			if !errors.Is(err, ErrLanes) {
				t.Errorf("%d lanes: %v", n, err)
			}
		}
		take(t, db, "g", 3, linked(1, 1))
		write(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return Forget(ctx, tx, "g") })
		lanes(t, db, "g", 5)
		if fresh := take(t, db, "g", 3, linked(1, 1)); len(fresh) != 1 {
			t.Error("what was forgotten is known")
		}
	})
}

func TestBadCallsAreRefused(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh)
		lanes(t, db, "g", 1)
		good := linked(1, 1)
		noPlace := slices.Clone(good)
		noPlace[0].Until = stream.Place{}
		for name, call := range map[string]func(ctx context.Context, tx *sqldb.Tx) ([]stream.Message, error){
			"lane":  func(ctx context.Context, tx *sqldb.Tx) ([]stream.Message, error) { return Take(ctx, tx, "g", 1, good) },
			"group": func(ctx context.Context, tx *sqldb.Tx) ([]stream.Message, error) { return Take(ctx, tx, "h", 0, good) },
			"no place": func(ctx context.Context, tx *sqldb.Tx) ([]stream.Message, error) {
				return Take(ctx, tx, "g", 0, noPlace)
			},
		} {
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := call(ctx, tx)
				return err
			})
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	})
}

// BenchmarkTake is the cost of an inbox for one batch, with the commit.
func BenchmarkTake(b *testing.B) {
	db, err := sqldb.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "chopmark.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(b.Context(), "inbox", Schema()); err != nil {
		b.Fatal(err)
	}
	if err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return Lanes(ctx, tx, "g", 1) }); err != nil {
		b.Fatal(err)
	}
	batch := linked(1, 100)
	for i := 0; b.Loop(); i++ {
		for n := range batch {
			m := &batch[n]
			m.At = stream.At(1, uint64(i+1))
			m.Since, m.Until = m.Place(), m.Place()
		}
		batch[99].Until = stream.EndOf(batch[99].At)
		err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := Take(ctx, tx, "g", 0, batch)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
