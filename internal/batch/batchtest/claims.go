package batchtest

import (
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// TestClaims pins that a number of a batch belongs to at most one claim at a time.
func TestClaims(t *testing.T, open Open) {
	t.Run("LowestFreeBlock", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		first, second := w.claim(b, 30), w.claim(b, 30)
		if first.From != 1 || first.To != 30 || second.From != 31 || second.To != 60 {
			t.Errorf("claimed %d..%d and %d..%d", first.From, first.To, second.From, second.To)
		}
		w.wantFree(b, batch.Run{From: 61, To: 100})
	})
	t.Run("NeverOverlap", func(t *testing.T) { claimsNeverOverlap(t, open) })
	t.Run("NeverOverlapWhileOthersReturn", func(t *testing.T) { claimsAndReturns(t, open) })
	t.Run("ExhaustedTakesNothing", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		_, _, _, err := w.Claim(t.Context(), ids.Request{}, block(b, 101), nil)
		wantFault(t, err, batch.ErrExhausted)
		w.wantFree(b, batch.Run{From: 1, To: 100})
		w.claim(b, 100)
		_, _, _, err = w.Claim(t.Context(), ids.Request{}, block(b, 1), nil)
		wantFault(t, err, batch.ErrExhausted)
	})
	t.Run("BlocksAreWhole", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		w.claimsWithHoles(b) // free: 11..20, 31..60, 91..100
		if c := w.claim(b, 11); c.From != 31 {
			t.Errorf("a block of 11 begins at %d, want 31: the block before is too short", c.From)
		}
		_, _, _, err := w.Claim(t.Context(), ids.Request{}, block(b, 30), nil)
		wantFault(t, err, batch.ErrExhausted)
	})
	t.Run("WithinTakesAllThatIsFree", func(t *testing.T) { withinTakesAllThatIsFree(t, open) })
	t.Run("RefusedPayloadTakesNothing", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		_, _, _, err := w.Claim(t.Context(), ids.Request{}, block(b, 10), brokenTask())
		if !errors.Is(err, errPayload) {
			t.Errorf("error = %v, want the payload's", err)
		}
		w.wantFree(b, batch.Run{From: 1, To: 100})
		if n := w.countClaims(b)(); n != 0 {
			t.Errorf("%d claims, want none", n)
		}
	})
	t.Run("BlockWithTaskIsNamedByTheClaim", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		task := newTask(nil)
		claims, effect, _, err := w.Claim(t.Context(), ids.Request{}, block(b, 10), task)
		w.must(err)
		if len(claims) != 1 || effect != string(claims[0].ID) || claims[0].TaskID != task.ID {
			t.Errorf("claims %v, effect %q; want one claim, named, with the task", claims, effect)
		}
	})
	t.Run("FoundByBatchAndId", func(t *testing.T) {
		w := newWorld(t, open)
		b, other := w.make("lot", 100), w.make("other", 100)
		want := w.claim(b, 10)
		for _, of := range []ids.BatchID{b.ID, ""} {
			got, err := w.FindClaim(t.Context(), of, want.ID)
			w.must(err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claim of batch %q (-want +got):\n%s", of, diff)
			}
		}
		_, err := w.FindClaim(t.Context(), other.ID, want.ID)
		wantFault(t, err, batch.ErrUnknownClaim)
		_, err = w.FindClaim(t.Context(), "", ids.ClaimID(ids.New("clm")))
		wantFault(t, err, batch.ErrUnknownClaim)
	})
	t.Run("ListedByNumber", func(t *testing.T) { claimsListedByNumber(t, open) })
}

// claimsWithHoles leaves 11..20, 31..60 and 91..100 free of a batch of 100.
func (w *world) claimsWithHoles(b batch.Batch) {
	w.t.Helper()
	var claims []batch.Claim
	for _, n := range []int64{10, 10, 10, 30, 30, 10} {
		claims = append(claims, w.claim(b, n))
	}
	for _, i := range []int{1, 3, 5} {
		w.giveBack(claims[i], claims[i].From)
	}
	w.wantFree(b, batch.Run{From: 11, To: 20}, batch.Run{From: 31, To: 60}, batch.Run{From: 91, To: 100})
}

// always is a decision that no state change can come after.
const always = math.MaxInt64

func (w *world) giveBack(c batch.Claim, from int64) batch.Claim {
	w.t.Helper()
	left, _, err := w.ReturnClaim(w.t.Context(), ids.Request{}, c, from, always)
	w.must(err)
	return left
}

func claimsNeverOverlap(t *testing.T, open Open) {
	w := newWorld(t, open)
	const quantity, claimants = 100_000, 64
	b := w.make("lot", quantity)
	var mu sync.Mutex
	var held []batch.Run
	var all sync.WaitGroup
	for i := range claimants {
		all.Go(func() {
			l := lot(i)
			for {
				ask := block(b, 1+l.below(1200))
				claims, _, _, err := w.Claim(t.Context(), ids.Request{}, ask, nil)
				if err != nil {
					wantFault(t, err, batch.ErrExhausted)
					return
				}
				if len(claims) != 1 || claims[0].To-claims[0].From+1 != ask.Quantity {
					t.Errorf("asked for %d, got %v", ask.Quantity, claims)
				}
				mu.Lock()
				held = append(held, batch.Run{From: claims[0].From, To: claims[0].To})
				mu.Unlock()
			}
		})
	}
	all.Wait()
	free, err := w.Free(t.Context(), b.ID)
	w.must(err)
	if len(held) < claimants/2 {
		t.Errorf("only %d claims were made", len(held))
	}
	wantTiled(t, quantity, append(held, free...))
}

func claimsAndReturns(t *testing.T, open Open) {
	w := newWorld(t, open)
	const quantity = 5_000
	b := w.make("lot", quantity)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			l := lot(i)
			for range 40 {
				claims, _, _, err := w.Claim(t.Context(), ids.Request{}, block(b, 1+l.below(300)), nil)
				if err != nil {
					wantFault(t, err, batch.ErrExhausted)
					continue
				}
				c := claims[0]
				if l.below(4) == 0 {
					continue
				}
				if _, _, err := w.ReturnClaim(t.Context(), ids.Request{}, c, c.From+l.below(c.To-c.From+1), always); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	claims, err := w.ClaimsOf(t.Context(), b.ID, batch.Run{From: 1, To: quantity}, quantity)
	w.must(err)
	free, err := w.Free(t.Context(), b.ID)
	w.must(err)
	for i := 1; i < len(free); i++ {
		if free[i].From <= free[i-1].To+1 {
			t.Errorf("free blocks %v and %v touch", free[i-1], free[i])
		}
	}
	runs := []batch.Run(free)
	for _, c := range claims {
		runs = append(runs, batch.Run{From: c.From, To: c.To})
	}
	wantTiled(t, quantity, runs)
}

func withinTakesAllThatIsFree(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 100)
	w.claimsWithHoles(b)
	within := func(from, to int64) (got []batch.Run) {
		var seen []batch.Claim
		task := newTask(&seen)
		ask := batch.ClaimAsk{BatchID: b.ID, Shard: b.Shard(), Claimant: "export", Within: batch.Run{From: from, To: to}, CreatedAt: Start()}
		claims, effect, _, err := w.Claim(t.Context(), ids.Request{}, ask, task)
		w.must(err)
		if effect != string(task.ID) {
			t.Errorf("effect %q, want the task", effect)
		}
		if diff := cmp.Diff(claims, seen); diff != "" {
			t.Errorf("claimed and told to the payload (-claimed +told):\n%s", diff)
		}
		for _, c := range claims {
			got = append(got, batch.Run{From: c.From, To: c.To})
		}
		return got
	}
	if diff := cmp.Diff([]batch.Run{{From: 15, To: 20}, {From: 31, To: 40}}, within(15, 40)); diff != "" {
		t.Errorf("within 15..40 (-want +got):\n%s", diff)
	}
	w.wantFree(b, batch.Run{From: 11, To: 14}, batch.Run{From: 41, To: 60}, batch.Run{From: 91, To: 100})
	if got := within(61, 90); len(got) != 0 {
		t.Errorf("within 61..90, which is held: %v", got)
	}
	if diff := cmp.Diff([]batch.Run{{From: 45, To: 50}}, within(45, 50)); diff != "" {
		t.Errorf("within 45..50, inside one block (-want +got):\n%s", diff)
	}
	w.wantFree(b, batch.Run{From: 11, To: 14}, batch.Run{From: 41, To: 44}, batch.Run{From: 51, To: 60}, batch.Run{From: 91, To: 100})
}

func claimsListedByNumber(t *testing.T, open Open) {
	w := newWorld(t, open)
	b := w.make("lot", 100)
	var claims []batch.Claim
	for range 5 {
		claims = append(claims, w.claim(b, 10))
	}
	w.giveBack(claims[2], claims[2].From) // all of it: holds nothing any more
	list := func(from, to int64, limit int) (got []int64) {
		all, err := w.ClaimsOf(t.Context(), b.ID, batch.Run{From: from, To: to}, limit)
		w.must(err)
		for _, c := range all {
			got = append(got, c.From)
		}
		return got
	}
	for _, c := range []struct {
		from, to int64
		limit    int
		want     []int64
	}{
		{1, 100, 10, []int64{1, 11, 31, 41}}, {1, 100, 2, []int64{1, 11}}, {10, 11, 10, []int64{1, 11}},
		{12, 31, 10, []int64{11, 31}}, {21, 30, 10, nil}, {51, 100, 10, nil},
	} {
		if diff := cmp.Diff(c.want, list(c.from, c.to, c.limit)); diff != "" {
			t.Errorf("claims within %d..%d, at most %d (-want +got):\n%s", c.from, c.to, c.limit, diff)
		}
	}
}

// TestReturns holds the store to batch.Claims where numbers go back.
func TestReturns(t *testing.T, open Open) {
	t.Run("ClaimableAgain", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		c := w.claim(b, 100)
		if left := w.giveBack(c, 41); left.From != 1 || left.To != 40 || left.ID != c.ID {
			t.Errorf("after the return the claim holds %d..%d", left.From, left.To)
		}
		w.wantFree(b, batch.Run{From: 41, To: 100})
		if again := w.claim(b, 60); again.From != 41 || again.To != 100 {
			t.Errorf("claimed again: %d..%d", again.From, again.To)
		}
	})
	t.Run("NeighboursJoin", func(t *testing.T) {
		for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}} {
			w := newWorld(t, open)
			b := w.make("lot", 40)
			claims := []batch.Claim{w.claim(b, 10), w.claim(b, 10), w.claim(b, 10)}
			for _, i := range order {
				w.giveBack(claims[i], claims[i].From)
			}
			w.wantFree(b, batch.Run{From: 1, To: 40})
			if c := w.claim(b, 40); c.From != 1 {
				t.Errorf("returned in order %v: the whole begins at %d", order, c.From)
			}
		}
	})
	t.Run("OtherBatchesDoNotJoin", func(t *testing.T) {
		w := newWorld(t, open)
		a, b := w.make("a", 10), w.make("b", 10)
		ca, cb := w.claim(a, 10), w.claim(b, 10)
		w.giveBack(ca, 1)
		w.giveBack(cb, 6)
		w.wantFree(a, batch.Run{From: 1, To: 10})
		w.wantFree(b, batch.Run{From: 6, To: 10})
	})
	t.Run("AllOfItLeavesAnEmptyClaim", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 10)
		c := w.claim(b, 10)
		w.giveBack(c, 1)
		left, err := w.FindClaim(t.Context(), b.ID, c.ID)
		w.must(err)
		if left.To >= left.From {
			t.Errorf("still holds %d..%d", left.From, left.To)
		}
	})
	t.Run("OutsideIsRefused", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		w.claim(b, 20)
		c := w.claim(b, 50) // 21..70
		w.giveBack(c, 61)
		for _, from := range []int64{-1, 0, 20, 61, 70, 71, 100} {
			_, _, err := w.ReturnClaim(t.Context(), ids.Request{}, c, from, always)
			wantFault(t, err, batch.ErrClaimRange)
		}
		w.wantFree(b, batch.Run{From: 61, To: 100})
		_, _, err := w.ReturnClaim(t.Context(), ids.Request{}, batch.Claim{ID: "clm_none", BatchID: b.ID}, 1, always)
		wantFault(t, err, batch.ErrUnknownClaim)
	})
	t.Run("AnswerStaysWhatItWas", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		c := w.claim(b, 100)
		first, _, err := w.ReturnClaim(t.Context(), Request(1, "first"), c, 51, always)
		w.must(err)
		w.giveBack(c, 21)
		again, replayed, err := w.ReturnClaim(t.Context(), Request(1, "first"), c, 51, always)
		w.must(err)
		if diff := cmp.Diff(first, again); diff != "" || !replayed {
			t.Errorf("replayed %v, answer (-first +again):\n%s", replayed, diff)
		}
		w.wantFree(b, batch.Run{From: 21, To: 100})
	})
	t.Run("RacedByAChangeGivesNothingBack", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		c := w.claim(b, 100)
		decided := w.head()
		w.commit(w.change(b, gs1.Active, batch.Run{From: 1, To: 1}))
		_, _, err := w.ReturnClaim(t.Context(), Request(1, "back"), c, 51, decided)
		wantFault(t, err, batch.ErrRaced)
		w.wantFree(b)
		decided = w.head()
		w.make("another", 1) // is no state change
		_, replayed, err := w.ReturnClaim(t.Context(), Request(1, "back"), c, 51, decided)
		w.must(err)
		if replayed {
			t.Error("the raced return was remembered")
		}
		w.wantFree(b, batch.Run{From: 51, To: 100})
	})
	t.Run("AtOnceGoBackOnce", func(t *testing.T) {
		w := newWorld(t, open)
		b := w.make("lot", 100)
		c := w.claim(b, 100)
		var mu sync.Mutex
		done := 0
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				_, _, err := w.ReturnClaim(t.Context(), ids.Request{}, c, 51, always)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				}
			})
		}
		all.Wait()
		if done != 1 {
			t.Errorf("%d of 16 returns of the same numbers succeeded, want 1", done)
		}
		w.wantFree(b, batch.Run{From: 51, To: 100})
	})
}

// TestPool holds the store to PoolCandidates.
func TestPool(t *testing.T, open Open) {
	w := newWorld(t, open)
	now := Start()
	add := func(no string, expires time.Duration, claimed int64) batch.Batch {
		n := w.ask(no, 100)
		if expires != 0 {
			n.Batch.ExpiresAt = now.Add(expires)
		}
		b := w.makeAs(n)
		if claimed > 0 {
			w.claim(b, claimed)
		}
		return b
	}
	never := add("never", 0, 0)
	late := add("late", 48*time.Hour, 0)
	soon := add("soon", time.Hour, 0)
	add("gone", -time.Hour, 0)
	add("now", 1, 0) // a nanosecond is below what stores keep: it ends now
	add("empty", 2*time.Hour, 100)
	short := add("short", 3*time.Hour, 95)
	sooner := add("sooner", time.Minute, 50)
	later := add("never too", 0, 0)
	_, other := w.addProduct("other")
	w.makeAs(w.askOf(other, "foreign", 1000))

	want := func(t *testing.T, quantity int64, want ...batch.Batch) {
		t.Helper()
		got, free, err := w.PoolCandidates(t.Context(), w.product.ID, quantity, now)
		w.must(err)
		wantIDs := make([]ids.BatchID, 0, len(want))
		for _, b := range want {
			wantIDs = append(wantIDs, b.ID)
		}
		if diff := cmp.Diff(wantIDs, append([]ids.BatchID{}, got...)); diff != "" {
			t.Errorf("for %d (-want +got):\n%s", quantity, diff)
		}
		if free != 455 {
			t.Errorf("free = %d, want 455", free)
		}
	}
	t.Run("NearestExpiryFirst", func(t *testing.T) { want(t, 1, sooner, soon, short, late, never, later) })
	t.Run("BlockMustBeLongEnough", func(t *testing.T) {
		want(t, 5, sooner, soon, short, late, never, later)
		want(t, 6, sooner, soon, late, never, later)
		want(t, 51, soon, late, never, later)
		want(t, 101)
	})
}
