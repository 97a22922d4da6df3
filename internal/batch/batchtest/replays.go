package batchtest

import (
	"context"
	"sync"
	"testing"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/idem"
)

// mutation is one method that takes a Request, on things of its own. do may be
// called many times; count is how often it took effect.
type mutation struct {
	name  string
	start func(w *world) (do func(context.Context, ids.Request) (effect string, replayed bool, _ error), count func() int)
}

// mutations are all of them.
func mutations() []mutation {
	return []mutation{
		{"CreateBrand", createBrand}, {"CreateProduct", createProduct}, {"CreateBatch", createBatch},
		{"CreateBatchWithTask", createBatchWithTask}, {"Claim", claimBlock}, {"ClaimWithin", claimWithin},
		{"ReturnClaim", returnClaim}, {"AppendChange", appendChange}, {"Reissue", reissue}, {"ChangeTexts", changeTexts},
		{"ChangeSettings", changeSettings},
	}
}

type doer = func(context.Context, ids.Request) (string, bool, error)

func createBrand(w *world) (doer, func() int) {
	before, err := w.Brands(w.t.Context(), 0, 1000)
	w.must(err)
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
			b, replayed, err := w.CreateBrand(ctx, r, batch.Brand{Name: "again", CreatedAt: Start()})
			return string(rune(b.ID)), replayed, err
		}, func() int {
			now, err := w.Brands(w.t.Context(), 0, 1000)
			w.must(err)
			return len(now) - len(before)
		}
}

func createProduct(w *world) (doer, func() int) {
	before, err := w.Products(w.t.Context(), w.brand.ID, 0, 1000)
	w.must(err)
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
			p, replayed, err := w.CreateProduct(ctx, r, batch.Product{BrandID: w.brand.ID, Name: "again", CreatedAt: Start()})
			return string(rune(p.ID)), replayed, err
		}, func() int {
			now, err := w.Products(w.t.Context(), w.brand.ID, 0, 1000)
			w.must(err)
			return len(now) - len(before)
		}
}

func (w *world) countBatches() int { return len(w.batches()) }

func createBatch(w *world) (doer, func() int) {
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
		return w.CreateBatch(ctx, r, w.ask(ids.New("no"), 100))
	}, w.countBatches
}

func createBatchWithTask(w *world) (doer, func() int) {
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
		n := w.ask(ids.New("no"), 100)
		n.Claim = &batch.Claim{ID: ids.ClaimID(ids.Beside(string(n.Batch.ID), "clm")), BatchID: n.Batch.ID, From: 1, To: 100, CreatedAt: Start()}
		n.Task = newTask(nil)
		return w.CreateBatch(ctx, r, n)
	}, w.countBatches
}

func (w *world) countClaims(b batch.Batch) func() int {
	return func() int {
		all, err := w.ClaimsOf(w.t.Context(), b.ID, batch.Run{From: 1, To: b.Quantity}, 1000)
		w.must(err)
		return len(all)
	}
}

func claimBlock(w *world) (doer, func() int) {
	b := w.make("replays", 10_000)
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
		_, effect, replayed, err := w.Claim(ctx, r, block(b, 10), nil)
		return effect, replayed, err
	}, w.countClaims(b)
}

func claimWithin(w *world) (doer, func() int) {
	b := w.make("replays", 10_000)
	var mu sync.Mutex
	next := int64(1)
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
		mu.Lock()
		from := next
		next += 10
		mu.Unlock()
		ask := batch.ClaimAsk{BatchID: b.ID, Shard: b.Shard(), Claimant: "export", Within: batch.Run{From: from, To: from + 9}, CreatedAt: Start()}
		_, effect, replayed, err := w.Claim(ctx, r, ask, newTask(nil))
		return effect, replayed, err
	}, w.countClaims(b)
}

func returnClaim(w *world) (doer, func() int) {
	b := w.make("replays", 10_000)
	c := w.claim(b, b.Quantity)
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
			now, err := w.FindClaim(ctx, b.ID, c.ID)
			if err != nil {
				return "", false, err
			}
			_, replayed, err := w.ReturnClaim(ctx, r, c, now.To-9, always)
			return "the same claim", replayed, err
		}, func() int {
			now, err := w.FindClaim(w.t.Context(), b.ID, c.ID)
			w.must(err)
			return int(b.Quantity-now.To) / 10
		}
}

func appendChange(w *world) (doer, func() int) {
	b := w.make("replays", 100)
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
			head, err := w.FeedHead(ctx, w.shard())
			if err != nil {
				return "", false, err
			}
			c, replayed, err := w.AppendChange(ctx, r, w.change(b, gs1.Active, batch.Run{From: 1, To: 100}), head, []batch.Event{event("x", b.BrandID)})
			return string(c.ID), replayed, err
		}, func() int {
			all, err := w.History(w.t.Context(), b.First, batch.Run{From: 1, To: 100})
			w.must(err)
			return len(all)
		}
}

func reissue(w *world) (doer, func() int) {
	b := w.make("replays", 100)
	entries := func(ctx context.Context) int {
		_, all, err := w.ItemHistory(ctx, b.First, 7, b.Serial(7))
		w.must(err)
		return len(all)
	}
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
		i := w.itemChange(b, 7)
		i.Version = uint16(entries(ctx)) + 2
		done, replayed, err := w.Reissue(ctx, r, i, b.BrandID, event("x", b.BrandID))
		return string(done.ID), replayed, err
	}, func() int { return entries(w.t.Context()) }
}

func changeTexts(w *world) (doer, func() int) {
	help := "ask us"
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
			replayed, err := w.ChangeTexts(ctx, r, batch.TextChange{BrandID: w.brand.ID, ProductID: w.product.ID, Help: &help})
			return "texts", replayed, err
		}, func() (n int) {
			for _, e := range w.feed(100) {
				if e.Kind == batch.TextsChanged {
					n++
				}
			}
			return n
		}
}

func changeSettings(w *world) (doer, func() int) {
	hide := true
	return func(ctx context.Context, r ids.Request) (string, bool, error) {
			version, replayed, err := w.ChangeSettings(ctx, r, batch.SettingsChange{BrandID: w.brand.ID, HidePlaces: &hide})
			return string(rune(version)), replayed, err
		}, func() int {
			s, err := w.Settings(w.t.Context(), w.brand.ID)
			w.must(err)
			return int(s.Version)
		}
}

// TestReplays holds every method with a Request to what batch.Store says of it.
func TestReplays(t *testing.T, open Open) {
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			t.Run("SameRequestSameEffect", func(t *testing.T) { sameRequestSameEffect(t, open, m) })
			t.Run("OtherBodyIsRefused", func(t *testing.T) { otherBodyIsRefused(t, open, m) })
			t.Run("NoKeyIsNeverReplayed", func(t *testing.T) { noKeyIsNeverReplayed(t, open, m) })
			t.Run("AtOnceTakesEffectOnce", func(t *testing.T) { atOnceTakesEffectOnce(t, open, m) })
		})
	}
	t.Run("RefusalIsNotRemembered", func(t *testing.T) { refusalIsNotRemembered(t, open) })
	t.Run("EffectNamesWhatARequestDid", func(t *testing.T) { effectNamesWhatARequestDid(t, open) })
}

func sameRequestSameEffect(t *testing.T, open Open, m mutation) {
	w := newWorld(t, open)
	do, count := m.start(w)
	first, replayed, err := do(t.Context(), Request(1, "body"))
	w.must(err)
	if replayed || first == "" {
		t.Fatalf("first call: effect %q, replayed %v", first, replayed)
	}
	done := count()
	for range 3 {
		again, replayed, err := do(t.Context(), Request(1, "body"))
		w.must(err)
		if again != first || !replayed {
			t.Errorf("again: effect %q, replayed %v; want %q, true", again, replayed, first)
		}
	}
	if got := count(); got != done {
		t.Errorf("a replay took effect: %d effects, want %d", got, done)
	}
	other, replayed, err := do(t.Context(), Request(2, "body"))
	w.must(err)
	if replayed || count() != done+1 {
		t.Errorf("another key: effect %q, replayed %v, %d effects; want a new one", other, replayed, count())
	}
}

func otherBodyIsRefused(t *testing.T, open Open, m mutation) {
	w := newWorld(t, open)
	do, count := m.start(w)
	_, _, err := do(t.Context(), Request(1, "body"))
	w.must(err)
	done := count()
	_, _, err = do(t.Context(), Request(1, "another body"))
	wantFault(t, err, idem.ErrMismatch)
	if got := count(); got != done {
		t.Errorf("%d effects, want %d", got, done)
	}
}

func noKeyIsNeverReplayed(t *testing.T, open Open, m mutation) {
	w := newWorld(t, open)
	do, count := m.start(w)
	before := count()
	for range 3 {
		_, replayed, err := do(t.Context(), ids.Request{})
		w.must(err)
		if replayed {
			t.Error("a call without a key was replayed")
		}
	}
	if got := count() - before; got != 3 {
		t.Errorf("%d effects, want 3", got)
	}
}

func atOnceTakesEffectOnce(t *testing.T, open Open, m mutation) {
	w := newWorld(t, open)
	do, count := m.start(w)
	before := count()
	var mu sync.Mutex
	fresh, effects := 0, map[string]bool{}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			effect, replayed, err := do(t.Context(), Request(1, "body"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && fault.KindOf(err) != fault.Conflict: // another may be running
				t.Error(err)
			case err == nil && !replayed:
				fresh++
				effects[effect] = true
			case err == nil:
				effects[effect] = true
			}
		})
	}
	all.Wait()
	if fresh != 1 || len(effects) != 1 || count() != before+1 {
		t.Errorf("%d took effect, %d effects named, %d counted; want 1 of each", fresh, len(effects), count()-before)
	}
}

func refusalIsNotRemembered(t *testing.T, open Open) {
	w := newWorld(t, open)
	w.make("taken", 10)
	_, _, err := w.CreateBatch(t.Context(), Request(1, "taken"), w.ask("taken", 10))
	wantFault(t, err, batch.ErrBatchExists)
	b := w.ask("free", 10)
	effect, replayed, err := w.CreateBatch(t.Context(), Request(1, "free"), b)
	w.must(err)
	if effect != string(b.Batch.ID) || replayed {
		t.Errorf("after a refusal the key gave effect %q, replayed %v", effect, replayed)
	}
	made, err := w.Batch(t.Context(), b.Batch.ID)
	w.must(err)
	_, _, _, err = w.Claim(t.Context(), Request(2, "too many"), block(made, 11), nil) //nolint:dogsled // only the refusal counts
	wantFault(t, err, batch.ErrExhausted)
	_, _, replayed, err = w.Claim(t.Context(), Request(2, "fewer"), block(made, 10), nil)
	w.must(err)
	if replayed {
		t.Error("a claim after a refusal was replayed")
	}
}

func effectNamesWhatARequestDid(t *testing.T, open Open) {
	w := newWorld(t, open)
	_, replayed, err := w.Effect(t.Context(), Request(1, "body"))
	w.must(err)
	if replayed {
		t.Error("a request that was never made had an effect")
	}
	n := w.ask("no", 10)
	_, _, err = w.CreateBatch(t.Context(), Request(1, "body"), n)
	w.must(err)
	effect, replayed, err := w.Effect(t.Context(), Request(1, "body"))
	w.must(err)
	if effect != string(n.Batch.ID) || !replayed {
		t.Errorf("Effect = %q, %v; want the batch", effect, replayed)
	}
	_, _, err = w.Effect(t.Context(), Request(1, "another"))
	wantFault(t, err, idem.ErrMismatch)
	if _, replayed, err = w.Effect(t.Context(), ids.Request{}); replayed || err != nil {
		t.Errorf("no key: replayed %v, %v", replayed, err)
	}
}
