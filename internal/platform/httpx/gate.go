package httpx

import (
	"context"
	"sync/atomic"
	"time"
)

// Gate bounds how many requests are worked on at once, so that those that are let in
// stay fast when more come than can be served. Who is turned away is held for a
// moment first: a connection asks again only after its answer, so refusing costs
// little however many there are.
type Gate struct {
	most   int64
	inside atomic.Int64
	let    atomic.Int64
	held   atomic.Int64
	shed   atomic.Int64
}

const (
	holdTime = time.Second
	holdMax  = 50_000 // more are answered at once: a timer each is all that the rest costs
)

// NewGate lets in as many at once.
func NewGate(most int) *Gate { return &Gate{most: int64(most)} }

// Enter reports whether there is room; Leave must follow when there is. A nil Gate
// always has room.
func (g *Gate) Enter() bool {
	if g == nil {
		return true
	}
	if g.inside.Add(1) > g.most {
		g.inside.Add(-1)
		g.shed.Add(1)
		return false
	}
	g.let.Add(1)
	return true
}

// Leave makes room again.
func (g *Gate) Leave() {
	if g != nil {
		g.inside.Add(-1)
	}
}

// Hold keeps a request that was turned away for a moment.
func (g *Gate) Hold(ctx context.Context) {
	if g.held.Add(1) <= holdMax {
		t := time.NewTimer(holdTime)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	g.held.Add(-1)
}

// Entered is how many were let in.
func (g *Gate) Entered() int64 { return g.let.Load() }

// Shed is how many were turned away, for metrics.
func (g *Gate) Shed() int64 { return g.shed.Load() }
