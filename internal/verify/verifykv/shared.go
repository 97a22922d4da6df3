package verifykv

import (
	"errors"

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
	known    int64 // how many scans were known here when they were asked
}

// ask counts a scan beside those of other processes. It holds no lock while it waits.
// Nobody answers: the scan is counted here alone, and its answer says so.
func (l *Log) ask(s *verify.Sighting) (shared, error) {
	if l.shared == nil || l.hasty {
		return shared{}, nil
	}
	l.mu.Lock()
	t, err := l.tallyLocked(s.Item.Serial)
	if err != nil {
		l.mu.Unlock()
		return shared{}, err
	}
	own := l.sumLocked(&t)
	l.mu.Unlock()
	sum, what, err := l.shared.Count(s, own)
	if err != nil {
		return shared{doubtful: !errors.Is(err, verify.ErrNotAsked), known: own.Count}, nil // Partial tells; the breaker in front of the others has logged it
	}
	return shared{told: true, sum: sum, what: what | verifyevent.Shared}, nil
}

// lookLocked begins to find out what others know of an item that was counted here alone.
func (l *Log) lookLocked(s ids.Serial, t *tally) {
	if l.looked[s] {
		return
	}
	l.looked[s] = true
	own := l.sumLocked(t)
	go func() { // nobody waits for it; it ends when Shared gives up
		sum, err := l.shared.Look(s, own)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.looked, s)
		if err == nil {
			l.learnLocked(s, &sum)
		}
	}()
}

// learnLocked notes what others know of an item that is still in memory.
func (l *Log) learnLocked(s ids.Serial, sum *verify.Sum) {
	t, ok := l.knownLocked(s)
	if !ok || l.ended {
		return
	}
	t.Learned(sum, l.places.number(&sum.FirstIn), l.places.number(&sum.LastIn))
	l.counts.put(s, t)
	l.dirty[s] = t
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
