package streamkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

// Group is one reader of the log; see stream.Group. Holds are in memory: whoever held
// a record when the process ended is gone with it.
//
// Every record that the log has is in one of five places: up to the floor (done), in
// the window (held, or done beside others that are held), in what was read ahead, in
// a restored span (done before this opening), or not read yet.
type Group struct {
	l    *Log
	name string
	wake chan struct{} // holds a token when there may be something to fetch

	mu       sync.Mutex
	floor    mark     // guarded by mu: all up to it is acknowledged or lost
	cursor   mark     // guarded by mu: all up to it was read from the log
	window   []*entry // guarded by mu: above the floor, in order; the first one is held
	ahead    []*entry // guarded by mu: read and not given out, in order, behind the window
	restored []span   // guarded by mu: acknowledged, behind the cursor
	acked    uint64   // guarded by mu: records acknowledged above the floor
	held     int64    // guarded by mu
	lost     uint64   // guarded by mu
	changed  bool     // guarded by mu: what is stored is older

	ended struct { // guarded by mu: where the log ended, some time ago; zero = not noted
		at   stream.Position
		when time.Time
	}
	through time.Time // guarded by mu
}

// entry is a record, or a run of neighbours that are acknowledged.
type entry struct {
	rec      stream.Record // the first one; its value only until it is given out
	last     stream.Position
	upto     uint64 // mark.count of the last one
	count    uint64 // records
	appended int64  // microseconds
	acked    bool
	held     bool
	holder   string // when held
	since    time.Time
}

// Group gives the group of that name, and makes it when it is new: then it begins at
// the earliest record. Only groups that this process asked for hold retention: ask for
// all before Start.
func (l *Log) Group(name string) (*Group, error) {
	if err := stream.CheckGroup(name); err != nil {
		return nil, err
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.users.Done()
	l.saveMu.Lock() // no Trim between what is read here and the entry in the list
	defer l.saveMu.Unlock()
	l.mu.Lock()
	g, trimmed := l.groups[name], l.trimmed
	l.mu.Unlock()
	if g != nil {
		return g, nil
	}
	g = &Group{l: l, name: name, wake: make(chan struct{}, 1), floor: trimmed, changed: true}
	raw, ok, err := kvdb.Get(l.db, groupKey(name))
	if err != nil {
		return nil, err
	}
	if ok {
		if err := g.restore(raw, trimmed); err != nil {
			return nil, fmt.Errorf("group %s of %s: %w", name, l.path, err)
		}
	}
	g.cursor = g.floor
	l.mu.Lock()
	l.groups[name] = g
	l.mu.Unlock()
	l.touch()
	return g, nil
}

// restore takes up what is stored. A group that was away may have missed records.
func (g *Group) restore(raw []byte, trimmed mark) error {
	s, err := decodeState(raw)
	if err != nil {
		return err
	}
	g.floor, g.lost, g.restored = s.floor, s.lost, s.acked
	for _, a := range s.acked {
		g.acked += a.count
	}
	if _, end := g.l.bounds(); g.floor.at > end.at {
		return fmt.Errorf("its floor %s lies behind the end %s: %w", g.floor.at, end.at, errDamaged)
	}
	return g.take(trimmed, "it was away while retention went on")
}

// Name implements stream.Group.
func (g *Group) Name() string { return g.name }

// signal wakes one Fetch; what it leaves behind wakes the next one.
func (g *Group) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Fetch implements stream.Group.
func (g *Group) Fetch(ctx context.Context, consumer string, most int) ([]stream.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records, err := g.next(consumer, max(most, 1))
		if err != nil || len(records) > 0 {
			return records, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-g.l.closing:
			return nil, stream.ErrClosed
		case <-g.wake:
		}
		g.gather(ctx)
	}
}

// gather lets records come together before the log is read: a read costs much more
// than a record in it.
func (g *Group) gather(ctx context.Context) {
	if g.l.o.Gather <= 0 {
		return
	}
	timer := time.NewTimer(g.l.o.Gather)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.l.closing:
	case <-ctx.Done():
		g.signal() // the token was for whoever still waits
	}
}

// next gives out what is there, without waiting.
func (g *Group) next(consumer string, most int) ([]stream.Record, error) {
	if err := g.l.enter(); err != nil {
		return nil, err
	}
	defer g.l.users.Done()
	g.mu.Lock()
	defer g.mu.Unlock()
	var given []stream.Record
	for len(given) < most {
		if len(g.ahead) == 0 {
			if err := g.readLocked(); err != nil && len(given) == 0 {
				return nil, err
			}
			if len(g.ahead) == 0 {
				return given, nil
			}
		}
		e := g.ahead[0]
		g.ahead[0], g.ahead = nil, g.ahead[1:]
		g.window = append(g.window, e)
		if e.acked {
			g.settleLocked(len(g.window) - 1)
			continue
		}
		e.held, e.holder, e.since = true, consumer, g.l.o.Clock.Now()
		g.held++
		given = append(given, e.rec)
		e.rec.Value = nil
	}
	g.signal()
	return given, nil
}

// readLocked reads ahead: a little, so that each read of the log serves many calls.
func (g *Group) readLocked() error {
	_, end := g.l.bounds()
	if g.cursor.at >= end.at {
		return nil
	}
	it, err := g.l.records(g.cursor.at, end.at)
	if err != nil {
		return err
	}
	var failed error
	n, bytes := 0, 0
	for ok := it.First(); ok && failed == nil && n < aheadRecordsMax && bytes < aheadBytesMax; {
		at, good := parseRecordKey(it.Key())
		if !good {
			failed = &DamagedError{at, errDamaged}
			break
		}
		if len(g.restored) > 0 && g.restored[0].first <= at {
			a := g.restored[0]
			g.restored = g.restored[1:]
			g.cursor.at, g.cursor.count = a.last, g.cursor.count+a.count
			g.ahead = append(g.ahead, &entry{
				rec: stream.Record{At: a.first}, last: a.last, upto: g.cursor.count, count: a.count, acked: true,
			})
			ok = it.SeekGE(recordKey(a.last + 1))
			continue
		}
		raw := it.Value()
		failed = g.addLocked(it.Key(), raw)
		n, bytes = n+1, bytes+len(raw)
		ok = failed == nil && it.Next()
	}
	if err := errors.Join(failed, it.Error(), it.Close()); err != nil {
		return fmt.Errorf("read the log for %s: %w", g.name, err)
	}
	return nil
}

// addLocked puts the record behind the cursor into what was read ahead. One that
// cannot be opened becomes a letter: nobody ever will open it.
func (g *Group) addLocked(key, raw []byte) error {
	r, h, err := g.l.open(nil, key, raw)
	if r.At == 0 {
		r.At, _ = parseRecordKey(key)
	}
	e := &entry{rec: r, last: r.At, upto: g.cursor.count + 1, count: 1, appended: h.at}
	if err != nil {
		if err := g.buryUnreadable(r.At, raw, err); err != nil {
			return err
		}
		e.acked = true
		g.acked++
		g.touchLocked()
	}
	g.ahead = append(g.ahead, e)
	g.cursor = mark{at: r.At, count: e.upto}
	return nil
}

func (g *Group) buryUnreadable(at stream.Position, raw []byte, why error) error {
	g.l.o.Log.Error("a record of the log is damaged and cannot be consumed: it is kept as a dead letter",
		"log", g.l.path, "group", g.name, "position", at.String(), "error", why)
	err := g.l.Bury(context.Background(), stream.Letter{
		Group: g.name, At: at, N: stream.Unreadable, Value: slices.Clone(raw), Reason: why.Error(), Tries: 1,
	})
	if err != nil {
		return fmt.Errorf("bury damaged record %s: %w", at, err)
	}
	return nil
}

// Claim implements stream.Group.
func (g *Group) Claim(_ context.Context, consumer string, idle time.Duration, most int) ([]stream.Record, error) {
	if err := g.l.enter(); err != nil {
		return nil, err
	}
	defer g.l.users.Done()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.l.o.Clock.Now()
	var given []stream.Record
	for i := 0; i < len(g.window) && len(given) < most; i++ {
		e := g.window[i]
		if e.acked || e.holder == consumer || now.Sub(e.since) <= idle {
			continue
		}
		r, there, err := g.l.get(e.rec.At)
		if damaged := (*DamagedError)(nil); errors.As(err, &damaged) {
			var raw []byte
			if raw, err = g.l.stored(e.rec.At); err == nil {
				err = g.buryUnreadable(e.rec.At, raw, damaged)
			}
			if err == nil {
				i = g.ackLocked(i)
				continue
			}
		}
		if err == nil && !there {
			err = fmt.Errorf("record %s is held and not there: %w", e.rec.At, errDamaged)
		}
		if err != nil {
			return given, fmt.Errorf("claim for %s: %w", g.name, err)
		}
		e.holder, e.since = consumer, now
		given = append(given, r)
	}
	return given, nil
}

// Ack implements stream.Group. It is stored soon, not at once.
func (g *Group) Ack(_ context.Context, at ...stream.Position) error {
	if err := g.l.enter(); err != nil {
		return err
	}
	defer g.l.users.Done()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range at {
		i := sort.Search(len(g.window), func(i int) bool { return g.window[i].last >= p })
		if i < len(g.window) && g.window[i].rec.At == p && !g.window[i].acked {
			g.ackLocked(i)
		}
	}
	return nil
}

// ackLocked ends a held entry and gives the index of the last one before what
// followed it.
func (g *Group) ackLocked(i int) int {
	e := g.window[i]
	e.acked, e.held = true, false
	g.held--
	g.acked += e.count
	g.touchLocked()
	return g.settleLocked(i)
}

// settleLocked joins an acknowledged entry with its neighbours, so that the window is
// as long as what is held, and moves the floor when it is the first one.
func (g *Group) settleLocked(i int) int {
	e := g.window[i]
	if i+1 < len(g.window) && g.window[i+1].acked {
		next := g.window[i+1]
		e.last, e.upto, e.count = next.last, next.upto, e.count+next.count
		g.window = slices.Delete(g.window, i+1, i+2)
	}
	if i > 0 && g.window[i-1].acked {
		before := g.window[i-1]
		before.last, before.upto, before.count = e.last, e.upto, before.count+e.count
		g.window = slices.Delete(g.window, i, i+1)
		i--
	}
	if i == 0 {
		first := g.window[0]
		g.floor = mark{at: first.last, count: first.upto}
		g.acked -= first.count
		g.window[0], g.window = nil, g.window[1:]
		g.touchLocked()
		return -1
	}
	return i
}

// Floor is the position up to which everything is acknowledged, or lost.
func (g *Group) Floor() stream.Position {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.floor.at
}

// Through implements stream.Group.
func (g *Group) Through(context.Context) (time.Time, error) {
	if err := g.l.enter(); err != nil {
		return time.Time{}, err
	}
	defer g.l.users.Done()
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.l.o.Clock.Now() // before the end is read
	_, end := g.l.bounds()
	switch {
	case end.count == g.floor.count+g.acked:
		g.through, g.ended.when = now, time.Time{}
	case g.ended.when.IsZero():
		g.ended.at, g.ended.when = end.at, now
	case g.floor.at >= g.ended.at:
		g.through, g.ended.at, g.ended.when = g.ended.when, end.at, now
	}
	return g.through, nil
}

// Lag implements stream.Group.
func (g *Group) Lag(_ context.Context) (stream.Lag, error) {
	if err := g.l.enter(); err != nil {
		return stream.Lag{}, err
	}
	defer g.l.users.Done()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.window) == 0 && len(g.ahead) == 0 {
		if err := g.readLocked(); err != nil {
			return stream.Lag{}, err
		}
	}
	_, end := g.l.bounds()
	lag := stream.Lag{Records: int64(end.count) - int64(g.floor.count) - int64(g.acked), Held: g.held, Lost: int64(g.lost)}
	for _, list := range [][]*entry{g.window, g.ahead} {
		i := slices.IndexFunc(list, func(e *entry) bool { return !e.acked })
		if i < 0 {
			continue
		}
		lag.Age = max(0, g.l.o.Clock.Now().Sub(time.UnixMicro(list[i].appended)))
		break
	}
	return lag, nil
}
