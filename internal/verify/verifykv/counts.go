package verifykv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// tally is an item's tally and where its newest sighting is. It holds no pointers,
// so that the garbage collector need not look at a million of them.
type tally struct {
	verify.Tally

	last verifyevent.Ref
}

// counts is the memory of tallies in two halves: what is used stays in the younger
// one, and the older one is forgotten as a whole. It is guarded by Log.mu.
type counts struct {
	max         int
	young, aged map[ids.Serial]tally
}

func newCounts(limit int) *counts {
	return &counts{limit, map[ids.Serial]tally{}, nil}
}

func (c *counts) get(s ids.Serial) (tally, bool) {
	if t, ok := c.young[s]; ok {
		return t, true
	}
	t, ok := c.aged[s]
	if ok {
		c.young[s] = t
	}
	return t, ok
}

func (c *counts) put(s ids.Serial, t tally) { c.young[s] = t }

// turn forgets the older half when the younger one is full.
func (c *counts) turn() bool {
	if len(c.young) < c.max {
		return false
	}
	c.young, c.aged = make(map[ids.Serial]tally, c.max/4), c.young
	return true
}

// snapshot is what is written behind: the counts as they were when a group was
// sealed, the places that they name, and which group that was.
type snapshot struct {
	at      stream.Position
	tallies map[ids.Serial]tally
	places  []numbered
}

// snapshot takes what changed while no group is open.
func (l *Log) snapshot() snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open.n != 0 {
		return snapshot{}
	}
	return l.snapshotLocked(l.at - 1)
}

// snapshotLocked takes the changed counts. Everything in them is in records up to
// at, because counts and entries are taken under one lock.
func (l *Log) snapshotLocked(at stream.Position) snapshot {
	if len(l.dirty) == 0 || l.frozen != nil { // one at a time
		return snapshot{}
	}
	l.frozen, l.dirty = l.dirty, make(map[ids.Serial]tally, len(l.dirty))
	return snapshot{at, l.frozen, l.places.fresh()}
}

// writeLoop writes counts beside the commits, so that no scan waits for them.
func (l *Log) writeLoop() {
	var flushed <-chan struct{}
	var upTo stream.Position
	writes := 0
	for s := range l.behind {
		if flushed != nil {
			select {
			case <-flushed: // the records behind them are no longer needed for a recovery
				flushed = nil
				l.pin(upTo)
			default:
			}
		}
		l.writeCounts(s)
		if writes++; writes%l.flushAfterWrites == 0 && flushed == nil {
			// a failure shows at the next write; until then the records have it all
			if done, err := l.tallies.AsyncFlush(); err == nil {
				flushed, upTo = done, s.at
			}
		}
	}
}

// pin keeps the records that Open would read.
func (l *Log) pin(watermark stream.Position) { l.stream.Pin("counts", watermark+1, streamkv.PinMust) }

// writeCounts stores a snapshot with its watermark, in one batch: after a crash both
// are there or neither. Its records were durable before it was handed over.
func (l *Log) writeCounts(s snapshot) {
	if s.tallies == nil {
		return
	}
	b := l.tallies.NewBatch()
	var err error
	for _, p := range s.places {
		err = errors.Join(err, b.Set(placeKey(p.number), encodePlace(p.place), nil))
	}
	var room [tallyBytesMax]byte
	key := countKey(0)
	for serial, t := range s.tallies {
		binary.BigEndian.PutUint64(key[1:], uint64(serial))
		err = errors.Join(err, b.Set(key, appendTally(room[:0], &t), nil))
	}
	err = errors.Join(err, b.Set([]byte{keyWatermark}, binary.BigEndian.AppendUint64(nil, uint64(s.at)), nil), b.Commit(pebble.NoSync), b.Close())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil { // kept for the next time; the log itself has everything
		l.log.Error("counts of scans could not be written; they stay in memory", "error", err)
		maps.Copy(l.frozen, l.dirty)
		l.dirty = maps.Clone(l.frozen)
		l.places.again(s.places)
	}
	l.frozen = nil
	if err == nil && l.counts.turn() {
		l.epoch++
	}
}

// load reads a stored count; an item without one was never scanned.
func (l *Log) load(s ids.Serial) (t tally, _ error) {
	var key [9]byte
	key[0] = keyCount
	binary.BigEndian.PutUint64(key[1:], uint64(s))
	raw, closer, err := l.tallies.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return t, fmt.Errorf("read the count of an item: %w", err)
	}
	t, ok := decodeTally(raw)
	if err := closer.Close(); err != nil {
		return t, err
	}
	if !ok {
		return t, fmt.Errorf("verifykv: the stored count of item %d in %s is damaged", s, l.path)
	}
	return t, nil
}

// recover adds the records after the watermark.
func (l *Log) recover() error {
	if err := l.loadPlaces(); err != nil {
		return err
	}
	var from stream.Position
	if mark, ok, err := kvdb.Get(l.tallies, []byte{keyWatermark}); err != nil {
		return err
	} else if ok {
		if len(mark) != 8 {
			return errors.New("the watermark is damaged")
		}
		from = stream.Position(binary.BigEndian.Uint64(mark))
	}
	l.pin(from)
	last := from
	err := l.stream.Read(from, 0, func(r stream.Record) error {
		last = r.At
		return verifyevent.Each(r.Value, func(n uint16, s *verifyevent.Sighting) error { return l.readd(r.At, n, s) })
	})
	if err != nil {
		return err
	}
	l.writeCounts(l.snapshotLocked(last))
	return nil
}

// readd counts an entry of the log again. Nobody else is here yet.
func (l *Log) readd(at stream.Position, n uint16, s *verifyevent.Sighting) (err error) {
	t, ok := l.knownLocked(s.Serial)
	if !ok {
		if t, err = l.load(s.Serial); err != nil {
			return err
		}
	}
	t.Again(s, l.places.number(&verify.Place{Place: s.Place}))
	t.last = verifyevent.Ref{At: uint64(at), N: n}
	l.counts.put(s.Serial, t)
	l.dirty[s.Serial] = t
	return nil
}
