package streamredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/internal/platform/stream/streamtest"
	"github.com/chopmark/chopmark/test/servers"
)

const patience = 60 * time.Second

// TestGroups holds the engine to the contract, on one server and on a Cluster.
func TestGroups(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func() string{
		"Single":  func() string { return servers.Redis(t).URL() },
		"Cluster": func() string { url, _ := servers.RedisCluster(t, 0); return url },
	} {
		url := url() // the server lives as long as the whole test
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			streamtest.Groups(t, func(t *testing.T, c clock.Clock) streamtest.Log {
				t.Helper()
				w := newWorld(t, url, Options{Clock: c})
				return w.producer(t, "p")
			})
		})
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// world is a name in some Redis.
type world struct {
	db *redisdb.DB
	o  Options
}

var worlds atomic.Int64 // names that were used

func newWorld(t testing.TB, url string, o Options) *world {
	t.Helper()
	db, err := redisdb.Open(t.Context(), redisdb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	o.Name, o.CheckEvery = fmt.Sprint("w", worlds.Add(1)), 20*time.Millisecond
	if o.Settle == 0 {
		o.Settle = 50 * time.Millisecond
	}
	return &world{db, o}
}

// producer is a process: its log, its shipper and its consumers.
type producer struct {
	*Streams

	t    testing.TB
	w    *world
	name string
	fs   vfs.FS
	log  *streamkv.Log
	seq  uint64
	stop context.CancelFunc
	ship sync.WaitGroup

	mu    sync.Mutex
	stall chan struct{} // guarded by mu: nothing is synced until it is closed
}

func (w *world) producer(t testing.TB, name string) *producer {
	t.Helper()
	p := &producer{t: t, w: w, name: name, fs: vfs.NewMem()}
	if err := p.open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *producer) open() (err error) {
	if p.Streams, err = Open(p.w.db, p.w.o); err != nil {
		return err
	}
	p.log, err = streamkv.Open("log", streamkv.Options{
		FS: errorfs.Wrap(p.fs, errorfs.InjectorFunc(p.mayStall)), Clock: p.w.o.Clock, Log: quiet(), Gather: -1, TrimEvery: 20 * time.Millisecond,
		Generation: func(after uint32) (uint32, error) { return p.Generation(context.Background(), p.name, after) },
	})
	if err != nil {
		return err
	}
	if _, err := p.log.Group(GroupShip); err != nil {
		return err
	}
	p.log.Start()
	p.seq = 0
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	streams, log := p.Streams, p.log
	p.ship.Go(func() {
		if err := streams.Ship(ctx, p.name, log); err != nil {
			p.t.Error(err)
		}
	})
	// A group that is asked for now must see this producer.
	return p.until(func() (bool, error) {
		names, err := p.w.db.Do(ctx, p.w.db.B().Smismember().Key(p.producersKey()).Member(p.name).Build()).AsIntSlice()
		return len(names) == 1 && names[0] == 1, err
	})
}

func (p *producer) until(ok func() (bool, error)) error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		there, err := ok()
		if there {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(errors.New("it does not come to pass"), err)
		}
	}
}

func (p *producer) mayStall(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
	default:
		return nil
	}
	p.mu.Lock()
	wait := p.stall
	p.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return nil
}

func (p *producer) Stall() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall = make(chan struct{})
	return func() { close(p.stall) }
}

// append adds a record to the log and does not wait for the stream.
func (p *producer) append(value string) (stream.Position, error) {
	p.seq++
	at := stream.At(p.log.Generation(), p.seq)
	return at, p.log.Append(at, []byte(value))
}

// Append also waits until the record is in its stream: to groups it is appended then.
func (p *producer) Append(value string) (stream.Position, error) {
	at, err := p.append(value)
	if err != nil {
		return at, err
	}
	return at, p.until(func() (bool, error) {
		text, err := p.w.db.Do(context.Background(), p.w.db.B().Hget().Key(p.stateKey(p.name)).Field("top").Build()).ToString()
		if err != nil {
			return false, err
		}
		top, err := parsePosition(text)
		return top >= at, err
	})
}

func (p *producer) Group(name string) (stream.Group, error) {
	return p.Streams.Group(context.Background(), name)
}

func (p *producer) Letters() stream.Letters { return p.Streams }

// Pass sets back when records were given out.
func (p *producer) Pass(d time.Duration) error {
	ctx, db, key := context.Background(), p.w.db, p.recordsKey(p.name)
	p.Streams.mu.Lock()
	var groups []string
	for name := range p.groups {
		groups = append(groups, name)
	}
	p.Streams.mu.Unlock()
	for _, g := range groups {
		page, err := db.Do(ctx, db.B().Xpending().Key(key).Group(g).Start("-").End("+").Count(10_000).Build()).ToArray()
		if err != nil {
			return err
		}
		for _, m := range page {
			f, err := m.ToArray()
			if err != nil {
				return err
			}
			id, err1 := f[0].ToString()
			holder, err2 := f[1].ToString()
			idle, err3 := f[2].AsInt64()
			err4 := db.Do(ctx, db.B().Xclaim().Key(key).Group(g).Consumer(holder).MinIdleTime("0").Id(id).Idle(idle+d.Milliseconds()).Justid().Build()).Error()
			if err := errors.Join(err1, err2, err3, err4); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends the process in order.
func (p *producer) Close() error {
	p.stop()
	p.ship.Wait()
	return errors.Join(p.Streams.Close(), p.log.Close())
}

func (p *producer) Reopen() error {
	if err := p.Close(); err != nil {
		return err
	}
	return p.open()
}
