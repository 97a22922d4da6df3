package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchfile"
	"github.com/chopmark/chopmark/internal/batch/batchkv"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/complaint/complaintsql"
	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysetsql"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/line/linesql"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/notify/notifysql"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/kafka"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream/streamredis"
	"github.com/chopmark/chopmark/internal/platform/task"
	"github.com/chopmark/chopmark/internal/platform/trace"
	"github.com/chopmark/chopmark/internal/platform/translog"
	"github.com/chopmark/chopmark/internal/resolve/resolvesql"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/site"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourcesql"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/timeline/timelinesql"
	events "github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/tracesql"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifykv"
)

// App is one process with its engines open and its domains wired. Serve adds the
// listeners; the command line uses it without them.
type App struct {
	Config
	URL      string // what codes link to
	Batches  *batch.Service
	Verify   *verify.Service
	Scans    *scan.Service
	Trace    *events.Service  // EPCIS events
	Sources  *source.Service  // what other systems know; nil without SQL
	standing *events.Standing // subscriptions to events
	Stories  *timeline.Service
	words    *find.Follower // nil where nobody asks for words
	lines    *line.Service  // packing lines; nil without SQL

	log       *slog.Logger
	clock     clock.Clock
	metrics   *obs.Metrics
	product   *productMetrics
	texts     *verify.TextCache
	links     links
	renamed   chan ids.BrandID // whose products' texts are to be forgotten
	dbs       *sqldb.Shards    // nil without SQL, as db
	db        *sqldb.DB        // their home
	store     *batchsql.Sharded
	keys      *keyring
	identity  *identity.Service
	proj      *batch.Projection
	local     *batchkv.Store // of proj
	codes     *batch.Reader
	edge      *edge // nil in a process with SQL
	sightings *verifykv.Log
	newest    func() time.Time // the newest scan that was counted
	files     blob.Store
	tasks     *task.Runner
	outbox    *outbox.Outbox
	translog  *translog.Log // nil in a process without SQL
	tail      *outbox.Tail  // of outbox
	notify    *notify.Service
	site      *site.Site
	demoWorld atomic.Pointer[demo] // nil without --demo

	background context.Context    //nolint:containedctx // the life of all background work
	stop       context.CancelFunc // ends background
	work       sync.WaitGroup     // Close waits for it
	closers    []func() error     // in the order of opening
	places     *places
	proxies    httpx.Proxies
	guard      *limit.Guard
	reloads    *reloads
	gate       *httpx.Gate
	scans      scanEngine
	shared     *shared       // nil = no other process counts
	kafka      *kafka.Client // nil = events are read here only
	consumers  []consumer    // of the log of scans
	tracer     *trace.Tracer // nil = nothing is traced
	backingUp  atomic.Bool   // one backup at a time

	kafkaConsumers []*kafka.Consumer // of what Kafka has

	onCommit         []func() // woken after every commit; run has all of them
	onCommitOfOthers []func() // woken after commits of other processes only
}

// The names under the data directory.
const (
	fileLock       = "LOCK"
	fileSQL        = "chopmark.db"
	fileKeys       = "keyset.json"
	dirProjection  = "projection"
	dirSightings   = "sightings"
	dirScans       = "scans"
	dirBlobs       = "files"
	dirTLS         = "tls"
	dirCopies      = "backup.tmp" // of a backup that is being made
	taskSlots      = 2
	checkpointTime = 5 * time.Second
)

// ErrServed says that another process has the data directory.
var ErrServed = fault.New(fault.Conflict, "data.served", "this data directory is in use by a running chopmark")

// Open opens the data directory, wires the domains and takes up open tasks. What it
// opened is closed by Close, also when it fails halfway.
func Open(ctx context.Context, cfg Config, log *slog.Logger) (*App, error) {
	a, err := openIdle(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if a.tasks != nil { // an edge has none
		err = a.tasks.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// openIdle is Open without the tasks.
func openIdle(ctx context.Context, cfg Config, log *slog.Logger) (_ *App, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &App{Config: cfg, log: log, clock: clock.System{}, metrics: obs.NewMetrics()}
	a.background, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	if a.URL, err = publicURL(&a.Config); err != nil {
		return nil, err
	}
	if err := a.openGuard(); err != nil {
		return nil, err
	}
	a.reloads = &reloads{clock: a.clock, version: a.policyVersion(), since: a.clock.Now()}
	a.metrics.Registry.MustRegister(a.reloads)
	a.gate = httpx.NewGate()
	if err := a.openTracing(ctx); err != nil {
		return nil, err
	}
	if a.hasSQL() {
		err = a.openWithSQL(ctx)
	} else {
		err = a.openEdge(ctx)
	}
	if err != nil {
		return nil, err
	}
	a.work.Go(func() { a.keys.run(a.background) })
	a.work.Go(func() { a.checkpoints(a.background) })
	return a, nil
}

// openWithSQL opens and wires a process that works on SQL.
func (a *App) openWithSQL(ctx context.Context) error {
	if err := a.openData(ctx); err != nil {
		return err
	}
	return a.openDomains(ctx)
}

// openData opens the engines under the data directory.
func (a *App) openData(ctx context.Context) error {
	if err := a.openSQL(ctx); err != nil {
		return err
	}
	if err := a.openKeys(ctx); err != nil {
		return err
	}
	var err error
	if a.places, err = openPlaces(a.GeoIP); err != nil {
		return err
	}
	a.closers = append(a.closers, a.places.Close)
	if a.files, err = blob.Open(ctx, blob.Config{URL: a.Blob, Local: filepath.Join(a.Data, dirBlobs), Log: a.log}); err != nil {
		return err
	}
	a.closers = append(a.closers, a.files.Close)
	if err := a.openScans(ctx); err != nil {
		return err
	}
	if err := a.stayAlone(ctx); err != nil {
		return err
	}
	known, err := a.scans.Highest(ctx)
	if err != nil {
		return err
	}
	a.sightings, err = verifykv.Open(filepath.Join(a.Data, dirSightings), verifykv.Options{
		Async: a.ScanAckAsync, Key: a.keys.sightingsKey(), CapBytes: a.ScanLogMax, After: known, Clock: a.clock, Log: a.log,
		Generation: a.shared.generation(ctx), Shared: a.counts(), Behind: a.CountWait < 0})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, a.sightings.Close)
	if a.shared != nil {
		_, err = a.sightings.Stream().Group(streamredis.GroupShip)
	}
	return err
}

// Migrate brings all tables to their newest form, in every database.
func Migrate(ctx context.Context, dbs *sqldb.Shards) error {
	var errs []error
	for _, db := range dbs.All() {
		errs = append(errs,
			db.Migrate(ctx, "outbox", outbox.Schema()),
			db.Migrate(ctx, "idem", idem.Schema()),
			db.Migrate(ctx, "task", task.Schema()),
			db.Migrate(ctx, "lease", lease.Schema()),
			db.Migrate(ctx, "translog", translog.Schema()),
			db.Migrate(ctx, "keyset", keysetsql.Schema()),
			db.Migrate(ctx, "batch", batchsql.Schema()),
			db.Migrate(ctx, "trace", tracesql.Schema()),
			db.Migrate(ctx, "timeline", timelinesql.Schema()),
			db.Migrate(ctx, "identity", identitysql.Schema()),
			db.Migrate(ctx, "notify", notifysql.Schema()),
			db.Migrate(ctx, "source", sourcesql.Schema()),
			db.Migrate(ctx, "resolve", resolvesql.Schema()),
			db.Migrate(ctx, "complaint", complaintsql.Schema()),
			db.Migrate(ctx, "line", linesql.Schema()),
		)
	}
	return errors.Join(errs...)
}

// lock keeps a second process out. The lock ends with the process, however it ends.
func (a *App) lock() error {
	if err := os.MkdirAll(a.Data, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(a.Data, fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock data directory: %w", err)
	}
	a.closers = append(a.closers, f.Close)
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return ErrServed.Textf("the data directory %s is in use by a running chopmark; stop it, or name it with --server URL", a.Data)
	}
	return nil
}

// openProjection opens what is rebuilt when it is damaged: everything in it comes
// from SQL.
func (a *App) openProjection(owner string) (*batchkv.Store, error) {
	path := filepath.Join(a.Data, dirProjection)
	local, err := batchkv.Open(path, owner, a.log)
	if err == nil {
		return local, nil
	}
	a.log.Warn("the local projection is damaged and will be rebuilt from SQL", "path", path, "error", err)
	if err := os.RemoveAll(path); err != nil {
		return nil, fmt.Errorf("remove damaged projection: %w", err)
	}
	return batchkv.Open(path, owner, a.log)
}

func (a *App) openDomains(ctx context.Context) error {
	local, err := a.openProjection(a.keys.present().Current(keyset.Codebook).ID)
	if err != nil {
		return err
	}
	a.local, a.closers = local, append(a.closers, local.Close)
	a.store = batchsql.Over(a.dbs, a.clock)
	a.closers = append(a.closers, a.store.Close)
	a.proj = batch.NewProjection(a.store, local, a.Region)
	if a.texts, err = verify.NewTextCache(func(ctx context.Context, id ids.ProductID) (verify.Text, error) {
		return productText(ctx, a.Batches, id)
	}); err != nil {
		return err
	}
	a.renamed = make(chan ids.BrandID, textsQueue)
	a.proj.OnTexts(a.textsChanged)
	asked := a.clock.Now()
	if err := a.proj.Start(ctx); err != nil {
		return err
	}
	a.proj.Heard(asked)
	if region, ok := a.proj.OtherRegion(); ok {
		return usage("region", "the codes in %s were issued for region %d; start with --region %d", a.Data, region, region)
	}
	a.closers = append(a.closers, a.proj.Checkpoint)

	rule, err := ParseExpireRule(a.ExpireRule)
	if err != nil {
		return err
	}
	a.product = newProductMetrics(a.metrics.Registry)
	if err := a.openTasks(); err != nil {
		return err
	}
	if err := a.openIdentity(ctx); err != nil {
		return err
	}
	a.Batches = batch.NewService(batch.Config{Region: a.Region, PublicURL: a.URL, ExpireRule: rule, Containers: containers{a}, Control: a.control(), Filled: a.product.Generated},
		a.store, a.keys.items, a.proj, a.keys, a.tasks, a.sightings, a.clock)
	a.codes = a.Batches.Reader
	files := batchfile.New(batchfile.Config{}, a.Batches, a.store, a.files, a.clock, a.log)
	a.tasks.Handle(batch.TaskGenerate, files)
	a.tasks.Handle(batch.TaskExport, files)
	if err := a.openOutbox(ctx); err != nil {
		return err
	}
	a.openNotify()
	a.product.watch(a.dbs, a.texts)
	a.tellSettings()
	a.work.Go(func() { a.forgetTexts(a.background) })
	a.openVerify()
	a.openTrace()
	if err := a.openTimeline(ctx); err != nil {
		return err
	}
	a.followOthers()
	if err := a.openLinks(ctx); err != nil {
		return err
	}

	if err := a.openKafka(ctx); err != nil {
		return err
	}
	if err := a.openConsumers(ctx); err != nil {
		return err
	}
	a.site, err = site.New()
	return err
}

// openTasks makes the runner of long work. The directory is locked, so one process has its name.
func (a *App) openTasks() error {
	a.tasks = task.NewRunner(a.dbs, a.clock, a.log, taskSlots)
	a.closers = append(a.closers, func() error { a.tasks.Stop(); return nil })
	if a.SQL == "" {
		return nil
	}
	owner, err := producerName(filepath.Join(a.Data, fileProducer))
	if err == nil {
		a.tasks.Own(owner)
	}
	return err
}

// openOutbox opens what was told, its tail for who follows it, and the transparency log.
func (a *App) openOutbox(ctx context.Context) error {
	a.outbox = outbox.New(a.dbs)
	a.tail = outbox.NewTail(a.outbox, a.log)
	a.onCommit = append(a.onCommit, a.tail.Wake)
	a.work.Go(func() { a.tail.Run(a.background) })
	return a.openLog(ctx)
}

// openVerify wires the answers to scans.
func (a *App) openVerify() {
	rules := verify.Config{Grace: verify.DefaultGrace, Devices: verify.NewDevices(a.keys.deviceSalt()), Places: a.places, Limits: brandLimits{a.guard}}
	if a.SQL != "" { // others change states too, and may do so unheard
		rules.Feed, rules.StaleAfter = a.proj, a.StaleAfter
	}
	a.Verify = verify.NewService(rules, a.keys.items, itemView{a.proj}, a.keys, innerTries{a.Batches}, a.texts, a.sightings, a.clock)
}

// checkpoints keeps the next start short.
func (a *App) checkpoints(ctx context.Context) {
	t := time.NewTicker(checkpointTime)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := a.proj.Checkpoint(); err != nil {
				a.log.Error("projection cannot be checkpointed; the next start will take longer", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Close ends all work and closes what is open, the last opened first.
func (a *App) Close() error {
	a.stop()
	a.work.Wait()
	var errs []error
	for _, closer := range slices.Backward(a.closers) {
		errs = append(errs, closer())
	}
	a.closers = nil
	return errors.Join(errs...)
}
