package identity

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

// Passes tells scans who is signed in, by arithmetic and memory alone. It knows which
// sessions ended while a pass of theirs would count, and no others: in a process with SQL
// from the feed, in one without from a process that has it.
type Passes struct {
	keys func() [][32]byte // newest first
	now  func() time.Time

	mu    sync.RWMutex
	ended map[passID]int64 // guarded by mu; until when their passes would count, Unix seconds
	told  []EndedPass      // guarded by mu; the same in the order of the feed, some of it twice
	head  EndedAfter       // guarded by mu; everything up to here is known
}

// EndedPass is a consumer's session that ended before its passes did.
type EndedPass struct {
	EndedAfter

	Until int64 // Unix seconds
}

// EndedAfter is a place in the order in which sessions ended: where the feed stood, and the
// session among those that are known from one reading.
type EndedAfter struct {
	Seq     int64
	Session [passSession]byte
}

func (a EndedAfter) compare(b EndedAfter) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), bytes.Compare(a.Session[:], b.Session[:]))
}

// wholeSeq is the place behind all that is known of a position of the feed.
func wholeSeq(seq int64) EndedAfter {
	a := EndedAfter{Seq: seq}
	for i := range a.Session {
		a.Session[i] = 0xff
	}
	return a
}

// EndedPage is some of what ended, in its order.
type EndedPage struct {
	Ended []EndedPass
	More  bool
	Head  int64 // the feed's position that this is known up to
}

// NewPasses makes one that knows of no ended session.
func NewPasses(keys func() [][32]byte, now func() time.Time) *Passes {
	return &Passes{keys: keys, now: now, ended: map[passID]int64{}}
}

// Consumer is whose a secret is; 0 = nobody's.
func (p *Passes) Consumer(secret string) int64 {
	one, ok := p.read(secret)
	if !ok {
		return 0
	}
	return int64(one.consumer)
}

func (p *Passes) read(secret string) (pass, bool) {
	one, ok := readPass(p.keys(), secret)
	if !ok || !p.now().Before(one.until) {
		return one, false
	}
	p.mu.RLock()
	_, over := p.ended[one.session]
	p.mu.RUnlock()
	return one, !over
}

// end lets a session's passes count no more. Those that are read at one position of the feed
// come together and in the order of their ids.
func (p *Passes) end(seq int64, sessions ...Session) {
	var all []EndedPass
	for i := range sessions {
		text, ours := strings.CutPrefix(string(sessions[i].ID), consumerSession)
		raw, err := hex.DecodeString(text)
		if !ours || err != nil || len(raw) != passSession {
			continue
		}
		all = append(all, EndedPass{EndedAfter{seq, passID(raw)}, sessions[i].ExpiresAt.Unix()})
	}
	slices.SortFunc(all, func(a, b EndedPass) int { return a.compare(b.EndedAfter) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(all)
}

// add keeps what ended; mu is held.
func (p *Passes) add(all []EndedPass) {
	for _, one := range all {
		p.ended[one.Session] = max(p.ended[one.Session], one.Until)
	}
	p.told = append(p.told, all...)
}

// known says up to which position of the feed all of it is here.
func (p *Passes) known(seq int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head = wholeSeq(seq)
}

// Ended gives what ended after a place, for a process without SQL.
func (p *Passes) Ended(after EndedAfter, limit int) (page EndedPage) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	from := sort.Search(len(p.told), func(i int) bool { return p.told[i].compare(after) > 0 })
	to := min(len(p.told), from+limit)
	return EndedPage{slices.Clone(p.told[from:to]), to < len(p.told), p.head.Seq}
}

// Heard is the place up to which this process has heard what ended.
func (p *Passes) Heard() EndedAfter {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.head
}

// Hear takes what another process tells. Who knows less than was heard tells it again: some of
// it comes twice, and none is missed.
func (p *Passes) Hear(page EndedPage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range page.Ended {
		p.ended[one.Session] = max(p.ended[one.Session], one.Until)
	}
	p.head = wholeSeq(page.Head)
	if n := len(page.Ended); page.More && n > 0 {
		p.head = page.Ended[n-1].EndedAfter
	}
}

// Forget drops those whose time has come anyway.
func (p *Passes) Forget() {
	now := p.now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, until := range p.ended {
		if until <= now {
			delete(p.ended, id)
		}
	}
	p.told = slices.DeleteFunc(p.told, func(e EndedPass) bool { return e.Until <= now })
}
