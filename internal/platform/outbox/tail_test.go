package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

// TestTail lets many write while others follow, who join and leave at any place, and some
// of whom are slow: each gets every event once, a shard's in their order.
func TestTail(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		tailOf(t, New(sqldb.One(migrated(t, fresh(t)))))
	})
}

func tailOf(t *testing.T, o *Outbox) {
	const shards, commits, followers = 3, 120, 8
	tail := NewTail(o, slog.New(slog.DiscardHandler))
	o.OnCommit(func(ids.Shard, int64) { tail.Wake() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var running, writing, following sync.WaitGroup
	running.Go(func() { tail.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	for shard := range ids.Shard(shards) {
		writing.Go(func() {
			for n := range commits {
				if _, err := tell(ctx, o.dbs.Home(), shard, start(), fmt.Sprint(n, "a"), fmt.Sprint(n, "b")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for who := range followers {
		following.Go(func() {
			var at Cursor
			var got [shards]int
			for want := shards * commits * 2; want > 0; {
				f := tail.Follow(at)
				for range 1 + who*who*3 { // then it leaves and comes back
					events, err := f.Next(ctx)
					if err != nil {
						t.Errorf("follower %d lacks %d events: %v", who, want, err)
						f.Stop()
						return
					}
					for _, e := range events {
						n := got[e.Shard]
						if word := fmt.Sprint(n/2, string("ab"[n%2])); e.Subject != word {
							t.Errorf("follower %d gets %s of shard %d instead of %s", who, e.Subject, e.Shard, word)
						}
						got[e.Shard]++
					}
					if want -= len(events); want <= 0 {
						break
					}
					if who%3 == 0 {
						time.Sleep(time.Duration(who) * 5 * time.Millisecond) // a slow one, whose pages pile up
					}
				}
				at = f.Cursor()
				f.Stop()
			}
		})
	}
	writing.Wait()
	following.Wait()
}

// TestTailRests: who waits makes nobody read, and nobody reads when nobody waits.
func TestTailRests(t *testing.T) {
	t.Parallel()
	o := New(sqldb.One(migrated(t, sqldbtest.SQLite(t))))
	mustTell(t, o.dbs.Home(), 2, start(), "old")
	mustTell(t, o.dbs.Home(), 5, start()) // a commit that tells nothing
	tail := NewTail(o, slog.New(slog.DiscardHandler))
	var seen Cursor
	look := func() {
		t.Helper()
		if err := tail.look(t.Context(), &seen); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if seen != (Cursor{}) || tail.reading {
		t.Errorf("with nobody to read for it looked up to %v", seen)
	}
	f := tail.Follow(Cursor{})
	look()
	if events, err := f.Next(t.Context()); err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	for f.behind || len(f.missed) > 0 { // it waits until it has everything, and no longer than it is let
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if events, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("waiting ends with %v, %v", events, err)
		}
		cancel()
	}
	mustTell(t, o.dbs.Home(), 2, start(), "new")
	look()
	if len(f.pages) != 1 {
		t.Errorf("%d pages wait", len(f.pages))
	}
	look()
	if events, err := f.Next(t.Context()); err != nil || len(events) != 1 || events[0].Subject != "new" || len(f.pages) != 0 || f.behind {
		t.Errorf("%v, %v, and %d pages more; it reads by itself: %v", events, err, len(f.pages), f.behind)
	}
	f.Stop()
	look()
	if tail.reading {
		t.Error("it reads for nobody")
	}
}
