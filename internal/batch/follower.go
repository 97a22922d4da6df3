package batch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// AsOf is the latest moment of which it is certain that everything committed before
// it is seen here; zero while nothing is certain. It is kept by who follows the feed
// for this projection: a process that alone writes its SQL needs no one to.
func (p *Projection) AsOf() time.Time {
	if us := p.current.Load(); us != 0 {
		return time.UnixMicro(us).UTC()
	}
	return time.Time{}
}

// Heard notes that everything committed before t has been applied.
func (p *Projection) Heard(t time.Time) {
	if !t.IsZero() {
		p.current.Store(t.UnixMicro())
	}
}

// Beyond reports that no batch here has the serial and a later one of its shard may:
// it lies above the shard's high-water mark.
func (p *Projection) Beyond(s ids.Serial) bool {
	if s.Region() != p.region || s.Shard() >= ids.Shards {
		return false
	}
	entries := *p.shards[s.Shard()].entries.Load()
	return len(entries) == 0 || s > entries[len(entries)-1].Serial(entries[len(entries)-1].Quantity)
}

// watches are those who want to know that something was applied.
type watches struct {
	mu  sync.Mutex
	all map[chan struct{}]struct{} // guarded by mu
}

// tell leaves a token with everyone who has none.
func (w *watches) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Watch gives a channel that holds a token when entries were applied since it was
// last read. stop ends it.
func (p *Projection) Watch() (applied <-chan struct{}, stop func()) {
	ch, w := make(chan struct{}, 1), &p.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]struct{}{}
	}
	w.all[ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, ch)
	}
}

// followEvery is how soon a change of another process is seen when nobody wakes the
// follower.
const followEvery = 250 * time.Millisecond

// followPause is how often at most a follower that is woken looks: what comes between is
// seen together.
const followPause = 10 * time.Millisecond

// Follower lets a projection see what other processes commit to its source.
type Follower struct {
	proj  *Projection
	clock clock.Clock
	log   *slog.Logger
	heads [ids.Shards]int64 // what was caught up with; used by Run alone
	woken chan struct{}
}

// NewFollower makes a follower of a projection that has been started.
func NewFollower(p *Projection, c clock.Clock, log *slog.Logger) *Follower {
	return &Follower{proj: p, clock: c, log: log, woken: make(chan struct{}, 1)}
}

// Wake makes the follower look at once: for whoever hears of a commit elsewhere. It
// never blocks.
func (f *Follower) Wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// Run follows until ctx ends. While the source is out of reach AsOf stands still.
func (f *Follower) Run(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	lost := false
	for {
		err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !lost:
			f.log.Warn("changes of other processes cannot be followed; will go on trying", "error", err)
		case err == nil && lost:
			f.log.Info("changes of other processes are followed again")
		}
		lost = err != nil
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-f.woken:
		case <-ctx.Done():
			return
		}
	}
}

// look catches up with the shards that moved.
func (f *Follower) look(ctx context.Context) error {
	asked := f.clock.Now()
	heads, err := f.proj.feed.FeedHeads(ctx)
	if err != nil {
		return fmt.Errorf("read heads of the feed: %w", err)
	}
	for shard := range ids.Shard(ids.Shards) {
		if heads[shard] == f.heads[shard] {
			continue
		}
		if err := f.proj.CatchUp(ctx, shard); err != nil {
			return err
		}
		f.heads[shard] = heads[shard]
	}
	f.proj.Heard(asked)
	return nil
}
