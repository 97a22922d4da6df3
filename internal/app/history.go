package app

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamhttp"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/internal/platform/trace"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scankafka"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/internal/verify/verifykv"
)

// consumer is a group that reads the log of scans, and its effect.
type consumer struct {
	group   stream.Group
	handler stream.Handler
	config  stream.Config
}

// scanEngine keeps what became of scans: in files of this process, or in a database
// that several share.
type scanEngine interface {
	// Consumers are the groups that read the log, with their effects.
	Consumers() map[string]stream.Handler
	// Config is how they take from it.
	Config() stream.Config
	// Highest is the last position that something here knows of.
	Highest(ctx context.Context) (stream.Position, error)
	// Keep looks after the records until ctx ends.
	Keep(ctx context.Context, floor func(context.Context) (time.Time, error), log *slog.Logger)
	// OpenFrom is from where on the log answers questions; ok is false when it need not.
	OpenFrom() (at stream.Position, ok bool)
	Wire(d *scan.Deps)
	// KeepRecords changes for how many days records of scans are kept.
	KeepRecords(days int)
	Close() error
}

// openScans opens what is kept of scans, and what processes share of them.
func (a *App) openScans(ctx context.Context) error {
	if a.SQL == "" {
		engine, err := scansql.Open(ctx, scansql.Config{
			Dir: filepath.Join(a.Data, dirScans), Wrap: a.keys.scansKey(), RecordDays: a.ScanDays,
		}, scanCodes{a}, a.clock, a.log)
		if err != nil {
			return err
		}
		a.scans, a.closers = engine, append(a.closers, engine.Close)
		return nil
	}
	engine, err := scansql.Over(ctx, a.dbs, scansql.SharedConfig{
		Wrap: a.keys.scansKey(), RecordDays: a.ScanDays, Raise: a.raise,
	}, scanCodes{a}, a.clock, a.log)
	if err != nil {
		return err
	}
	a.scans = engine
	if a.Redis == "" {
		return nil
	}
	return a.openShared(ctx, sqlSummary{engine})
}

// group gives a group of consumers: of the logs of all processes, or of this one's.
func (a *App) group(ctx context.Context, name string) (stream.Group, error) {
	if a.shared != nil {
		return a.shared.streams.Group(ctx, name)
	}
	return a.sightings.Stream().Group(name)
}

// consumerName is the one of this data directory in a group of several processes: after a
// kill the next process of it goes on with what it held. Alone, any will do.
func (a *App) consumerName(group string) string {
	if a.shared == nil {
		return ""
	}
	return group + "-" + a.shared.producer
}

// letters is where dead letters of the groups are kept.
func (a *App) letters() stream.Letters {
	if a.shared != nil {
		return a.shared.streams
	}
	return a.sightings.Stream()
}

// openConsumers registers the groups that read the log, and wires what is told of
// their effects. Serve lets them work.
func (a *App) openConsumers(ctx context.Context) error {
	pace := &pacer{gate: a.gate.Entered, clock: a.clock}
	consumed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chopmark_scans_consumed_total", Help: "Scans that a group of consumers has dealt with.",
	}, []string{"group"})
	a.metrics.Registry.MustRegister(consumed)
	a.watchLog()
	handlers := a.scans.Consumers()
	if a.kafka != nil {
		handlers[scankafka.GroupKafka] = a.publisher()
	}
	for name, h := range handlers {
		g, err := a.group(ctx, name)
		if err != nil {
			return err
		}
		cfg := a.scans.Config()
		cfg.Consumer, cfg.Clock, cfg.Log, cfg.Pace = a.consumerName(name), a.clock, a.log, pace.rest
		a.consumers = append(a.consumers, consumer{g, a.observed(name, h, consumed.WithLabelValues(name)), cfg})
	}
	deps := scan.Deps{
		Codes: scanCodes{a}, Catalog: scanCatalog{a.Batches}, Singles: singleChanges{a.Batches}, Trail: scanTrail{a.sightings},
		Tallies: scanTallies{a.sightings}, Lags: a.lags(), Clock: a.clock,
	}
	a.scans.Wire(&deps)
	a.newest = deps.Statistics.Newest
	var err error
	if deps.Statistics, err = scan.NewCached(deps.Statistics, a.clock); err != nil {
		return err
	}
	a.Scans = scan.NewService(deps)
	return nil
}

// watchLog tells how the log of scans and its groups stand.
func (a *App) watchLog() {
	a.metrics.Registry.MustRegister(streamMetrics{a.sightings.Stream()}, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "chopmark_scans_shed_total", Help: "Scans that were told to come back, since too many came at once.",
	}, func() float64 { return float64(a.gate.Shed()) }))
}

// consume runs the consumers and what looks after their effects. Close waits for all
// of it before it closes the log and the tables.
func (a *App) consume() {
	log := a.sightings.Stream()
	a.pinOpenDays(log)
	a.relay()
	a.sendWebhooks()
	a.tellStates()
	a.keepLines()
	a.watchLags()
	a.tellSynced()
	a.carryTold()
	for _, c := range a.consumers {
		a.work.Go(func() {
			if err := stream.Run(a.background, c.config, c.group, a.letters(), scansql.Split, c.handler); err != nil && !errors.Is(err, stream.ErrClosed) {
				a.log.Error("a consumer of scans has ended", "group", c.group.Name(), "error", err)
			}
		})
	}
	a.work.Go(func() {
		look := time.NewTicker(pinLook)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				a.pinOpenDays(log)
			case <-a.background.Done():
				return
			}
		}
	})
	a.work.Go(func() { a.warm(a.background) })
	lags := a.lags()
	a.work.Go(func() {
		a.scans.Keep(a.background, func(ctx context.Context) (time.Time, error) {
			lag, err := lags.Lag(ctx, scan.GroupRecords)
			return a.clock.Now().Add(-lag.Age), err
		}, a.log)
	})
}

// observed counts what a handler consumed, and gives its batch a span when a scan in
// it was sampled.
func (a *App) observed(group string, h stream.Handler, count prometheus.Counter) stream.Handler {
	return stream.HandlerFunc(func(ctx context.Context, lane int, batch []stream.Message) error {
		var links []trace.Context
		for i := range batch {
			var t trace.Context
			if link := batch[i].Link; len(link) == len(t.ID)+len(t.Span) {
				copy(t.Span[:], link[copy(t.ID[:], link):])
				links = append(links, t)
			}
		}
		ctx, span := a.tracer.StartBatch(ctx, "process "+group, links, append(trace.Messaging("chopmark", "sightings", group), trace.Messages(len(batch)))...)
		defer span.End()
		if err := h.Handle(ctx, lane, batch); err != nil {
			span.Fail(err)
			return err
		}
		count.Add(float64(len(batch)))
		return nil
	})
}

// pinOpenDays keeps in the log what is read through it.
func (a *App) pinOpenDays(log *streamkv.Log) {
	const pin = "open-days"
	if at, ok := a.scans.OpenFrom(); ok {
		log.Pin(pin, at, streamkv.PinMay)
	} else {
		log.Unpin(pin)
	}
}

// letterGroups is whose dead letters an operator can try again.
func (a *App) letterGroups() (all []streamhttp.Group) {
	for _, c := range a.consumers {
		all = append(all, streamhttp.Of(c.group.Name(), a.letters(), c.config, scansql.Split, c.handler))
	}
	for _, c := range a.kafkaConsumers {
		all = append(all, streamhttp.Group{Name: c.Group, Dead: c.Dead, Replay: c.Replay})
	}
	return append(all, a.webhookLetters())
}

// lags tells how far each group is behind, and with it what answers are read from.
func (a *App) lags() scanLags {
	l := scanLags{a.dbs, map[string]stream.Group{}}
	for _, c := range a.consumers {
		l.groups[c.group.Name()] = c.group
	}
	return l
}

type scanLags struct {
	dbs    *sqldb.Shards
	groups map[string]stream.Group
}

var _ scan.Lags = scanLags{}

// Lag implements scan.Lags.
func (l scanLags) Lag(ctx context.Context, group string) (scan.Lag, error) {
	lag, err := l.groups[group].Lag(ctx)
	return scan.Lag{Records: lag.Records, Age: lag.Age + l.dbs.StaleBy()}, err
}

// pacer lets consumers rest while many scan: the log has everything, and who stands
// in a shop waits. Behind by more than patience they no longer rest.
type pacer struct {
	gate  func() int64 // scans that were let in so far
	clock clock.Clock
	last  atomic.Pointer[glance]
}

type glance struct {
	at    time.Time
	count int64
	busy  bool
	since time.Time // of being busy
}

const (
	busyRate  = 2_000 // scans a second
	restTime  = 95 * time.Millisecond
	glanceAge = 250 * time.Millisecond
	patience  = 10 * time.Minute
	pinLook   = 2 * time.Second // well below how often the log is trimmed
)

// rest is stream.Config's Pace.
func (p *pacer) rest() time.Duration {
	now, g := p.clock.Now(), p.last.Load()
	if g == nil || now.Sub(g.at) > glanceAge || now.Before(g.at) {
		next := &glance{at: now, count: p.gate()}
		if g != nil && now.After(g.at) {
			next.busy = float64(next.count-g.count) > busyRate*now.Sub(g.at).Seconds()
			if next.since = g.since; !g.busy {
				next.since = now
			}
		}
		p.last.Store(next)
		g = next
	}
	if g.busy && now.Sub(g.since) < patience {
		return restTime
	}
	return 0
}

// streamMetrics shows how the log and its groups stand.
type streamMetrics struct{ log *streamkv.Log }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("chopmark_stream_"+name, help, labels, nil)
}

// lettersShown bounds what a look at the metrics reads.
const lettersShown = 1000

// Describe implements prometheus.Collector: what it collects is described there.
func (m streamMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m streamMetrics) Collect(out chan<- prometheus.Metric) {
	s, err := m.log.Stats()
	if err != nil {
		return // the log is closed: there is nothing to tell
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(describe("bytes", "What the log of scans keeps."), float64(s.Bytes))
	gauge(describe("cap_bytes", "What it may keep; 0 = no bound."), float64(s.CapBytes))
	gauge(describe("records", "Commit groups of scans that are kept."), float64(s.Records))
	for _, g := range s.Groups {
		showLag(out, g.Name, g.Lag)
		if dead, err := m.log.Dead(context.Background(), g.Name, "", lettersShown); err == nil {
			gauge(describe("dead_letters", "Messages that could not be dealt with, up to 1,000.", "group"), float64(len(dead)), g.Name)
		}
	}
}

// scanCodes turns serials into codes and back.
type scanCodes struct{ app *App }

var _ scan.Codes = scanCodes{}

// Code implements scan.Codes.
func (c scanCodes) Code(s ids.Serial) string { return c.app.keys.items.Code(s).String() }

// Serial implements scan.Codes.
func (c scanCodes) Serial(ctx context.Context, code string) (ids.Serial, error) {
	serial, _, err := c.app.Batches.Find(ctx, code)
	return serial, err
}

// scanCatalog shows brands, products and batches to the scan domain.
type scanCatalog struct{ svc *batch.Service }

var _ scan.Catalog = scanCatalog{}

// Brand implements scan.Catalog.
func (c scanCatalog) Brand(ctx context.Context, id ids.BrandID) (string, error) {
	b, err := c.svc.Brand(ctx, id)
	return b.Name, err
}

// Product implements scan.Catalog.
func (c scanCatalog) Product(ctx context.Context, id ids.ProductID) (ids.BrandID, string, error) {
	p, err := c.svc.Product(ctx, id)
	return p.BrandID, p.Name, err
}

// Batch implements scan.Catalog.
func (c scanCatalog) Batch(ctx context.Context, id ids.BatchID) (scan.BatchInfo, error) {
	b, err := c.svc.Batch(ctx, id)
	return batchInfo(&b), err
}

// BatchAt implements scan.Catalog.
func (c scanCatalog) BatchAt(_ context.Context, first ids.Serial) (scan.BatchInfo, bool, error) {
	item, ok := c.svc.Projection().Lookup(first)
	if !ok {
		return scan.BatchInfo{}, false, nil
	}
	return batchInfo(item.Batch), true, nil
}

func batchInfo(b *batch.Batch) scan.BatchInfo {
	return scan.BatchInfo{ID: b.ID, No: b.No, First: b.First, Brand: b.BrandID, Product: b.ProductID}
}

// State implements scan.Catalog.
func (c scanCatalog) State(_ context.Context, s ids.Serial) (gs1.Disposition, error) {
	item, ok := c.svc.Projection().Lookup(s)
	if !ok {
		return gs1.Disposition(0), batch.ErrUnknownCode
	}
	return item.State, nil
}

// scanTrail walks the log backwards from an item's last sighting.
type scanTrail struct{ log *verifykv.Log }

var _ scan.Trail = scanTrail{}

// Last implements scan.Trail.
func (t scanTrail) Last(s ids.Serial) (verifyevent.Ref, error) { return t.log.Last(s) }

// Read implements scan.Trail.
func (t scanTrail) Read(at uint64) ([]byte, bool, error) {
	return t.log.Stream().Get(stream.Position(at))
}

// scanTallies tells what is known of an item's scans now.
type scanTallies struct{ log *verifykv.Log }

var _ scan.Tallies = scanTallies{}

// Tally implements scan.Tallies.
func (t scanTallies) Tally(s ids.Serial) (scan.ItemTally, error) {
	seen, err := t.log.Seen(s)
	return scan.ItemTally{Count: seen.Count, FirstAt: seen.FirstAt, LastAt: seen.LastAt, Place: seen.LastIn}, err
}

// singleChanges shows the items that have a record of their own.
type singleChanges struct{ svc *batch.Service }

var _ scan.SingleChanges = singleChanges{}

// Changed implements scan.SingleChanges.
func (c singleChanges) Changed(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]scan.Item, error) {
	singles, err := c.svc.Singles(ctx, brand, since, before, beforeSerial, limit)
	items := make([]scan.Item, len(singles))
	for i, s := range singles {
		items[i] = scan.Item{Serial: s.Serial, At: s.At}
	}
	return items, err
}
