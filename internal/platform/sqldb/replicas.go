package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// What keeps a server from being read as a replica.
var (
	ErrWritable  = errors.New("this replica is not read-only, so it may hold what the primary does not: set read_only = 1 there")
	ErrNoReplica = errors.New("this server cannot be a replica: TiDB's own followers answer reads behind its address")
)

const (
	// StaleMax is how far behind a replica may be; beyond it is left out.
	StaleMax = 30 * time.Second
	// RecentMax is how late a process may show what another has changed.
	RecentMax = time.Second

	beatEvery = 250 * time.Millisecond
	pollMax   = 2 * time.Second // without an answer a replica is left out
	marksMax  = int(StaleMax/beatEvery) + 8
)

// ReadStale runs a read on a replica, each healthy one in its turn; it may miss what was
// committed in the last StaleMax. Where there is none, or the one at hand fails, the
// primary answers, so that read may run twice. No decision may stand on such a read.
func ReadStale[T any](ctx context.Context, d *DB, read func(ctx context.Context, q Querier) (T, error)) (T, error) {
	return readCopy(ctx, d, 0, StaleMax, read)
}

// ReadRecent is ReadStale of a replica that has everything that this process has
// committed, and what others had committed RecentMax ago.
func ReadRecent[T any](ctx context.Context, d *DB, read func(ctx context.Context, q Querier) (T, error)) (T, error) {
	return readCopy(ctx, d, d.commits.Load(), RecentMax, read)
}

func readCopy[T any](ctx context.Context, d *DB, commits int64, behind time.Duration, read func(ctx context.Context, q Querier) (T, error)) (T, error) {
	if r, at := d.replicas.next(d, commits, behind); r != nil {
		within, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(at.up, cancel) // who does not answer holds nobody up
		out, err := read(within, r.pool)
		stop()
		cancel()
		if err == nil || ctx.Err() != nil {
			return out, err
		}
		if lost(err) {
			r.leaveOut(at, err)
		}
	}
	return read(ctx, d.Reader())
}

// Aside marks transactions that nobody is answered by: ReadRecent need not show them.
func Aside(ctx context.Context) context.Context { return context.WithValue(ctx, aside{}, true) }

type aside struct{}

// answered notes that a commit is to be seen at once.
func (d *DB) answered(ctx context.Context) {
	if ctx.Value(aside{}) == nil {
		d.commits.Add(1)
	}
}

// replicas are all replicas of an installation's databases.
type replicas struct {
	all   []*replica
	turn  atomic.Uint64
	clock clock.Clock
	stop  context.CancelFunc
	work  sync.WaitGroup
}

// replica is a copy of one of the databases.
type replica struct {
	name string
	pool *sql.DB
	log  *slog.Logger
	now  atomic.Pointer[standing] // nil = left out
}

// standing is how far a replica is that answers.
type standing struct {
	of      *DB
	commits int64           // of this process that it has
	asOf    time.Time       // it has what was committed before
	up      context.Context //nolint:containedctx // ends when the replica no longer answers
	down    context.CancelFunc
}

// mark is what a replica has that shows a beat.
type mark struct {
	beat, commits int64
	asOf          time.Time
}

// marks are the last beats that this process wrote to a primary, in their order.
type marks struct {
	mu  sync.Mutex
	all []mark // guarded by mu
}

func (m *marks) add(one mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all = append(m.all, one); len(m.all) > marksMax {
		m.all = m.all[1:]
	}
}

// reached is the last mark that a replica has passed.
func (m *marks) reached(beat int64) (last mark, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.all {
		if one.beat <= beat {
			last, ok = one, true
		}
	}
	return last, ok
}

// ReplicaOptions is what an operator may set beside the URLs.
type ReplicaOptions struct {
	AllowUnsafe bool // read from one that is not read-only
	Clock       clock.Clock
	Log         *slog.Logger
}

// Replicate reads from replicas what may be stale, of whichever database each is a copy.
// One that is of another installation or not read-only is refused; one that does not
// answer is left out until it does. Close ends it.
func (s *Shards) Replicate(ctx context.Context, urls []string, o ReplicaOptions) error {
	all := &replicas{clock: o.Clock}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	all.stop, s.replicas = stop, all
	for _, rawURL := range urls {
		r, err := openReplica(rawURL, cmp.Or(o.Log, slog.New(slog.DiscardHandler)))
		if err != nil {
			return err
		}
		all.all = append(all.all, r)
	}
	for _, db := range s.all {
		db.replicas = all
		db.beat(ctx, o.Clock)
		all.work.Go(func() { every(life, func() { db.beat(life, o.Clock) }) })
	}
	for _, r := range all.all {
		err := r.look(ctx, s.all, o.AllowUnsafe)
		if errors.Is(err, ErrWritable) || errors.Is(err, ErrOtherInstallation) || errors.Is(err, ErrNoReplica) {
			return fmt.Errorf("%w: %s", err, r.name)
		}
		if err != nil {
			r.log.WarnContext(ctx, "a replica is left out until it is fit to be read", "replica", r.name, "error", err)
		}
		all.work.Go(func() {
			every(life, func() {
				if err := r.look(life, s.all, o.AllowUnsafe); err != nil && life.Err() == nil {
					r.leaveOut(r.now.Load(), err)
				}
			})
		})
	}
	return nil
}

func openReplica(rawURL string, log *slog.Logger) (*replica, error) {
	cfg, name, err := mysqlConfig(rawURL)
	if err != nil {
		return nil, err
	}
	cfg.Logger = driverLog{log}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &replica{name: name, pool: mysqlPool(connector), log: log}, nil
}

// every calls fn until ctx ends.
func every(ctx context.Context, fn func()) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fn()
		case <-ctx.Done():
			return
		}
	}
}

// beat writes to the primary what its replicas are compared by. When that fails they
// fall behind, as far as anybody can tell.
func (d *DB) beat(ctx context.Context, c clock.Clock) {
	ctx, cancel := context.WithTimeout(ctx, pollMax)
	defer cancel()
	one := mark{commits: d.commits.Load(), asOf: c.Now()}
	var err error
	if one.beat, err = d.nextBeat(ctx); err == nil {
		d.marks.add(one)
	}
}

var errBehind = errors.New("it is too far behind, or nobody can tell how far")

// look asks the replica how far it is.
func (r *replica) look(ctx context.Context, all []*DB, allowUnsafe bool) error {
	ctx, cancel := context.WithTimeout(ctx, pollMax)
	defer cancel()
	before := r.now.Load()
	if before == nil {
		if err := r.judge(ctx); err != nil {
			return err
		}
	}
	p, err := readPlace(ctx, r.pool)
	if err != nil {
		return fmt.Errorf("ask how far it is: %w", err)
	}
	if !p.readOnly && !allowUnsafe {
		return ErrWritable
	}
	for _, db := range all {
		if db.place != p.id {
			continue
		}
		at, ok := db.marks.reached(p.beat)
		if !ok {
			return errBehind
		}
		r.now.CompareAndSwap(before, r.standing(before, db, at)) // unless it was left out meanwhile
		return nil
	}
	return ErrOtherInstallation
}

func (r *replica) standing(before *standing, of *DB, at mark) *standing {
	next := &standing{of: of, commits: at.commits, asOf: at.asOf}
	if before != nil {
		next.up, next.down = before.up, before.down
		return next
	}
	next.up, next.down = context.WithCancel(context.Background())
	r.log.Info("a replica is read", "replica", r.name)
	return next
}

// judge refuses what has no replicas of our kind.
func (r *replica) judge(ctx context.Context) error {
	var version string
	if err := r.pool.QueryRowContext(ctx, `SELECT VERSION()`).Scan(&version); err != nil {
		return fmt.Errorf("connect to it: %w", err)
	}
	kind, err := judgeVersion(version)
	if err == nil && kind == kindTiDB {
		err = ErrNoReplica
	}
	return err
}

// leaveOut gives the replica up until it is fit again; what waits for it goes to the primary.
func (r *replica) leaveOut(at *standing, why error) {
	if at == nil || at.up.Err() != nil {
		return
	}
	r.now.Store(nil)
	at.down()
	r.log.Warn("a replica is left out until it is fit to be read", "replica", r.name, "error", why)
}

// next gives the replica whose turn it is; nil when none will do.
func (s *replicas) next(of *DB, commits int64, behind time.Duration) (*replica, *standing) {
	if s == nil || len(s.all) == 0 {
		return nil, nil
	}
	oldest, turn := s.clock.Now().Add(-behind), s.turn.Add(1)
	for i := range s.all {
		r := s.all[(turn+uint64(i))%uint64(len(s.all))]
		at := r.now.Load()
		if at != nil && at.of == of && at.commits >= commits && !at.asOf.Before(oldest) {
			return r, at
		}
	}
	return nil, nil
}

func (s *replicas) close() error {
	s.stop()
	s.work.Wait()
	var errs []error
	for _, r := range s.all {
		errs = append(errs, r.pool.Close())
	}
	return errors.Join(errs...)
}

// StaleBy is how far behind an answer may be that ReadStale gives now.
func (s *Shards) StaleBy() (behind time.Duration) {
	if s.replicas == nil {
		return 0
	}
	now := s.replicas.clock.Now()
	for _, r := range s.replicas.all {
		if at := r.now.Load(); at != nil {
			if b := now.Sub(at.asOf); b <= StaleMax {
				behind = max(behind, b)
			}
		}
	}
	return behind
}

// Pool is a pool of connections, for metrics.
type Pool struct {
	Name  string
	Stats func() sql.DBStats
	// Behind is how far a replica is behind; ok is false while it is left out. nil = no replica.
	Behind func() (_ time.Duration, ok bool)
}

// Pools are the pools of all databases and replicas.
func (s *Shards) Pools() []Pool {
	var pools []Pool
	for i, db := range s.all {
		at := ""
		if i > 0 {
			at = " " + address(db.name)
		}
		pools = append(pools,
			Pool{Name: "write" + at, Stats: func() sql.DBStats { w, _ := db.Pools(); return w }},
			Pool{Name: "read" + at, Stats: func() sql.DBStats { _, r := db.Pools(); return r }})
	}
	if s.replicas == nil {
		return pools
	}
	for _, r := range s.replicas.all {
		pools = append(pools, Pool{Name: "replica " + address(r.name), Stats: r.pool.Stats, Behind: func() (time.Duration, bool) {
			at := r.now.Load()
			if at == nil {
				return 0, false
			}
			behind := s.replicas.clock.Now().Sub(at.asOf)
			return behind, behind <= StaleMax
		}})
	}
	return pools
}

// address is host:port/database of a name.
func address(name string) string {
	u, err := url.Parse(name)
	if err != nil {
		return name
	}
	return u.Host + u.Path
}
