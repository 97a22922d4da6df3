package sqldb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// What a caller may be told when its act was not taken up.
var (
	ErrCrowded = fault.New(fault.Unavailable, "sql.crowded", "too many wait for the database; nothing was changed, ask again").After(time.Second)
	ErrClosing = fault.New(fault.Unavailable, "sql.closing", "this process is about to end; nothing was changed, ask again")
)

// Combiner lets acts that come at the same time share a transaction, each with its own
// outcome: while one group commits, the next one gathers. Acts of one key share groups;
// keys do not wait for each other. Acts of one key are taken up in the order in which
// they came, but what a failed group is cut into is in no order any more.
//
// When a group as a whole fails it is cut in two, until the act that fails stands alone:
// the others take effect without it. The halves run side by side, and beside the groups
// that come next, so that who waits in vain for a row holds up nobody else.
type Combiner[K comparable, A, R any] struct {
	run     func(ctx context.Context, acts []A) ([]Outcome[R], error)
	most    int // acts of one group
	waitMax int // acts that are not answered yet, of all keys

	mu      sync.Mutex
	lanes   map[K]*lane[A, R] // guarded by mu; those that somebody works on
	open    int               // guarded by mu; acts that are not answered yet
	closing bool              // guarded by mu

	work sync.WaitGroup // whoever runs a group
}

// Outcome is what became of one act of a group that was committed.
type Outcome[R any] struct {
	Value R
	Err   error // a refusal of this act alone
}

type lane[A, R any] struct{ waiting []*pending[A, R] }

type pending[A, R any] struct {
	act   A
	begun bool          // guarded by Combiner.mu
	done  chan struct{} // closed when out is there
	out   Outcome[R]
}

// NewCombiner makes a combiner of groups of so many acts at most. run brings about a group
// in one transaction. It gives the outcome of each act in their order, or an error when
// nothing of any of them stays; acts whose outcome it cannot know it must answer one by
// one, with ErrUnknownOutcome.
func NewCombiner[K comparable, A, R any](most, waitMax int, run func(ctx context.Context, acts []A) ([]Outcome[R], error)) *Combiner[K, A, R] {
	return &Combiner[K, A, R]{run: run, most: most, waitMax: waitMax, lanes: map[K]*lane[A, R]{}}
}

// Do brings about an act and gives its outcome once that is durable. The end of ctx ends
// the wait: an act that waits for its group is taken back then, and of one that has
// begun the outcome is unknown.
func (c *Combiner[K, A, R]) Do(ctx context.Context, key K, act A) (R, error) {
	p := &pending[A, R]{act: act, done: make(chan struct{})}
	err := ctx.Err()
	if err == nil {
		err = c.join(key, p)
	}
	if err != nil {
		var none R
		return none, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if err := c.leave(key, p, ctx.Err()); err != nil {
			var none R
			return none, err
		}
	}
	return p.out.Value, p.out.Err
}

func (c *Combiner[K, A, R]) join(key K, p *pending[A, R]) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return ErrClosing
	case c.open >= c.waitMax:
		return ErrCrowded
	}
	c.open++
	l := c.lanes[key]
	if l == nil {
		l = &lane[A, R]{}
		c.lanes[key] = l
		c.work.Go(func() { c.serve(key, l) })
	}
	l.waiting = append(l.waiting, p)
	return nil
}

// leave ends the wait for an act. It gives nil when the outcome came just now.
func (c *Combiner[K, A, R]) leave(key K, p *pending[A, R], why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-p.done:
		return nil
	default:
	}
	if p.begun {
		return ErrUnknownOutcome.Textf("nobody waited for the end of the transaction; it may take effect: ask again with the same Idempotency-Key").Because(why)
	}
	l := c.lanes[key]
	for i, other := range l.waiting {
		if other == p {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			break
		}
	}
	c.open--
	return why
}

// serve runs the groups of a key, one after the other, until nobody waits.
func (c *Combiner[K, A, R]) serve(key K, l *lane[A, R]) {
	for {
		// Let those that are ready join: a commit costs far more than a turn of the scheduler.
		runtime.Gosched()
		c.mu.Lock()
		n := min(len(l.waiting), c.most)
		if n == 0 {
			delete(c.lanes, key)
			c.mu.Unlock()
			return
		}
		group := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		for _, p := range group {
			p.begun = true
		}
		c.mu.Unlock()
		c.commit(group)
	}
}

// commit runs a group and answers it, or cuts it in two.
func (c *Combiner[K, A, R]) commit(group []*pending[A, R]) {
	out, err := c.attempt(group)
	if err != nil && len(group) > 1 && !errors.Is(err, ErrUnavailable) {
		half := len(group) / 2
		c.work.Go(func() { c.commit(group[:half]) })
		c.work.Go(func() { c.commit(group[half:]) })
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open -= len(group)
	for i, p := range group {
		if err != nil {
			p.out.Err = err
		} else {
			p.out = out[i]
		}
		close(p.done)
	}
}

// attempt runs a group once. A panic is the failure of whose act it is.
func (c *Combiner[K, A, R]) attempt(group []*pending[A, R]) (out []Outcome[R], err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("a transaction panicked: %v\n%s", v, debug.Stack())
		}
	}()
	acts := make([]A, len(group))
	for i, p := range group {
		acts[i] = p.act
	}
	// Whoever asked may go; the group goes on for the others.
	out, err = c.run(context.Background(), acts)
	if err == nil && len(out) != len(acts) {
		err = fmt.Errorf("a transaction of %d acts gave %d outcomes", len(acts), len(out))
	}
	return out, err
}

// Close refuses further acts and returns when those that were taken up are answered.
func (c *Combiner[K, A, R]) Close() {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.work.Wait()
}
