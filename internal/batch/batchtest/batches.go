package batchtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
)

// newTask is a task whose payload says what was claimed; seen gets it too.
func newTask(seen *[]batch.Claim) *batch.NewTask {
	return &batch.NewTask{
		ID: ids.TaskID(ids.New("task")), Kind: "suite", Step: "first", File: "file.zip", CreatedBy: "tester", CreatedAt: Start(),
		Payload: func(claimed []batch.Claim) (json.RawMessage, int64, error) {
			if seen != nil {
				*seen = slices.Clone(claimed)
			}
			return json.RawMessage(`{}`), int64(len(claimed)), nil
		},
	}
}

var errPayload = errors.New("the payload cannot be made")

// brokenTask is a task that refuses what was claimed for it.
func brokenTask() *batch.NewTask {
	t := newTask(nil)
	t.Payload = func([]batch.Claim) (json.RawMessage, int64, error) { return nil, 0, errPayload }
	return t
}

// TestAllocation pins that a serial belongs to at most one batch, for ever.
func TestAllocation(t *testing.T, open Open) {
	t.Run("ContiguousFromTheFirst", func(t *testing.T) {
		w := newWorld(t, open)
		next := int64(0)
		for i, quantity := range []int64{1, 10_000_000_000, 7, 1} {
			b := w.make(strconv.Itoa(i), quantity)
			if b.First.N() != next || b.First.Shard() != w.shard() || b.First.Region() != 0 {
				t.Errorf("batch %d begins at %d (shard %d), want %d (shard %d)", i, b.First.N(), b.First.Shard(), next, w.shard())
			}
			next += quantity
		}
	})
	t.Run("DisjointAcrossConcurrentCreators", func(t *testing.T) { disjointAcrossCreators(t, open) })
	t.Run("ShardsCountOnTheirOwn", func(t *testing.T) {
		w := newWorld(t, open)
		w.make("one", 500)
		_, other := w.addProduct("other")
		b := w.makeAs(w.askOf(other, "one", 500))
		if b.First.Shard() != ids.ShardOf(other.BrandID) || b.First.N() != 0 {
			t.Errorf("the first batch of shard %d begins at %d of shard %d", ids.ShardOf(other.BrandID), b.First.N(), b.First.Shard())
		}
	})
	t.Run("RegionIsInTheSerial", func(t *testing.T) {
		w := newWorld(t, open)
		n := w.ask("far", 5)
		n.Region = 9999
		if b := w.makeAs(n); b.First.Region() != 9999 || b.First.N() != 0 {
			t.Errorf("serial %d is of region %d", b.First, b.First.Region())
		}
	})
	t.Run("LimitIsKept", func(t *testing.T) { limitIsKept(t, open) })
	t.Run("RefusedTakesNothing", func(t *testing.T) {
		w := newWorld(t, open)
		w.make("taken", 10)
		_, _, err := w.CreateBatch(t.Context(), ids.Request{}, w.ask("taken", 1000))
		wantFault(t, err, batch.ErrBatchExists)
		n := w.ask("broken", 1000)
		n.Task = brokenTask()
		if _, _, err = w.CreateBatch(t.Context(), ids.Request{}, n); !errors.Is(err, errPayload) {
			t.Errorf("error = %v, want the payload's", err)
		}
		_, err = w.Batch(t.Context(), n.Batch.ID)
		wantFault(t, err, batch.ErrUnknownBatch)
		if b := w.make("next", 10); b.First.N() != 10 {
			t.Errorf("the next batch begins at %d, want 10", b.First.N())
		}
	})
}

func disjointAcrossCreators(t *testing.T, open Open) {
	w := newWorld(t, open)
	const creators, each = 16, 8
	var all sync.WaitGroup
	for c := range creators {
		all.Go(func() {
			l := lot(c)
			for i := range each {
				if _, _, err := w.CreateBatch(t.Context(), ids.Request{}, w.ask(fmt.Sprint(c, "-", i), 1+l.below(1_000_000))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	batches := w.batches()
	if len(batches) != creators*each {
		t.Fatalf("%d batches, want %d", len(batches), creators*each)
	}
	next := int64(0)
	for _, b := range batches {
		if b.First.N() != next {
			t.Fatalf("a batch begins at %d where %d was due", b.First.N(), next)
		}
		next += b.Quantity
	}
}

func limitIsKept(t *testing.T, open Open) {
	w := newWorld(t, open)
	limited := func(no string, quantity int64) error {
		n := w.ask(no, quantity)
		n.Limit, n.Region = 100, 3
		_, _, err := w.CreateBatch(t.Context(), ids.Request{}, n)
		return err
	}
	w.must(limited("a", 60))
	err := limited("b", 41)
	if want := batch.LimitError(3); err == nil || !errors.Is(err, want) {
		t.Errorf("41 more of 40 left: %v, want %v", err, want)
	}
	w.must(limited("b", 40))
	if err := limited("c", 1); !errors.Is(err, batch.LimitError(3)) {
		t.Errorf("1 more of none left: %v", err)
	}
}

// TestBatches holds the store to the rest of batch.Batches.
func TestBatches(t *testing.T, open Open) {
	t.Run("KeepsEveryField", func(t *testing.T) {
		w := newWorld(t, open)
		n := w.ask("批 №1", 7)
		n.Batch.Mark, n.Batch.RotateEvery, n.Batch.InnerKeyID = batch.Display, 90*time.Second, "key_1"
		n.Batch.SignatureKeyID, n.Batch.SignatureGTIN = "3f2a9c01", "09506000134352"
		n.Batch.ExpiresAt, n.Batch.ProductionDate, n.Batch.Description = Start().Add(time.Hour), "2026-02-28", "two\nlines"
		got, want := w.makeAs(n), n.Batch
		want.First = got.First
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
	t.Run("BatchNoIsUniquePerProduct", func(t *testing.T) {
		w := newWorld(t, open)
		w.make("lot", 1)
		_, _, err := w.CreateBatch(t.Context(), ids.Request{}, w.ask("lot", 1))
		wantFault(t, err, batch.ErrBatchExists)
		_, other := w.addProduct("other")
		w.makeAs(w.askOf(other, "lot", 1))
	})
	t.Run("BatchNoIsUniqueAcrossConcurrentCreators", func(t *testing.T) {
		w := newWorld(t, open)
		var made sync.Map
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				if _, _, err := w.CreateBatch(t.Context(), ids.Request{}, w.ask("lot", 1)); err == nil {
					made.Store(i, true)
				} else {
					wantFault(t, err, batch.ErrBatchExists)
				}
			})
		}
		all.Wait()
		n := 0
		made.Range(func(any, any) bool { n++; return true })
		if n != 1 || w.countBatches() != 1 {
			t.Errorf("%d creators succeeded, %d batches; want 1", n, w.countBatches())
		}
	})
	t.Run("BatchNoIsByteExact", func(t *testing.T) { batchNoIsByteExact(t, open) })
	t.Run("UnknownIsSaid", func(t *testing.T) {
		w := newWorld(t, open)
		_, err := w.Batch(t.Context(), ids.BatchID(ids.New("bat")))
		wantFault(t, err, batch.ErrUnknownBatch)
		_, err = w.BatchByNo(t.Context(), w.product.ID, "never made")
		wantFault(t, err, batch.ErrUnknownBatch)
	})
	t.Run("ListedNewestFirst", func(t *testing.T) { listedNewestFirst(t, open) })
	t.Run("ClaimAndTaskAreBornWithIt", func(t *testing.T) { claimAndTaskAreBornWithIt(t, open) })
}

func batchNoIsByteExact(t *testing.T, open Open) {
	w := newWorld(t, open)
	numbers := []string{
		"lot", "LOT", "Lot", "lot ", " lot", "lot  ", "l ot", "lo\u200bt",
		"\u00e9", "e\u0301", // é composed and decomposed
		"A", "\uff21", "\u0410", "\u0391", // A: Latin, full width, Cyrillic, Greek
		"ss", "\u00df", "\u1e9e", "I", "i", "\u0130", "\u0131", // case folds that tables disagree about
		"1", "01", "1.0", "\u2460", "\U0001f600", "\U0001f601",
	}
	want := map[string]ids.BatchID{}
	for _, no := range numbers {
		b := w.make(no, 1)
		want[no] = b.ID
	}
	for _, no := range numbers {
		b, err := w.BatchByNo(t.Context(), w.product.ID, no)
		w.must(err)
		if b.ID != want[no] || b.No != no {
			t.Errorf("batch_no %q found the batch of %q", no, b.No)
		}
	}
}

func listedNewestFirst(t *testing.T, open Open) {
	w := newWorld(t, open)
	_, other := w.addProduct("other")
	var all []batch.Batch
	for i, hours := range []int{3, 1, 2, 1, 1, 2} { // some at the very same time
		n := w.ask(strconv.Itoa(i), 1)
		n.Batch.CreatedAt = Start().Add(-time.Duration(hours) * time.Hour)
		all = append(all, w.makeAs(n))
	}
	foreign := w.makeAs(w.askOf(other, "x", 1))
	slices.SortFunc(all, func(a, b batch.Batch) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return -cmpText(string(a.ID), string(b.ID))
	})
	list := func(product ids.ProductID, limit int) (got []ids.BatchID) {
		before, beforeID := Start().Add(time.Hour), ids.BatchID("")
		for {
			page, err := w.ListBatches(t.Context(), product, before, beforeID, limit)
			w.must(err)
			for _, b := range page {
				got, before, beforeID = append(got, b.ID), b.CreatedAt, b.ID
			}
			if len(page) < limit || len(got) > 10 {
				return got
			}
		}
	}
	ofBrand := func(brand ids.BrandID, limit int) (got []ids.BatchID) {
		before, beforeID := Start().Add(time.Hour), ids.BatchID("")
		for {
			page, err := w.BatchesOf(t.Context(), brand, before, beforeID, limit)
			w.must(err)
			for _, b := range page {
				got, before, beforeID = append(got, b.ID), b.CreatedAt, b.ID
			}
			if len(page) < limit || len(got) > 10 {
				return got
			}
		}
	}
	want := make([]ids.BatchID, 0, len(all)+1)
	for _, b := range all {
		want = append(want, b.ID)
	}
	for limit := 1; limit < 8; limit++ {
		of := map[ids.BrandID][]ids.BatchID{}
		for _, b := range append([]batch.Batch{foreign}, all...) {
			of[b.BrandID] = append(of[b.BrandID], b.ID)
		}
		for brand, ids := range of {
			if diff := cmp.Diff(ids, ofBrand(brand, limit)); diff != "" {
				t.Errorf("of brand %d in pages of %d (-want +got):\n%s", brand, limit, diff)
			}
		}
		if diff := cmp.Diff(want, list(w.product.ID, limit)); diff != "" {
			t.Errorf("of one product in pages of %d (-want +got):\n%s", limit, diff)
		}
		if diff := cmp.Diff(slices.Concat([]ids.BatchID{foreign.ID}, want), list(0, limit)); diff != "" {
			t.Errorf("of all products in pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func claimAndTaskAreBornWithIt(t *testing.T, open Open) {
	w := newWorld(t, open)
	n := w.ask("generated", 1000)
	n.Claim = &batch.Claim{ID: ids.ClaimID(ids.Beside(string(n.Batch.ID), "clm")), BatchID: n.Batch.ID, Claimant: "tester", From: 1, To: 1000, CreatedAt: Start()}
	var seen []batch.Claim
	n.Task = newTask(&seen)
	effect, _, err := w.CreateBatch(t.Context(), ids.Request{}, n)
	w.must(err)
	if effect != string(n.Task.ID) {
		t.Errorf("effect %q, want the task", effect)
	}
	want := *n.Claim
	want.TaskID = n.Task.ID
	if diff := cmp.Diff([]batch.Claim{want}, seen); diff != "" {
		t.Errorf("the payload saw (-want +got):\n%s", diff)
	}
	got, err := w.FindClaim(t.Context(), n.Batch.ID, want.ID)
	w.must(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the claim (-want +got):\n%s", diff)
	}
	w.wantFree(n.Batch)
	feed := w.feed(10)
	if len(feed) != 1 || feed[0].Kind != batch.BatchCreated || feed[0].Batch.ID != n.Batch.ID {
		t.Errorf("feed = %+v, want the batch", feed)
	}
}
