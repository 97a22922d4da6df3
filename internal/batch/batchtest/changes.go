package batchtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// TestChanges holds the store to batch.Changes where it keeps state changes.
func TestChanges(t *testing.T, open Open) {
	t.Run("KeepsEveryField", func(t *testing.T) {
		w := newWorld(t, open)
		want := w.bigChange(w.make("a", 1_000_000), w.make("b", 10_000_000_000))
		got := w.commit(want)
		if got.Seq == 0 || got.Effective.IsZero() {
			t.Errorf("seq %d, effective %v: the store sets both", got.Seq, got.Effective)
		}
		want.Seq, want.Effective = got.Seq, got.Effective
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("committed (-want +got):\n%s", diff)
		}
		read, err := w.FindChange(t.Context(), want.ID)
		w.must(err)
		if diff := cmp.Diff(want, read); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
	t.Run("CoveringNothingIsKeptToo", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		c := batch.Change{
			ID: ids.ChangeID(ids.NewIn(w.shard(), "chg")), BrandID: w.brand.ID, To: gs1.RetailSold, Reason: "r", Actor: "a",
			Refused: []batch.Refused{{Batch: b.First, State: gs1.Void, Numbers: batch.Runs{{From: 1, To: 10}}}},
		}
		done := w.commit(c)
		if diff := cmp.Diff(c.Refused, done.Refused); diff != "" || len(done.Covers) != 0 {
			t.Errorf("covers %v, refused (-want +got):\n%s", done.Covers, diff)
		}
	})
	t.Run("UnknownIsSaid", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		i := w.itemChange(b, 1)
		i.Version = 2
		_, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
		w.must(err)
		for _, id := range []ids.ChangeID{"", ids.ChangeID(ids.New("chg")), i.ID, ids.ChangeID(b.ID)} {
			_, err := w.FindChange(t.Context(), id) // a reissue is no state change, nor is a batch
			wantFault(t, err, batch.ErrUnknownChange)
		}
	})
	t.Run("RacedCommitsNothing", func(t *testing.T) { racedCommitsNothing(t, open) })
	t.Run("OneOfManyOnTheSameDecision", func(t *testing.T) { oneOfManyOnTheSameDecision(t, open) })
	t.Run("OtherEntriesDoNotRace", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		decided := w.head()
		w.make("another", 10)
		i := w.itemChange(b, 1)
		i.Version = 2
		_, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
		w.must(err)
		_, _, err = w.AppendChange(t.Context(), ids.Request{}, w.change(b, gs1.Active, batch.Run{From: 1, To: 1}), decided, nil)
		w.must(err)
	})
	t.Run("OtherShardsDoNotRace", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		_, p := w.addProduct("other")
		other := w.makeAs(w.askOf(p, "lot", 10))
		head, err := w.FeedHead(t.Context(), ids.ShardOf(p.BrandID))
		w.must(err)
		for range 3 {
			w.commit(w.change(b, gs1.Active, batch.Run{From: 1, To: 1}))
		}
		_, _, err = w.AppendChange(t.Context(), ids.Request{}, w.change(other, gs1.Active, batch.Run{From: 1, To: 1}), head, nil)
		w.must(err)
	})
	t.Run("Statements", func(t *testing.T) { TestStatements(t, open) })
	t.Run("HistoryOfABatch", func(t *testing.T) { historyOfABatch(t, open) })
	t.Run("HistoryOfAnItem", func(t *testing.T) { historyOfAnItem(t, open) })
}

// bigChange is a change with everything in it, of two batches.
func (w *world) bigChange(a, b batch.Batch) batch.Change {
	scattered := make([]int64, 0, 20_000)
	l := lot(5)
	for range 20_000 {
		scattered = append(scattered, 1+l.below(a.Quantity))
	}
	return batch.Change{
		ID: ids.ChangeID(ids.NewIn(w.shard(), "chg")), BrandID: w.brand.ID, To: 0, Reverts: ids.ChangeID(ids.New("chg")),
		Reason: "召回 recall", Actor: "tester", At: Start().Add(-time.Hour), Place: "Yiwu", Items: 12, Unchanged: 34,
		Refused: []batch.Refused{
			{Batch: a.First, State: gs1.Void, Numbers: batch.Runs{{From: 5, To: 6}, {From: 8, To: 8}}},
			{Numbers: batch.Runs{{From: 999_999_999_999_999_999, To: 999_999_999_999_999_999}}}, // serials without a batch
		},
		Covers: []batch.Cover{
			{Batch: a.First, To: gs1.Active, Numbers: batch.NewRuns(scattered)},
			{Batch: a.First, To: gs1.Inactive, Numbers: batch.Runs{{From: 1_000_000, To: 1_000_000}}},
			{Batch: b.First, To: gs1.Recalled, Numbers: batch.Runs{{From: 1, To: 10_000_000_000}}},
		},
	}
}

func racedCommitsNothing(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 10)
	decided := w.head()
	w.commit(w.change(b, gs1.Active, batch.Run{From: 1, To: 10}))
	head := w.head()
	late := w.change(b, gs1.Void, batch.Run{From: 1, To: 10})
	_, _, err := w.AppendChange(t.Context(), Request(1, "late"), late, decided, []batch.Event{event("x", b.BrandID)})
	wantFault(t, err, batch.ErrRaced)
	if got := w.head(); got != head {
		t.Errorf("the feed went from %d to %d", head, got)
	}
	_, err = w.FindChange(t.Context(), late.ID)
	wantFault(t, err, batch.ErrUnknownChange)
	all, err := w.History(t.Context(), b.First, batch.Run{From: 1, To: b.Quantity})
	w.must(err)
	if len(all) != 1 {
		t.Errorf("%d changes in the history, want 1", len(all))
	}
	_, replayed, err := w.AppendChange(t.Context(), Request(1, "late"), late, head, nil)
	w.must(err)
	if replayed {
		t.Error("the raced request was remembered")
	}
}

func oneOfManyOnTheSameDecision(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 10)
	for range 5 { // with connections that are there already they meet
		decided := w.head()
		var mu sync.Mutex
		won := 0
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				_, _, err := w.AppendChange(t.Context(), ids.Request{}, w.change(b, gs1.Active, batch.Run{From: 1, To: 10}), decided, nil)
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
			t.Errorf("%d of 16 committed on one decision, want 1", won)
		}
	}
}

func historyOfABatch(t *testing.T, open Open) {
	w := newWorld(t, open)
	a, b := w.make("a", 1_000_000), w.make("b", 100)
	both := w.commit(w.bigChange(a, b))
	onlyB := w.commit(w.change(b, gs1.Active, batch.Run{From: 3, To: 4}))
	onlyA := w.commit(w.change(a, gs1.Void, batch.Run{From: 9, To: 9}))
	for _, c := range []struct {
		of   batch.Batch
		want []batch.Change
	}{{a, []batch.Change{both, onlyA}}, {b, []batch.Change{both, onlyB}}} {
		got, err := w.History(t.Context(), c.of.First, batch.Run{From: 1, To: c.of.Quantity})
		w.must(err)
		for i := range c.want {
			var covers []batch.Cover
			for _, v := range c.want[i].Covers {
				if v.Batch == c.of.First {
					covers = append(covers, v)
				}
			}
			c.want[i].Covers = covers
			c.want[i].Refused = slices.DeleteFunc(slices.Clone(c.want[i].Refused), func(r batch.Refused) bool { return r.Batch != c.of.First })
		}
		if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("history of %s (-want +got):\n%s", c.of.No, diff)
		}
	}
}

func historyOfAnItem(t *testing.T, open Open) {
	w := newWorld(t, open)
	b, other := w.make("lot", 100), w.make("other", 100)
	first := w.commit(w.change(b, gs1.Active, batch.Run{From: 1, To: 100}))
	w.commit(w.change(b, gs1.Void, batch.Run{From: 1, To: 4}, batch.Run{From: 6, To: 100})) // around it
	w.commit(w.change(other, gs1.Void, batch.Run{From: 5, To: 5}))
	undo := w.change(b, 0, batch.Run{From: 5, To: 5})
	undo.Covers = []batch.Cover{
		{Batch: b.First, To: gs1.Inactive, Numbers: batch.Runs{{From: 1, To: 1}, {From: 9, To: 9}}},
		{Batch: b.First, To: gs1.Encoded, Numbers: batch.Runs{{From: 5, To: 5}}},
	}
	undo.Reverts = first.ID
	undo = w.commit(undo)
	i := w.itemChange(b, 5)
	i.Version = 2
	_, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
	w.must(err)
	inner := w.itemChange(b, 5)
	_, err = w.TryInner(t.Context(), ids.Request{}, inner, b.BrandID, true, 5)
	w.must(err)

	changes, entries, err := w.ItemHistory(t.Context(), b.First, 5, b.Serial(5))
	w.must(err)
	type step struct {
		ID ids.ChangeID
		To gs1.Disposition
	}
	var got []step
	for _, c := range changes {
		for _, v := range c.Covers {
			got = append(got, step{c.ID, v.To})
		}
	}
	if diff := cmp.Diff([]step{{first.ID, gs1.Active}, {undo.ID, gs1.Encoded}}, got); diff != "" {
		t.Errorf("state changes (-want +got):\n%s", diff)
	}
	if len(entries) != 2 || entries[0].Kind != batch.Reissued || entries[1].Kind != batch.InnerChecked {
		t.Fatalf("own entries = %+v, want a reissue and an inner check", entries)
	}
	if diff := cmp.Diff(&i, entries[0].Item); diff != "" {
		t.Errorf("reissue (-want +got):\n%s", diff)
	}
}

// TestFeed holds the store to the order of commit.
func TestFeed(t *testing.T, open Open) {
	t.Run("EmptyIsAtZero", func(t *testing.T) {
		w := newWorld(t, open)
		if head, feed := w.head(), w.feed(10); head != 0 || len(feed) != 0 {
			t.Errorf("head %d, %d entries; want none", head, len(feed))
		}
	})
	t.Run("GivesEveryKindWhole", func(t *testing.T) { feedGivesEveryKindWhole(t, open) })
	t.Run("RecentGoesBackwards", func(t *testing.T) { recentGoesBackwards(t, open) })
	t.Run("PagesLoseNothing", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 1000)
		for i := range int64(11) {
			w.commit(w.change(b, gs1.Active, batch.Run{From: 1 + i, To: 1 + i}, batch.Run{From: 500 + i, To: 600}))
		}
		whole := w.feed(1000)
		for limit := 1; limit < 14; limit++ {
			if diff := cmp.Diff(whole, w.feed(limit)); diff != "" {
				t.Errorf("in pages of %d (-whole +paged):\n%s", limit, diff)
			}
		}
	})
	t.Run("ShardsAreApart", func(t *testing.T) {
		w := newWorld(t, open)
		w.make("lot", 10)
		_, p := w.addProduct("other")
		other := w.makeAs(w.askOf(p, "lot", 10))
		feed := w.feed(10)
		if len(feed) != 1 || feed[0].Batch.ID == other.ID {
			t.Errorf("shard %d's feed: %+v", w.shard(), feed)
		}
	})
	t.Run("HeadsMoveWithEveryCommit", func(t *testing.T) {
		w := newWorld(t, open)
		heads := func() [ids.Shards]int64 {
			t.Helper()
			heads, err := w.FeedHeads(t.Context())
			w.must(err)
			return heads
		}
		before := heads()
		b := w.make("lot", 10)
		for range 3 {
			w.commit(w.change(b, gs1.Active, batch.Run{From: 1, To: 1}))
			now := heads()
			if now[w.shard()] <= before[w.shard()] || now[w.shard()] < w.head() {
				t.Errorf("the shard's head is %d, it was %d, its feed ends at %d", now[w.shard()], before[w.shard()], w.head())
			}
			for shard := range now {
				if ids.Shard(shard) != w.shard() && now[shard] != before[shard] {
					t.Errorf("the head of shard %d moved too", shard)
				}
			}
			before = now
		}
	})
	t.Run("FollowerSeesTheOrderOfCommit", func(t *testing.T) { followerSeesTheOrderOfCommit(t, open) })
	t.Run("EventsAreNoEntries", func(t *testing.T) {
		w := newWorld(t, open)
		w.make("lot", 10)
		head := w.head()
		w.must(w.AppendEvents(t.Context(), w.shard(), []batch.Event{event("x", w.brand.ID)}))
		if got := w.head(); got != head || len(w.feed(10)) != 1 {
			t.Errorf("the feed's head went from %d to %d", head, got)
		}
		b := w.make("next", 10)
		if feed := w.feed(10); len(feed) != 2 || feed[1].Batch.ID != b.ID {
			t.Errorf("feed after events: %+v", feed)
		}
	})
}

func feedGivesEveryKindWhole(t *testing.T, open Open) {
	w := newWorld(t, open)
	a, b := w.make("a", 1_000_000), w.make("b", 100)
	change := w.commit(w.bigChange(a, b))
	i := w.itemChange(b, 5)
	i.Version = 2
	_, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
	w.must(err)
	inner := w.itemChange(b, 6)
	inner.Version = 1
	rec, err := w.TryInner(t.Context(), ids.Request{}, inner, b.BrandID, true, 5)
	w.must(err)
	want := []batch.Entry{
		{Kind: batch.BatchCreated, Batch: &a}, {Kind: batch.BatchCreated, Batch: &b},
		{Kind: batch.StateChanged, Change: &change}, {Kind: batch.Reissued, Item: &i}, {Kind: batch.InnerChecked, Item: &inner},
	}
	got := w.feed(100)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(batch.Entry{}, "Seq", "At")); diff != "" {
		t.Fatalf("feed (-want +got):\n%s", diff)
	}
	wantInOrder(t, got)
	if got[2].Seq != change.Seq || !got[2].At.Equal(change.Effective) || !got[4].At.Equal(rec.FirstAt) {
		t.Error("an entry's stamp is not the one that its effect was answered with")
	}
	if head := w.head(); head != got[4].Seq {
		t.Errorf("head %d, want %d", head, got[4].Seq)
	}
}

// recentGoesBackwards pins that Recent is the brand's feed from its end, whatever the
// pages; the store's clock stands still, so that all entries are of one time.
func recentGoesBackwards(t *testing.T, open Open) {
	w := newWorld(t, open)
	a, b := w.make("a", 1_000_000), w.make("b", 100)
	for n := range 4 {
		w.commit(w.change(a, gs1.Active, batch.Run{From: 1, To: 9}, batch.Run{From: int64(20 + n), To: int64(29 + n)}))
		i := w.itemChange(b, int64(5+n))
		i.Version = 2
		_, _, err := w.Reissue(t.Context(), ids.Request{}, i, b.BrandID, event("x", b.BrandID))
		w.must(err)
	}
	want := slices.DeleteFunc(w.feed(100), func(e batch.Entry) bool { return e.Kind == batch.BatchCreated })
	slices.Reverse(want)
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []batch.Entry
		for at, seq := want[0].At, want[0].Seq+1; ; {
			page, err := w.Recent(t.Context(), w.brand.ID, at, seq, limit)
			w.must(err)
			if got = append(got, page...); len(page) < limit {
				break
			}
			at, seq = page[len(page)-1].At, page[len(page)-1].Seq
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	if other, err := w.Recent(t.Context(), w.brand.ID+1, want[0].At, want[0].Seq+1, 100); err != nil || len(other) != 0 {
		t.Errorf("another brand's: %v, %v", other, err)
	}
}

func wantInOrder(t *testing.T, feed []batch.Entry) {
	t.Helper()
	for i := 1; i < len(feed); i++ {
		if feed[i].Seq <= feed[i-1].Seq || feed[i].At.Before(feed[i-1].At) {
			t.Fatalf("entry %d at %v follows entry %d at %v", feed[i].Seq, feed[i].At, feed[i-1].Seq, feed[i-1].At)
		}
	}
}

// followerSeesTheOrderOfCommit polls while others write: what it sees once must be
// all that is there in the end.
func followerSeesTheOrderOfCommit(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 1000)
	const writers, each = 6, 15
	ctx, cancel := context.WithCancel(t.Context())
	var seen []batch.Entry
	follow := func() {
		for after := int64(0); ; {
			last := ctx.Err() != nil
			page, err := w.Feed(t.Context(), w.shard(), after, 7)
			if err != nil {
				t.Error(err)
				return
			}
			if seen = append(seen, page...); len(page) > 0 {
				after = page[len(page)-1].Seq
			} else if last {
				return
			}
		}
	}
	var follower, all sync.WaitGroup
	follower.Go(follow)
	for i := range writers {
		all.Go(func() {
			for n := range each {
				if err := w.writeSomething(b, i, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	cancel()
	follower.Wait()
	wantInOrder(t, seen)
	if len(seen) != 1+writers*each {
		t.Errorf("the follower saw %d entries, want %d", len(seen), 1+writers*each)
	}
	if diff := cmp.Diff(w.feed(1000), seen); diff != "" {
		t.Errorf("the follower missed (-there +seen):\n%s", diff)
	}
}

// writeSomething makes one entry, a batch or a change.
func (w *world) writeSomething(b batch.Batch, i, n int) error {
	if n%3 == 0 {
		_, _, err := w.CreateBatch(w.t.Context(), ids.Request{}, w.ask(fmt.Sprint(i, "-", n), 10))
		return err
	}
	for {
		head, err := w.FeedHead(w.t.Context(), w.shard())
		if err != nil {
			return err
		}
		_, _, err = w.AppendChange(w.t.Context(), ids.Request{}, w.change(b, gs1.Active, batch.Run{From: int64(i + 1), To: int64(i + n + 1)}), head, nil)
		if !errors.Is(err, batch.ErrRaced) {
			return err
		}
	}
}
