package notifysql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify/notifytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func migrated(t *testing.T, open func() *sqldb.DB) *sqldb.DB {
	t.Helper()
	db := open()
	err := errors.Join(db.Migrate(t.Context(), "outbox", outbox.Schema()), db.Migrate(t.Context(), "idem", idem.Schema()),
		db.Migrate(t.Context(), "lease", lease.Schema()), db.Migrate(t.Context(), "notify", Schema()))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func store(db *sqldb.DB) *Store { return New(db, outbox.New(sqldb.One(db)), fixed()) }

func fixed() clock.Clock { return clock.Func(notifytest.Start) }

func follower(db *sqldb.DB, owner string) *Follower {
	return NewFollower(store(db), lease.New(db, owner, fixed()), "https://codes.example", slog.New(slog.DiscardHandler), func() {})
}

// tell commits an event of a brand.
func tell(ctx context.Context, db *sqldb.DB, brand ids.BrandID, kind string) (event string, _ error) {
	event = ids.New("evt")
	return event, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		s, err := outbox.Commit(ctx, tx, ids.ShardOf(brand), notifytest.Start())
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, s, outbox.Event{ID: event, Type: kind, BrandID: brand, Data: json.RawMessage(`{}`)})
	})
}

// drain puts all that was told on its way.
func (f *Follower) drain(t *testing.T) {
	t.Helper()
	token, ok, err := f.leases.Hold(t.Context(), "suite", time.Minute)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	at, err := f.store.told.Resume(t.Context(), "notification-group", token)
	for err == nil {
		var next outbox.Cursor
		if next, err = f.step(t.Context(), token, at); next == at {
			break
		}
		at = next
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		notifytest.RunStore(t, func(t *testing.T) notifytest.World {
			db := migrated(t, fresh(t))
			f := follower(db, "suite")
			return notifytest.World{Store: f.store, Tell: func(t *testing.T, brand ids.BrandID, kind string) string {
				t.Helper()
				event, err := tell(t.Context(), db, brand, kind)
				if err != nil {
					t.Fatal(err)
				}
				f.drain(t)
				return event
			}}
		})
	})
}

// TestManyFollowers lets several processes follow at once while events are told and
// endpoints removed: each event is on its way to each endpoint that stays once, also while
// one process takes over from another.
func TestManyFollowers(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		open := fresh(t)
		db := migrated(t, open)
		w := notifytest.World{Store: store(db)}
		stays, goes := w.Endpoint(t, 1, 1), w.Endpoint(t, 2, 1)
		const events = 120
		var telling, following sync.WaitGroup
		for range 2 {
			telling.Go(func() {
				for range events / 2 {
					if _, err := tell(t.Context(), db, 1, "code.generated"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		telling.Go(func() {
			if err := w.RemoveEndpoint(t.Context(), goes.ID); err != nil {
				t.Error(err)
			}
		})
		for n := range 6 { // one after the other, each ended while it works
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			following.Go(func() { follower(db, fmt.Sprint("process-", n)).Run(ctx) })
			following.Go(func() { follower(db, fmt.Sprint("another-", n)).Run(ctx) })
			following.Wait()
			cancel()
		}
		telling.Wait()
		last := follower(db, "last")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		following.Go(func() { last.Run(ctx) })
		for n := 0; n < events; {
			due, err := w.Due(t.Context(), notifytest.Start(), 10*events)
			if err != nil || ctx.Err() != nil {
				t.Fatal(n, err, ctx.Err())
			}
			if n = len(due); n > events {
				t.Fatalf("%d deliveries of %d events", n, events)
			}
			for _, d := range due {
				if n == events && d.Endpoint != stays.ID {
					t.Errorf("event %s goes to an endpoint that was removed", d.Event)
				}
			}
		}
		cancel()
		following.Wait()
	})
}
