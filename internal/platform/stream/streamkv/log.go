// Package streamkv is a durable log with groups of consumers, on Pebble.
//
// Promise: Append returns after the record is on disk, and only then any group is
// given it. What a group acknowledged is never counted further than it was; after a
// crash some of it may be given again. Dead letters are on disk when Bury returns.
// Records leave the log only when every group has ended them and no pin holds them,
// or, with CapBytes, loudly and counted (TestCrash, TestRetention, TestCap).
//
// All consumers live in the process of the log: opening it frees whatever was held.
//
// One engine of stream's contract; streamtest.Groups holds it to it.
package streamkv

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

const (
	cacheBytes        = 4 << 20
	usualMemTable     = 4 << 20
	usualTrimEvery    = 10 * time.Second
	usualSaveEvery    = 50 * time.Millisecond
	usualGather       = 5 * time.Millisecond
	valueBytesMax     = 64 << 20
	aheadRecordsMax   = 64
	aheadBytesMax     = 256 << 10
	warnAgainAfter    = time.Minute
	capWarnPercent    = 80
	capTargetPercent  = 95
	unsealedKeyLength = 0
	sealKeyLength     = 32
)

// Options are what an owner may choose.
type Options struct {
	FS  vfs.FS // nil = the disk
	Log *slog.Logger
	// MemTableBytes is the write buffer, and about what the engine's log files take
	// ahead of need; 0 = 4 MB.
	MemTableBytes uint64
	// CapBytes bounds the records that are kept, as their values and keys are long;
	// 0 = no bound. The files may be larger for a moment, until they are compacted.
	CapBytes int64
	// Key seals values and letters at rest: 32 bytes, or none to leave them plain.
	Key   []byte
	Clock clock.Clock // nil = the machine's
	// After is a position that consumers know already: new ones come after it, also when
	// the log that gave it is lost or an older copy came back.
	After stream.Position
	// Generation chooses the generation of this opening, greater than the one given, for
	// logs whose positions must differ from each other's. nil = the next one.
	Generation func(after uint32) (uint32, error)
	// TrimEvery is how often retention looks (0 = 10 s, negative = only Trim does);
	// SaveEvery how long acknowledgements are gathered before they are written
	// (0 = 50 ms); Gather how long a reader that has caught up lets records come
	// together after the first one (0 = 5 ms, negative = not).
	TrimEvery, SaveEvery, Gather time.Duration
}

// Log is a durable log. It is safe for concurrent use, but only one goroutine appends.
type Log struct {
	db    *pebble.DB
	path  string
	o     Options
	gen   uint32
	seals map[uint32]*seal // by generation; letters under lettersGen. Not changed after Open

	// Owned by the goroutine that appends.
	batch *pebble.Batch
	tried stream.Position // the last position that was tried: none is sealed twice
	last  mark            // of the last record that is durable

	durable atomic.Uint64 // stream.Position

	mu      sync.Mutex
	end     mark              // guarded by mu: durable, as end.at
	trimmed mark              // guarded by mu: of the last record that was deleted
	groups  map[string]*Group // guarded by mu
	pins    map[string]pin    // guarded by mu
	started bool              // guarded by mu
	ended   bool              // guarded by mu

	lettersMu sync.Mutex // one change of letters at a time

	saveMu               sync.Mutex // one writer of the state of groups at a time; taken before Group.mu and mu
	nearNoted, overNoted time.Time  // guarded by saveMu: when the cap was last warned about

	capBytes atomic.Int64   // Options.CapBytes, or what came after it
	closing  chan struct{}  // closed by Close
	dirty    chan struct{}  // holds a token while a group has something to save
	loops    sync.WaitGroup // trimLoop and saveLoop; Close waits for them
	users    sync.WaitGroup // calls under way in the engine; Close waits for them
}

var (
	_ stream.Group   = (*Group)(nil)
	_ stream.Letters = (*Log)(nil)
)

// mark is what is known of a record and of all before it.
type mark struct {
	at    stream.Position
	count uint64 // records up to this one, ever
	bytes uint64 // of these records, ever
}

// Open opens the log, makes it when it is absent, and begins a new generation.
func Open(path string, o Options) (*Log, error) {
	o = o.withDefaults()
	if n := len(o.Key); n != unsealedKeyLength && n != sealKeyLength {
		return nil, fmt.Errorf("open log %s: the key has %d bytes, not %d", path, n, sealKeyLength)
	}
	db, err := kvdb.Open(path, kvdb.Options{CacheBytes: cacheBytes, MemTableBytes: o.MemTableBytes, FS: o.FS, Log: o.Log})
	if err != nil {
		return nil, err
	}
	l := &Log{
		db: db, path: path, o: o, seals: map[uint32]*seal{}, groups: map[string]*Group{}, pins: map[string]pin{},
		closing: make(chan struct{}), dirty: make(chan struct{}, 1), batch: db.NewBatch(),
	}
	l.capBytes.Store(o.CapBytes)
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open log %s: %w", path, err), l.batch.Close(), db.Close())
	}
	l.loops.Go(l.saveLoop)
	if o.TrimEvery > 0 {
		l.loops.Go(l.trimLoop)
	}
	return l, nil
}

func (o Options) withDefaults() Options {
	if o.MemTableBytes == 0 {
		o.MemTableBytes = usualMemTable
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.TrimEvery == 0 {
		o.TrimEvery = usualTrimEvery
	}
	if o.SaveEvery == 0 {
		o.SaveEvery = usualSaveEvery
	}
	if o.Gather == 0 {
		o.Gather = usualGather
	}
	return o
}

// Generation is of this opening; all appended positions must be of it.
func (l *Log) Generation() uint32 { return l.gen }

// Durable is the last record that is on disk; 0 = none ever was.
func (l *Log) Durable() stream.Position { return stream.Position(l.durable.Load()) }

// SetCap changes Options.CapBytes.
func (l *Log) SetCap(bytes int64) { l.capBytes.Store(bytes) }

// Append adds a record and returns when it is on disk. Only one goroutine may call
// it; it chooses the position: of this generation, greater than the one before,
// and not number 0. A position whose Append failed must not be used again.
func (l *Log) Append(at stream.Position, value []byte) error {
	switch {
	case at.Generation() != l.gen || at.Seq() == 0:
		return fmt.Errorf("append to %s: position %s is not of generation %d", l.path, at, l.gen)
	case at <= l.tried:
		return fmt.Errorf("append to %s: position %s comes after %s", l.path, at, l.tried)
	case len(value) > valueBytesMax:
		return fmt.Errorf("append to %s: %d bytes are more than %d", l.path, len(value), valueBytesMax)
	}
	if err := l.enter(); err != nil {
		return err
	}
	defer l.users.Done()
	l.tried = at
	next := mark{at, l.last.count + 1, l.last.bytes + uint64(recordBytes(len(value)))}
	l.batch.Reset()
	if err := l.put(next, value); err != nil {
		return fmt.Errorf("append %s to %s: %w", at, l.path, err)
	}
	if err := l.batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("append %s to %s: %w", at, l.path, err)
	}
	l.last = next
	l.mu.Lock()
	l.end = next
	l.durable.Store(uint64(at))
	for _, g := range l.groups {
		g.signal()
	}
	l.mu.Unlock()
	return nil
}

// put seals the value where the batch will keep it, so that it is copied once.
func (l *Log) put(next mark, value []byte) error {
	var head [headBytesMax]byte
	h := appendHead(head[:0], header{at: l.o.Clock.Now().UnixMicro(), mark: next, prev: l.last.at})
	s := l.seals[l.gen]
	op := l.batch.SetDeferred(recordKeyBytes, len(h)+len(value)+s.overhead())
	putRecordKey(op.Key, next.at)
	copy(op.Value, h)
	s.close(op.Value[:len(h)], next.at, value)
	return op.Finish()
}

// enter notes a call that uses the engine; users.Done ends it.
func (l *Log) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return stream.ErrClosed
	}
	l.users.Add(1)
	return nil
}

// bounds gives the marks of the last deleted and the last durable record.
func (l *Log) bounds() (trimmed, end mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trimmed, l.end
}

// Close ends waiting Fetch calls with stream.ErrClosed, writes what was acknowledged
// and closes the log. Nobody may append any more.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil
	}
	l.ended = true
	l.mu.Unlock()
	close(l.closing)
	l.loops.Wait()
	l.users.Wait()
	return errors.Join(l.saveGroups(), l.batch.Close(), l.db.Close())
}
