package batchsql_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/task"
	"github.com/chopmark/chopmark/test/servers"
)

// shop is a store with one batch and what it tells others.
type shop struct {
	*batchsql.Store
	t  testing.TB
	db *sqldb.DB
	b  batch.Batch
}

func told(kind string) batch.Event {
	return batch.Event{Type: kind, BrandID: 1001, Subject: "s", Data: json.RawMessage(`{}`)}
}

func newShop(t *testing.T, fresh sqldbtest.Fresh) *shop {
	t.Helper()
	return shopOn(t, fresh(t)())
}

func shopOn(t testing.TB, db *sqldb.DB) *shop {
	t.Helper()
	s := &shop{t: t, db: migrate(t, db)}
	s.Store = batchsql.New(s.db, clock.Func(batchtest.Start))
	n := batch.NewBatch{
		Batch: batch.Batch{ID: ids.BatchID(ids.New("bat")), ProductID: 2001, BrandID: 1001, No: "lot", Quantity: 100, Mark: batch.Print, CreatedAt: batchtest.Start()},
		Shard: ids.ShardOf(1001), Limit: ids.ShardCapacity, Event: told("made"),
	}
	_, _, err := s.CreateBatch(t.Context(), ids.Request{}, n)
	s.must(err)
	s.b, err = s.Batch(t.Context(), n.Batch.ID)
	s.must(err)
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// events lists the kinds of what was told, with the seq of its transaction.
func (s *shop) events() (kinds []string, seqs []int64) {
	s.t.Helper()
	all, _, err := outbox.New(sqldb.One(s.db)).Read(s.t.Context(), outbox.Cursor{}, 1000)
	s.must(err)
	for _, e := range all {
		kinds, seqs = append(kinds, e.Type), append(seqs, e.Seq)
	}
	return kinds, seqs
}

// TestEventsStandAndFallWithTheirFacts pins that an event is told in the very
// transaction of its fact, and that a refused fact tells nothing.
func TestEventsStandAndFallWithTheirFacts(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		s := newShop(t, fresh)
		ctx := t.Context()
		change := batch.Change{
			ID: ids.ChangeID(ids.New("chg")), BrandID: 1001, To: gs1.Active, Reason: "r", Actor: "a",
			Covers: []batch.Cover{{Batch: s.b.First, To: gs1.Active, Numbers: batch.Runs{{From: 1, To: 9}}}},
		}
		done, _, err := s.AppendChange(ctx, ids.Request{}, change, 1, []batch.Event{told("moved"), told("moved too")})
		s.must(err)
		change.ID = ids.ChangeID(ids.New("chg"))
		if _, _, err = s.AppendChange(ctx, ids.Request{}, change, 1, []batch.Event{told("raced")}); !errors.Is(err, batch.ErrRaced) {
			t.Errorf("error = %v", err)
		}
		item := batch.ItemChange{ID: ids.ChangeID(ids.New("chg")), Batch: s.b.First, Serial: s.b.Serial(3), Version: 2}
		_, _, err = s.Reissue(ctx, ids.Request{}, item, 1001, told("reissued"))
		s.must(err)
		s.must(s.AppendEvents(ctx, s.b.Shard(), []batch.Event{told("outside")}))
		kinds, seqs := s.events()
		if diff := cmp.Diff([]string{"made", "moved", "moved too", "reissued", "outside"}, kinds); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]int64{1, 2, 2, 3, 4}, seqs); diff != "" || done.Seq != 2 {
			t.Errorf("the change is number %d, events (-want +got):\n%s", done.Seq, diff)
		}
	})
}

func TestTaskIsBornWithItsClaims(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		s := newShop(t, fresh)
		made := &batch.NewTask{
			ID: ids.TaskID(ids.New("task")), Kind: batch.TaskExport, Step: batch.StepReserve, File: "f.zip", CreatedBy: "tester", CreatedAt: batchtest.Start(),
			Payload: func(claimed []batch.Claim) (json.RawMessage, int64, error) {
				return json.RawMessage(`{"a":1}`), claimed[0].To, nil
			},
		}
		claims, _, _, err := s.Claim(t.Context(), ids.Request{}, batch.ClaimAsk{BatchID: s.b.ID, Shard: s.b.Shard(), Claimant: "line", Quantity: 40, CreatedAt: batchtest.Start()}, made)
		s.must(err)
		got, err := task.Find(t.Context(), s.db.Reader(), made.ID)
		s.must(err)
		want := task.Task{
			ID: made.ID, Kind: "export", State: task.Queued, Step: "ReserveCodes", Payload: json.RawMessage(`{"a":1}`), Checkpoint: json.RawMessage("{}"),
			Subject: string(s.b.ID), File: "f.zip", Total: 40, CreatedBy: "tester", CreatedAt: batchtest.Start(),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("task (-want +got):\n%s", diff)
		}

		// When the task fails its claims go back, with the end of the task or not at all.
		failed := errors.New("the end of the task fails")
		release := func(then error) error {
			return s.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return errors.Join(s.ReleaseClaims(ctx, tx, s.b.ID, []ids.ClaimID{claims[0].ID}), s.Announce(ctx, tx, s.b.Shard(), told("failed")), then)
			})
		}
		if err := release(failed); !errors.Is(err, failed) {
			t.Errorf("error = %v", err)
		}
		wantFree := func(want batch.Runs) {
			t.Helper()
			free, err := s.Free(t.Context(), s.b.ID)
			s.must(err)
			if diff := cmp.Diff(want, free); diff != "" {
				t.Errorf("free (-want +got):\n%s", diff)
			}
		}
		wantFree(batch.Runs{{From: 41, To: 100}})
		for range 2 { // what went back already is passed over
			s.must(release(nil))
			wantFree(batch.Runs{{From: 1, To: 100}})
		}
		if kinds, _ := s.events(); len(kinds) != 3 {
			t.Errorf("told %v, want the batch and two failures", kinds)
		}
		err = s.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return s.ReleaseClaims(ctx, tx, s.b.ID, []ids.ClaimID{ids.ClaimID(ids.New("clm"))})
		})
		if !errors.Is(err, batch.ErrUnknownClaim) {
			t.Errorf("an unknown claim: %v", err)
		}
	})
}

// TestLostAnswerOfAClaim: the line that asks gets its block, once, also when the
// answer of the commit was lost. Without a key nobody can know.
func TestLostAnswerOfAClaim(t *testing.T) {
	t.Parallel()
	proxy := sqldbtest.NewProxy(t, servers.MariaDB(t))
	s := newShop(t, func(t *testing.T) func() *sqldb.DB {
		return func() *sqldb.DB {
			db, err := sqldb.OpenMySQL(t.Context(), proxy.URL, sqldb.MySQLOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db
		}
	})
	ask := batch.ClaimAsk{BatchID: s.b.ID, Shard: s.b.Shard(), Claimant: "line", Quantity: 10, CreatedAt: batchtest.Start()}
	for n, fate := range []sqldbtest.Fate{sqldbtest.ReplyLost, sqldbtest.RequestLost} {
		proxy.Cut("COMMIT", fate)
		_, effect, _, err := s.Claim(t.Context(), batchtest.Request(n, "body"), ask, nil)
		s.must(err)
		c, err := s.FindClaim(t.Context(), s.b.ID, ids.ClaimID(effect))
		s.must(err)
		if want := int64(10*n + 1); c.From != want || proxy.Left() != 0 {
			t.Errorf("fate %d: the claim begins at %d, want %d", fate, c.From, want)
		}
	}
	proxy.Cut("COMMIT", sqldbtest.RequestLost)
	if _, _, _, err := s.Claim(t.Context(), ids.Request{}, ask, nil); !errors.Is(err, sqldb.ErrUnknownOutcome) {
		t.Errorf("without a key: %v", err)
	}
	free, err := s.Free(t.Context(), s.b.ID)
	s.must(err)
	if diff := cmp.Diff(batch.Runs{{From: 21, To: 100}}, free); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
}

// TestTwoProcessesClaim: the same requests at both of them have one effect each, and
// no number is claimed twice.
func TestTwoProcessesClaim(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		open := fresh(t)
		s := shopOn(t, open())
		stores := []*batchsql.Store{s.Store, batchsql.New(open(), clock.Func(batchtest.Start))}
		big, err := s.issue(1001, "big", 10_000, ids.ShardCapacity)
		s.must(err)
		const requests = 100
		var mu sync.Mutex
		effects := map[int]map[string]int{}
		var all sync.WaitGroup
		for i := range 4 * requests {
			n := i % requests
			all.Go(func() {
				ask := batch.ClaimAsk{BatchID: big.ID, Shard: big.Shard(), Claimant: "line", Quantity: 1 + int64(n%7), CreatedAt: batchtest.Start()}
				_, effect, replayed, err := stores[i/requests%2].Claim(t.Context(), batchtest.Request(n, "body"), ask, nil)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if effects[n] == nil {
					effects[n] = map[string]int{}
				}
				effects[n][effect] += 0
				if !replayed {
					effects[n][effect]++
				}
			})
		}
		all.Wait()
		for n, had := range effects {
			for _, fresh := range had {
				if len(had) != 1 || fresh != 1 {
					t.Errorf("request %d had the effects %v", n, had)
				}
			}
		}
		claims, err := s.ClaimsOf(t.Context(), big.ID, batch.Run{From: 1, To: big.Quantity}, 10*requests)
		s.must(err)
		next := int64(1)
		for _, c := range claims {
			if c.From != next {
				t.Errorf("a claim begins at %d, want %d", c.From, next)
			}
			next = c.To + 1
		}
		free, err := s.Free(t.Context(), big.ID)
		s.must(err)
		if diff := cmp.Diff(batch.Runs{{From: next, To: big.Quantity}}, free); diff != "" || len(claims) != requests {
			t.Errorf("%d claims; free (-want +got):\n%s", len(claims), diff)
		}
	})
}
