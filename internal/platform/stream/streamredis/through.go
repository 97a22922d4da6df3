package streamredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
)

// ended stands in place of the time up to which a log's end holds: it gets no more records.
const ended = "ended"

// markOf is where a log ends now, and when that was. What every group has ended, as far as
// the log knows, need not be in Redis any more.
func (s *Streams) markOf(log *streamkv.Log, shipped *streamkv.Group) (mark, through string) {
	through = strconv.FormatInt(s.o.Clock.Now().UnixMicro(), 10) // before the end is read
	end := log.Durable()
	if shipped.Floor() >= end {
		end = 0
	}
	return end.String(), through
}

// settled notes that a log has got its last record of this process.
func (s *Streams) settled(producer string, sh *shipper) error {
	mark, _ := s.markOf(sh.log, sh.group)
	set := s.db.B().Hset().Key(s.stateKey(producer)).FieldValue().FieldValue("mark", mark).FieldValue("through", ended).Build()
	if err := s.do(context.Background(), set).Error(); err != nil {
		return fmt.Errorf("note the end of %s: %w", producer, err)
	}
	return nil
}

// begins forgets what is noted of a log's end: it is about to get records.
func (s *Streams) begins(ctx context.Context, producer string) error {
	if err := s.do(ctx, s.db.B().Hdel().Key(s.stateKey(producer)).Field("mark", "through").Build()).Error(); err != nil {
		return fmt.Errorf("forget the end of %s: %w", producer, err)
	}
	return nil
}

// horizon is how far a group has come in one log.
type horizon struct {
	mark    stream.Position // where the log ended
	at      time.Time       // when; zero = nothing is noted
	through time.Time
}

// pass takes what a producer says of its log, and where the group is.
func (h *horizon) pass(mark stream.Position, at time.Time, floor stream.Position) {
	switch {
	case floor >= mark:
		h.through, h.mark, h.at = at, mark, at
	case h.at.IsZero():
		h.mark, h.at = mark, at
	case floor >= h.mark:
		h.through, h.mark, h.at = h.at, mark, at
	}
}

// Through implements stream.Group: the earliest of all producers, those that are away
// included. One that ended in order has no more to come.
func (g *Group) Through(ctx context.Context) (time.Time, error) {
	if g.s.closed() {
		return time.Time{}, stream.ErrClosed
	}
	earliest := g.s.o.Clock.Now()
	producers, err := g.s.list(ctx)
	if err != nil {
		return time.Time{}, err
	}
	known := map[string]bool{}
	for _, p := range producers {
		known[p] = true
		through, err := g.throughOf(ctx, p, earliest)
		if err != nil {
			return time.Time{}, fmt.Errorf("how far %s is behind %s: %w", g.name, p, err)
		}
		if through.Before(earliest) {
			earliest = through
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.horizons {
		if !known[p] { // Redis was emptied, and the producer is not back yet
			return time.Time{}, nil
		}
	}
	if len(producers) == 0 {
		return time.Time{}, nil
	}
	return earliest, nil
}

// throughOf is the zero time while nothing is known of a producer.
func (g *Group) throughOf(ctx context.Context, producer string, now time.Time) (time.Time, error) {
	m, err := g.s.exec(ctx, throughScript, []string{g.s.recordsKey(producer), g.s.stateKey(producer)}, g.name).AsStrSlice()
	if err != nil || len(m) != 3 {
		return time.Time{}, errors.Join(err, errors.New("no answer"))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.horizons[producer]
	if h == nil {
		h = &horizon{}
		g.horizons[producer] = h
	}
	if m[1] == "" {
		*h = horizon{}
		return h.through, nil
	}
	at := now
	if m[1] != ended {
		micros, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return time.Time{}, err
		}
		at = time.UnixMicro(micros).UTC()
	}
	mark, err1 := parsePosition(m[0])
	floor, err2 := parsePosition(m[2])
	if err := errors.Join(err1, err2); err != nil {
		return time.Time{}, err
	}
	h.pass(mark, at, floor)
	return h.through, nil
}
