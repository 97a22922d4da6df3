package scantest

import (
	"context"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// Group is a stream.Group over records in memory. It ends with the records: Fetch
// then answers stream.ErrClosed once all are acknowledged.
type Group struct {
	name string

	mu      sync.Mutex
	records []stream.Record          // guarded by mu; what nobody holds
	held    map[stream.Position]bool // guarded by mu
	changed chan struct{}            // guarded by mu; closed when something was acknowledged
	Acked   map[stream.Position]bool // guarded by mu; read it when Run has ended
}

// NewGroup makes a group that has acknowledged nothing of the records.
func NewGroup(name string, records []stream.Record) *Group {
	return &Group{
		name: name, records: records, held: map[stream.Position]bool{}, Acked: map[stream.Position]bool{}, changed: make(chan struct{}),
	}
}

// Name implements stream.Group.
func (g *Group) Name() string { return g.name }

// Fetch implements stream.Group.
func (g *Group) Fetch(ctx context.Context, _ string, most int) ([]stream.Record, error) {
	for {
		g.mu.Lock()
		if len(g.records) > 0 {
			n := min(most, len(g.records))
			out := g.records[:n]
			g.records = g.records[n:]
			for _, r := range out {
				g.held[r.At] = true
			}
			g.mu.Unlock()
			return out, nil
		}
		left, changed := len(g.held), g.changed
		g.mu.Unlock()
		if left == 0 {
			return nil, stream.ErrClosed
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// Claim implements stream.Group: there is no other consumer.
func (*Group) Claim(context.Context, string, time.Duration, int) ([]stream.Record, error) {
	return nil, nil
}

// Ack implements stream.Group.
func (g *Group) Ack(_ context.Context, at ...stream.Position) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range at {
		delete(g.held, p)
		g.Acked[p] = true
	}
	close(g.changed)
	g.changed = make(chan struct{})
	return nil
}

// Through implements stream.Group: nothing is known, since records have no times.
func (*Group) Through(context.Context) (time.Time, error) { return time.Time{}, nil }

// Lag implements stream.Group.
func (g *Group) Lag(context.Context) (stream.Lag, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return stream.Lag{Records: int64(len(g.records) + len(g.held)), Held: int64(len(g.held))}, nil
}

// Letters is a stream.Letters in memory.
type Letters struct {
	mu     sync.Mutex
	Buried []stream.Letter // guarded by mu
}

// Bury implements stream.Letters.
func (l *Letters) Bury(_ context.Context, letters ...stream.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Buried = append(l.Buried, letters...)
	return nil
}

// Dead implements stream.Letters.
func (l *Letters) Dead(context.Context, string, string, int) ([]stream.Letter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buried, nil
}

// Discard implements stream.Letters.
func (*Letters) Discard(context.Context, ...string) error { return nil }
