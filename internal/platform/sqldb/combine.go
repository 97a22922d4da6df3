package sqldb

import "sync"

// Combiner lets acts that come at the same time share one transaction: while one
// group commits the next one gathers. The first act of a group runs it.
type Combiner[T any] struct {
	Run  func(acts []T) error
	Size func(T) int
	Most int // of all sizes together

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

// Do returns when the act took effect or failed.
func (c *Combiner[T]) Do(act T) error {
	c.mu.Lock()
	g := c.next
	if g == nil || g.size >= c.Most {
		g = &group[T]{done: make(chan struct{})}
		c.next = g
	}
	mine := len(g.acts)
	g.acts, g.size = append(g.acts, act), g.size+c.Size(act)
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

// Alone runs fn while no group runs.
func (c *Combiner[T]) Alone(fn func() error) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	return fn()
}

// runGroup runs a group as one, and when that fails each act alone: what is wrong
// with one must not hold up the others.
func (c *Combiner[T]) runGroup(g *group[T]) {
	err := c.Run(g.acts)
	if err == nil {
		return
	}
	if len(g.acts) == 1 {
		g.errs[0] = err
		return
	}
	for i := range g.acts {
		g.errs[i] = c.Run(g.acts[i : i+1])
	}
}
