package trace

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

const (
	queueMax   = 2048 // spans
	batchMax   = 512
	batchEvery = 2 * time.Second
	reportMin  = time.Minute
)

// queue hands ended spans to the exporter in batches. The SDK's own processor does
// the same, but keeps to itself how many spans it dropped and reports each failure
// to a global handler.
type queue struct {
	exporter sdk.SpanExporter
	log      *slog.Logger
	clock    clock.Clock

	mu     sync.RWMutex // closed, and closing spans
	closed bool
	spans  chan sdk.ReadOnlySpan

	taken, sent, dropped, failed atomic.Uint64

	sending context.Context //nolint:containedctx // the life of sending; ends when Shutdown will wait no longer
	giveUp  context.CancelFunc
	done    chan struct{} // closed when run has ended

	reported time.Time // by run: when it last told of losses
	told     uint64    // by run: how many it has told of
	err      error     // by run: the last failure that it has not told of
}

var _ sdk.SpanProcessor = (*queue)(nil)

// newQueue starts the goroutine that sends; Shutdown waits for it.
func newQueue(exporter sdk.SpanExporter, log *slog.Logger, c clock.Clock) *queue {
	q := &queue{
		exporter: exporter, log: log, clock: c,
		spans: make(chan sdk.ReadOnlySpan, queueMax), done: make(chan struct{}),
	}
	q.sending, q.giveUp = context.WithCancel(context.Background())
	go q.run()
	return q
}

func (q *queue) stats() Stats {
	s := Stats{Sent: q.sent.Load(), Dropped: q.dropped.Load(), Failed: q.failed.Load()}
	s.Waiting = q.taken.Load() - s.Sent - s.Failed // taken is read last
	return s
}

// OnStart implements sdk.SpanProcessor.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor. It never waits.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		q.dropped.Add(1)
		return
	}
	q.taken.Add(1) // first, so that Stats never sees more sent than taken
	select {
	case q.spans <- s:
	default:
		q.taken.Add(^uint64(0))
		q.dropped.Add(1)
	}
}

// ForceFlush implements sdk.SpanProcessor. Nobody has the provider to ask for it;
// Shutdown is what flushes.
func (q *queue) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdk.SpanProcessor: it sends what waits until ctx ends.
func (q *queue) Shutdown(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.spans)
	}
	q.mu.Unlock()
	defer q.giveUp()
	before := q.failed.Load()
	select {
	case <-q.done:
	case <-ctx.Done():
		q.giveUp()
		<-q.done // soon: the exporter has no more time for anything
	}
	if lost := q.failed.Load() - before; lost > 0 {
		return fmt.Errorf("%d spans were not sent", lost)
	}
	return nil
}

func (q *queue) run() {
	defer close(q.done)
	tick := time.NewTicker(batchEvery)
	defer tick.Stop()
	batch := make([]sdk.ReadOnlySpan, 0, batchMax)
	for {
		select {
		case s, open := <-q.spans:
			if !open {
				q.send(batch)
				return
			}
			if batch = append(batch, s); len(batch) < batchMax {
				continue
			}
		case <-tick.C:
		}
		q.send(batch)
		clear(batch) // what was sent must not be kept alive
		batch = batch[:0]
	}
}

func (q *queue) send(batch []sdk.ReadOnlySpan) {
	if len(batch) > 0 {
		if err := q.exporter.ExportSpans(q.sending, batch); err != nil {
			q.failed.Add(uint64(len(batch)))
			q.err = err
		} else {
			q.sent.Add(uint64(len(batch)))
		}
	}
	q.report()
}

// report tells of lost spans, at most once a minute. Spans may be lost without an
// error, when the collector is only slow.
func (q *queue) report() {
	lost := q.failed.Load() + q.dropped.Load()
	now := q.clock.Now()
	if lost == q.told || now.Sub(q.reported) < reportMin {
		return
	}
	q.log.Warn("traces are lost: the collector is away or slow",
		"error", q.err, "spans_lost", lost-q.told, "spans_lost_total", lost)
	q.reported, q.told, q.err = now, lost, nil
}
