package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Config is how a Run works. The zero value of a field is the usual one.
type Config struct {
	Consumer string        // tells this Run from others of its group; "" = a random name
	Batch    int           // a lane hands over when so many wait (100) …
	Wait     time.Duration // … or the oldest has waited so long (1 s)
	Workers  int           // lanes (20). An inbox keeps what it knows by lane: see inbox.Lanes
	Queue    int           // messages in hand, waiting and being handled (1,000)
	Records  int           // asked for at once (1); the Queue may be passed by so many

	HandlerTries   int           // of a batch, and of a message alone, before it is buried (5)
	HandlerTimeout time.Duration // of one try (1 min)
	Backoff        time.Duration // after the first failure (100 ms); doubles …
	BackoffMax     time.Duration // … up to this (30 s)
	ClaimIdle      time.Duration // what another consumer holds longer is taken over (5 min)
	Grace          time.Duration // for what is in hand when ctx ends (10 s)

	Clock clock.Clock
	Log   *slog.Logger
	// Pace is asked after each batch how long the lane should rest, so that what is
	// more urgent gets the machine. May be nil.
	Pace func() time.Duration
}

func (c Config) withDefaults(group string) Config {
	usual := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	usualTime := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	usual(&c.Batch, 100)
	usual(&c.Workers, 20)
	usual(&c.Queue, 1000)
	usual(&c.Records, 1)
	usual(&c.HandlerTries, 5)
	usualTime(&c.Wait, time.Second)
	usualTime(&c.HandlerTimeout, time.Minute)
	usualTime(&c.Backoff, 100*time.Millisecond)
	usualTime(&c.BackoffMax, 30*time.Second)
	usualTime(&c.ClaimIdle, 5*time.Minute)
	usualTime(&c.Grace, 10*time.Second)
	if c.Clock == nil {
		c.Clock = clock.System{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Consumer == "" {
		c.Consumer = group + "-" + rand.Text()
	}
	c.Log = c.Log.With("group", group, "consumer", c.Consumer)
	return c
}

// Run consumes a group until ctx ends or the log is closed, which is ErrClosed. When
// ctx ends it handles what is in hand, each batch once, for as long as Grace; what is
// left is not acknowledged and comes again.
//
// Messages of one lane are handled in order and one batch at a time, also over
// retries, as long as no other Run takes over its records. Other lanes go on.
func Run(ctx context.Context, c Config, g Group, letters Letters, split Split, h Handler) error {
	c = c.withDefaults(g.Name())
	stop, cancelStop := context.WithCancel(ctx)
	defer cancelStop()
	work, cancelWork := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	r := &run{
		Config: c, group: g, letters: letters, split: split, handler: h,
		stop: stop, work: work, room: make(chan struct{}, 1), drain: make(chan struct{}),
		lanes: make([]*lane, c.Workers), lastOf: make([]int, c.Workers),
	}
	var lanes, intake sync.WaitGroup
	for i := range r.lanes {
		r.lanes[i] = newLane(i)
		lanes.Go(func() { r.laneLoop(r.lanes[i]) })
	}
	var closed error
	intake.Go(func() {
		defer cancelStop()
		closed = r.fetchLoop()
	})
	intake.Go(r.claimLoop)
	<-stop.Done()
	drained := make(chan struct{})
	go func() { // Run waits for it, but no longer than a stuck handler deserves
		intake.Wait()
		close(r.drain)
		lanes.Wait()
		close(drained)
	}()
	if !within(drained, c.Grace) {
		cancelWork()
		if !within(drained, min(c.Grace, time.Second)) {
			return errors.Join(ctx.Err(), fmt.Errorf("group %s: a handler does not end", g.Name()))
		}
	}
	r.ack(nil) // what could not be acknowledged before
	return closed
}

// within waits for a channel to close.
func within(done <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

type run struct {
	Config

	group   Group
	letters Letters
	split   Split
	handler Handler
	stop    context.Context //nolint:containedctx // the life of the intake; ends before work
	work    context.Context //nolint:containedctx // the life of handlers; ended after the grace
	lanes   []*lane
	room    chan struct{} // holds a token when messages were ended
	drain   chan struct{} // closed when nothing comes in any more

	mu      sync.Mutex
	inHand  int        // guarded by mu: messages that wait or are handled
	pressed bool       // guarded by mu: the queue is full, lanes hand over what they have
	lastAt  Position   // guarded by mu: the last one that was fetched and split; 0 = none
	lastOf  []int      // guarded by mu: scratch of linkLocked
	unacked []Position // guarded by mu: ended, and not acknowledged yet
}

// inflight is a record of which messages are in hand.
type inflight struct {
	at   Position
	left int // guarded by run.mu
}

// fetchLoop takes records in until the Run stops. Only a closed log is an error.
func (r *run) fetchLoop() error {
	for failures := 0; ; {
		if !r.waitForRoom() {
			return nil
		}
		records, err := r.group.Fetch(r.stop, r.Consumer, r.Records)
		switch {
		case r.stop.Err() != nil && err != nil:
			return nil //nolint:nilerr // to be stopped is no failure
		case errors.Is(err, ErrClosed):
			return err
		case err != nil:
			failures++
			r.Log.Error("records cannot be fetched, will try again", "failures", failures, "error", err)
			if !r.backoff(failures) {
				return nil
			}
			continue
		}
		failures = 0
		for _, rec := range records {
			r.admit(rec, true)
		}
	}
}

// claimLoop takes over what other consumers hold too long, and tells of own lanes
// that are stuck.
func (r *run) claimLoop() {
	tick := time.NewTicker(max(r.ClaimIdle/2, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-r.stop.Done():
			return
		case <-tick.C:
		}
		r.reportStuck()
		r.ack(nil) // what could not be acknowledged before
		for r.hasRoom() && r.stop.Err() == nil {
			records, err := r.group.Claim(r.stop, r.Consumer, r.ClaimIdle, 1)
			if err != nil && r.stop.Err() == nil && !errors.Is(err, ErrClosed) {
				r.Log.Error("records of other consumers cannot be claimed, will try again", "error", err)
			}
			for _, rec := range records {
				r.Log.Warn("takes over a record that another consumer held too long", "position", rec.At.String())
				r.admit(rec, false)
			}
			if len(records) == 0 {
				break
			}
		}
	}
}

func (r *run) hasRoom() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inHand < r.Queue
}

// waitForRoom lets the lanes work while the queue is full. It then waits until half
// of it is free: filling up in one go makes fewer and larger batches.
func (r *run) waitForRoom() bool {
	for {
		r.mu.Lock()
		full := r.inHand >= r.Queue || r.pressed && r.inHand > r.Queue/2
		r.pressed = full
		if full {
			for _, l := range r.lanes {
				if len(l.messages) > 0 {
					l.signal()
				}
			}
		}
		r.mu.Unlock()
		if !full {
			return r.stop.Err() == nil
		}
		select {
		case <-r.stop.Done():
			return false
		case <-r.room:
		}
	}
}

// admit splits a record and gives its messages to their lanes. fetched tells that it
// follows the one before in the order of the log.
func (r *run) admit(rec Record, fetched bool) {
	messages, err := safeSplit(r.split, rec)
	if err != nil {
		r.buryRecord(rec, err)
		return
	}
	r.mu.Lock()
	r.linkLocked(rec, messages, fetched)
	in := &inflight{at: rec.At, left: len(messages)}
	r.inHand += len(messages)
	for i := range messages {
		r.lanes[LaneOf(messages[i].Lane, r.Workers)].put(messages[i], in, r.Config)
	}
	r.mu.Unlock()
	if len(messages) == 0 {
		r.ack([]Position{rec.At})
	}
}

// linkLocked tells each message which places around it are without a message of its
// lane. Between two records that follow each other in the log nothing is missing; what
// was claimed, or comes after a gap, knows only its own record.
func (r *run) linkLocked(rec Record, messages []Message, fetched bool) {
	start := EndOf(rec.Prev).Next()
	next := func(lane int) *Place { return &r.lanes[lane].next }
	switch {
	case !fetched:
		own := make([]Place, len(r.lanes))
		for i := range own {
			own[i] = start
		}
		next = func(lane int) *Place { return &own[lane] }
	case rec.Prev != r.lastAt || r.lastAt == 0:
		for _, l := range r.lanes {
			l.next = start
		}
	}
	if fetched {
		r.lastAt = rec.At
	}
	for i := range r.lastOf {
		r.lastOf[i] = -1
	}
	for i := range messages {
		m := &messages[i]
		index := LaneOf(m.Lane, r.Workers)
		free := next(index)
		m.Since, m.Until = *free, m.Place()
		*free = m.Until.Next()
		r.lastOf[index] = i
	}
	for index, i := range r.lastOf {
		if i >= 0 {
			messages[i].Until = EndOf(rec.At)
			*next(index) = EndOf(rec.At).Next()
		}
	}
}

// safeSplit splits, and holds the result to what the rest relies on.
func safeSplit(split Split, rec Record) (messages []Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("split panics: %v", p)
		}
	}()
	messages, err = split(rec)
	return arrange(rec, messages, err)
}

func arrange(rec Record, messages []Message, err error) ([]Message, error) {
	if err != nil {
		return nil, err
	}
	before := -1
	for i := range messages {
		m := &messages[i]
		if m.N <= before || m.N > MessagesMax {
			return nil, fmt.Errorf("split gives message %d after %d", m.N, before)
		}
		before, m.At = m.N, rec.At
	}
	return messages, nil
}

// backoff waits before try number n+1, longer each time and never in step with
// others. It gives false when the Run stops.
func (r *run) backoff(n int) bool {
	d := r.Backoff
	for range min(n-1, 30) {
		d = min(2*d, r.BackoffMax)
	}
	return r.rest(d/2 + jitter(d/2))
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails; it ends the program instead
	return d * time.Duration(int(b[0])<<8|int(b[1])) >> 16
}

// rest waits; false when the Run stops meanwhile.
func (r *run) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stop.Done():
		return false
	}
}
