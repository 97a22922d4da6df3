package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func migrated(t *testing.T, open func() *sqldb.DB) *sqldb.DB {
	t.Helper()
	db := open()
	if err := db.Migrate(t.Context(), "outbox", Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// tell commits one transaction with some events.
func tell(ctx context.Context, db *sqldb.DB, shard ids.Shard, now time.Time, subjects ...string) (s Stamp, _ error) {
	return s, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if s, err = Commit(ctx, tx, shard, now); err != nil {
			return err
		}
		events := make([]Event, len(subjects))
		for i, subject := range subjects {
			events[i] = Event{Type: "t", BrandID: 7, Subject: subject, Data: json.RawMessage(`{"a":1}`)}
		}
		return Append(ctx, tx, s, events...)
	})
}

func mustTell(t *testing.T, db *sqldb.DB, shard ids.Shard, now time.Time, subjects ...string) Stamp {
	t.Helper()
	s, err := tell(t.Context(), db, shard, now, subjects...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// readAll pages through everything after the cursor.
func readAll(t *testing.T, o *Outbox, after Cursor, limit int) (subjects []string) {
	t.Helper()
	for {
		page, next, err := o.Read(t.Context(), after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			if next != after {
				t.Errorf("an empty page moved the cursor from %v to %v", after, next)
			}
			return subjects
		}
		for _, e := range page {
			subjects = append(subjects, e.Subject)
		}
		after = next
	}
}

// TestStampOrderIsCommitOrder follows the outbox while transactions of two
// processes commit, some of them held open: whoever asks for what is after the last
// stamp that they saw must never miss one.
func TestStampOrderIsCommitOrder(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		open := fresh(t)
		dbs := []*sqldb.DB{migrated(t, open), migrated(t, open)}
		const shard = ids.Shard(3)
		t.Run("HeldOpen", func(t *testing.T) {
			stamped, release := make(chan Stamp), make(chan struct{})
			var both sync.WaitGroup
			both.Go(func() {
				err := dbs[0].Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					s, err := Commit(ctx, tx, shard, start())
					stamped <- s
					<-release
					return errors.Join(err, Append(ctx, tx, s, Event{Type: "t", Subject: "held", Data: json.RawMessage(`{}`)}))
				})
				if err != nil {
					t.Error(err)
				}
			})
			held := <-stamped
			var late Stamp
			both.Go(func() {
				var err error
				if late, err = tell(t.Context(), dbs[1], shard, start(), "later"); err != nil {
					t.Error(err)
				}
			})
			if seen := readAll(t, New(sqldb.One(dbs[1])), Cursor{}, 10); len(seen) != 0 {
				t.Errorf("while the first is open a reader sees %v", seen)
			}
			close(release)
			both.Wait()
			if late.Seq <= held.Seq {
				t.Errorf("the first to stamp has %d, the second %d", held.Seq, late.Seq)
			}
			if diff := cmp.Diff([]string{"held", "later"}, readAll(t, New(sqldb.One(dbs[1])), Cursor{}, 10)); diff != "" {
				t.Errorf("in the end (-want +got):\n%s", diff)
			}
		})
		t.Run("ManyWriters", func(t *testing.T) { manyWriters(t, dbs, shard) })
	})
}

func manyWriters(t *testing.T, dbs []*sqldb.DB, shard ids.Shard) {
	const writers, each = 8, 25
	_, from, err := New(sqldb.One(dbs[0])).Read(t.Context(), Cursor{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var all, follower sync.WaitGroup
	stop := make(chan struct{})
	var seen []int64
	follower.Go(func() {
		for after, last := from, false; ; {
			select {
			case <-stop:
				last = true
			default:
			}
			page, next, err := New(sqldb.One(dbs[1])).Read(t.Context(), after, 3)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range page {
				seen = append(seen, e.Seq)
			}
			if after = next; last && len(page) == 0 {
				return
			}
		}
	})
	for w := range writers {
		all.Go(func() {
			for n := range each {
				if _, err := tell(t.Context(), dbs[w%2], shard, start(), fmt.Sprint(w, "-", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	follower.Wait()
	if len(seen) != writers*each {
		t.Errorf("the follower saw %d events, want %d", len(seen), writers*each)
	}
	for i, seq := range seen {
		if seq != from[shard]+int64(i)+1 {
			t.Fatalf("event %d of the follower is number %d, want %d: none left out, none twice", i, seq, from[shard]+int64(i)+1)
		}
	}
}

func TestStampsAreNeverEarlier(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t))
		now := start()
		last := mustTell(t, db, 0, now)
		for i, step := range []time.Duration{time.Second, -time.Hour, 0, time.Microsecond, -24 * time.Hour, 2 * time.Second} {
			s := mustTell(t, db, 0, now.Add(step))
			if s.Seq != last.Seq+1 || s.At.Before(last.At) {
				t.Errorf("step %d: seq %d at %v after seq %d at %v", i, s.Seq, s.At, last.Seq, last.At)
			}
			last = s
		}
		if want := now.Add(2 * time.Second); !last.At.Equal(want) {
			t.Errorf("when the clock is right again the stamp is %v, want %v", last.At, want)
		}
		if s := mustTell(t, db, 1, now); s.Seq != 1 || !s.At.Equal(now) {
			t.Errorf("another shard's first stamp: %+v", s)
		}
	})
}

func TestFailedTransactionLeavesNoGap(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t))
		mustTell(t, db, 0, start(), "a")
		failed := errors.New("failed")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			s, err := Commit(ctx, tx, 0, start())
			return errors.Join(err, Append(ctx, tx, s, Event{Type: "t", Data: json.RawMessage(`{}`)}), failed)
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if s := mustTell(t, db, 0, start(), "b"); s.Seq != 2 {
			t.Errorf("the next stamp is %d, want 2", s.Seq)
		}
		if diff := cmp.Diff([]string{"a", "b"}, readAll(t, New(sqldb.One(db)), Cursor{}, 10)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestUnknownShardIsAnError(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		if _, err := tell(t.Context(), migrated(t, fresh(t)), ids.Shards, start()); err == nil {
			t.Error("a shard without a counter was stamped")
		}
	})
}

func TestEventsKeepEveryField(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t))
		want := Event{Type: "code.generated", BrandID: 2147483647, Subject: "批", Data: json.RawMessage(`{"a":"茶"}`), Shard: 15}
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			s, err := Commit(ctx, tx, 15, start())
			want.Seq, want.Time = s.Seq, s.At
			return errors.Join(err, Append(ctx, tx, s, want))
		})
		if err != nil {
			t.Fatal(err)
		}
		got, next, err := New(sqldb.One(db)).Read(t.Context(), Cursor{}, 10)
		if err != nil || len(got) != 1 || !ids.Valid("evt", got[0].ID) {
			t.Fatalf("Read = %+v, %v", got, err)
		}
		want.ID = got[0].ID
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if next != (Cursor{15: want.Seq}) {
			t.Errorf("the cursor behind it is %v", next)
		}
	})
}

func TestTooManyEventsAreRefused(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t))
		if _, err := tell(t.Context(), db, 0, start(), make([]string, eventsPerTxMax)...); err != nil {
			t.Errorf("%d events: %v", eventsPerTxMax, err)
		}
		if _, err := tell(t.Context(), db, 0, start(), make([]string, eventsPerTxMax+1)...); !errors.Is(err, ErrTooManyEvents) {
			t.Errorf("%d events: %v", eventsPerTxMax+1, err)
		}
	})
}

// TestPagesAreWholeTransactions reads transactions of every size, of several shards
// and some at the very same time, in pages of every size.
func TestPagesAreWholeTransactions(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t))
		sizes := []int{1, 3, 200, 1, 199, 2, 0, 200, 200, 5, 1}
		of := map[string]string{} // subject → its transaction
		total := 0
		for i, size := range sizes {
			for shard := range ids.Shard(3) {
				subjects := make([]string, size)
				for n := range subjects {
					subjects[n] = fmt.Sprintf("%d/%d/%d", shard, i, n)
					of[subjects[n]] = fmt.Sprintf("%d/%d/", shard, i)
				}
				mustTell(t, db, shard, start().Add(time.Duration(i/2)*time.Second), subjects...)
				total += size
			}
		}
		o := New(sqldb.One(db))
		whole := readAll(t, o, Cursor{}, 10*total)
		if len(whole) != total {
			t.Fatalf("%d events, want %d", len(whole), total)
		}
		for i := 1; i < len(whole); i++ { // in a shard in order, a transaction in one piece
			a, b := of[whole[i-1]], of[whole[i]]
			if a != b && strings.HasPrefix(whole[i], b) && !strings.HasSuffix(whole[i], "/0") {
				t.Fatalf("%s follows %s", whole[i], whole[i-1])
			}
		}
		for _, limit := range []int{1, 2, 4, 199, 200, 201, 399, 400, 401, 1000} {
			if diff := cmp.Diff(whole, readAll(t, o, Cursor{}, limit)); diff != "" {
				t.Errorf("in pages of %d (-whole +paged):\n%s", limit, diff)
			}
			for after := (Cursor{}); ; {
				page, next, err := o.Read(t.Context(), after, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				if len(page) >= limit+eventsPerTxMax {
					t.Errorf("a page of %d has %d events", limit, len(page))
				}
				got := map[string]int{}
				for _, e := range page {
					got[of[e.Subject]]++
				}
				for tx, n := range got {
					var shard, i int
					if _, err := fmt.Sscanf(tx, "%d/%d/", &shard, &i); err != nil || n != sizes[i] {
						t.Errorf("a page of %d has %d of the %d events of transaction %s (%v)", limit, n, sizes[i], tx, err)
					}
				}
				after = next
			}
		}
	})
}

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	for _, c := range []Cursor{{}, {1}, {15: 1}, {0: 127, 1: 128, 7: 1 << 40, 15: 1 << 62}} {
		got, err := ParseCursor(c.String())
		if err != nil || got != c {
			t.Errorf("%v is written %q and read %v, %v", c, c.String(), got, err)
		}
		if strings.ContainsAny(c.String(), "+/=&? ") {
			t.Errorf("%q does not go into a URL as it is", c.String())
		}
	}
	if c, err := ParseCursor(""); err != nil || c != (Cursor{}) {
		t.Errorf("no cursor: %v, %v", c, err)
	}
	good := Cursor{3: 300}.String()
	for _, bad := range []string{
		"x", "====", "-1", good + "A", good[:len(good)-2], good + good, strings.Repeat("_", 22), strings.Repeat("A", 10_000),
		Cursor{-1}.String(), "AAAAAAAAAAAAAAAAAAAA//", "' OR 1=1",
	} {
		if c, err := ParseCursor(bad); !errors.Is(err, ErrBadCursor) || c != (Cursor{}) {
			t.Errorf("%.30q: %v, %v", bad, c, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(Cursor{3: 300}.String())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err != nil {
			return
		}
		for _, seq := range c {
			if seq < 0 {
				t.Errorf("%q gives the seq %d", s, seq)
			}
		}
		if again, err := ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%q: %v comes back as %v, %v", s, c, again, err)
		}
	})
}

// TestSkip: who has read further than an older copy gets that copy's news all the same.
func TestSkip(t *testing.T) {
	t.Parallel()
	db := migrated(t, sqldbtest.SQLite(t))
	mustTell(t, db, 3, start(), "both know")
	ahead := Cursor{3: 1 + 40} // 40 transactions after the backup
	if err := Skip(t.Context(), db, 1000); err != nil {
		t.Fatal(err)
	}
	mustTell(t, db, 3, start(), "news")
	if diff := cmp.Diff([]string{"news"}, readAll(t, New(sqldb.One(db)), ahead, 10)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"both know", "news"}, readAll(t, New(sqldb.One(db)), Cursor{}, 10)); diff != "" {
		t.Error(diff)
	}
}

// TestCommitsAreTold: who watches is told of what was committed, and of nothing else.
func TestCommitsAreTold(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		db := migrated(t, fresh(t))
		var told []Stamp
		New(sqldb.One(db)).OnCommit(func(shard ids.Shard, seq int64) { told = append(told, Stamp{Shard: shard, Seq: seq}) })
		mustTell(t, db, 3, start(), "first")
		no := errors.New("no")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := Commit(ctx, tx, 4, start())
			return errors.Join(err, no)
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		mustTell(t, db, 3, start(), "second")
		if diff := cmp.Diff([]Stamp{{Shard: 3, Seq: 1}, {Shard: 3, Seq: 2}}, told); diff != "" {
			t.Error(diff)
		}
	})
}
