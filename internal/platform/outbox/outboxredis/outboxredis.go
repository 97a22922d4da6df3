// Package outboxredis tells other processes at once that an outbox has moved on, through
// Redis.
//
// Promise: what is told is a place in a shard's order of commit and nothing else. It is a
// call to look, never what is looked at: a message that is lost, doubled or late costs
// the time until the next look that would have been anyway (TestLostMessages). Nobody who
// commits waits for Redis.
package outboxredis

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
)

const (
	channelPrefix = "chopmark:commits:" // and the shard; a Redis user needs the channels chopmark:*
	// gather is how often at most a process tells of its commits: those between go
	// together, as the last of their shard.
	gather   = 5 * time.Millisecond
	rejoin   = 100 * time.Millisecond // after the connection was lost; doubles …
	rejoinTo = 5 * time.Second        // … up to this
)

// Push tells of this process's commits and hears of those of others.
type Push struct {
	redis *redisdb.DB
	log   *slog.Logger
	known [ids.Shards]atomic.Int64 // the highest that it committed or heard of
	own   [ids.Shards]atomic.Int64 // the highest that it committed
	told  [ids.Shards]int64        // of own; used by tell alone
	moved chan struct{}
}

// New makes the push of a process; Run lets it work.
func New(redis *redisdb.DB, log *slog.Logger) *Push {
	return &Push{redis: redis, log: log, moved: make(chan struct{}, 1)}
}

// Committed notes that this process has committed. It never waits.
func (p *Push) Committed(shard ids.Shard, seq int64) {
	raise(&p.known[shard], seq)
	if !raise(&p.own[shard], seq) {
		return
	}
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// raise reports whether seq is higher than at was, and makes it so.
func raise(at *atomic.Int64, seq int64) bool {
	for {
		old := at.Load()
		if seq <= old {
			return false
		}
		if at.CompareAndSwap(old, seq) {
			return true
		}
	}
}

// Run tells and hears until ctx ends. heard is called when another process has committed
// what this one does not know of, and whenever that cannot be ruled out. It must not wait.
func (p *Push) Run(ctx context.Context, heard func()) {
	telling := make(chan struct{})
	go func() { // ends with ctx, and Run waits for it
		defer close(telling)
		p.tell(ctx)
	}()
	defer func() { <-telling }()
	var channels []string
	for shard := range ids.Shard(ids.Shards) {
		channels = append(channels, channel(shard))
	}
	for failures := 0; ctx.Err() == nil; {
		err := p.redis.Subscribe(ctx, channels, func() {
			if failures > 0 {
				p.log.Info("commits of other processes are heard of at once again")
			}
			failures = 0
			heard()
		}, func(message string) {
			if shard, seq, ok := parse(message); !ok || raise(&p.known[shard], seq) {
				heard()
			}
		})
		if ctx.Err() != nil {
			return
		}
		if failures == 0 {
			p.log.Warn("commits of other processes are not heard of at once; they are seen when it is next looked", "error", err)
		}
		pause := min(rejoin<<min(failures, 10), rejoinTo)
		failures++
		wait(ctx, pause)
	}
}

// tell publishes what this process has committed.
func (p *Push) tell(ctx context.Context) {
	for {
		select {
		case <-p.moved:
		case <-ctx.Done():
			return
		}
		news := p.news()
		_ = p.redis.Guard(func(ctx context.Context) error { // others look by themselves, too
			for shard, seq := range news {
				message := fmt.Sprintf("%d:%d", shard, seq)
				if err := p.redis.Do(ctx, p.redis.B().Publish().Channel(channel(shard)).Message(message).Build()).Error(); err != nil {
					return err
				}
			}
			return nil
		})
		wait(ctx, gather)
	}
}

// news is what is not told yet. It counts as told: nothing is told twice.
func (p *Push) news() map[ids.Shard]int64 {
	news := map[ids.Shard]int64{}
	for shard := range ids.Shard(ids.Shards) {
		if seq := p.own[shard].Load(); seq != p.told[shard] {
			p.told[shard], news[shard] = seq, seq
		}
	}
	return news
}

func channel(shard ids.Shard) string { return channelPrefix + strconv.Itoa(int(shard)) }

func parse(message string) (_ ids.Shard, seq int64, ok bool) {
	left, right, _ := strings.Cut(message, ":")
	shard, err1 := strconv.ParseUint(left, 10, 8)
	seq, err2 := strconv.ParseInt(right, 10, 64)
	return ids.Shard(shard), seq, err1 == nil && err2 == nil && shard < ids.Shards
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
