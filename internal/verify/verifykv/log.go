// Package verifykv is the log of sightings on Pebble.
//
// Promise: Record returns after the sighting is on disk, and what it answered is
// still so after a crash: counts never go down. Concurrent scans share one synced
// record (group commit). Counts live in memory, are written behind, and are
// rebuilt from the log's tail.
//
// Two stores, because they age differently: the records of the stream only ever grow
// at their end, so they are written once and never moved again, and consumers read
// them; counts are written all over, and need no write-ahead log, since the records
// are one.
//
// Invariant: the stored counts are exactly the sum of all records up to the stored
// watermark, and no record that they hold is less durable than they are; Open adds
// the records after it. A count and its place in the log are taken under one lock, so
// a later answer never rests on an earlier sighting that is not in the same record or
// one before (TestCrash).
//
// One engine: the log is local to its process by design.
package verifykv

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

const (
	countCacheBytes = 64 << 20
	countTableBytes = 64 << 20 // counts held back until they are flushed
	// groupMax keeps a sighting's number within its record to 16 bits, and bounds what
	// waits when the disk stands still.
	groupMax = 50_000
	// A group is gathered for a little when the one before was at least gatherFrom
	// large: as many are likely to come, and a synced write costs far more than the
	// wait. A scan that is alone does not wait.
	gatherFrom = 8
	gatherMax  = time.Millisecond
)

// tuning is what tests make small, so that what is rare happens all the time.
type tuning struct {
	// writeBehind is how many changed counts are gathered before they are written.
	writeBehind int
	writeEvery  time.Duration
	recentMax   int // counts in the younger half of the memory
	// flushAfterWrites bounds what Open reads again: a minute's, when little happens.
	flushAfterWrites int
	// memTableBytes is also what the engine's log files take ahead of need.
	memTableBytes uint64
}

var usual = tuning{writeBehind: 200_000, writeEvery: 5 * time.Second, recentMax: 500_000, flushAfterWrites: 12, memTableBytes: 4 << 20}

// Options are what an operator may choose.
type Options struct {
	Async    bool            // answer before the group is durable
	Key      []byte          // seals the log at rest, see streamkv
	CapBytes int64           // of the log, see streamkv
	After    stream.Position // see streamkv
	// Generation chooses the generation of this opening, see streamkv; may be nil.
	Generation func(after uint32) (uint32, error)
	// Shared counts beside other processes; nil = this one has all scans.
	Shared verify.Shared
	// Behind answers without waiting for Shared. That is asked to count nothing, which whoever
	// consumes the log brings about; what it knows is looked at for the item's next answer.
	Behind bool
	FS     vfs.FS // nil = the disk
	Clock  clock.Clock
	Log    *slog.Logger
}

// Log implements verify.Sightings.
type Log struct {
	stream  *streamkv.Log // the sightings themselves; synced
	tallies *pebble.DB    // counts and watermark, without a write-ahead log
	shared  verify.Shared
	hasty   bool // Options.Behind
	path    string
	async   bool
	log     *slog.Logger
	tuning

	mu     sync.Mutex
	open   *group               // guarded by mu: gathers entries
	latest *group               // guarded by mu: holds the latest entry
	at     stream.Position      // guarded by mu: of the open group
	want   int                  // guarded by mu: the size at which the committer stops to gather; 0 = it does not
	counts *counts              // guarded by mu
	places *places              // guarded by mu
	dirty  map[ids.Serial]tally // guarded by mu: changed since the last snapshot
	frozen map[ids.Serial]tally // guarded by mu: the snapshot that is being written
	looked map[ids.Serial]bool  // guarded by mu: items that Shared is being looked at for, where nobody waits for it
	ended  bool                 // guarded by mu
	epoch  uint64               // guarded by mu: counts forgotten so far

	wake    chan struct{} // holds one token while the open group has entries
	full    chan struct{} // holds a token when the open group is as large as wanted
	behind  chan snapshot // at most one, see snapshotLocked
	stop    chan struct{}
	done    sync.WaitGroup // the commit loop; Close waits for it
	written sync.WaitGroup // the write loop; the commit loop waits for it
	read    sync.WaitGroup // readers of the engine outside mu; Close waits for them
}

var _ verify.Sightings = (*Log)(nil)

// group is what one synced record will hold.
type group struct {
	record []byte
	n      int
	synced chan struct{} // closed when the group is durable, or failed
	err    error         // read after synced
}

func newGroup() *group { return &group{synced: make(chan struct{})} }

// ErrEnded answers a scan that comes while the process is going down.
var ErrEnded = errors.New("verifykv: the log of sightings is closed")

// Open opens the log and rebuilds what was not yet written behind.
func Open(path string, o Options) (*Log, error) { return open(path, o, usual) }

func open(path string, o Options, t tuning) (*Log, error) {
	records, err := streamkv.Open(filepath.Join(path, dirStream), streamkv.Options{
		MemTableBytes: t.memTableBytes, CapBytes: o.CapBytes, After: o.After, Generation: o.Generation, Key: o.Key, FS: o.FS, Clock: o.Clock, Log: o.Log})
	if err != nil {
		return nil, err
	}
	tallies, err := kvdb.Open(filepath.Join(path, dirTallies), kvdb.Options{
		CacheBytes: countCacheBytes, MemTableBytes: countTableBytes, NoWAL: true, Scattered: true, FS: o.FS, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	l := &Log{
		stream: records, tallies: tallies, behind: make(chan snapshot, 1), shared: o.Shared, hasty: o.Behind, path: path, async: o.Async, log: o.Log, tuning: t,
		open: newGroup(), latest: newGroup(), at: stream.At(records.Generation(), 1),
		counts: newCounts(t.recentMax), places: newPlaces(), dirty: map[ids.Serial]tally{}, looked: map[ids.Serial]bool{},
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	close(l.latest.synced)
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("recover sightings in %s: %w", path, err), records.Close(), tallies.Close())
	}
	l.done.Go(l.commitLoop)
	l.written.Go(l.writeLoop)
	return l, nil
}

// Stream is the log as its consumers read it. The owner registers them and calls
// its Start.
func (l *Log) Stream() *streamkv.Log { return l.stream }

// Record implements verify.Sightings.
func (l *Log) Record(s *verify.Sighting) (verify.Seen, error) {
	all, err := l.ask(s)
	if err != nil {
		return verify.Seen{}, err
	}
	l.mu.Lock()
	t, err := l.roomLocked(s.Item.Serial)
	if err != nil {
		l.mu.Unlock()
		return verify.Seen{}, err
	}
	seen, g := l.countLocked(s, &t, all)
	if l.hasty && l.shared != nil {
		l.lookLocked(s.Item.Serial, &t)
	}
	first, enough := g.n == 1, g.n == l.want
	l.mu.Unlock()
	if first {
		l.wake <- struct{}{} // never blocks: one token for each open group
	}
	if enough {
		select {
		case l.full <- struct{}{}:
		default: // a token of the group before: the committer stops to gather all the same
		}
	}
	if l.async {
		return seen, nil
	}
	<-g.synced
	return seen, g.err
}

// countLocked counts a scan and puts it into the open group.
func (l *Log) countLocked(s *verify.Sighting, t *tally, all shared) (verify.Seen, *group) {
	at, in := s.At.UnixMicro(), l.places.number(s.Place)
	what, count := all.what, all.sum.Count
	switch {
	case all.told:
		t.Counted(&all.sum, at, s.Device, l.places.number(&all.sum.FirstIn), in)
	case all.doubtful:
		what = t.AddDoubtful(all.known, at, s.Device, in, s.Place, l.places.of(t.LastIn))
		count = t.Count
	default:
		what = t.Add(at, s.Device, in, s.Place, l.places.of(t.LastIn))
		count = t.Count
	}
	g := l.open
	g.record = l.appendLocked(g.record, s, t.last, at, count, what)
	t.last = verifyevent.Ref{At: uint64(l.at), N: uint16(g.n)}
	g.n++
	l.latest = g
	l.counts.put(s.Item.Serial, *t)
	l.dirty[s.Item.Serial] = *t
	if all.told {
		return all.sum.Seen(what), g
	}
	seen := l.seenLocked(t)
	seen.What, seen.Partial = what, l.shared != nil
	return seen, g
}

// roomLocked finds an item's tally when the open group can take one more.
func (l *Log) roomLocked(s ids.Serial) (tally, error) {
	for {
		t, err := l.tallyLocked(s)
		g := l.open
		if err != nil || g.n < groupMax {
			return t, err
		}
		l.mu.Unlock()
		<-g.synced
		l.mu.Lock()
	}
}

func (l *Log) appendLocked(record []byte, s *verify.Sighting, last verifyevent.Ref, at, count int64, what verifyevent.What) []byte {
	e := verifyevent.Sighting{
		Serial: s.Item.Serial, At: at, Prev: last, Count: count, Brand: s.Item.BrandID, Product: s.Item.ProductID, No: s.Item.No,
		Verdict: uint8(s.Verdict.Counted(count)), Source: uint8(s.Source), What: what, Device: s.Device,
	}
	if s.Place != nil {
		e.Place = s.Place.Place
	}
	if c := s.Client; c != nil {
		e.IP, e.Agent, e.Zone = c.IP, c.Agent, c.Zone
		if c.Trace != nil {
			e.What |= verifyevent.Traced
			e.Trace = *c.Trace
		}
		if c.User != 0 {
			e.What |= verifyevent.SignedIn
			e.User = c.User
		}
	}
	return verifyevent.Append(record, &e)
}

// tallyLocked finds an item's tally, or loads it with the lock let go. What it loads
// is the caller's to keep: looks at items that nobody scans must not fill the memory.
func (l *Log) tallyLocked(s ids.Serial) (tally, error) {
	for {
		if l.ended {
			return tally{}, ErrEnded
		}
		if t, ok := l.knownLocked(s); ok {
			return t, nil
		}
		epoch := l.epoch
		l.read.Add(1)
		l.mu.Unlock()
		stored, err := l.load(s)
		l.read.Done()
		l.mu.Lock()
		if err != nil {
			return tally{}, err
		}
		// with another epoch, what was read may be older than what was forgotten since
		if _, known := l.knownLocked(s); l.epoch == epoch && !l.ended && !known {
			return stored, nil
		}
	}
}

// knownLocked looks in memory. What is not stored yet is never forgotten.
func (l *Log) knownLocked(s ids.Serial) (tally, bool) {
	if t, ok := l.counts.get(s); ok {
		return t, true
	}
	if t, ok := l.dirty[s]; ok {
		return t, true
	}
	t, ok := l.frozen[s]
	return t, ok
}

func (l *Log) seenLocked(t *tally) verify.Seen {
	if t.Count == 0 {
		return verify.Seen{}
	}
	return verify.Seen{
		Count: t.Count, Sessions: t.Sessions, FirstAt: time.UnixMicro(t.FirstAt).UTC(), LastAt: time.UnixMicro(t.LastAt).UTC(),
		FirstIn: l.places.words(t.FirstIn), LastIn: l.places.words(t.LastIn),
	}
}

// Seen implements verify.Sightings. Like Record it waits until what it tells would
// outlive a crash.
func (l *Log) Seen(s ids.Serial) (verify.Seen, error) {
	t, seen, err := l.look(s)
	if err != nil || l.shared == nil {
		return seen, err
	}
	if l.hasty {
		seen.Partial = true
		return seen, nil
	}
	sum, err := l.shared.Look(s, l.sum(&t))
	if err != nil {
		seen.Partial = true
		return seen, nil //nolint:nilerr // what this process knows is the answer then
	}
	return sum.Seen(0), nil
}

// Last is the log's place of the item's newest sighting; the zero Ref when there is
// none. Each sighting names the one before it.
func (l *Log) Last(s ids.Serial) (verifyevent.Ref, error) {
	t, _, err := l.look(s)
	return t.last, err
}

func (l *Log) look(s ids.Serial) (tally, verify.Seen, error) {
	l.mu.Lock()
	t, err := l.tallyLocked(s)
	if err != nil {
		l.mu.Unlock()
		return tally{}, verify.Seen{}, err
	}
	seen, g := l.seenLocked(&t), l.latest
	l.mu.Unlock()
	if l.async {
		return t, seen, nil
	}
	<-g.synced
	return t, seen, g.err
}

// AnyIn reports whether an item with a serial of first..last was ever scanned.
func (l *Log) AnyIn(first, last ids.Serial) (bool, error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return false, ErrEnded
	}
	l.read.Add(1)
	defer l.read.Done()
	for _, changed := range []map[ids.Serial]tally{l.dirty, l.frozen} {
		for s := range changed {
			if s >= first && s <= last {
				l.mu.Unlock()
				return true, nil
			}
		}
	}
	l.mu.Unlock()
	it, err := l.tallies.NewIter(&pebble.IterOptions{LowerBound: countKey(first), UpperBound: countKey(last + 1)})
	if err != nil {
		return false, fmt.Errorf("look for sightings: %w", err)
	}
	found := it.First()
	return found, errors.Join(it.Error(), it.Close())
}

// commitLoop makes groups durable, one after the other.
func (l *Log) commitLoop() {
	timer := time.NewTicker(l.writeEvery)
	defer timer.Stop()
	due, size := false, 0
	for {
		select {
		case <-l.wake:
			// Let the requests that are ready join before the group is sealed: a
			// synced write costs far more than one turn of the scheduler.
			runtime.Gosched()
			l.gather(size)
			due, size = l.commit(due)
		case <-timer.C:
			due = true
			if l.idle() {
				l.writeBehindOf(l.snapshot())
				due = false
			}
		case <-l.stop:
			l.drain()
			return
		}
	}
}

// gather waits for as many entries as the last group had, but not for long.
func (l *Log) gather(size int) {
	l.mu.Lock()
	if size < gatherFrom || l.open.n >= size {
		l.mu.Unlock()
		return
	}
	l.want = size
	l.mu.Unlock()
	t := time.NewTimer(gatherMax)
	defer t.Stop()
	select {
	case <-l.full:
		return
	case <-t.C:
	case <-l.stop:
	}
	l.mu.Lock()
	l.want = 0
	l.mu.Unlock()
	select {
	case <-l.full: // it came just now
	default:
	}
}

// idle reports that no group is waiting, so that a snapshot may be taken here.
func (l *Log) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open.n == 0
}

// drain makes the last group and the last counts durable.
func (l *Log) drain() {
	if !l.idle() {
		l.commit(false)
	}
	close(l.behind)
	l.written.Wait()
	l.writeCounts(l.snapshot())
}

// commit seals the open group, makes it durable and tells who waits. With due, or
// when many counts have changed, it also has them written behind.
func (l *Log) commit(due bool) (stillDue bool, size int) {
	l.mu.Lock()
	g, at := l.open, l.at
	l.open, l.at, l.want = newGroup(), l.at+1, 0
	l.open.record = make([]byte, 0, cap(g.record))
	snap := snapshot{}
	if due || len(l.dirty) >= l.writeBehind {
		snap = l.snapshotLocked(at)
	}
	l.mu.Unlock()

	if g.err = l.stream.Append(at, g.record); g.err != nil {
		g.err = fmt.Errorf("write sightings: %w", g.err)
		l.log.Error("scans could not be made durable", "scans", g.n, "answered_before", l.async, "error", g.err)
	}
	close(g.synced)
	if g.err == nil {
		l.writeBehindOf(snap)
	}
	return due && snap.tallies == nil, g.n
}

// writeBehindOf hands a snapshot, whose records are durable, to the writer. There is
// room: the next one is taken only when this one was written.
func (l *Log) writeBehindOf(s snapshot) {
	if s.tallies != nil {
		l.behind <- s
	}
}

// Close makes everything durable and ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil
	}
	l.ended = true
	l.mu.Unlock()
	close(l.stop)
	l.done.Wait()
	l.read.Wait()
	return errors.Join(l.tallies.Flush(), l.tallies.Close(), l.stream.Close())
}
