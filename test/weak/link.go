package main

import (
	"math/rand/v2"
	"time"
)

// shape is what one direction of a link does to packets.
type shape struct {
	rate  float64       // bits a second of whole IP packets; 0 = no bound
	delay time.Duration // one way, after the last bit was sent
	loss  float64       // of packets, each by itself
}

// queueMax is how long a packet may wait to be sent; what would wait longer is dropped, as
// by a modem with a deep buffer.
const queueMax = 4 * time.Second

// link is one direction. It only computes: who moves packets waits for the times it gives.
type link struct {
	shape
	chance *rand.Rand
	free   time.Time // when the packet before has been sent
}

func newLink(s shape, seed uint64) *link {
	return &link{shape: s, chance: rand.New(rand.NewPCG(seed, 1))}
}

// admit says when a packet arrives, if it does. Times never go back, so packets keep their
// order.
func (l *link) admit(now time.Time, size int) (arrives time.Time, ok bool) {
	begins := now
	if l.free.After(now) {
		begins = l.free
	}
	if begins.Sub(now) > queueMax {
		return time.Time{}, false
	}
	l.free = begins
	if l.rate > 0 {
		l.free = begins.Add(time.Duration(float64(size*8) / l.rate * float64(time.Second)))
	}
	if l.chance.Float64() < l.loss { // lost on the way: it took its time on the link all the same
		return time.Time{}, false
	}
	return l.free.Add(l.delay), true
}
