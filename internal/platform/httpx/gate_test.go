package httpx

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	t.Parallel()
	g := NewGate()
	g.most.Store(2)
	for n, want := range []bool{true, true, false, false} {
		if got := g.Enter(); got != want {
			t.Errorf("number %d at a gate for two: %v", n+1, got)
		}
	}
	g.Leave()
	for n, want := range []bool{true, false} {
		if got := g.Enter(); got != want {
			t.Errorf("number %d after one has left: %v", n+1, got)
		}
	}
	if g.Shed() != 3 || g.Entered() != 3 {
		t.Errorf("%d turned away, %d let in", g.Shed(), g.Entered())
	}
	var open *Gate
	if !open.Enter() {
		t.Error("no gate is shut")
	}
	open.Leave()
}

// TestBound: a slow machine gets a low bound, a fast one a high one, and calm changes
// nothing.
func TestBound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most    int64
		rate    float64
		reached bool
		want    int64
	}{
		{gateLeast, 8_000, true, 400}, {gateLeast, 60_000, true, 3000}, {gateLeast, 1e9, true, gateMost}, {gateLeast, 1, true, gateLeast},
		{3000, 10, false, 3000}, {3000, 10, true, gateLeast},
	} {
		if got := bound(c.most, c.rate, c.reached); got != c.want {
			t.Errorf("from %d at %.0f/s, reached %v: %d, want %d", c.most, c.rate, c.reached, got, c.want)
		}
	}
}

// TestGateFollows: a crowd that the machine cannot serve lowers the bound.
func TestGateFollows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		for range 20 { // each window lets 2,000 through and turns many away
			for range 2000 {
				if g.Enter() {
					g.Leave()
				}
			}
			g.inside.Add(gateMost)
			for range 2000 {
				g.Enter()
			}
			g.inside.Add(-gateMost)
			time.Sleep(gateLook)
		}
		if most := g.most.Load(); most < 390 || most > 420 { // 2,000 in 250 ms is 400 in 50 ms
			t.Errorf("the bound is %d", most)
		}
	})
}

// TestGateHolds: who is turned away waits, the longer the more there are, but not for
// ever, and not after leaving.
func TestGateHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, begun := NewGate(), time.Now()
		g.Hold(t.Context())
		if took := time.Since(begun); took < holdLeast || took > 2*holdLeast {
			t.Errorf("held for %v", took)
		}
		g.held.Store(10_000)
		begun = time.Now()
		g.Hold(t.Context())
		if took := time.Since(begun); took != holdMost {
			t.Errorf("held for %v beside 10,000 others", took)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		begun = time.Now()
		g.Hold(gone)
		if took := time.Since(begun); took != 0 {
			t.Errorf("somebody who left was held for %v", took)
		}
		if g.held.Load() != 10_000 {
			t.Errorf("%d are held still", g.held.Load())
		}
	})
}
