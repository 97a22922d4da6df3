package batchsql_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

// issue makes a batch of the brand, and gives its run of serials.
func (s *shop) issue(brand ids.BrandID, no string, quantity, limit int64) (batch.Batch, error) {
	n := batch.NewBatch{
		Batch: batch.Batch{ID: ids.BatchID(ids.New("bat")), ProductID: 2001, BrandID: brand, No: no, Quantity: quantity, Mark: batch.Print, CreatedAt: batchtest.Start()},
		Shard: ids.ShardOf(brand), Limit: limit, Event: told("made"),
	}
	if _, _, err := s.CreateBatch(s.t.Context(), ids.Request{}, n); err != nil {
		return batch.Batch{}, err
	}
	return s.Batch(s.t.Context(), n.Batch.ID)
}

// copied is another installation with all that this one has.
func (s *shop) copied() (_ *shop, end func()) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "copy.db")
	s.must(s.db.CopyTo(s.t.Context(), file))
	db, err := sqldb.OpenSQLite(s.t.Context(), file)
	s.must(err)
	return &shop{Store: batchsql.New(db, clock.Func(batchtest.Start)), t: s.t, db: db, b: s.b}, func() { s.must(db.Close()) }
}

// TestSkipIssued plays an installation on beside a copy of it that is older: while no
// more is issued than is skipped, the two never give out one serial, in any shard.
func TestSkipIssued(t *testing.T) {
	t.Parallel()
	first := newShop(t, sqldbtest.SQLite)
	rapid.Check(t, func(r *rapid.T) {
		s, end := first.copied()
		defer end()
		limit := rapid.Int64Range(2_000, 10_000).Draw(r, "limit")
		issue := func(to *shop, what string, most int64) (runs [][2]ids.Serial) {
			for i := range rapid.IntRange(0, 6).Draw(r, what) {
				b, err := to.issue(ids.BrandID(1001+i%3), fmt.Sprint(what, i), rapid.Int64Range(1, most/2).Draw(r, "quantity"), limit)
				if err != nil && errors.Is(err, batch.LimitError(0)) {
					continue // the shard is full: nothing is given out
				}
				s.must(err)
				runs = append(runs, [2]ids.Serial{b.First, b.First + ids.Serial(b.Quantity)})
			}
			return runs
		}
		skip := rapid.Int64Range(10, limit).Draw(r, "skip")
		issue(s, "before", 200)
		older, end := s.copied()
		defer end()
		w, err := older.SkipIssued(t.Context(), skip, limit, "restore")
		s.must(err)
		after := issue(s, "after", skip) // two batches of a shard at most, so no more than skip
		for _, a := range after {
			for _, b := range issue(older, ids.New("restored"), 1000) {
				if a[0] < b[1] && b[0] < a[1] {
					r.Fatalf("%v was issued after the backup, %v after the restore (skip %d, limit %d)", a, b, skip, limit)
				}
			}
		}
		if w.Numbers < 100 {
			r.Fatalf("%+v: the first batch's 100 numbers were free", w)
		}
	})
}

// TestSkipWithdrawsWhatWasFree: numbers of the pool may be printed by now, so nobody
// gets them, but who knows that they are not can have them back.
func TestSkipWithdrawsWhatWasFree(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		s := newShop(t, fresh)
		ctx := t.Context()
		claims, _, _, err := s.Claim(ctx, ids.Request{}, batch.ClaimAsk{BatchID: s.b.ID, Shard: s.b.Shard(), Claimant: "line 1", Quantity: 40, CreatedAt: batchtest.Start()}, nil)
		s.must(err)
		_, _, err = s.ReturnClaim(ctx, ids.Request{}, claims[0], 31, math.MaxInt64)
		s.must(err)
		for i := range 1200 { // more than a page
			_, err := s.issue(1002, fmt.Sprint("b", i), 3, ids.ShardCapacity)
			s.must(err)
		}
		w, err := s.SkipIssued(ctx, 1000, ids.ShardCapacity, "restore")
		s.must(err)
		if w.Claims != 1201 || w.Numbers != 70+3600 {
			t.Errorf("%+v", w)
		}
		if _, _, _, err := s.Claim(ctx, ids.Request{}, batch.ClaimAsk{BatchID: s.b.ID, Shard: s.b.Shard(), Claimant: "line 2", Quantity: 1, CreatedAt: batchtest.Start()}, nil); !errors.Is(err, batch.ErrExhausted) {
			t.Errorf("a number that may be printed was claimed: %v", err)
		}
		all, err := s.ClaimsOf(ctx, s.b.ID, batch.Run{From: 1, To: 100}, 10)
		s.must(err)
		if len(all) != 2 || all[1].Claimant != "restore" || all[1].From != 31 || all[1].To != 100 {
			t.Fatalf("claims %+v", all)
		}
		_, _, err = s.ReturnClaim(ctx, ids.Request{}, all[1], 31, math.MaxInt64)
		s.must(err)
		if _, _, _, err := s.Claim(ctx, ids.Request{}, batch.ClaimAsk{BatchID: s.b.ID, Shard: s.b.Shard(), Claimant: "line 2", Quantity: 70, CreatedAt: batchtest.Start()}, nil); err != nil {
			t.Error(err)
		}
		brand, _, err := s.CreateBrand(ctx, ids.Request{}, batch.Brand{Name: "new", CreatedAt: batchtest.Start()})
		if err != nil || brand.ID <= 2000 {
			t.Errorf("the next brand is %d, %v", brand.ID, err)
		}
		for _, bad := range [][2]int64{{0, 10}, {-1, 10}, {11, 10}} {
			if _, err := s.SkipIssued(ctx, bad[0], bad[1], "restore"); err == nil {
				t.Errorf("%d of %d was skipped", bad[0], bad[1])
			}
		}
	})
}
