package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// lane is a line of messages that are handled in order, by one goroutine.
type lane struct {
	index int
	wake  chan struct{} // holds a token when there may be a batch
	timer *time.Timer   // fires when the oldest message has waited long enough

	messages []Message   // guarded by run.mu
	records  []*inflight // guarded by run.mu: of each message
	busy     time.Time   // guarded by run.mu: since when the handler works; zero = it does not
	warned   bool        // guarded by run.mu: that it is stuck
	next     Place       // guarded by run.mu: the first place that no message of the lane covers
}

func newLane(index int) *lane {
	l := &lane{index: index, wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	l.timer.Stop()
	return l
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// put adds a message. Caller holds run.mu. The lane's goroutine is not woken for each
// one: the timer does it for the first, and the last that makes a batch.
func (l *lane) put(m Message, in *inflight, c Config) {
	l.messages, l.records = append(l.messages, m), append(l.records, in)
	switch len(l.messages) {
	case 1:
		l.timer.Reset(c.Wait)
		if c.Batch == 1 {
			l.signal()
		}
	case c.Batch:
		l.signal()
	}
}

// take gives all that waits when a batch is due, at most a queue full, and nothing
// when the Run drains and the lane is empty. What it is given back is used again.
func (r *run) take(l *lane, used []Message, usedRecords []*inflight) ([]Message, []*inflight) {
	clear(used) // the values must not live as long as the room
	clear(usedRecords)
	draining, late := false, false
	for {
		r.mu.Lock()
		n := len(l.messages)
		if n > 0 && (n >= r.Batch || r.pressed || draining || late) {
			messages, records := l.messages, l.records
			l.messages, l.records = used[:0], usedRecords[:0]
			l.busy, l.warned = r.Clock.Now(), false
			r.mu.Unlock()
			return messages, records
		}
		r.mu.Unlock()
		if n == 0 && draining {
			return nil, nil
		}
		late = false
		select {
		case <-l.wake:
		case <-l.timer.C:
			late = true
		case <-r.drain:
			draining = true
		}
	}
}

func (r *run) laneLoop(l *lane) {
	var messages []Message
	var records []*inflight
	for {
		if messages, records = r.take(l, messages, records); messages == nil {
			return
		}
		if !r.settle(l, messages, records, 0, r.HandlerTries) {
			return // the Run ends: what is left is not acknowledged
		}
		r.mu.Lock()
		l.busy = time.Time{}
		r.mu.Unlock()
		if r.Pace == nil {
			continue
		}
		if d := r.Pace(); d > 0 {
			r.rest(d)
		}
	}
}

// settle has messages consumed or buried, in order. Those that were tried before
// count from there; a part of a batch gets one try before it is cut in two. false:
// the Run ends and some are left.
func (r *run) settle(l *lane, messages []Message, records []*inflight, tried, most int) bool {
	var err error
	for try, out := 0, 0; try < most; {
		if err = r.call(l.index, messages); err == nil {
			r.finish(records)
			return true
		}
		if IsUnavailable(err) {
			out++
			r.Log.Warn("messages wait for what they need", "lane", l.index, "messages", len(messages), "failures", out, "error", err)
		} else {
			try, tried = try+1, tried+1
			r.Log.Warn("messages failed", "lane", l.index, "messages", len(messages), "tries", tried, "error", err)
		}
		if r.stop.Err() != nil {
			return false
		}
		if try < most && !r.backoff(max(try, out)) {
			return false
		}
	}
	if len(messages) == 1 {
		return r.bury(&messages[0], err, tried) && r.finish(records)
	}
	half := len(messages) / 2
	return r.settlePart(l, messages[:half], records[:half], tried) &&
		r.settlePart(l, messages[half:], records[half:], tried)
}

func (r *run) settlePart(l *lane, messages []Message, records []*inflight, tried int) bool {
	most := 1
	if len(messages) == 1 {
		most = r.HandlerTries // alone: it must not be buried for a passing trouble
	}
	return r.settle(l, messages, records, tried, most)
}

// call gives messages to the handler. A panic is a failure like others.
func (r *run) call(lane int, messages []Message) error {
	return guard(r.work, r.Config, r.handler, lane, messages)
}

func guard(ctx context.Context, c Config, h Handler, lane int, messages []Message) (err error) {
	ctx, cancel := context.WithTimeout(ctx, c.HandlerTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			c.Log.Error("a handler panics", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("handler panics: %v", p)
		}
	}()
	return h.Handle(ctx, lane, messages)
}

// finish counts messages as done and acknowledges the records that are whole.
func (r *run) finish(records []*inflight) bool {
	var done []Position
	r.mu.Lock()
	r.inHand -= len(records)
	for _, in := range records {
		if in.left--; in.left == 0 {
			done = append(done, in.at)
		}
	}
	r.mu.Unlock()
	select {
	case r.room <- struct{}{}:
	default:
	}
	r.ack(done)
	return true
}

// ack acknowledges records, and those that it could not before.
func (r *run) ack(done []Position) {
	r.mu.Lock()
	done = append(done, r.unacked...)
	r.unacked = nil
	r.mu.Unlock()
	if len(done) == 0 {
		return
	}
	err := r.group.Ack(r.work, done...)
	if err == nil {
		return
	}
	r.mu.Lock()
	r.unacked = append(r.unacked, done...)
	r.mu.Unlock()
	if !errors.Is(err, ErrClosed) {
		r.Log.Error("records cannot be acknowledged, will try again", "records", len(done), "error", err)
	}
}

// bury keeps a message as a dead letter before anything behind it in its lane is
// handled. It tries for ever: what is neither consumed nor kept would be lost.
func (r *run) bury(m *Message, why error, tries int) bool {
	return r.buryLetter(Letter{
		Group: r.group.Name(), At: m.At, N: m.N, Key: m.Lane, Since: m.Since, Until: m.Until,
		Value: m.Raw, Reason: why.Error(), Tries: tries,
	})
}

// buryRecord keeps a record that cannot be split, whole. It is not linked, so that the
// next one does not claim that nothing lies between.
func (r *run) buryRecord(rec Record, why error) {
	buried := r.buryLetter(Letter{
		Group: r.group.Name(), At: rec.At, N: WholeRecord, Value: rec.Value, Reason: why.Error(), Tries: 1,
	})
	if buried {
		r.ack([]Position{rec.At})
	}
}

func (r *run) buryLetter(m Letter) bool {
	m.ID, m.BuriedAt = LetterID(m.Group, m.At, m.N), r.Clock.Now()
	for failures := 1; ; failures++ {
		err := r.letters.Bury(r.work, m)
		if err == nil {
			r.Log.Error("a message cannot be consumed: it is kept as a dead letter", "letter", m.ID, "tries", m.Tries, "reason", m.Reason)
			return true
		}
		r.Log.Error("a dead letter cannot be kept, will try again; its lane waits", "letter", m.ID, "reason", m.Reason, "failures", failures, "error", err)
		if !r.backoff(failures) {
			return false
		}
	}
}

// reportStuck tells once of each batch that takes longer than its deadline allows.
func (r *run) reportStuck() {
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lanes {
		if !l.busy.IsZero() && !l.warned && now.Sub(l.busy) > r.ClaimIdle {
			l.warned = true
			r.Log.Error("a lane is stuck", "lane", l.index, "since", l.busy, "waiting", len(l.messages))
		}
	}
}
