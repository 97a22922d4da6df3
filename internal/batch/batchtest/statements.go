package batchtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// statement is a change that an event says, of runs of one batch.
func (w *world) statement(b batch.Batch, event string, at time.Time, to gs1.Disposition, runs ...batch.Run) batch.Change {
	return batch.Change{
		ID: ids.ChangeID(ids.NewIn(w.shard(), "chg")), BrandID: b.BrandID, To: to, Event: event, Effective: at, At: at, Reason: "shipping", Actor: "epcis",
		Asked: []batch.Cover{{Batch: b.First, To: to, Numbers: runs}},
	}
}

// TestStatements holds the store to what events say: kept whole, found by the event and by
// every number that they ever asked something of.
func TestStatements(t *testing.T, open Open) {
	t.Run("KeepsEveryField", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 1_000_000)
		early := Start().Add(-48 * time.Hour)
		want := w.statement(b, "ni:///sha-256;"+strings.Repeat("a", 64)+"?ver=CBV2.0", early, gs1.InTransit, batch.Run{From: 1, To: 5}, batch.Run{From: 9, To: 100_000})
		want.Covers = []batch.Cover{
			{Batch: b.First, To: gs1.InTransit, Numbers: batch.Runs{{From: 1, To: 5}}},
			{Batch: b.First, To: gs1.Recalled, Numbers: batch.Runs{{From: 9, To: 100_000}}, By: 7},
		}
		got := w.commit(want)
		want.Seq = got.Seq
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("committed (-want +got):\n%s", diff)
		}
		read, err := w.FindEvent(t.Context(), b.BrandID, want.Event)
		w.must(err)
		if diff := cmp.Diff(want, read, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("by its event (-want +got):\n%s", diff)
		}
		feed := w.feed(10)
		last := feed[len(feed)-1]
		if !last.At.After(early) || !last.Change.Effective.Equal(early) {
			t.Errorf("the feed has it at %v, in effect at %v", last.At, last.Change.Effective)
		}
		if diff := cmp.Diff(want.Covers, last.Change.Covers); diff != "" {
			t.Errorf("the feed's covers (-want +got):\n%s", diff)
		}
	})
	t.Run("TheLastWordOfAnEvent", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		_, err := w.FindEvent(t.Context(), b.BrandID, "ni:///1")
		wantFault(t, err, batch.ErrUnknownChange)
		w.commit(w.statement(b, "ni:///1", Start(), gs1.Active, batch.Run{From: 1, To: 1}))
		w.commit(w.statement(b, "ni:///2", Start(), gs1.Active, batch.Run{From: 2, To: 2}))
		last := w.commit(w.statement(b, "ni:///1", Start(), 0, batch.Run{From: 1, To: 1}))
		got, err := w.FindEvent(t.Context(), b.BrandID, "ni:///1")
		w.must(err)
		if got.ID != last.ID {
			t.Errorf("%s, want the last, %s", got.ID, last.ID)
		}
		_, err = w.FindEvent(t.Context(), b.BrandID+ids.Shards, "ni:///1")
		wantFault(t, err, batch.ErrUnknownChange)
	})
	t.Run("NotLaterThanItIsTold", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		got := w.commit(w.statement(b, "ni:///1", Start().AddDate(1000, 0, 0), gs1.Active, batch.Run{From: 1, To: 1}))
		feed := w.feed(10)
		if at := feed[len(feed)-1].At; !got.Effective.Equal(at) {
			t.Errorf("in effect at %v, told at %v", got.Effective, at)
		}
	})
	t.Run("FoundByWhatItAsked", func(t *testing.T) { foundByWhatItAsked(t, open) })
}

// foundByWhatItAsked looks for changes of every size around the ends of what they ask.
func foundByWhatItAsked(t *testing.T, open Open) {
	w := newWorld(t, open)
	const quantity = 10_000_000
	b, other := w.make("lot", quantity), w.make("other", quantity)
	asks := map[ids.ChangeID]batch.Runs{}
	for i, length := range []int64{1, 2, 15, 16, 17, 255, 256, 257, 4097, 65_536, 70_000, 1_048_577, quantity} {
		from := min(1+int64(i)*37_003, quantity-length+1)
		r := batch.Run{From: from, To: from + length - 1}
		for _, c := range []batch.Change{
			w.statement(b, fmt.Sprint("ni:///", i), Start(), gs1.InTransit, r),
			w.statement(b, fmt.Sprint("ni:///gone", i), Start(), 0, r),
			w.change(b, gs1.Active, r),
			{ID: ids.ChangeID(ids.NewIn(w.shard(), "chg")), BrandID: b.BrandID, To: gs1.Active, Reason: "r", Actor: "a",
				Refused: []batch.Refused{{Batch: b.First, State: gs1.Void, Numbers: batch.Runs{r}}}},
		} {
			asks[w.commit(c).ID] = batch.Runs{r}
		}
		w.commit(w.statement(other, fmt.Sprint("ni:///other", i), Start(), gs1.InTransit, r))
	}
	scattered := batch.Runs{{From: 5, To: 5}, {From: 9_999_999, To: 9_999_999}}
	asks[w.commit(w.statement(b, "ni:///scattered", Start(), gs1.InTransit, scattered...)).ID] = scattered
	for _, of := range asks {
		for _, at := range []int64{of[0].From - 1, of[0].From, of[0].To, of[0].To + 1} {
			for _, within := range []batch.Run{{From: at, To: at}, {From: at, To: at + 300}} {
				if within.From < 1 || within.To > quantity {
					continue
				}
				got, err := w.History(t.Context(), b.First, within)
				w.must(err)
				found := map[ids.ChangeID]bool{}
				for _, c := range got {
					found[c.ID] = true
				}
				for id, runs := range asks {
					if want := len(runs.Intersect(batch.Runs{within})) > 0; found[id] != want {
						t.Fatalf("%v: a change of %v is found: %v", within, runs, found[id])
					}
				}
				if len(found) > len(asks) || !slices.IsSortedFunc(got, func(a, b batch.Change) int { return int(a.Seq - b.Seq) }) {
					t.Fatalf("%v: %d changes, not all of this batch or not in their order", within, len(got))
				}
			}
		}
	}
}
