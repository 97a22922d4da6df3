package batchtest

import (
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
)

func (w *world) itemChange(b batch.Batch, no int64) batch.ItemChange {
	return batch.ItemChange{
		ID: ids.ChangeID(ids.NewIn(b.Shard(), "chg")), Batch: b.First, Serial: b.Serial(no), Actor: "tester", Reason: "suite",
	}
}

// TestItems holds the store to batch.Changes where it keeps single items.
func TestItems(t *testing.T, open Open) {
	t.Run("ReissueFollowsTheVersionBefore", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		to := func(no int64, version uint16) error {
			i := w.itemChange(b, no)
			i.Version = version
			done, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
			if err == nil {
				if diff := cmp.Diff(i, done); diff != "" {
					t.Errorf("answered (-want +got):\n%s", diff)
				}
			}
			return err
		}
		wantFault(t, to(1, 3), batch.ErrRaced)
		w.must(to(1, 2))
		for _, version := range []uint16{1, 2, 4, 65535} {
			wantFault(t, to(1, version), batch.ErrRaced)
		}
		w.must(to(1, 3))
		w.must(to(2, 2)) // each item on its own
	})
	t.Run("ReissueAtOnceSucceedsOnce", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		var mu sync.Mutex
		won := 0
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				i := w.itemChange(b, 1)
				i.Version = 2
				_, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else {
					wantFault(t, err, batch.ErrRaced)
				}
			})
		}
		all.Wait()
		if won != 1 {
			t.Errorf("%d of 16 reissues to version 2 succeeded, want 1", won)
		}
	})
	t.Run("InnerCodeTriesAreBounded", func(t *testing.T) { innerTriesAreBounded(t, open) })
	t.Run("InnerCodeTriesAreCountedOnce", func(t *testing.T) { innerTriesAreCountedOnce(t, open) })
	t.Run("InnerCodeFirstSuccessIsKept", func(t *testing.T) { innerFirstSuccessIsKept(t, open) })
	t.Run("InnerCodeTriesAtOnceAreBounded", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		var mu sync.Mutex
		counted := 0
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				rec, err := w.TryInner(t.Context(), ids.Request{}, w.itemChange(b, 1), b.BrandID, false, 5)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if !rec.Locked {
					counted++
				}
			})
		}
		all.Wait()
		if counted != 5 {
			t.Errorf("%d of 32 tries at once were let through, want 5", counted)
		}
	})
	t.Run("InnerCodeFirstSuccessAtOnceIsOne", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		head := w.head()
		var mu sync.Mutex
		firsts := map[int64]bool{}
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				rec, err := w.TryInner(t.Context(), ids.Request{}, w.itemChange(b, 1), b.BrandID, true, 5)
				if err != nil || rec.Locked || rec.FirstAt.IsZero() {
					t.Errorf("the right code: %+v, %v", rec, err)
				}
				mu.Lock()
				defer mu.Unlock()
				firsts[rec.FirstAt.UnixMicro()] = true
			})
		}
		all.Wait()
		feed, err := w.Feed(t.Context(), w.shard(), head, 100)
		w.must(err)
		if len(firsts) != 1 || len(feed) != 1 || feed[0].Kind != batch.InnerChecked {
			t.Errorf("%d first times, feed %+v; want one of each", len(firsts), feed)
		}
	})
}

func innerTriesAreBounded(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 10)
	try := func(no int64, right bool) batch.InnerRecord {
		t.Helper()
		rec, err := w.TryInner(t.Context(), ids.Request{}, w.itemChange(b, no), b.BrandID, right, 5)
		w.must(err)
		return rec
	}
	for n := 1; n <= 5; n++ {
		if rec := try(1, false); rec.Tries != n || rec.Locked || !rec.FirstAt.IsZero() {
			t.Errorf("wrong try %d: %+v", n, rec)
		}
	}
	for _, right := range []bool{false, true} {
		if rec := try(1, right); rec.Tries != 5 || !rec.Locked || !rec.FirstAt.IsZero() {
			t.Errorf("try after the fifth (right: %v): %+v, want locked and never right", right, rec)
		}
	}
	if rec := try(2, false); rec.Tries != 1 || rec.Locked {
		t.Errorf("another item's first try: %+v", rec)
	}
	if head := w.head(); head != 1 {
		t.Errorf("wrong tries made entries: head %d", head)
	}
}

// innerTriesAreCountedOnce: who heard no answer asks again under the same request.
func innerTriesAreCountedOnce(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 10)
	try := func(n int, right bool) batch.InnerRecord {
		t.Helper()
		rec, err := w.TryInner(t.Context(), Request(n, "try"), w.itemChange(b, 1), b.BrandID, right, 5)
		w.must(err)
		return rec
	}
	first, again, other := try(1, false), try(1, false), try(2, false)
	if first.Tries != 1 || again != first || other.Tries != 2 {
		t.Errorf("asked: %+v, asked again: %+v, asked anew: %+v", first, again, other)
	}
	first, again = try(3, true), try(3, true)
	if first.Tries != 3 || first.FirstAt.IsZero() || again != first {
		t.Errorf("right: %+v, asked again: %+v", first, again)
	}
	_, err := w.TryInner(t.Context(), Request(3, "another"), w.itemChange(b, 1), b.BrandID, true, 5)
	wantFault(t, err, idem.ErrMismatch)
	if head := w.head(); head != 2 {
		t.Errorf("head %d, want the batch and the first right one", head)
	}
}

func innerFirstSuccessIsKept(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 10)
	try := func(right bool) batch.InnerRecord {
		t.Helper()
		rec, err := w.TryInner(t.Context(), ids.Request{}, w.itemChange(b, 1), b.BrandID, right, 5)
		w.must(err)
		return rec
	}
	try(false)
	first := try(true)
	if first.Tries != 2 || first.Locked || first.FirstAt.IsZero() {
		t.Fatalf("the first right code: %+v", first)
	}
	for range 7 { // who has it may ask as often as they like
		if diff := cmp.Diff(first, try(true)); diff != "" {
			t.Errorf("right again (-first +again):\n%s", diff)
		}
	}
	for n := 3; n <= 7; n++ {
		rec := try(false)
		if rec.Tries != min(n, 5) || rec.Locked != (n > 5) || !rec.FirstAt.Equal(first.FirstAt) {
			t.Errorf("wrong try %d after the right one: %+v", n, rec)
		}
	}
	if rec := try(true); rec.Locked || !rec.FirstAt.Equal(first.FirstAt) {
		t.Errorf("right after the tries were used up: %+v, want the first time, not locked", rec)
	}
}
