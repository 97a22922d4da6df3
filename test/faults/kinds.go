package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chopmark/chopmark/test/servers"
)

const (
	downMin   = 300 * time.Millisecond // between a kill and the start
	downMost  = 1300 * time.Millisecond
	lastsFor  = 2 * time.Second // faults that last
	resets    = 5
	fullFor   = 5 * time.Second
	sqlOneIn  = 3 // commits whose answer is lost
	scanOneIn = 5 // packets with scripts whose answer is lost
)

// kind is a fault. do brings it about and ends it, and gives the moment that recovery
// counts from: the restart, the end of what lasted, the beginning of a stall.
type kind struct {
	name  string
	quick bool // for the short run
	do    func(ctx context.Context, w *world) (time.Time, error)
}

func kinds() []kind {
	return []kind{
		{"kill -9 issue", true, func(ctx context.Context, w *world) (time.Time, error) { return w.kill(ctx, w.issue) }},
		{"replies dropped, SQL", true, func(ctx context.Context, w *world) (time.Time, error) {
			return w.lose(ctx, "COMMIT", sqlOneIn, w.sqlWay)
		}},
		{"kill -9 mariadbd", false, func(_ context.Context, w *world) (time.Time, error) { return time.Now(), w.sql.CrashNow() }},
		{"kill -9 edge 1", true, func(ctx context.Context, w *world) (time.Time, error) { return w.kill(ctx, w.edges[0]) }},
		{"replies dropped, Redis", false, func(ctx context.Context, w *world) (time.Time, error) {
			return w.lose(ctx, "EVALSHA", scanOneIn, w.redis.ways...)
		}},
		{"kill -9 Redis master", false, killRedis},
		{"kill -9 worker", false, func(ctx context.Context, w *world) (time.Time, error) { return w.kill(ctx, w.worker) }},
		{"stall 2 s, SQL", false, func(ctx context.Context, w *world) (time.Time, error) { return stall(ctx, w.sqlWay) }},
		{"Sentinel failover", false, func(ctx context.Context, w *world) (time.Time, error) { return failover(ctx, w, 0) }},
		{"kill -9 edge 2", false, func(ctx context.Context, w *world) (time.Time, error) { return w.kill(ctx, w.edges[1]) }},
		{"stall 2 s, Redis", false, func(ctx context.Context, w *world) (time.Time, error) { return stall(ctx, w.redis.ways...) }},
		{"kill -9 Kafka", false, killKafka},
		{"resets, SQL", false, func(ctx context.Context, w *world) (time.Time, error) { return reset(ctx, w.sqlWay) }},
		{"failover, stale replica", false, func(ctx context.Context, w *world) (time.Time, error) { return failover(ctx, w, lastsFor) }},
		{"stall 2 s, Kafka", false, func(ctx context.Context, w *world) (time.Time, error) { return stall(ctx, w.kafkaWay) }},
		{"resets, Redis", false, func(ctx context.Context, w *world) (time.Time, error) { return reset(ctx, w.redis.ways...) }},
		{diskFull, false, fill},
		{"Redis FLUSHALL", false, flush},
		{"edges cut off 2 s", false, cutOff},
	}
}

// diskFull is the one fault that needs a disk of its own, which only root can make.
const diskFull = "MariaDB's disk full"

// down is a while in which nobody has started again what was killed.
func (w *world) down(ctx context.Context) {
	wait(ctx, downMin+time.Duration(w.rng.Int64N(int64(downMost-downMin))))
}

func (w *world) kill(ctx context.Context, p *process) (time.Time, error) {
	p.now().Kill()
	w.down(ctx)
	since := time.Now()
	return since, p.start(ctx)
}

func killRedis(ctx context.Context, w *world) (since time.Time, _ error) {
	m, err := w.redis.master()
	if err != nil {
		return since, err
	}
	w.redis.nodes[m].Kill()
	w.down(ctx)
	since = time.Now()
	return since, w.redis.nodes[m].Restart()
}

func killKafka(ctx context.Context, w *world) (time.Time, error) {
	w.kafka.Kill()
	w.down(ctx)
	since := time.Now()
	return since, w.kafka.Start()
}

func (w *world) lose(ctx context.Context, text string, oneIn int, ways ...*servers.Proxy) (time.Time, error) {
	for _, way := range ways {
		way.Lose(text, oneIn)
	}
	wait(ctx, lastsFor)
	for _, way := range ways {
		way.Lose("", 0)
	}
	return time.Now(), nil
}

func stall(ctx context.Context, ways ...*servers.Proxy) (time.Time, error) {
	since := time.Now()
	releases := make([]func(), len(ways))
	for i, way := range ways {
		releases[i] = way.Hold()
	}
	wait(ctx, lastsFor)
	for _, release := range releases {
		release()
	}
	return since, nil
}

func reset(ctx context.Context, ways ...*servers.Proxy) (time.Time, error) {
	for range resets {
		wait(ctx, lastsFor/(2*resets))
		for _, way := range ways {
			way.Reset()
		}
	}
	return time.Now(), nil
}

func cutOff(ctx context.Context, w *world) (time.Time, error) {
	w.rolesWay.Shut(true)
	wait(ctx, lastsFor)
	w.rolesWay.Shut(false)
	return time.Now(), nil
}

// failover kills the master and lets the replica take over, which may have been cut off
// from it for a while and so knows less. The old master comes back as a replica.
func failover(ctx context.Context, w *world, stale time.Duration) (since time.Time, _ error) {
	s := w.redis
	old, err := s.master()
	if err != nil {
		return since, err
	}
	if stale > 0 {
		s.ways[old].Bar("REPLCONF") // what only a replica says
		wait(ctx, stale)
	}
	s.nodes[old].Kill()
	since = time.Now()
	if err := s.over(ctx, old); err != nil {
		return since, err
	}
	s.ways[old].Bar("")
	return since, s.nodes[old].Restart()
}

func flush(_ context.Context, w *world) (since time.Time, _ error) {
	m, err := w.redis.master()
	if err != nil {
		return since, err
	}
	said, err := w.redis.nodes[m].Command("FLUSHALL")
	if err == nil && said != "+OK" {
		err = errors.New(said)
	}
	return time.Now(), err
}

// fill takes all room that MariaDB's disk has.
func fill(ctx context.Context, w *world) (since time.Time, _ error) {
	path := filepath.Join(w.sql.Data(), "filler")
	f, err := os.Create(path)
	if err != nil {
		return since, err
	}
	end := int64(0)
	take := func() error {
		for step := int64(64 << 20); step >= 4096; {
			switch err := unix.Fallocate(int(f.Fd()), 0, end, step); {
			case errors.Is(err, unix.ENOSPC):
				step /= 2
			case err != nil:
				return fmt.Errorf("fill MariaDB's disk: %w", err)
			default:
				end += step
			}
		}
		return nil
	}
	for begun := time.Now(); err == nil && ctx.Err() == nil && time.Since(begun) < fullFor; wait(ctx, lookAgain) {
		err = take() // what the server gives back too
	}
	return time.Now(), errors.Join(err, f.Close(), os.Remove(path))
}
