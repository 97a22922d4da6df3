package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// until waits for something that another goroutine brings about, told by a channel.
func until(t *testing.T, applied <-chan struct{}, done func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	for !done() {
		select {
		case <-applied:
		case <-end:
			t.Fatal("it did not come about")
		}
	}
}

// TestFollowerSeesOthersChanges runs one process that changes and one that follows,
// by its poll alone and woken.
func TestFollowerSeesOthersChanges(t *testing.T) {
	t.Parallel()
	at := newSetting(t)
	writer, reader := at.open(t), setting{db: at.db, local: t.TempDir(), config: at.config}.open(t)
	defer writer.close()
	f := batch.NewFollower(reader.proj, clock.System{}, slog.New(slog.DiscardHandler))
	applied, stop := reader.proj.Watch()
	defer stop()
	if !reader.proj.AsOf().IsZero() {
		t.Errorf("before it follows it is as of %v", reader.proj.AsOf())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	defer func() { cancel(); running.Wait(); reader.close() }()

	b := writer.batch(writer.product(batch.Pool{}), "lot", 100_000)
	until(t, applied, func() bool { _, ok := reader.proj.Lookup(b.Serial(100_000)); return ok })
	if reader.proj.Beyond(b.Serial(100_000)) || !reader.proj.Beyond(b.Serial(100_001)) {
		t.Error("the high-water mark is not where the batch ends")
	}
	before := time.Now()
	writer.move(b, 1, 50_000, "active")
	f.Wake()
	until(t, applied, func() bool { i, _ := reader.proj.Lookup(b.Serial(50_000)); return i.State == gs1.Active })
	end := time.Now().Add(30 * time.Second)
	for reader.proj.AsOf().Before(before.Truncate(time.Microsecond)) {
		if time.Now().After(end) {
			t.Fatalf("it is as of %v, and looked after %v", reader.proj.AsOf(), before)
		}
		f.Wake()
	}
}

// cut is a source that can be out of reach.
type cut struct {
	batch.Source
	off  atomic.Bool
	asks chan struct{} // a token for each question
}

func (c *cut) FeedHeads(ctx context.Context) ([ids.Shards]int64, error) {
	select {
	case c.asks <- struct{}{}:
	case <-ctx.Done():
	}
	if c.off.Load() {
		return [ids.Shards]int64{}, errors.New("out of reach")
	}
	return c.Source.FeedHeads(ctx)
}

// TestAsOfStandsStillWhileCutOff: what was not heard is not claimed.
func TestAsOfStandsStillWhileCutOff(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	source := &cut{Source: o.store, asks: make(chan struct{})}
	proj := batch.NewProjection(source, o.local, 0)
	o.must(proj.Start(t.Context()))
	var now atomic.Int64
	now.Store(batchtest.Start().UnixMicro())
	f := batch.NewFollower(proj, clock.Func(func() time.Time { return time.UnixMicro(now.Load()) }), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	defer func() { cancel(); running.Wait() }()
	ask := func() { // the look before has ended when the next begins
		for range 2 {
			f.Wake()
			<-source.asks
		}
	}
	ask()
	if got := proj.AsOf(); !got.Equal(batchtest.Start()) {
		t.Errorf("as of %v, want %v", got, batchtest.Start())
	}
	source.off.Store(true)
	ask()
	now.Add(time.Hour.Microseconds())
	ask()
	if got := proj.AsOf(); !got.Equal(batchtest.Start()) {
		t.Errorf("cut off it is as of %v, want %v", got, batchtest.Start())
	}
	source.off.Store(false)
	ask()
	ask()
	if got := proj.AsOf(); !got.Equal(batchtest.Start().Add(time.Hour)) {
		t.Errorf("back again it is as of %v", got)
	}
}

// TestAppliedIsAsFollowed feeds one projection by hand, with repetitions, and it must
// say what the one that follows says; it also starts again from its local half alone.
func TestAppliedIsAsFollowed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.batch(o.product(batch.Pool{}), "lot", 70_000)
	o.move(b, 1, 70_000, "active")
	o.move(b, 5, 5, "retail_sold")
	_, _, err := o.Reissue(t.Context(), anon(), o.code(b, 9), "")
	o.must(err)
	other := setting{db: t.TempDir(), local: t.TempDir()}.open(t)
	defer other.close()
	fed := batch.NewProjection(nil, other.local, 0)
	fresh, err := fed.Load()
	o.must(err)
	if !fresh {
		t.Error("an empty store is not fresh")
	}
	page, err := o.store.Feed(t.Context(), b.Shard(), 0, 100)
	o.must(err)
	for i := range page {
		o.must(fed.Apply(b.Shard(), page[:i+1])) // all of them again each time
	}
	fed.Heard(batchtest.Start())
	o.must(fed.Checkpoint())
	other.proj = fed
	o.wantSameAs(other, []batch.Batch{b})

	again := batch.NewProjection(nil, other.local, 0)
	if fresh, err := again.Load(); fresh || err != nil {
		t.Fatalf("its checkpoint is fresh: %v, %v", fresh, err)
	}
	other.proj = again
	o.wantSameAs(other, []batch.Batch{b})
	if !again.AsOf().Equal(batchtest.Start()) {
		t.Errorf("it is as of %v, want when it last heard", again.AsOf())
	}
}
