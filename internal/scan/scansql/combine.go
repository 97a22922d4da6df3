package scansql

import "sync"

// combiner lets acts that come at the same time share one transaction: while one
// group commits the next one gathers. The first act of a group runs it.
type combiner[T any] struct {
	run  func(acts []T) error
	size func(T) int
	most int // of all sizes together

	turn sync.Mutex // held by the group that runs
	mu   sync.Mutex
	next *group[T] // guarded by mu; the group that still gathers
}

type group[T any] struct {
	acts []T
	size int
	done chan struct{} // closed when errs is there
	errs []error
}

// do returns when the act took effect or failed.
func (c *combiner[T]) do(act T) error {
	c.mu.Lock()
	g := c.next
	if g == nil || g.size >= c.most {
		g = &group[T]{done: make(chan struct{})}
		c.next = g
	}
	mine := len(g.acts)
	g.acts, g.size = append(g.acts, act), g.size+c.size(act)
	c.mu.Unlock()
	if mine > 0 {
		<-g.done
		return g.errs[mine]
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	if c.next == g {
		c.next = nil
	}
	c.mu.Unlock()
	defer close(g.done)
	g.errs = make([]error, len(g.acts))
	c.runGroup(g)
	return g.errs[0]
}

// runGroup runs a group as one, and when that fails each act alone: what is wrong
// with one must not hold up the others.
func (c *combiner[T]) runGroup(g *group[T]) {
	err := c.run(g.acts)
	if err == nil {
		return
	}
	if len(g.acts) == 1 {
		g.errs[0] = err
		return
	}
	for i := range g.acts {
		g.errs[i] = c.run(g.acts[i : i+1])
	}
}
