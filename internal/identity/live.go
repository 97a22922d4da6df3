package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// liveSessions is the memory of sessions: a look-up asks SQL only for a token that was
// not seen before. What the feed tells of is dropped at once.
type liveSessions struct {
	mu     sync.RWMutex
	byHash map[Hash]*live       // guarded by mu
	byID   map[SessionID]*live  // guarded by mu
	ends   map[SessionID]*ended // guarded by mu; who waits to be told
	drops  uint64               // guarded by mu; a load that began before the last one is not kept
}

// liveMax bounds the memory; beyond it any are forgotten, and read again when used.
const liveMax = 200_000

// live is one session with its user, as they were read.
type live struct {
	session Session
	user    User
	expires atomic.Int64 // microseconds; ahead of the record until it is written down
	seen    atomic.Int64
	written atomic.Int64 // the expiry that is in the record
	who     atomic.Pointer[resolved]
	over    *ended
}

// resolved is the principal under one directory.
type resolved struct {
	dir *directory
	p   *Principal
}

// ended tells who waits that a session is over, and why.
type ended struct {
	once   sync.Once
	ch     chan struct{}
	reason string // set before ch is closed
}

func newLiveSessions() *liveSessions {
	return &liveSessions{byHash: map[Hash]*live{}, byID: map[SessionID]*live{}, ends: map[SessionID]*ended{}}
}

func (l *liveSessions) get(h Hash) (*live, uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.byHash[h], l.drops
}

// put keeps what was loaded, unless something was dropped since the load began.
func (l *liveSessions) put(one *live, drops uint64) (kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drops != drops {
		return false
	}
	for hash, old := range l.byHash {
		if len(l.byHash) < liveMax {
			break
		}
		delete(l.byHash, hash)
		delete(l.byID, old.session.ID)
	}
	if l.ends[one.session.ID] == nil {
		l.ends[one.session.ID] = &ended{ch: make(chan struct{})}
	}
	one.over = l.ends[one.session.ID]
	l.byHash[one.session.Hash], l.byID[one.session.ID] = one, one
	return true
}

// dropUser forgets a user's sessions; they are read again with the user's new record.
func (l *liveSessions) dropUser(id UserID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drops++
	for hash, one := range l.byHash {
		if one.session.User == id {
			delete(l.byHash, hash)
			delete(l.byID, one.session.ID)
		}
	}
}

func (l *liveSessions) dropAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drops++
	clear(l.byHash)
	clear(l.byID)
}

// end forgets a session that is over, and tells who waits.
func (l *liveSessions) end(id SessionID, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drops++
	if one, ok := l.byID[id]; ok {
		delete(l.byHash, one.session.Hash)
		delete(l.byID, id)
	}
	if e, ok := l.ends[id]; ok {
		delete(l.ends, id)
		e.tell(reason)
	}
}

func (e *ended) tell(reason string) {
	e.once.Do(func() {
		e.reason = reason
		close(e.ch)
	})
}

// takeRenewed gives what was moved on since it was last asked, and forgets what is over.
func (l *liveSessions) takeRenewed(now time.Time) []Renewed {
	l.mu.Lock()
	defer l.mu.Unlock()
	var moved []Renewed
	for hash, one := range l.byHash {
		expires := one.expires.Load()
		if expires != one.written.Load() {
			one.written.Store(expires)
			moved = append(moved, Renewed{one.session.ID, time.UnixMicro(one.seen.Load()).UTC(), time.UnixMicro(expires).UTC()})
		} else if expires <= now.UnixMicro() {
			delete(l.byHash, hash)
			delete(l.byID, one.session.ID)
			if e := l.ends[one.session.ID]; e != nil {
				delete(l.ends, one.session.ID)
				e.tell(EndExpired)
			}
		}
	}
	return moved
}

// Visit is a request under a session.
type Visit struct {
	*Principal
	Client  ClientType
	Ends    time.Time // by when it ends unless it is used
	Renewed bool      // this request moved it on noticeably
	over    *ended
}

// Over is closed when the session ends; Why tells then. A key's is never closed.
func (v *Visit) Over() <-chan struct{} {
	if v.over == nil {
		return nil
	}
	return v.over.ch
}

// Why is the reason after Over.
func (v *Visit) Why() string { return v.over.reason }

// Visit tells who has a session, or ErrSessionOver. writes says that the request wants to
// change something. It works in memory, but for the first use of a token.
func (s *Service) Visit(ctx context.Context, token string, writes bool) (v Visit, _ error) {
	hash, now := hashOf(token), s.clock.Now()
	one, _ := s.live.get(hash)
	if one == nil || s.stale(now) || now.UnixMicro() >= one.expires.Load() { // another process may have moved it on
		if !s.secrets.isToken(token) {
			return v, ErrSessionOver
		}
		var err error
		if one, err = s.load(ctx, hash, now); err != nil {
			return v, err
		}
	}
	d := s.dir.Load()
	who := one.who.Load()
	if who == nil || who.dir != d {
		who = s.resolve(d, one)
		one.who.Store(who)
	}
	if who.p == nil {
		return v, ErrSessionOver
	}
	v = Visit{Principal: who.p, Client: one.session.Client, over: one.over}
	if writes || s.cfg.Renewal == RenewAlways {
		v.Renewed = s.renew(one, now)
	}
	v.Ends = time.UnixMicro(one.expires.Load())
	return v, nil
}

// renewStep is the least that a session is moved on by: what is nearer is not worth a
// cookie or a write.
const renewStep = 30 * time.Second

func (s *Service) renew(one *live, now time.Time) bool {
	if one.session.Key != "" { // a machine asks for another
		return false
	}
	next := now.Add(min(s.cfg.Life, one.session.EndsAt.Sub(now))).UnixMicro()
	was := one.expires.Load()
	if next-was < renewStep.Microseconds() {
		return false
	}
	one.seen.Store(now.UnixMicro())
	return one.expires.CompareAndSwap(was, next)
}

// load reads a session with its user. When something is dropped meanwhile it reads again.
func (s *Service) load(ctx context.Context, hash Hash, now time.Time) (*live, error) {
	for {
		_, drops := s.live.get(hash)
		if s.stale(now) {
			if err := s.CatchUp(ctx); err != nil {
				return nil, err
			}
			_, drops = s.live.get(hash)
		}
		one := &live{}
		var err error
		if one.session, err = s.store.SessionByHash(ctx, hash); err != nil {
			if errors.Is(err, ErrUnknownSession) {
				return nil, ErrSessionOver
			}
			return nil, fmt.Errorf("look up a session: %w", err)
		}
		if !one.session.lives(now) {
			return nil, overBecause(one.session.Reason)
		}
		if one.session.User != "" {
			if one.user, err = s.store.User(ctx, one.session.User); err != nil {
				return nil, fmt.Errorf("look up the user of a session: %w", err)
			}
		}
		one.expires.Store(one.session.ExpiresAt.UnixMicro())
		one.seen.Store(one.session.SeenAt.UnixMicro())
		one.written.Store(one.session.ExpiresAt.UnixMicro())
		if s.live.put(one, drops) {
			return one, nil
		}
	}
}

// overBecause tells a device why its session ended.
func overBecause(reason string) error {
	if reason == "" {
		return ErrSessionOver
	}
	return ErrSessionOver.Textf("this session has ended (%s); sign in again", reason)
}

// resolve makes the principal of a session under a directory; none when the account,
// its role or its tenant does not stand.
func (s *Service) resolve(d *directory, one *live) *resolved {
	r := &resolved{dir: d}
	if one.session.Key != "" {
		for _, k := range d.keys {
			if k.ID == one.session.Key && k.lives(s.clock.Now()) {
				if p, ok := d.principal(k.ID, k.Name, k.Tenant, k.Role, k.Brands); ok {
					p.Session = one.session.ID
					r.p = &p
				}
			}
		}
		return r
	}
	u := &one.user
	if u.State != Active {
		return r
	}
	p, ok := d.principal(string(u.ID), string(u.ID), u.Tenant, u.Role, u.Brands)
	if !ok {
		return r
	}
	p.Session = one.session.ID
	if u.Role == Admin && !u.Enrolled() && !u.vouched() { // a provider asks for its own factors
		p.MustEnroll, p.may = true, nil
	}
	r.p = &p
	return r
}
