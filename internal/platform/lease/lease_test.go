package lease

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

const life = 10 * time.Second

// TestTokensGrow lets processes take, keep, release and lose leases in any order,
// with clocks that do not agree: tokens grow with each new holder, and while the
// clocks agree nobody takes what another holds.
func TestTokensGrow(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		db := fresh(t)()
		if err := db.Migrate(t.Context(), "lease", Schema()); err != nil {
			t.Fatal(err)
		}
		var rounds atomic.Int64
		rapid.Check(t, func(t *rapid.T) { tokensGrow(t, db, fmt.Sprint("relay-", rounds.Add(1))) })
	})
}

func tokensGrow(t *rapid.T, db *sqldb.DB, name string) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	skewed := rapid.Bool().Draw(t, "skewed")
	all := make([]*Leases, 3)
	for i, owner := range []string{"a", "b", "c"} {
		skew := time.Duration(0)
		if skewed {
			skew = time.Duration(rapid.IntRange(-20, 20).Draw(t, "skew")) * time.Second
		}
		all[i] = New(db, owner, clock.Func(func() time.Time { return now.Add(skew) }))
	}
	holder, token, until := -1, int64(0), time.Time{}
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		now = now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "seconds")) * time.Second)
		who := rapid.IntRange(0, 2).Draw(t, "who")
		if rapid.IntRange(0, 4).Draw(t, "what") == 0 {
			if err := all[who].Release(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if who == holder {
				holder = -1
			}
			continue
		}
		got, ok, err := all[who].Hold(t.Context(), name, life)
		if err != nil {
			t.Fatal(err)
		}
		free := holder < 0 || holder == who || !now.Before(until)
		if !skewed && ok != free {
			t.Fatalf("%d holds: %v; %d has it until %v, now is %v", who, ok, holder, until, now)
		}
		if !ok {
			continue
		}
		if holder == who && got != token || holder != who && got <= token {
			t.Fatalf("%d has token %d after %d had %d", who, got, holder, token)
		}
		holder, token, until = who, got, now.Add(life)
	}
}

// TestOneOfMany lets processes ask at the same moment, the first time and later.
func TestOneOfMany(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		open := fresh(t)
		if err := open().Migrate(t.Context(), "lease", Schema()); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
		var all []*Leases
		for i := range 4 {
			all = append(all, New(open(), fmt.Sprint("owner-", i), clock.Func(func() time.Time { return now })))
		}
		last := int64(0)
		for range 10 {
			var ask sync.WaitGroup
			var holders, token atomic.Int64
			for _, l := range all {
				ask.Go(func() {
					got, ok, err := l.Hold(t.Context(), "relay", life)
					if err != nil {
						t.Error(err)
					}
					if ok {
						holders.Add(1)
						token.Store(got)
					}
				})
			}
			ask.Wait()
			if holders.Load() != 1 || token.Load() < last {
				t.Fatalf("%d hold it, with token %d after %d", holders.Load(), token.Load(), last)
			}
			last = token.Load()
			now = now.Add(life)
		}
	})
}

// TestFarAhead: a clock that was far ahead holds nobody up.
func TestFarAhead(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		db := fresh(t)()
		if err := db.Migrate(t.Context(), "lease", Schema()); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
		ahead := New(db, "ahead", clock.Func(func() time.Time { return now.AddDate(9, 0, 0) }))
		right := New(db, "right", clock.Func(func() time.Time { return now }))
		first, ok, err := ahead.Hold(t.Context(), "relay", life)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if token, ok, err := right.Hold(t.Context(), "relay", life); err != nil || !ok || token <= first {
			t.Errorf("the other holds it: %v, with token %d after %d, %v", ok, token, first, err)
		}
	})
}
