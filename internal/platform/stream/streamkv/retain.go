package streamkv

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// PinKind is how strongly a pin holds records.
type PinKind int

const (
	// PinMay holds records until the cap needs their room.
	PinMay PinKind = iota
	// PinMust holds records whatever the size.
	PinMust
)

type pin struct {
	from stream.Position
	kind PinKind
}

// Pin keeps records at and after a position until the pin of that name is moved or
// taken away. Pins live in memory: set them again before Start. A pin does not bring
// back what is gone already.
func (l *Log) Pin(name string, from stream.Position, kind PinKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pins[name] = pin{from, kind}
}

// Unpin takes a pin away.
func (l *Log) Unpin(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pins, name)
}

// Start lets retention begin: every group of this version is registered and every
// pin is set. A group that no version asks for any more holds nothing then.
func (l *Log) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = true
}

func (l *Log) trimLoop() {
	tick := time.NewTicker(l.o.TrimEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-tick.C:
			if err := l.Trim(); err != nil && !errors.Is(err, stream.ErrClosed) {
				l.o.Log.Error("retention of the log failed, will try again", "log", l.path, "error", err)
			}
		}
	}
}

// Trim deletes what every group has ended and no pin holds, and, when the log is
// larger than its cap, what the slowest groups have not. The loop calls it.
// Before Start it does nothing.
func (l *Log) Trim() error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.users.Done()
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	groups, free, must, ready := l.holders()
	if !ready {
		return nil
	}
	trimmed, end := l.bounds()
	cut, err := l.markAt(min(free, end.at))
	if err != nil {
		return err
	}
	wish, err := l.overCap(cut, end, must)
	if err != nil {
		return err
	}
	if wish.at > cut.at {
		cut = wish
		for _, g := range groups {
			g.mu.Lock()
			err := g.take(cut, "the log is over its cap")
			g.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
	if cut.at <= trimmed.at {
		return nil
	}
	return l.deleteUpTo(trimmed, cut, groups)
}

// holders gives the groups, the position up to which neither they nor pins want
// anything, and the position up to which nothing must stay. With no group and no pin
// there is no telling who will come, so nothing goes.
func (l *Log) holders() (groups []*Group, free, must stream.Position, ready bool) {
	l.mu.Lock()
	free, must = math.MaxUint64, math.MaxUint64
	for _, p := range l.pins {
		upTo := max(p.from, 1) - 1
		free = min(free, upTo)
		if p.kind == PinMust {
			must = min(must, upTo)
		}
	}
	ready = l.started && len(l.groups)+len(l.pins) > 0
	for _, g := range l.groups {
		groups = append(groups, g)
	}
	l.mu.Unlock()
	for _, g := range groups {
		g.mu.Lock()
		free = min(free, g.floor.at)
		g.mu.Unlock()
	}
	return groups, free, must, ready
}

// overCap says up to where the cap wants records to go, and warns.
func (l *Log) overCap(cut, end mark, must stream.Position) (mark, error) {
	size, limit := int64(end.bytes-cut.bytes), l.capBytes.Load()
	if limit <= 0 || size < limit/100*capWarnPercent {
		return mark{}, nil
	}
	if size <= limit {
		if l.mayWarn(&l.nearNoted) {
			l.o.Log.Warn("the log is near its cap: a group is far behind", "log", l.path, "bytes", size, "cap_bytes", limit)
		}
		return mark{}, nil
	}
	warn := l.mayWarn(&l.overNoted)
	if warn {
		l.o.Log.Error("the log is over its cap: the oldest records are taken away from groups that are far behind",
			"log", l.path, "bytes", size, "cap_bytes", limit)
	}
	wish, err := l.markOfBytes(end.bytes-uint64(limit/100*capTargetPercent), cut, end)
	if err != nil || wish.at <= must {
		return wish, err
	}
	if warn {
		l.o.Log.Error("the log stays over its cap: what must be kept is larger", "log", l.path, "kept_from", (must + 1).String())
	}
	return l.markAt(min(must, end.at))
}

// mayWarn lets one warning of a kind through each minute. Trim holds saveMu.
func (l *Log) mayWarn(noted *time.Time) bool {
	now := l.o.Clock.Now()
	if !noted.IsZero() && now.Sub(*noted) < warnAgainAfter {
		return false
	}
	*noted = now
	return true
}

// markOfBytes finds the first record at which so many bytes were appended, ever. The
// sums grow with the positions, so halving finds it.
func (l *Log) markOfBytes(bytes uint64, low, high mark) (mark, error) {
	for low.at+1 < high.at {
		mid, err := l.markAt(low.at + (high.at-low.at)/2)
		if err != nil {
			return mark{}, err
		}
		switch {
		case mid.at <= low.at: // nothing in the lower half: go on behind it
			next, ok, err := l.firstAfter(low.at, high.at)
			if err != nil || !ok {
				return high, err
			}
			if mid, err = l.markAt(next); err != nil || next == high.at {
				return high, err
			}
			if mid.bytes >= bytes {
				return mid, nil
			}
			low = mid
		case mid.bytes >= bytes:
			high = mid
		default:
			low = mid
		}
	}
	return high, nil
}

// deleteUpTo deletes records in one batch with the state of the groups that ended
// them or lost them: no floor is ever behind what is gone, but for groups that are away.
func (l *Log) deleteUpTo(trimmed, cut mark, groups []*Group) error {
	b := l.db.NewBatch()
	err := errors.Join(
		b.DeleteRange(recordKey(trimmed.at+1), recordKey(cut.at+1), nil),
		b.Set([]byte{keyTrimmed}, encodeMark(cut), nil),
	)
	if gen := cut.at.Generation(); gen > lettersGen+1 {
		err = errors.Join(err, b.DeleteRange(generationKey(lettersGen+1), generationKey(gen), nil))
	}
	for _, g := range groups {
		err = errors.Join(err, b.Set(groupKey(g.name), g.saved(), nil))
	}
	if err == nil {
		err = b.Commit(pebble.NoSync) // a crash takes back all of it or nothing
	}
	if err := errors.Join(err, b.Close()); err != nil {
		for _, g := range groups {
			g.touch()
		}
		return fmt.Errorf("delete records of %s up to %s: %w", l.path, cut.at, err)
	}
	l.mu.Lock()
	l.trimmed = cut
	l.mu.Unlock()
	return nil
}

// take moves the floor up to cut: what the group has not acknowledged below it is
// lost to it. The caller holds g.mu, or is the only one who knows g.
func (g *Group) take(cut mark, why string) error {
	if g.floor.at >= cut.at {
		return nil
	}
	first, there, err := g.l.firstAfter(g.floor.at, cut.at)
	if err != nil {
		return err
	}
	if !there { // they are gone already
		first = g.floor.at + 1
	}
	from, done := g.floor, uint64(0)
	g.floor = mark{at: cut.at, count: cut.count}
	for _, list := range []*[]*entry{&g.window, &g.ahead} {
		*list = slices.DeleteFunc(*list, func(e *entry) bool {
			gone, ended := g.passedLocked(e, cut)
			done += ended
			return gone
		})
	}
	g.restored = slices.DeleteFunc(g.restored, func(a span) bool {
		if err != nil || a.first > cut.at {
			return false
		}
		g.acked -= a.count
		if a.last <= cut.at {
			done += a.count
			return true
		}
		var m mark // the span reaches over the cut: all of it is done
		if m, err = g.l.markAt(a.last); err == nil {
			done += a.count - (m.count - cut.count)
			g.floor = mark{at: m.at, count: m.count}
		}
		return true
	})
	if g.cursor.at < g.floor.at {
		g.cursor = g.floor
	}
	if len(g.window) > 0 && g.window[0].acked {
		g.settleLocked(0)
	}
	lost := cut.count - from.count - done
	g.lost += lost
	g.changed = true
	if lost > 0 {
		g.l.o.Log.Error("records were lost to a group: "+why, "log", g.l.path, "group", g.name, "records", lost,
			"first", first.String(), "last", cut.at.String(), "lost_in_all", g.lost)
	}
	return err
}

// passedLocked takes an entry out that lies below the cut, and gives how many of its
// records below it had been acknowledged.
func (g *Group) passedLocked(e *entry, cut mark) (gone bool, ended uint64) {
	switch {
	case e.rec.At > cut.at:
		return false, 0
	case !e.acked:
		if e.held {
			g.held--
		}
		return true, 0
	}
	g.acked -= e.count
	if e.last <= cut.at {
		return true, e.count
	}
	g.floor = mark{at: e.last, count: e.upto} // it reaches over the cut: all of it is done
	return true, e.count - (e.upto - cut.count)
}
