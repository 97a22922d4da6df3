package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Config is what an operator may set; zero fields have the usual values.
type Config struct {
	Life      time.Duration // a session that is not used ends after it
	Longest   time.Duration // a session ends after it in any case
	Renewal   Renewal
	Conflicts map[ClientType]Conflict
	Hashing   int    // how many passwords are hashed at a time
	Derive    Derive // nil = in this process
	Shared    bool   // other processes change the same records
	Consumers ConsumerConfig
	Keep      Keep
	Elsewhere Elsewhere         // people who are not known here; nil = none
	Requests  Requests          // what tenants ask; nil = nobody counts it
	PassKeys  func() [][32]byte // of the passes of consumers, newest first; nil = one of the tokens' key
}

func (c *Config) fill() {
	if c.Life <= 0 {
		c.Life = DefaultLife
	}
	if c.Longest <= 0 {
		c.Longest = DefaultLongest
	}
	if c.Renewal == "" {
		c.Renewal = RenewAlways
	}
	usual := DefaultConflicts()
	maps.Copy(usual, c.Conflicts)
	c.Conflicts = usual
	if c.Derive == nil {
		c.Derive = deriveHere
	}
	c.Consumers.fill()
	c.Keep.fill()
}

// Service is the domain's use cases. It is safe for concurrent use.
type Service struct {
	cfg       Config
	store     Store
	clock     clock.Clock
	log       *slog.Logger
	secrets   *Secrets
	passwords *passwords
	audit     *auditor

	loading  sync.Mutex // held from reading what changed to showing it, so that none shows older ones
	position int64      // of the feed, guarded by loading
	dir      atomic.Pointer[directory]
	live     *liveSessions
	heard    atomic.Int64 // when the feed was last read to its end, microseconds
	wake     chan struct{}
	swept    atomic.Int64 // when what is too old was last deleted, microseconds
	told     atomic.Pointer[func()]
	used     usedKeys
	passes   *Passes
	drawn    map[TenantID]time.Time // as it was written down; used by flush
	sending  chan struct{}          // codes that are being sent
}

// NewService loads the directory. Follow must run beside it, and Close end it.
func NewService(ctx context.Context, cfg Config, store Store, secrets Secrets, c clock.Clock, log *slog.Logger) (*Service, error) {
	cfg.fill()
	if cfg.PassKeys == nil {
		cfg.PassKeys = func() [][32]byte { return [][32]byte{secrets.Tokens} }
	}
	s := &Service{
		cfg: cfg, store: store, clock: c, log: log, secrets: &secrets, passwords: newPasswords(cfg.Hashing, cfg.Derive),
		live: newLiveSessions(), wake: make(chan struct{}, 1), used: usedKeys{at: map[string]time.Time{}},
		passes: NewPasses(cfg.PassKeys, c.Now), sending: make(chan struct{}, sendsMax),
	}
	s.audit = &auditor{store: store, secrets: s.secrets, log: log}
	s.loading.Lock()
	defer s.loading.Unlock()
	var err error
	if s.position, err = store.FeedEnd(ctx); err != nil {
		return nil, fmt.Errorf("read the feed of people: %w", err)
	}
	s.heard.Store(c.Now().UnixMicro())
	if err := errors.Join(s.reload(ctx), s.loadEnded(ctx, s.position), s.recallRequests(ctx)); err != nil {
		return nil, err
	}
	s.passes.known(s.position)
	return s, nil
}

// Close writes down what is only in memory.
func (s *Service) Close(ctx context.Context) error {
	s.audit.work.Wait()
	return s.flush(ctx)
}

// reload reads the directory again; loading is held.
func (s *Service) reload(ctx context.Context) error {
	d, err := loadDirectory(ctx, s.store)
	if err != nil {
		return err
	}
	s.dir.Store(d)
	return nil
}

// CatchUp shows this process what was committed: its own changes before it answers
// them, those of others as Follow or Wake bids.
func (s *Service) CatchUp(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	asked := s.clock.Now()
	for {
		news, lost, err := s.store.Feed(ctx, s.position, feedPage)
		if err != nil {
			return fmt.Errorf("read the feed of people: %w", err)
		}
		if err := s.apply(ctx, news, lost); err != nil {
			return err
		}
		if len(news) < feedPage {
			s.heard.Store(asked.UnixMicro())
			return nil
		}
	}
}

func (s *Service) apply(ctx context.Context, news []News, lost bool) error {
	stale := lost
	for _, n := range news {
		switch n.Kind {
		case DirectoryNews:
			stale = true
		case UserNews:
			s.live.dropUser(UserID(n.Subject))
		case SessionNews:
			s.live.end(SessionID(n.Subject), n.Detail)
			s.passes.end(n.Seq, Session{ID: SessionID(n.Subject), ExpiresAt: s.clock.Now().Add(s.cfg.Consumers.Life)})
		}
	}
	if lost {
		s.live.dropAll()
		if err := s.loadEnded(ctx, news[len(news)-1].Seq); err != nil {
			return err
		}
	}
	if stale {
		if err := s.reload(ctx); err != nil {
			return err
		}
	}
	if len(news) > 0 {
		s.position = news[len(news)-1].Seq
		s.passes.known(s.position)
	}
	return nil
}

const (
	feedPage  = 1000
	pollEvery = 250 * time.Millisecond
	// flushEvery is how much a process that is killed loses of what tenants asked.
	flushEvery = 5 * time.Second
	// staleAfter is how long this process believes its memory without having heard from
	// the feed; then it asks the database for each request.
	staleAfter = time.Second
	sweepEvery = 10 * time.Minute
)

// Wake lets Follow look at once.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Follow sees what other processes change, and writes down what is in memory, until ctx
// ends.
func (s *Service) Follow(ctx context.Context) {
	poll, flush := time.NewTicker(pollEvery), time.NewTicker(flushEvery)
	defer poll.Stop()
	defer flush.Stop()
	silent := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-flush.C:
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("what is only in memory of users and keys, or what is too old, stays so for now", "error", err)
			}
			continue
		case <-poll.C:
			if s.cfg.Shared {
				err = s.CatchUp(ctx)
			}
		case <-s.wake:
			err = s.CatchUp(ctx)
		}
		if err != nil && !silent && ctx.Err() == nil {
			s.log.Error("what others changed of users and keys is not known; each request asks the database until it is", "error", err)
		}
		silent = err != nil
	}
}

// flush writes down what tenants asked, how far sessions were moved on and when keys were used.
func (s *Service) flush(ctx context.Context) error {
	if err := s.keepRequests(ctx); err != nil {
		return err
	}
	if renewed := s.live.takeRenewed(s.clock.Now()); len(renewed) > 0 {
		if _, err := s.store.Renew(ctx, renewed); err != nil {
			return fmt.Errorf("renew sessions: %w", err)
		}
	}
	if used := s.used.take(); len(used) > 0 {
		if err := s.store.TouchKeys(ctx, used); err != nil {
			return fmt.Errorf("note when keys were used: %w", err)
		}
	}
	s.passes.Forget()
	if now := s.clock.Now().UnixMicro(); now-s.swept.Swap(now) < sweepEvery.Microseconds() {
		return nil
	}
	return s.sweep(ctx)
}

// Told names who tells other processes that there is news for Wake.
func (s *Service) Told(tell func()) { s.told.Store(&tell) }

// changed lets this process see its own change. It cannot fail after the fact: what it
// does not see now, it asks for with the next request.
func (s *Service) changed(ctx context.Context) {
	if err := s.CatchUp(context.WithoutCancel(ctx)); err != nil {
		s.heard.Store(0)
		s.log.Error("a change of users or keys is committed and not seen yet", "error", err)
	}
	if tell := s.told.Load(); tell != nil {
		(*tell)()
	}
}

// stale reports that memory may be behind what is committed.
func (s *Service) stale(now time.Time) bool {
	heard := s.heard.Load()
	return heard == 0 || s.cfg.Shared && now.UnixMicro()-heard > staleAfter.Microseconds()
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// IssueCodes counts codes against the tenant that owns the brand, before they are made.
// back gives them back when they were not.
func (s *Service) IssueCodes(ctx context.Context, brand ids.BrandID, codes int64) (back func(context.Context) error, _ error) {
	owner := s.dir.Load().owner(brand)
	if owner == nil || owner.CodesPerDay == 0 {
		return func(context.Context) error { return nil }, nil
	}
	id, day := owner.ID, s.clock.Now().Format(time.DateOnly)
	if err := s.store.TakeCodes(ctx, id, day, codes, owner.CodesPerDay); err != nil {
		return nil, wrap("count codes of the day", err)
	}
	return func(ctx context.Context) error { return s.store.TakeCodes(ctx, id, day, -codes, 0) }, nil
}
