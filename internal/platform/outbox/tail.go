package outbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

const (
	tailEvery = 500 * time.Millisecond // how soon it looks when nobody wakes it
	tailPage  = 100                    // events that are read at once
	tailAhead = 16                     // pages that wait for one who is slower than others
)

// Tail reads an outbox once for all in this process who wait for what is new, so that who
// waits costs nothing. While nobody does it does not read.
//
// Each Follower gets every event behind its cursor once, in the order of Read, however it
// comes and goes and however slow it is (TestTail).
type Tail struct {
	outbox *Outbox
	log    *slog.Logger
	woken  chan struct{}

	mu        sync.Mutex
	at        Cursor                 // guarded by mu: after what was handed out
	reading   bool                   // guarded by mu: at is a place that followers know of
	followers map[*Follower]struct{} // guarded by mu
}

// NewTail makes a tail; Run lets it work.
func NewTail(o *Outbox, log *slog.Logger) *Tail {
	return &Tail{outbox: o, log: log, woken: make(chan struct{}, 1), followers: map[*Follower]struct{}{}}
}

// Wake makes the tail look at once. It never waits.
func (t *Tail) Wake() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

// Run reads until ctx ends.
func (t *Tail) Run(ctx context.Context) {
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	var heads Cursor
	lost := false
	for {
		err := t.look(ctx, &heads)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !lost:
			t.log.Warn("the outbox cannot be read for those who follow it; will go on trying", "error", err)
		}
		lost = err != nil
		select {
		case <-tick.C:
		case <-t.woken:
		case <-ctx.Done():
			return
		}
	}
}

// look hands out what came since the last look, where the heads have moved.
func (t *Tail) look(ctx context.Context, seen *Cursor) error {
	t.mu.Lock()
	waiting, at := len(t.followers) > 0, t.at
	reading := t.reading
	t.reading = reading && waiting
	t.mu.Unlock()
	if !waiting {
		return nil
	}
	heads, err := t.outbox.Heads(ctx)
	if err != nil || reading && heads == *seen {
		return err
	}
	if !reading {
		t.begin(heads)
		*seen = heads
		return nil
	}
	for {
		events, next, err := t.outbox.Read(ctx, at, tailPage)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			*seen = heads
			return nil
		}
		t.hand(page{at, next, events})
		at = next
	}
}

// begin goes on from a place that nobody was given events up to: all look for themselves.
func (t *Tail) begin(at Cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.reading = at, true
	for f := range t.followers {
		f.miss()
	}
}

func (t *Tail) hand(p page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = p.to
	for f := range t.followers {
		select {
		case f.pages <- p:
		default:
			f.miss()
		}
	}
}

// handed is up to where the tail has read.
func (t *Tail) handed() Cursor {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}

// page is what lies between two cursors.
type page struct {
	from, to Cursor
	events   []Event
}

// Follower is one who gets events as they come. It is for one goroutine.
type Follower struct {
	tail   *Tail
	at     Cursor
	behind bool          // it reads by itself until it has everything
	pages  chan page     // from the tail
	missed chan struct{} // a token when a page was not handed to it
}

// Follow makes a follower that begins behind a cursor. Stop must be called.
func (t *Tail) Follow(after Cursor) *Follower {
	f := &Follower{tail: t, at: after, behind: true, pages: make(chan page, tailAhead), missed: make(chan struct{}, 1)}
	t.mu.Lock()
	t.followers[f] = struct{}{}
	t.mu.Unlock()
	t.Wake()
	return f
}

// Stop ends a follower.
func (f *Follower) Stop() {
	f.tail.mu.Lock()
	defer f.tail.mu.Unlock()
	delete(f.tail.followers, f)
}

func (f *Follower) miss() {
	select {
	case f.missed <- struct{}{}:
	default:
	}
}

// Cursor is behind everything that Next gave.
func (f *Follower) Cursor() Cursor { return f.at }

// Next waits for events. All of one transaction come together. It ends with ctx's error.
func (f *Follower) Next(ctx context.Context) ([]Event, error) {
	for {
		if f.behind {
			upTo := f.tail.handed()
			events, next, err := f.tail.outbox.Read(ctx, f.at, tailPage)
			if err != nil {
				return nil, errors.Join(ctx.Err(), err)
			}
			f.at, f.behind = next, len(events) > 0
			if len(events) > 0 {
				return events, nil
			}
			f.raise(&upTo) // commits without events are in no page
		}
		select {
		case <-f.missed:
			f.behind = true
		case p := <-f.pages:
			if events := f.take(&p); len(events) > 0 {
				return events, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take gives what is new in a page. One that begins behind a gap is left: what is missing
// is read, and it again.
func (f *Follower) take(p *page) (events []Event) {
	for shard := range ids.Shard(ids.Shards) {
		if f.at[shard] < p.from[shard] {
			f.behind = true
			return nil
		}
	}
	for i := range p.events {
		if e := &p.events[i]; e.Seq > f.at[e.Shard] {
			events = append(events, *e)
		}
	}
	f.raise(&p.to)
	return events
}

func (f *Follower) raise(to *Cursor) {
	for shard := range f.at {
		f.at[shard] = max(f.at[shard], to[shard])
	}
}
