package limit

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Memory keeps accounts in this process, in a table of fixed size. It is safe for
// concurrent use.
//
// Accounts are in sets of eight, as in a processor's cache. Where a set is full of
// accounts that are drawn on, a new one takes over that which is drawn on least, with
// what is drawn: so no account is ever believed to be emptier than it is, but for one
// that was taken over and has not come back.
type Memory struct {
	seed   [2]uint64 // nobody outside can choose who shares a set
	shards [memoryShards]memoryShard
}

const (
	memoryShards = 64
	ways         = 8
)

type memoryShard struct {
	mu    sync.Mutex
	slots []slot         // guarded by mu
	paid  []atomic.Int64 // of each set, when the last of its accounts is paid off; written under mu
	_     [64]byte       // neighbours do not slow each other
}

// slot is one account: until when what was drawn on it is paid off.
type slot struct {
	tag  uint64 // of the key; 0 = free
	paid int64  // nanoseconds
}

// NewMemory has room for about so many accounts that are drawn on at one time.
func NewMemory(accounts int) *Memory {
	m := &Memory{}
	var raw [16]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the process first
	m.seed = [2]uint64{binary.LittleEndian.Uint64(raw[:8]), binary.LittleEndian.Uint64(raw[8:])}
	sets := 1
	for sets*ways*memoryShards < accounts {
		sets *= 2
	}
	for i := range m.shards {
		m.shards[i].slots, m.shards[i].paid = make([]slot, sets*ways), make([]atomic.Int64, sets)
	}
	return m
}

// hash spreads keys over shards, sets and tags.
func (m *Memory) hash(k Key) uint64 {
	hi, lo := bits.Mul64(k.Net^m.seed[0], uint64(uint32(k.Realm))<<8^uint64(k.Kind)^m.seed[1])
	hi, lo = bits.Mul64(hi^lo^m.seed[1], 0x9E3779B97F4A7C15)
	return hi ^ lo | 1 // never the tag of a free slot
}

// place is where a key's account is.
type place struct {
	*memoryShard
	set int
	tag uint64
}

func (m *Memory) at(k Key) place {
	h := m.hash(k)
	s := &m.shards[h>>(64-6)]
	return place{s, int(h>>1) & (len(s.paid) - 1), h}
}

// find gives the account's slot, or the one to take over and found = false. The caller
// holds mu.
func (p *place) find() (_ *slot, found bool) {
	set := p.slots[p.set*ways : p.set*ways+ways : p.set*ways+ways]
	least := 0
	for i := range set {
		if set[i].tag == p.tag {
			return &set[i], true
		}
		if set[i].paid < set[least].paid {
			least = i
		}
	}
	return &set[least], false
}

// put moves the account on. The caller holds mu.
func (p *place) put(s *slot, paid int64) {
	s.tag, s.paid = p.tag, paid
	if last := &p.paid[p.set]; last.Load() < paid {
		last.Store(paid)
	}
}

// Take draws one on the account unless it is full; wait is how long until it is not.
// lately reports that the account was drawn on within the time before now.
func (m *Memory) Take(k Key, r Rate, now int64, within time.Duration) (wait time.Duration, lately bool) {
	p := m.at(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	s, found := p.find()
	lately = found && s.paid > now-int64(within)
	start := max(s.paid, now)
	if wait, full := r.full(time.Duration(start - now)); full {
		return wait, lately
	}
	p.put(s, start+int64(r.Every))
	return 0, lately
}

// Add draws n on the account, but no more than makes it full, and tells how much is
// drawn then.
func (m *Memory) Add(k Key, r Rate, n, now int64) (used time.Duration) {
	p := m.at(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	s, _ := p.find()
	used = min(time.Duration(max(s.paid, now)-now)+time.Duration(n)*r.Every, r.capacity())
	p.put(s, now+int64(used))
	return used
}

// Raise lets the account be drawn on by at least so much: others know more of it.
func (m *Memory) Raise(k Key, used time.Duration, now int64) {
	p := m.at(k)
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, _ := p.find(); s.paid < now+int64(used) {
		p.put(s, now+int64(used))
	}
}

// Used tells how much is drawn on the account; nothing on one that is not here. Where
// nothing is, which is nearly everywhere, that takes one look and no lock.
func (m *Memory) Used(k Key, now int64) time.Duration {
	p := m.at(k)
	if p.paid[p.set].Load() <= now {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, found := p.find(); found && s.paid > now {
		return time.Duration(s.paid - now)
	}
	return 0
}
