// Package verifykv is the log of sightings on Pebble.
//
// Promise: Record returns after the sighting is on disk, and what it answered is
// still so after a crash: counts never go down. Concurrent scans share one synced
// record (group commit). Counts live in memory, are written behind, and are
// rebuilt from the log's tail.
//
// Two stores, because they age differently: groups only ever grow at their end, so
// they are written once and never moved again; counts are written all over, and
// need no write-ahead log, since the groups are one.
//
// Invariant: the stored counts are exactly the sum of all groups up to the stored
// watermark, and no group that they hold is less durable than they are; Open adds
// the groups after it. A count and its place in the log are
// taken under one lock, so a later answer never rests on an earlier sighting that
// is not in the same group or one before (TestCrash).
//
// One engine: the log is local to its process by design.
package verifykv

import (
	"encoding/binary"
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
	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/verify"
)

const (
	groupCacheBytes = 4 << 20
	countCacheBytes = 32 << 20
	countTableBytes = 16 << 20 // counts held back until they are flushed
)

// tuning is what tests make small, so that what is rare happens all the time.
type tuning struct {
	// writeBehind is how many changed counts are gathered before they are written;
	// the copy is made under the lock, so it bounds the pause (about 1 ms).
	writeBehind int
	writeEvery  time.Duration
	recentMax   int // counts in the younger half of the memory
	// flushAfterWrites bounds what Open reads again: a minute's, when little happens.
	flushAfterWrites int
	// memTableBytes is also what the engine's log files take ahead of need.
	memTableBytes uint64
}

var usual = tuning{writeBehind: 10_000, writeEvery: time.Second, recentMax: 500_000, flushAfterWrites: 60, memTableBytes: 4 << 20}

// Options are what an operator may choose.
type Options struct {
	Async bool   // answer before the group is durable
	FS    vfs.FS // nil = the disk
	Log   *slog.Logger
}

// Log implements verify.Sightings.
type Log struct {
	groups  *pebble.DB // the sightings themselves; synced
	tallies *pebble.DB // counts and watermark, without a write-ahead log
	path    string
	async   bool
	tuning
	gen uint32 // of this opening; positions are never used twice

	mu     sync.Mutex
	open   *group                // guarded by mu: gathers entries
	latest *group                // guarded by mu: holds the latest entry
	seq    uint64                // guarded by mu: of the open group
	counts *counts               // guarded by mu
	dirty  map[ids.Serial]*tally // guarded by mu: changed since the last snapshot
	frozen map[ids.Serial]*tally // guarded by mu: the snapshot that is being written
	ended  bool                  // guarded by mu
	epoch  uint64                // guarded by mu: counts forgotten so far

	wake    chan struct{} // holds one token while the open group has entries
	behind  chan snapshot // at most one, see snapshotLocked
	stop    chan struct{}
	done    sync.WaitGroup // the commit loop; Close waits for it
	written sync.WaitGroup // the write loop; the commit loop waits for it
	read    sync.WaitGroup // readers of the engine outside mu; Close waits for them
}

var _ verify.Sightings = (*Log)(nil)

// group is what one synced record will hold.
type group struct {
	entries []byte
	synced  chan struct{} // closed when the group is durable, or failed
	err     error         // read after synced
}

func newGroup() *group { return &group{synced: make(chan struct{})} }

// tally is what the sightings of one item add up to.
type tally struct {
	count           int64
	firstAt, lastAt int64 // microseconds
}

func (t *tally) add(at int64) {
	if t.count == 0 {
		t.firstAt = at
	}
	t.count++
	t.lastAt = max(t.lastAt, at)
}

func (t *tally) seen() verify.Seen {
	if t.count == 0 {
		return verify.Seen{}
	}
	return verify.Seen{Count: t.count, FirstAt: time.UnixMicro(t.firstAt).UTC(), LastAt: time.UnixMicro(t.lastAt).UTC()}
}

// ErrEnded answers a scan that comes while the process is going down.
var ErrEnded = errors.New("verifykv: the log of sightings is closed")

// Open opens the log and rebuilds what was not yet written behind.
func Open(path string, o Options) (*Log, error) { return open(path, o, usual) }

func open(path string, o Options, t tuning) (*Log, error) {
	groups, err := kvdb.Open(filepath.Join(path, dirGroups), kvdb.Options{
		CacheBytes: groupCacheBytes, MemTableBytes: t.memTableBytes, FS: o.FS, Log: o.Log})
	if err != nil {
		return nil, err
	}
	tallies, err := kvdb.Open(filepath.Join(path, dirTallies), kvdb.Options{
		CacheBytes: countCacheBytes, MemTableBytes: countTableBytes, NoWAL: true, FS: o.FS, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, groups.Close())
	}
	l := &Log{
		groups: groups, tallies: tallies, behind: make(chan snapshot, 1), path: path, async: o.Async, tuning: t,
		open: newGroup(), latest: newGroup(), seq: 1, counts: newCounts(t.recentMax), dirty: map[ids.Serial]*tally{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	close(l.latest.synced)
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("recover sightings in %s: %w", path, err), groups.Close(), tallies.Close())
	}
	l.done.Go(l.commitLoop)
	l.written.Go(l.writeLoop)
	return l, nil
}

// Record implements verify.Sightings.
func (l *Log) Record(s verify.Sighting) (verify.Seen, error) {
	l.mu.Lock()
	t, err := l.tallyLocked(s.Serial)
	if err != nil {
		l.mu.Unlock()
		return verify.Seen{}, err
	}
	at := s.At.UnixMicro()
	t.add(at)
	l.counts.put(s.Serial, t)
	l.dirty[s.Serial] = t
	seen := t.seen()
	g := l.open
	l.latest = g
	first := len(g.entries) == 0
	g.entries = appendEntry(g.entries, s.Serial, at, s.Verdict, s.Source)
	l.mu.Unlock()
	if first {
		l.wake <- struct{}{} // never blocks: one token for each open group
	}
	if l.async {
		return seen, nil
	}
	<-g.synced
	return seen, g.err
}

// tallyLocked finds an item's tally, or loads it with the lock let go. What it loads
// is the caller's to keep: looks at items that nobody scans must not fill the memory.
func (l *Log) tallyLocked(s ids.Serial) (*tally, error) {
	for {
		if l.ended {
			return nil, ErrEnded
		}
		if t := l.counts.get(s); t != nil {
			return t, nil
		}
		epoch := l.epoch
		l.read.Add(1)
		l.mu.Unlock()
		stored, err := l.load(s)
		l.read.Done()
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
		// with another epoch, what was read may be older than what was forgotten since
		if l.epoch == epoch && !l.ended && l.counts.get(s) == nil {
			return stored, nil
		}
	}
}

// Seen implements verify.Sightings. Like Record it waits until what it tells would
// outlive a crash.
func (l *Log) Seen(s ids.Serial) (verify.Seen, error) {
	l.mu.Lock()
	t, err := l.tallyLocked(s)
	if err != nil {
		l.mu.Unlock()
		return verify.Seen{}, err
	}
	seen, g := t.seen(), l.latest
	l.mu.Unlock()
	if l.async {
		return seen, nil
	}
	<-g.synced
	return seen, g.err
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
	for _, changed := range []map[ids.Serial]*tally{l.dirty, l.frozen} {
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
	due := false
	for {
		select {
		case <-l.wake:
			// Let the requests that are ready join before the group is sealed: a
			// synced write costs far more than one turn of the scheduler.
			runtime.Gosched()
			due = l.commit(due)
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

// idle reports that no group is waiting, so that a snapshot may be taken here.
func (l *Log) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open.entries) == 0
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
func (l *Log) commit(due bool) (stillDue bool) {
	l.mu.Lock()
	g, seq := l.open, l.seq
	l.open, l.seq = newGroup(), l.seq+1
	snap := snapshot{}
	if due || len(l.dirty) >= l.writeBehind {
		snap = l.snapshotLocked(seq)
	}
	l.mu.Unlock()

	if g.err = l.groups.Set(groupKey(l.gen, seq), g.entries, pebble.Sync); g.err != nil {
		g.err = fmt.Errorf("write sightings: %w", g.err)
	}
	close(g.synced)
	if g.err == nil {
		l.writeBehindOf(snap)
	}
	return due && snap.tallies == nil
}

// writeBehindOf hands a snapshot, whose groups are durable, to the writer. There is
// room: the next one is taken only when this one was written.
func (l *Log) writeBehindOf(s snapshot) {
	if s.tallies != nil {
		l.behind <- s
	}
}

// writeLoop writes counts beside the commits, so that no scan waits for them.
func (l *Log) writeLoop() {
	writes := 0
	for s := range l.behind {
		l.writeCounts(s)
		if writes++; writes%l.flushAfterWrites == 0 {
			// a failure shows at the next write; until then the groups have it all
			_, _ = l.tallies.AsyncFlush()
		}
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
	return errors.Join(l.tallies.Flush(), l.tallies.Close(), l.groups.Close())
}

// The keys, and the entries of a group. Format 1 of an entry: serial u64, time in
// microseconds u64, verdict u8, source u8; a group begins with its format.
const (
	dirGroups     = "groups"
	dirTallies    = "counts"
	keyGeneration = 'g'
	keyWatermark  = 'w'
	keyGroup      = 'l' // generation u32, seq u64
	keyCount      = 'c' // serial u64
	entryFormat   = 1
	entryBytes    = 18
)

func groupKey(gen uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{keyGroup}, gen), seq)
}

func countKey(s ids.Serial) []byte { return binary.BigEndian.AppendUint64([]byte{keyCount}, uint64(s)) }

func appendEntry(dst []byte, s ids.Serial, at int64, v verify.Verdict, src verify.Source) []byte {
	if len(dst) == 0 {
		dst = append(dst, entryFormat)
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(s))
	dst = binary.BigEndian.AppendUint64(dst, uint64(at))
	return append(dst, byte(v), byte(src))
}

var errDamaged = errors.New("a group of sightings is damaged")

// entries calls fn for each entry of a group until fn fails.
func entries(group []byte, fn func(s ids.Serial, at int64) error) error {
	if len(group) == 0 || group[0] != entryFormat || (len(group)-1)%entryBytes != 0 {
		return errDamaged
	}
	for e := group[1:]; len(e) > 0; e = e[entryBytes:] {
		if err := fn(ids.Serial(binary.BigEndian.Uint64(e)), int64(binary.BigEndian.Uint64(e[8:]))); err != nil {
			return err
		}
	}
	return nil
}
