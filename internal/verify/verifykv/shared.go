package verifykv

import (
	"errors"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// shared is what was told of a scan that is counted beside those of other processes.
type shared struct {
	told     bool // false: nobody was asked, or nobody answered
	sum      verify.Sum
	what     verifyevent.What
	doubtful bool  // nobody answered, who may have counted it
	known    int64 // how many scans were known here when they were asked, and those that were counted without them since
}

// call is a question about one scan that the scan's answer may not wait for. All of it is
// guarded by the log's mu.
type call struct {
	answer   shared // doubtful until there is one
	alone    int64  // asking.alone that answer.known has in it
	ended    bool
	recorded bool // the scan is counted
}

// asking is what goes on about an item. While scans of it are on the way to the others,
// what this process knows is told as it was before the first of them: else they would
// be counted there twice.
type asking struct {
	calls int
	own   verify.Sum
	alone int64 // scans that were counted here meanwhile without an answer
}

// ask counts a scan beside those of other processes. It holds no lock while it waits.
// Nobody answers, or not soon enough: the scan is counted here alone, and its answer says so.
// Where a question goes on, c is it.
func (l *Log) ask(s *verify.Sighting) (all shared, c *call, _ error) {
	if l.shared == nil {
		return shared{}, nil, nil
	}
	l.mu.Lock()
	t, err := l.tallyLocked(s.Item.Serial)
	if err != nil {
		l.mu.Unlock()
		return shared{}, nil, err
	}
	own := l.sumLocked(&t)
	if l.wait == 0 {
		l.mu.Unlock()
		return l.tell(s, own), nil, nil
	}
	a := l.beginLocked(s.Item.Serial, own)
	l.mu.Unlock()
	c = &call{answer: shared{doubtful: true, known: own.Count}, alone: a.alone}
	l.askFor(c, s, a.own)
	return shared{}, c, nil
}

func (l *Log) tell(s *verify.Sighting, own verify.Sum) shared {
	sum, what, err := l.shared.Count(s, own)
	if err != nil { // Partial tells; the breaker in front of the others has logged it
		return shared{doubtful: !errors.Is(err, verify.ErrNotAsked), known: own.Count}
	}
	return shared{told: true, sum: sum, what: what | verifyevent.Shared}
}

// askFor waits as long as was chosen. The question goes on meanwhile: what comes too late
// for this scan is known at the next.
func (l *Log) askFor(c *call, s *verify.Sighting, own verify.Sum) {
	told, item := *s, *s.Item // whoever asks uses his own again
	told.Item, told.Client = &item, nil
	answered := make(chan struct{})
	go func() { // nobody waits for it; it ends when Shared gives up
		defer close(answered)
		got := l.tell(&told, own)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.updateLocked(item.Serial, c)
		c.ended = true
		l.endLocked(item.Serial)
		switch {
		case c.recorded && got.told:
			l.learnLocked(item.Serial, &got.sum)
		case !c.recorded && !got.doubtful:
			c.answer = got
		}
	}()
	within(l.wait, answered)
}

// within waits for what is done, but no longer than a time; below 0 not at all.
func within(wait time.Duration, done <-chan struct{}) {
	if wait < 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// takeLocked gives what was told of the scan that is counted now.
func (l *Log) takeLocked(s ids.Serial, c *call) shared {
	l.updateLocked(s, c)
	c.recorded = true
	return c.answer
}

// updateLocked brings what is known beside a question up to now. What an item's tally has
// beyond it came from answers, which may have had the scan in them.
func (l *Log) updateLocked(s ids.Serial, c *call) {
	if a := l.asking[s]; !c.ended {
		c.answer.known += a.alone - c.alone
		c.alone = a.alone
	}
}

func (l *Log) beginLocked(s ids.Serial, own verify.Sum) asking {
	a, ok := l.asking[s]
	if !ok {
		a.own = own
	}
	a.calls++
	l.asking[s] = a
	return a
}

func (l *Log) endLocked(s ids.Serial) {
	a := l.asking[s]
	if a.calls--; a.calls == 0 {
		delete(l.asking, s)
		return
	}
	l.asking[s] = a
}

// aloneLocked notes that a scan was counted without an answer.
func (l *Log) aloneLocked(s ids.Serial) {
	if a, ok := l.asking[s]; ok {
		a.alone++
		l.asking[s] = a
	}
}

// learnLocked notes a late answer of an item that is still in memory.
func (l *Log) learnLocked(s ids.Serial, sum *verify.Sum) {
	t, ok := l.knownLocked(s)
	if !ok || l.ended {
		return
	}
	t.Learned(sum, l.places.number(&sum.FirstIn), l.places.number(&sum.LastIn))
	l.counts.put(s, t)
	l.dirty[s] = t
}

// seeAll looks at the scans of all processes, for as long as was chosen.
func (l *Log) seeAll(s ids.Serial, own verify.Sum) (sum verify.Sum, ok bool) {
	if l.wait == 0 {
		sum, err := l.shared.Look(s, own)
		return sum, err == nil
	}
	got, done := make(chan verify.Sum, 1), make(chan struct{})
	if l.wait > 0 {
		go func() { // nobody waits for it; it ends when Shared gives up
			defer close(done)
			if sum, err := l.shared.Look(s, own); err == nil {
				got <- sum
			}
		}()
	}
	within(l.wait, done)
	select {
	case sum = <-got:
		return sum, true
	default:
		return sum, false
	}
}

// sum is a tally with its places as they are.
func (l *Log) sum(t *tally) verify.Sum {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sumLocked(t)
}

func (l *Log) sumLocked(t *tally) verify.Sum {
	s := verify.Sum{Count: t.Count, Sessions: t.Sessions, FirstAt: t.FirstAt, LastAt: t.LastAt}
	if p := l.places.of(t.FirstIn); p != nil {
		s.FirstIn = *p
	}
	if p := l.places.of(t.LastIn); p != nil {
		s.LastIn = *p
	}
	return s
}
