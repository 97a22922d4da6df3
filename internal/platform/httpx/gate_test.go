package httpx

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	t.Parallel()
	g := NewGate(2)
	if !g.Enter() || !g.Enter() || g.Enter() || g.Enter() || g.Shed() != 2 {
		t.Errorf("a gate for two shed %d", g.Shed())
	}
	g.Leave()
	if !g.Enter() || g.Enter() {
		t.Error("who leaves does not make room for one")
	}
	var open *Gate
	if !open.Enter() {
		t.Error("no gate is shut")
	}
	open.Leave()
}

// TestGateHolds: who is turned away waits, but not for ever, and not after leaving.
func TestGateHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, begun := NewGate(0), time.Now()
		g.Hold(t.Context())
		if took := time.Since(begun); took != holdTime {
			t.Errorf("held for %v", took)
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		g.Hold(gone)
		if took := time.Since(begun); took != holdTime {
			t.Errorf("somebody who left was held until %v", took)
		}
		if g.held.Load() != 0 {
			t.Errorf("%d are held still", g.held.Load())
		}
	})
}
