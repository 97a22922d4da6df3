package verifykv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
)

// counts is the memory of tallies in two halves: what is used stays in the younger
// one, and the older one is forgotten as a whole. It is guarded by Log.mu.
type counts struct {
	max         int
	young, aged map[ids.Serial]*tally
}

func newCounts(limit int) *counts {
	return &counts{limit, map[ids.Serial]*tally{}, nil}
}

func (c *counts) get(s ids.Serial) *tally {
	if t, ok := c.young[s]; ok {
		return t
	}
	t, ok := c.aged[s]
	if !ok {
		return nil
	}
	c.young[s] = t
	return t
}

func (c *counts) put(s ids.Serial, t *tally) { c.young[s] = t }

// turn forgets the older half when the younger one is full. Tallies that are not
// stored yet are held by Log.dirty and Log.frozen and must be put back.
func (c *counts) turn() bool {
	if len(c.young) < c.max {
		return false
	}
	c.young, c.aged = make(map[ids.Serial]*tally, c.max/4), c.young
	return true
}

// snapshot is what is written behind: the counts as they were when a group was
// sealed, and which group that was.
type snapshot struct {
	seq     uint64
	tallies map[ids.Serial]tally
}

// snapshot takes what changed while no group is open.
func (l *Log) snapshot() snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open.entries) != 0 {
		return snapshot{}
	}
	return l.snapshotLocked(l.seq - 1)
}

// snapshotLocked copies the changed counts. Everything in them is in groups up to
// seq, because counts and entries are taken under one lock.
func (l *Log) snapshotLocked(seq uint64) snapshot {
	if len(l.dirty) == 0 || l.frozen != nil { // one at a time
		return snapshot{}
	}
	s := snapshot{seq, make(map[ids.Serial]tally, len(l.dirty))}
	for serial, t := range l.dirty {
		s.tallies[serial] = *t
	}
	l.frozen, l.dirty = l.dirty, make(map[ids.Serial]*tally, len(l.dirty))
	return s
}

// writeCounts stores a snapshot with its watermark, in one batch: after a crash both
// are there or neither. Its groups were durable before it was handed over.
func (l *Log) writeCounts(s snapshot) {
	if s.tallies == nil {
		return
	}
	b := l.tallies.NewBatch()
	var err error
	for serial, t := range s.tallies {
		err = errors.Join(err, b.Set(countKey(serial), encodeTally(t), nil))
	}
	err = errors.Join(err, b.Set([]byte{keyWatermark}, groupKey(l.gen, s.seq), nil), b.Commit(pebble.NoSync), b.Close())
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil { // kept for the next time; the log itself has everything
		maps.Copy(l.dirty, l.frozen)
	}
	l.frozen = nil
	if err == nil && l.counts.turn() {
		l.epoch++
		for serial, t := range l.dirty {
			l.counts.put(serial, t)
		}
	}
}

func encodeTally(t tally) []byte {
	out := binary.AppendUvarint(make([]byte, 0, 20), uint64(t.count))
	out = binary.AppendUvarint(out, uint64(t.firstAt))
	return binary.AppendVarint(out, t.lastAt-t.firstAt)
}

// load reads a stored count; an item without one was never scanned.
func (l *Log) load(s ids.Serial) (*tally, error) {
	raw, ok, err := kvdb.Get(l.tallies, countKey(s))
	if err != nil || !ok {
		return &tally{}, err
	}
	t, ok := decodeTally(raw)
	if !ok {
		return nil, fmt.Errorf("verifykv: the stored count of item %d in %s is damaged", s, l.path)
	}
	return &t, nil
}

func decodeTally(raw []byte) (t tally, ok bool) {
	count, n := binary.Uvarint(raw)
	first, m := binary.Uvarint(raw[max(n, 0):])
	last, k := binary.Varint(raw[max(n, 0)+max(m, 0):])
	ok = n > 0 && m > 0 && k > 0 && n+m+k == len(raw) && int64(count) > 0
	return tally{int64(count), int64(first), int64(first) + last}, ok
}

// recover begins a new generation and adds the groups after the watermark.
func (l *Log) recover() error {
	raw, ok, err := kvdb.Get(l.groups, []byte{keyGeneration})
	if err != nil {
		return err
	}
	if ok {
		if len(raw) != 4 {
			return errors.New("the generation is damaged")
		}
		l.gen = binary.BigEndian.Uint32(raw)
	}
	l.gen++
	from := groupKey(0, 0)
	if mark, ok, err := kvdb.Get(l.tallies, []byte{keyWatermark}); err != nil {
		return err
	} else if ok {
		from = append(mark, 0) // the first key after it
	}
	if err := l.replay(from); err != nil {
		return err
	}
	if len(l.dirty) > 0 {
		// all of it is from earlier generations, whose last position is below the
		// first of this one
		s := l.snapshotLocked(0)
		l.writeCounts(s)
	}
	return l.groups.Set([]byte{keyGeneration}, binary.BigEndian.AppendUint32(nil, l.gen), pebble.Sync)
}

func (l *Log) replay(from []byte) error {
	it, err := l.groups.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: groupKey(math.MaxUint32, math.MaxUint64)})
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	var failed error
	for ok := it.First(); ok && failed == nil; ok = it.Next() {
		failed = entries(it.Value(), l.readd)
	}
	return errors.Join(failed, it.Error(), it.Close())
}

// readd counts an entry of the log again. Nobody else is here yet.
func (l *Log) readd(s ids.Serial, at int64) (err error) {
	t := l.counts.get(s)
	if t == nil {
		if t, err = l.load(s); err != nil {
			return err
		}
		l.counts.put(s, t)
	}
	t.add(at)
	l.dirty[s] = t
	return nil
}
