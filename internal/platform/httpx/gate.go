package httpx

import (
	"context"
	"sync/atomic"
	"time"
)

// Gate bounds how many requests are worked on at once, so that those that are let in
// stay fast when more come than can be served. The bound follows what the machine can
// do: nobody inside should have to wait much longer than a moment for the others.
//
// Who is turned away is held for a moment first: a connection asks again only after
// its answer, so refusing costs little however many there are.
type Gate struct {
	most   atomic.Int64
	inside atomic.Int64
	let    atomic.Int64
	held   atomic.Int64
	shed   atomic.Int64

	looked atomic.Int64 // nanoseconds of the last look
	before glance       // of that look; guarded by looked, which one winner moves
}

type glance struct{ let, shed int64 }

const (
	gateMoment = 50 * time.Millisecond // how long those inside may take when it is full
	gateLeast  = 256                   // what it starts with; fewer would not keep the disk busy
	gateMost   = 8192
	gateLook   = 250 * time.Millisecond
	lookEvery  = 64 // asking for the time costs more than the rest, so few do

	holdLeast = time.Second
	holdMost  = 3 * time.Second
	holdStep  = 2 * time.Millisecond // for each that is held already
	holdMax   = 50_000               // more are answered at once: a timer each is all that the rest costs
)

// NewGate makes an open gate.
func NewGate() *Gate {
	g := &Gate{}
	g.most.Store(gateLeast)
	return g
}

// Enter reports whether there is room; Leave must follow when there is. A nil Gate
// always has room.
func (g *Gate) Enter() bool {
	if g == nil {
		return true
	}
	if g.inside.Add(1) > g.most.Load() {
		g.inside.Add(-1)
		if g.shed.Add(1)%lookEvery == 1 {
			g.look(time.Now())
		}
		return false
	}
	if g.let.Add(1)%lookEvery == 1 {
		g.look(time.Now())
	}
	return true
}

// Leave makes room again.
func (g *Gate) Leave() {
	if g != nil {
		g.inside.Add(-1)
	}
}

// look sets the bound by what went through since the last look.
func (g *Gate) look(now time.Time) {
	last := g.looked.Load()
	since := time.Duration(now.UnixNano() - last)
	if since < gateLook && since >= 0 || !g.looked.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	seen := glance{g.let.Load(), g.shed.Load()}
	let, shed := seen.let-g.before.let, seen.shed-g.before.shed
	g.before = seen
	if last != 0 && since > 0 {
		g.most.Store(bound(g.most.Load(), float64(let)/since.Seconds(), shed > 0))
	}
}

// bound is the next bound: when it was reached, as many as go through in a moment;
// when it was not, what it was.
func bound(most int64, rate float64, reached bool) int64 {
	if !reached {
		return most
	}
	return min(max(int64(rate*gateMoment.Seconds()), gateLeast), gateMost)
}

// Hold keeps a request that was turned away for a moment, the longer the more there
// are.
func (g *Gate) Hold(ctx context.Context) {
	if held := g.held.Add(1); held <= holdMax {
		t := time.NewTimer(min(holdLeast+time.Duration(held)*holdStep, holdMost))
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
