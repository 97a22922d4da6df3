package verify

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// setClock is a clock for the cache that moves when a test says so. It never ticks:
// what has ended is then found at the next look.
type setClock struct{ nanos atomic.Int64 }

func (c *setClock) NowNano() int64                      { return c.nanos.Load() }
func (c *setClock) Tick(time.Duration) <-chan time.Time { return nil }

// shop is a source of texts that counts its loads.
type shop struct {
	loads atomic.Int64
	fail  atomic.Bool
	gate  chan struct{} // nil = open
}

var errShut = errors.New("the shop is shut")

func (s *shop) text(_ context.Context, id ids.ProductID) (Text, error) {
	s.loads.Add(1)
	if s.gate != nil {
		<-s.gate
	}
	if s.fail.Load() {
		return Text{}, errShut
	}
	return Text{Name: string(rune('a' + id))}, nil
}

func newTexts(t *testing.T, s *shop, c *setClock) *TextCache {
	t.Helper()
	cache, err := newTextCache(s.text, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.cache.StopAllGoroutines() })
	return cache
}

func TestTextLoadsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{gate: make(chan struct{})}
		cache := newTexts(t, s, &setClock{})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if text, err := cache.Text(t.Context(), &Item{ProductID: 3}); text.Name != "d" || err != nil {
					t.Errorf("%+v, %v", text, err)
				}
			})
		}
		synctest.Wait() // all of them wait: one for the source, the others for that one
		close(s.gate)
		wg.Wait()
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads for 50 misses of one product", n)
		}
	})
}

// Whoever loads for all may leave; the others must not fail for it.
func TestTextSurvivesTheLoader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		entered := make(chan struct{}, 2)
		gate := make(chan struct{})
		cache, err := newTextCache(func(ctx context.Context, _ ids.ProductID) (Text, error) {
			entered <- struct{}{}
			select {
			case <-ctx.Done():
				return Text{}, ctx.Err()
			case <-gate:
				return Text{Name: "tea"}, nil
			}
		}, &setClock{})
		if err != nil {
			t.Fatal(err)
		}
		defer cache.cache.StopAllGoroutines()
		leaving, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := cache.Text(leaving, &Item{}); !errors.Is(err, context.Canceled) {
				t.Errorf("who left: %v", err)
			}
		})
		<-entered
		wg.Go(func() {
			if text, err := cache.Text(t.Context(), &Item{}); text.Name != "tea" || err != nil {
				t.Errorf("who stayed: %+v, %v", text, err)
			}
		})
		synctest.Wait()
		leave()
		<-entered
		close(gate)
		wg.Wait()
	})
}

func TestTextLives(t *testing.T) {
	t.Parallel()
	for _, id := range []ids.ProductID{0, 1, 2, 17, 1 << 30, -1} {
		s, c := &shop{}, &setClock{}
		cache := newTexts(t, s, c)
		life := textCacheLife - jitter(id)
		for _, step := range []struct {
			at    time.Duration
			loads int64
		}{{0, 1}, {life - time.Second, 1}, {life + time.Second, 2}, {2*life - time.Second, 2}} {
			c.nanos.Store(int64(step.at))
			if _, err := cache.Text(t.Context(), &Item{ProductID: id}); err != nil {
				t.Fatal(err)
			}
			if n := s.loads.Load(); n != step.loads {
				t.Errorf("product %d at %v: %d loads, want %d", id, step.at, n, step.loads)
			}
		}
	}
}

func TestTextLivesDiffer(t *testing.T) {
	t.Parallel()
	var early, late int
	for id := range ids.ProductID(1000) {
		switch j := jitter(id); {
		case j < 0 || j >= textCacheJitter:
			t.Fatalf("product %d: jitter %v is not in 0..%v", id, j, textCacheJitter)
		case j < textCacheJitter/3:
			early++
		case j > 2*textCacheJitter/3:
			late++
		}
	}
	if early < 250 || late < 250 {
		t.Errorf("of 1000 lives %d end in the last third and %d in the first", early, late)
	}
}

func TestTextErrorsAreNotKept(t *testing.T) {
	t.Parallel()
	s := &shop{}
	cache := newTexts(t, s, &setClock{})
	s.fail.Store(true)
	for range 2 {
		if _, err := cache.Text(t.Context(), &Item{}); !errors.Is(err, errShut) {
			t.Errorf("shut: %v", err)
		}
	}
	s.fail.Store(false)
	if text, err := cache.Text(t.Context(), &Item{}); text.Name != "a" || err != nil || s.loads.Load() != 3 {
		t.Errorf("open again: %+v, %v after %d loads", text, err, s.loads.Load())
	}
}

func TestTextHitRate(t *testing.T) {
	t.Parallel()
	cache := newTexts(t, &shop{}, &setClock{})
	for range 10 {
		if _, err := cache.Text(t.Context(), &Item{}); err != nil {
			t.Fatal(err)
		}
	}
	if rate := cache.HitRate(); rate != 0.9 {
		t.Errorf("one miss and nine hits are a rate of %v", rate)
	}
}

// TestTextWarmUp: ten at a time, a pause between, each once; a shut shop ends it.
func TestTextWarmUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		cache := newTexts(t, s, &setClock{})
		products := make([]ids.ProductID, 35)
		for i := range products {
			products[i] = ids.ProductID(i)
		}
		begun := time.Now()
		if err := cache.Warm(t.Context(), products); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*warmPause || s.loads.Load() != 35 {
			t.Errorf("%d loads in %v", s.loads.Load(), took)
		}
		if _, err := cache.Text(t.Context(), &Item{ProductID: 7}); err != nil || s.loads.Load() != 35 {
			t.Errorf("a warm text was loaded again: %d loads, %v", s.loads.Load(), err)
		}
		s.fail.Store(true)
		if err := cache.Warm(t.Context(), []ids.ProductID{100, 101}); !errors.Is(err, errShut) {
			t.Errorf("a shut shop: %v", err)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		if err := cache.Warm(gone, products); !errors.Is(err, context.Canceled) && err != nil {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestForgetGoesByTheHundred: a brand with many products is renamed. The source is asked
// by the scans of a hundred products at once, and a load under way does not bring the
// old text back.
func TestForgetGoesByTheHundred(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		cache := newTexts(t, s, &setClock{})
		products := make([]ids.ProductID, 250)
		for i := range products {
			products[i] = ids.ProductID(i)
		}
		look := func() (loaded int64) {
			before := s.loads.Load()
			for _, id := range products {
				if _, err := cache.Text(t.Context(), &Item{ProductID: id}); err != nil {
					t.Fatal(err)
				}
			}
			return s.loads.Load() - before
		}
		if n := look(); n != 250 {
			t.Fatalf("%d loads of 250 products", n)
		}
		start, done := time.Now(), make(chan error)
		go func() { done <- cache.Forget(t.Context(), products) }()
		for _, want := range []int64{100, 100, 50, 0} {
			synctest.Wait()
			if n := look(); n != want {
				t.Errorf("after %v %d products were loaded anew, want %d", time.Since(start), n, want)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}

		s.gate = make(chan struct{})
		cache.cache.Invalidate(1)
		before, first := s.loads.Load(), make(chan struct{})
		look1 := func() { _, _ = cache.Text(t.Context(), &Item{ProductID: 1}) }
		go func() { look1(); close(first) }()
		synctest.Wait() // it has asked the source
		if err := cache.Forget(t.Context(), []ids.ProductID{1}); err != nil {
			t.Error(err)
		}
		close(s.gate)
		<-first
		if look1(); s.loads.Load() != before+2 {
			t.Errorf("a text that was read before it changed stayed: %d loads", s.loads.Load()-before)
		}
	})
}
