package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memGroup is a group of a log in memory, for tests of the runner in a bubble of
// synctest, where an engine with goroutines of its own cannot be.
type memGroup struct {
	mu      sync.Mutex
	records []Record
	next    int                     // guarded by mu: the first that was not given out
	holds   map[Position]memHold    // guarded by mu
	acked   map[Position]int        // guarded by mu: how often
	letters map[string]Letter       // guarded by mu
	refuse  func(what string) error // guarded by mu: makes Ack, Bury and Fetch fail
	wake    chan struct{}           // guarded by mu: closed when there is more
	closed  bool                    // guarded by mu
}

type memHold struct {
	by    string
	since time.Time
}

func newMemGroup() *memGroup {
	return &memGroup{
		holds: map[Position]memHold{}, acked: map[Position]int{}, letters: map[string]Letter{},
		refuse: func(string) error { return nil }, wake: make(chan struct{}),
	}
}

// append adds a record of messages "key:n".
func (g *memGroup) append(messages ...string) Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := Record{At: At(1, uint64(len(g.records)+1)), Value: []byte(strings.Join(messages, " "))}
	if n := len(g.records); n > 0 {
		r.Prev = g.records[n-1].At
	}
	g.records = append(g.records, r)
	close(g.wake)
	g.wake = make(chan struct{})
	return r.At
}

func (g *memGroup) Name() string { return "mem" }

func (g *memGroup) Fetch(ctx context.Context, consumer string, most int) ([]Record, error) {
	for {
		g.mu.Lock()
		if g.closed {
			g.mu.Unlock()
			return nil, ErrClosed
		}
		if err := g.refuse("fetch"); err != nil {
			g.mu.Unlock()
			return nil, err
		}
		given := g.records[g.next:min(g.next+most, len(g.records))]
		g.next += len(given)
		for _, r := range given {
			g.holds[r.At] = memHold{consumer, time.Now()}
		}
		wake := g.wake
		g.mu.Unlock()
		if len(given) > 0 {
			return given, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wake:
		}
	}
}

func (g *memGroup) Claim(_ context.Context, consumer string, idle time.Duration, most int) (given []Record, _ error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.records[:g.next] {
		h, held := g.holds[r.At]
		if held && h.by != consumer && time.Since(h.since) > idle && len(given) < most {
			g.holds[r.At] = memHold{consumer, time.Now()}
			given = append(given, r)
		}
	}
	return given, nil
}

func (g *memGroup) Ack(_ context.Context, at ...Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.refuse("ack"); err != nil {
		return err
	}
	for _, p := range at {
		g.acked[p]++
		delete(g.holds, p)
	}
	return nil
}

func (g *memGroup) Lag(context.Context) (Lag, error) { return Lag{}, errors.ErrUnsupported }

func (g *memGroup) Through(context.Context) (time.Time, error) {
	return time.Time{}, errors.ErrUnsupported
}

func (g *memGroup) Bury(_ context.Context, letters ...Letter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.refuse("bury"); err != nil {
		return err
	}
	for _, m := range letters {
		if there, ok := g.letters[m.ID]; !ok || there.Tries < m.Tries {
			g.letters[m.ID] = m
		}
	}
	return nil
}

func (g *memGroup) Dead(_ context.Context, group, after string, most int) (dead []Letter, _ error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := Place{0, -10}
	if after != "" {
		_, at, n, err := ParseLetterID(after)
		if err != nil {
			return nil, err
		}
		from = Place{at, n}
	}
	for _, m := range g.letters {
		if m.Group == group && from.Compare(Place{m.At, m.N}) < 0 {
			dead = append(dead, m)
		}
	}
	slices.SortFunc(dead, func(a, b Letter) int { return Place{a.At, a.N}.Compare(Place{b.At, b.N}) })
	return dead[:min(most, len(dead))], nil
}

func (g *memGroup) Discard(_ context.Context, ids ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		delete(g.letters, id)
	}
	return nil
}

func (g *memGroup) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	close(g.wake)
	g.wake = make(chan struct{})
}

// refusing makes calls fail for a while.
func (g *memGroup) refusing(fn func(what string) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse = fn
}

// open are the records that are not acknowledged.
func (g *memGroup) open() (all []Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.records {
		if g.acked[r.At] == 0 {
			all = append(all, r.At)
		}
	}
	return all
}

// splitWords makes a message of each word "key:name".
func splitWords(r Record) (all []Message, _ error) {
	for n, word := range strings.Fields(string(r.Value)) {
		key, name, ok := strings.Cut(word, ":")
		lane, err := strconv.ParseUint(key, 10, 64)
		if err != nil || !ok {
			return nil, fmt.Errorf("%q is no message", word)
		}
		all = append(all, Message{N: n, Lane: lane, Value: name, Raw: []byte(word)})
	}
	return all, nil
}
