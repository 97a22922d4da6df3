package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// names combines acts that are told apart by a text.
type names = Combiner[int, string, string]

// ok is the outcome of acts that all took effect.
func ok(acts []string) []Outcome[string] {
	out := make([]Outcome[string], len(acts))
	for i, a := range acts {
		out[i].Value = "did " + a
	}
	return out
}

// waits returns once so many acts are taken up and not answered.
func waits(c *names, n int) {
	for {
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		if open == n {
			return
		}
		runtime.Gosched()
	}
}

// gated runs a group once the test lets it: a test takes the group, then sends its end.
type gated struct {
	groups chan []string
	ends   chan error
}

func newGated(most, waitMax int) (*gated, *names) {
	g := &gated{make(chan []string), make(chan error)}
	return g, NewCombiner[int](most, waitMax, func(_ context.Context, acts []string) ([]Outcome[string], error) {
		g.groups <- acts
		err := <-g.ends
		return ok(acts), err
	})
}

// wants takes the next group and ends it.
func (g *gated) wants(t *testing.T, end error, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, <-g.groups); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
	g.ends <- end
}

// do starts an act, whose outcome must be the wanted one.
func do(ctx context.Context, t *testing.T, all *sync.WaitGroup, c *names, key int, act string, want error) {
	t.Helper()
	all.Go(func() {
		got, err := c.Do(ctx, key, act)
		if !errors.Is(err, want) || err == nil && got != "did "+act {
			t.Errorf("%s: %q, %v; want %v", act, got, err, want)
		}
	})
}

// TestActsGatherWhileAGroupCommits: in the order in which they came, up to the bound of
// a group, and without waiting for other keys.
func TestActsGatherWhileAGroupCommits(t *testing.T) {
	t.Parallel()
	g, c := newGated(3, 100)
	var all sync.WaitGroup
	do(t.Context(), t, &all, c, 1, "first", nil)
	first := <-g.groups
	for i, act := range []string{"a", "b", "c", "d"} {
		do(t.Context(), t, &all, c, 1, act, nil)
		waits(c, 2+i)
	}
	do(t.Context(), t, &all, c, 2, "other", nil)
	g.wants(t, nil, "other")
	g.ends <- nil
	g.wants(t, nil, "a", "b", "c")
	g.wants(t, nil, "d")
	all.Wait()
	c.Close()
	if diff := cmp.Diff([]string{"first"}, first); diff != "" || len(c.lanes) != 0 || c.open != 0 {
		t.Errorf("first group (-want +got):\n%s%d lanes and %d acts are left", diff, len(c.lanes), c.open)
	}
}

// TestWhoFailsHoldsUpNobody: the others of the group and those that come after are
// answered while the one that made it fail still runs.
func TestWhoFailsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	began, gate, stuck, failed := make(chan struct{}), make(chan struct{}), make(chan struct{}), errors.New("waited in vain")
	c := NewCombiner[int](10, 100, func(_ context.Context, acts []string) ([]Outcome[string], error) {
		switch {
		case acts[0] == "first":
			close(began)
			<-gate
			return ok(acts), nil
		case !slices.Contains(acts, "stuck"):
			return ok(acts), nil
		case len(acts) == 1:
			<-stuck
		}
		return nil, failed
	})
	var all, bad sync.WaitGroup
	do(t.Context(), t, &all, c, 1, "first", nil)
	<-began
	do(t.Context(), t, &bad, c, 1, "stuck", failed)
	for i := range 7 {
		do(t.Context(), t, &all, c, 1, fmt.Sprint(i), nil)
	}
	waits(c, 9)
	close(gate)
	all.Wait()
	do(t.Context(), t, &all, c, 1, "later", nil)
	all.Wait()
	close(stuck)
	bad.Wait()
	c.Close()
}

// TestWhoeverLeaves: what has not begun is taken back, of the rest nobody can tell.
func TestWhoeverLeaves(t *testing.T) {
	t.Parallel()
	g, c := newGated(10, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var all, gone sync.WaitGroup
	do(ctx, t, &gone, c, 1, "begun", ErrUnknownOutcome)
	begun := <-g.groups
	do(ctx, t, &gone, c, 1, "waiting", context.Canceled)
	waits(c, 2)
	do(t.Context(), t, &all, c, 1, "stays", nil)
	waits(c, 3)
	cancel()
	gone.Wait()
	g.ends <- nil
	g.wants(t, nil, "stays")
	all.Wait()
	if len(begun) != 1 {
		t.Errorf("began with %v", begun)
	}
	if _, err := c.Do(ctx, 1, "late"); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	c.Close()
}

// TestTooManyAndTheEnd: who cannot be taken up is told that nothing was changed, and
// who was taken up is answered.
func TestTooManyAndTheEnd(t *testing.T) {
	t.Parallel()
	g, c := newGated(10, 3)
	var all sync.WaitGroup
	do(t.Context(), t, &all, c, 1, "a", nil)
	a := <-g.groups
	do(t.Context(), t, &all, c, 1, "b", nil)
	waits(c, 2)
	do(t.Context(), t, &all, c, 1, "c", nil)
	waits(c, 3)
	for _, key := range []int{1, 2} {
		if _, err := c.Do(t.Context(), key, "d"); !errors.Is(err, ErrCrowded) {
			t.Errorf("beyond the bound: %v", err)
		}
	}
	var closed atomic.Bool
	var closer sync.WaitGroup
	closer.Go(func() { c.Close(); closed.Store(true) })
	for {
		if _, err := c.Do(t.Context(), 1, "e"); errors.Is(err, ErrClosing) {
			break
		}
	}
	if closed.Load() {
		t.Error("Close did not wait")
	}
	g.ends <- nil
	g.wants(t, nil, "b", "c")
	closer.Wait()
	all.Wait()
	if len(a) != 1 {
		t.Errorf("began with %v", a)
	}
}

// TestNoServerIsNobodysFault: a group that found no server is not cut.
func TestNoServerIsNobodysFault(t *testing.T) {
	t.Parallel()
	g, c := newGated(10, 10)
	var all sync.WaitGroup
	do(t.Context(), t, &all, c, 1, "first", nil)
	first := <-g.groups
	do(t.Context(), t, &all, c, 1, "a", ErrUnavailable)
	waits(c, 2)
	do(t.Context(), t, &all, c, 1, "b", ErrUnavailable)
	waits(c, 3)
	g.ends <- nil
	g.wants(t, ErrUnavailable.Because(errors.New("as if")), "a", "b")
	all.Wait()
	c.Close()
	if len(first) != 1 {
		t.Errorf("began with %v", first)
	}
}

// wish is an act on the table of things.
type wish struct {
	id   int
	name string // one that another thing has breaks the transaction
	how  string
}

var errUnwanted = errors.New("unwanted")

// wishes writes a thing for each act.
func wishes(db *DB) func(ctx context.Context, acts []wish) ([]Outcome[int], error) {
	return func(ctx context.Context, acts []wish) ([]Outcome[int], error) {
		var out []Outcome[int]
		err := db.Write(ctx, func(ctx context.Context, tx *Tx) error {
			out = make([]Outcome[int], len(acts))
			for i, a := range acts {
				switch a.how {
				case "panics":
					panic("the act's own")
				case "is refused":
					out[i].Err = errUnwanted
				default:
					if err := add(ctx, tx, a.id, a.name); err != nil {
						return err
					}
					out[i].Value = a.id
				}
			}
			return nil
		})
		return out, err
	}
}

// TestEachActHasItsOwnOutcome: whatever is wrong with some acts of a group, the others
// take effect, and of those that failed nothing stays.
func TestEachActHasItsOwnOutcome(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := things(t, open)
		if err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return add(ctx, tx, 1, "taken") }); err != nil {
			t.Fatal(err)
		}
		c := NewCombiner[int](8, 100, wishes(db))
		id := 1
		rapid.Check(t, func(r *rapid.T) {
			hows := rapid.SliceOfN(rapid.SampledFrom([]string{"is fine", "is fine", "is fine", "panics", "is refused", "is broken"}), 1, 12).Draw(r, "acts")
			keys := rapid.IntRange(1, 2).Draw(r, "keys")
			var all sync.WaitGroup
			want := count(t, db.Reader())
			for i, how := range hows {
				id++
				a := wish{id, fmt.Sprint("thing ", id), how}
				if how == "is broken" {
					a.name = "taken"
				}
				if how == "is fine" {
					want++
				}
				all.Go(func() {
					got, err := c.Do(t.Context(), i%keys, a)
					right := false
					switch how {
					case "is fine":
						right = err == nil && got == a.id
					case "is refused":
						right = errors.Is(err, errUnwanted)
					case "is broken":
						right = IsDuplicate(err)
					case "panics":
						right = err != nil && strings.Contains(err.Error(), "the act's own")
					}
					if !right {
						t.Errorf("an act that %s: %d, %v", how, got, err)
					}
				})
			}
			all.Wait()
			if got := count(t, db.Reader()); got != want {
				r.Fatalf("%d things, want %d", got, want)
			}
		})
		c.Close()
	})
}

// TestGroupsSurviveADeadlock: two processes take two rows in opposite order.
func TestGroupsSurviveADeadlock(t *testing.T) {
	t.Parallel()
	open := mariadb(t)
	db := things(t, open)
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		return errors.Join(add(ctx, tx, 1, "a"), add(ctx, tx, 2, "b"))
	})
	if err != nil {
		t.Fatal(err)
	}
	const rename = `UPDATE things SET name = CONCAT(name, 'x') WHERE id = ?`
	var runs atomic.Int64
	var met, both sync.WaitGroup
	met.Add(2)
	for _, order := range [][]int{{1, 2}, {2, 1}} {
		db, first := open(), true
		c := NewCombiner[int](10, 10, func(ctx context.Context, acts []int) ([]Outcome[int], error) {
			return make([]Outcome[int], len(acts)), db.Write(ctx, func(ctx context.Context, tx *Tx) error {
				runs.Add(1)
				for _, id := range acts {
					if _, err := tx.ExecContext(ctx, rename, id); err != nil {
						return err
					}
					if first { // both hold one
						first = false
						met.Done()
						met.Wait()
					}
				}
				return nil
			})
		})
		both.Go(func() {
			for i, o := range together(c, order) {
				if o.Err != nil {
					t.Errorf("%d: %v", order[i], o.Err)
				}
			}
		})
	}
	both.Wait()
	got, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (s string, err error) { err = r.Scan(&s); return s, err }, `SELECT name FROM things ORDER BY id`)
	if diff := cmp.Diff([]string{"axx", "bxx"}, got); err != nil || diff != "" || runs.Load() != 3 {
		t.Errorf("%v after %d runs, want 3 (-want +got):\n%s", err, runs.Load(), diff)
	}
}

// together runs acts as one group.
func together[A, R any](c *Combiner[int, A, R], acts []A) []Outcome[R] {
	group := make([]*pending[A, R], len(acts))
	for i, a := range acts {
		group[i] = &pending[A, R]{act: a, begun: true, done: make(chan struct{})}
	}
	c.mu.Lock()
	c.open += len(acts)
	c.mu.Unlock()
	c.commit(group)
	out := make([]Outcome[R], len(acts))
	for i, p := range group {
		<-p.done
		out[i] = p.out
	}
	return out
}
