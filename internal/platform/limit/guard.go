package limit

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// What a stranger may be told. Each says when to come back.
var (
	ErrRequests = fault.New(fault.Limited, "limit.address", "too many requests from this address")
	ErrMisses   = fault.New(fault.Limited, "limit.misses", "this address has asked too often for what does not exist")
	ErrRealm    = fault.New(fault.Limited, "limit.brand", "this address has asked too often for what does not exist of this brand")
	ErrKeys     = fault.New(fault.Limited, "limit.keys", "this address has shown too many keys that are not valid")
	ErrHolder   = fault.New(fault.Limited, "limit.requests", "your tenant has used up its requests of this second or day")
	ErrProof    = fault.New(fault.Limited, "limit.proof", "solve the challenge, or wait")
)

// Limits are the rates that an operator may choose.
type Limits struct {
	Requests Rate // of one address
	Misses   Rate // of one address; beyond it nothing is answered
	Keys     Rate // of one address: credentials that are wrong
	Budget   Rate // of misses of all addresses; beyond it those with a miss must prove work
}

// Usual are the limits of who chooses none.
func Usual() Limits {
	return Limits{Steady(100, time.Second), Within(60, time.Hour), Within(60, time.Hour), Steady(10_000, time.Hour)}
}

// Peers are the other processes that answer the same strangers.
type Peers interface {
	// Tell says that n were drawn on an account here. It must not block.
	Tell(k Key, r Rate, n int64)
}

// Options are what a guard is made of. Realm and ProofKey may be nil.
type Options struct {
	Limits   Limits
	Clock    clock.Clock
	Realm    func(realm int32) (misses Rate, ok bool) // where a realm has a limit of its own
	ProofKey func() [32]byte                          // of all processes; nil = nobody is asked for proof
}

// Guard is the limits against strangers. It is safe for concurrent use.
type Guard struct {
	limits   atomic.Pointer[Limits]
	clock    clock.Clock
	peers    Peers
	realm    func(int32) (Rate, bool)
	prover   prover
	requests *Memory // apart, since they are paid off within moments
	others   *Memory
	refused  [kinds]atomic.Int64
	asked    atomic.Int64
	proven   atomic.Int64
	misses   atomic.Int64
	ended    atomic.Int64
}

const (
	// What memory is for: addresses that ask at the same moment, and addresses with a
	// miss within the hour. 16 bytes each.
	requestAccounts = 1 << 17
	otherAccounts   = 1 << 18
	// tellWithin is how soon an address must come again for others to hear of it: who
	// asks less often than that is far from any limit.
	tellWithin = time.Second
	// How often connections of an address may be ended for what they did until none is
	// taken: many may share it, and one of them may have a program that is at fault.
	endedAtOnce = 3
	endedEvery  = time.Minute
)

// NewGuard makes a guard that knows nobody yet.
func NewGuard(o Options) *Guard {
	g := &Guard{
		clock: o.Clock, realm: o.Realm, prover: prover{o.ProofKey},
		requests: NewMemory(requestAccounts), others: NewMemory(otherAccounts),
	}
	g.limits.Store(&o.Limits)
	return g
}

// Join makes others hear of what is drawn here. It is called before anybody is admitted.
func (g *Guard) Join(p Peers) { g.peers = p }

// Set changes the limits. What was drawn stays drawn.
func (g *Guard) Set(l Limits) { g.limits.Store(&l) }

// Admit says whether a request of an address is answered; else why not, and when to
// come back. ErrProof carries the challenge in its details; see Proven.
func (g *Guard) Admit(a netip.Addr) error {
	l, now := g.limits.Load(), g.clock.Now()
	key := Key{Net: Network(a), Kind: ofRequests}
	if l.Requests.Burst > 0 {
		wait, lately := g.requests.Take(key, l.Requests, now.UnixNano(), tellWithin)
		if lately && g.peers != nil && wait == 0 {
			g.peers.Tell(key, l.Requests, 1)
		}
		if wait > 0 {
			return g.refuse(ErrRequests, ofRequests, wait)
		}
	}
	key.Kind = ofMisses
	used := g.others.Used(key, now.UnixNano())
	if used == 0 {
		return nil
	}
	return g.judge(a, l, used, now)
}

// judge is Admit of an address that has a miss.
func (g *Guard) judge(a netip.Addr, l *Limits, used time.Duration, now time.Time) error {
	if wait, full := l.Misses.full(used); full {
		return g.refuse(ErrMisses, ofMisses, wait)
	}
	if g.prover.key == nil {
		return nil
	}
	if _, spent := l.Budget.full(g.others.Used(Key{Kind: ofAll}, now.UnixNano())); !spent {
		return nil
	}
	g.asked.Add(1)
	zeros := proofBits
	if l.Misses.Burst > 0 {
		zeros += int(int64(proofBitsMax-proofBits) * int64(used) / int64(l.Misses.capacity()))
	}
	return ErrProof.After(used).With(fault.Detail{Field: ProofHeader, Reason: g.prover.challenge(a, min(zeros, proofBitsMax), now)})
}

// ProofHeader is what a proof is sent in.
const ProofHeader = "X-Proof"

// Challenge is what ErrProof asks to be solved; "" in every other error.
func Challenge(err error) string {
	if f, ok := fault.From(err); ok && f.Code == ErrProof.Code && len(f.Details) == 1 {
		return f.Details[0].Reason
	}
	return ""
}

// Proven reports whether a proof lets a request of an address in that was told ErrProof.
func (g *Guard) Proven(a netip.Addr, proof string) bool {
	good := proof != "" && g.prover.key != nil && g.prover.check(a, proof, g.clock.Now())
	if good {
		g.proven.Add(1)
	}
	return good
}

// Miss notes that an address asked for what does not exist. One that named a realm,
// which is not 0, counts for it, and not for the budget that all strangers share.
func (g *Guard) Miss(a netip.Addr, realm int32) {
	l, now := g.limits.Load(), g.clock.Now().UnixNano()
	net := Network(a)
	g.misses.Add(1)
	g.add(Key{Net: net, Kind: ofMisses}, orUsual(l.Misses), now)
	if realm != 0 {
		g.add(Key{Net: net, Realm: realm, Kind: ofRealm}, g.ofRealm(l, realm), now)
		return
	}
	if l.Budget.Burst > 0 {
		g.add(Key{Kind: ofAll}, l.Budget, now)
	}
}

// orUsual remembers that an address has a miss, also where misses are not limited.
func orUsual(misses Rate) Rate {
	if misses.Burst == 0 {
		return Usual().Misses
	}
	return misses
}

func (g *Guard) ofRealm(l *Limits, realm int32) Rate {
	if g.realm != nil {
		if r, ok := g.realm(realm); ok {
			return r
		}
	}
	return l.Misses
}

func (g *Guard) add(k Key, r Rate, now int64) {
	if r.Burst == 0 {
		return
	}
	g.others.Add(k, r, 1, now)
	if g.peers != nil {
		g.peers.Tell(k, r, 1)
	}
}

// Realm says whether an address may ask about a realm of which it named much that does
// not exist.
func (g *Guard) Realm(a netip.Addr, realm int32) error {
	used := g.others.Used(Key{Net: Network(a), Realm: realm, Kind: ofRealm}, g.clock.Now().UnixNano())
	if used == 0 {
		return nil
	}
	if wait, full := g.ofRealm(g.limits.Load(), realm).full(used); full {
		return g.refuse(ErrRealm, ofRealm, wait)
	}
	return nil
}

// Key says whether a credential of an address is looked at.
func (g *Guard) Key(a netip.Addr) error {
	used := g.others.Used(Key{Net: Network(a), Kind: ofKeys}, g.clock.Now().UnixNano())
	if wait, full := g.limits.Load().Keys.full(used); full {
		return g.refuse(ErrKeys, ofKeys, wait)
	}
	return nil
}

// WrongKey notes that an address showed a credential that is not valid.
func (g *Guard) WrongKey(a netip.Addr) {
	g.add(Key{Net: Network(a), Kind: ofKeys}, g.limits.Load().Keys, g.clock.Now().UnixNano())
}

// Spend draws a request on the accounts of somebody who is known; 0 bounds nothing. A day is
// any 24 hours: what was drawn comes back evenly.
func (g *Guard) Spend(holder uint64, perSecond, perDay int64) error {
	now := g.clock.Now().UnixNano()
	for _, one := range [...]struct {
		kind Kind
		n    int64
		unit time.Duration
	}{{ofHolder, perSecond, time.Second}, {ofHolderDay, perDay, 24 * time.Hour}} {
		if one.n == 0 {
			continue
		}
		key, rate := Key{Net: holder, Kind: one.kind}, Steady(one.n, one.unit)
		if wait, _ := g.others.Take(key, rate, now, 0); wait > 0 {
			return g.refuse(ErrHolder, one.kind, wait)
		}
		if g.peers != nil {
			g.peers.Tell(key, rate, 1)
		}
	}
	return nil
}

// Spent is how much of a day somebody who is known has drawn, as the time until it is paid off.
func (g *Guard) Spent(holder uint64) time.Duration {
	return g.others.Used(Key{Net: holder, Kind: ofHolderDay}, g.clock.Now().UnixNano())
}

// Draw lets at least so much of his day be drawn: a process goes on where one before it was.
func (g *Guard) Draw(holder uint64, used time.Duration) {
	if used > 0 {
		g.Heard(Key{Net: holder, Kind: ofHolderDay}, used)
	}
}

// Leave draws on what an address may leave here without a key, such as a message, at the
// rate of that: 0, or how long until it may.
func (g *Guard) Leave(a netip.Addr, r Rate) (wait time.Duration) {
	key := Key{Net: Network(a), Kind: ofLeft}
	wait, _ = g.others.Take(key, r, g.clock.Now().UnixNano(), 0)
	switch {
	case wait > 0:
		g.refused[ofLeft].Add(1)
	case g.peers != nil:
		g.peers.Tell(key, r, 1)
	}
	return wait
}

// Ended notes that a connection of an address was ended since it kept the server busy for
// nobody.
func (g *Guard) Ended(a netip.Addr) {
	g.ended.Add(1)
	g.add(Key{Net: Network(a), Kind: ofEnded}, Rate{endedAtOnce, endedEvery}, g.clock.Now().UnixNano())
}

// Welcome reports whether a connection of an address is taken.
func (g *Guard) Welcome(a netip.Addr) bool {
	used := g.others.Used(Key{Net: Network(a), Kind: ofEnded}, g.clock.Now().UnixNano())
	if used == 0 {
		return true
	}
	_, full := Rate{endedAtOnce, endedEvery}.full(used)
	if full {
		g.refused[ofEnded].Add(1)
	}
	return !full
}

// Heard is what the other processes know of an account: so much is drawn on it in all.
func (g *Guard) Heard(k Key, used time.Duration) {
	m := g.others
	if k.Kind == ofRequests {
		m = g.requests
	}
	m.Raise(k, used, g.clock.Now().UnixNano())
}

func (g *Guard) refuse(f *fault.Error, k Kind, wait time.Duration) error {
	g.refused[k].Add(1)
	return f.After(wait)
}

// Counts are for metrics.
type Counts struct {
	Requests, Misses, Realm, Keys, Proof int64   // refused, by why
	Holders                              int64   // refused beyond their quota
	Left                                 int64   // refused to leave more here
	Proven                               int64   // let in by a proof
	Missed                               int64   // requests for what does not exist
	Ended, Unwelcome                     int64   // connections: ended, and refused for it
	BudgetLeft                           float64 // of the misses of all, 0 to 1
}

// Counts tells what was refused since the start.
func (g *Guard) Counts() Counts {
	left := 1.0
	if r := g.limits.Load().Budget; r.Burst > 0 {
		used := g.others.Used(Key{Kind: ofAll}, g.clock.Now().UnixNano())
		if left = 1 - float64(used)/float64(r.capacity()); left*float64(r.Burst) < 1 {
			left = 0
		}
	}
	refused := func(k Kind) int64 { return g.refused[k].Load() }
	return Counts{
		Requests: refused(ofRequests), Misses: refused(ofMisses), Realm: refused(ofRealm), Keys: refused(ofKeys), Proof: g.asked.Load(),
		Holders: refused(ofHolder) + refused(ofHolderDay), Left: refused(ofLeft), Proven: g.proven.Load(), Missed: g.misses.Load(),
		Ended: g.ended.Load(), Unwelcome: refused(ofEnded), BudgetLeft: left,
	}
}
