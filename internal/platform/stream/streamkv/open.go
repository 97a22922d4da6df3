package streamkv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

// recover learns what is there and begins a new generation, on disk, before anything
// is appended. What a lost power left of unsynced records is durable by then: the
// engine flushes all that it finds when it opens.
func (l *Log) recover() error {
	raw, ok, err := kvdb.Get(l.db, []byte{keyTrimmed})
	if err != nil {
		return err
	}
	if ok {
		if l.trimmed, err = decodeMark(raw); err != nil {
			return fmt.Errorf("the mark of retention: %w", err)
		}
	}
	if l.end, err = l.lastMark(); err != nil {
		return err
	}
	before, err := l.loadSeals()
	if err != nil {
		return err
	}
	if g := l.end.at.Generation(); g > before {
		return fmt.Errorf("a record of generation %d is there and the last one begun is %d: %w", g, before, errDamaged)
	}
	before = max(before, l.o.After.Generation())
	if before >= stream.GenerationMax {
		return errors.New("all generations are used up")
	}
	l.gen = before + 1
	if l.o.Generation != nil {
		if l.gen, err = l.o.Generation(before); err != nil {
			return fmt.Errorf("choose a generation: %w", err)
		}
		if l.gen <= before || l.gen > stream.GenerationMax {
			return fmt.Errorf("the chosen generation %d does not follow %d", l.gen, before)
		}
	}
	l.last = l.end
	l.durable.Store(uint64(l.end.at))
	return l.begin()
}

// begin stores the new generation, and the seal of letters when it is missing or the
// log had no key until now.
func (l *Log) begin() error {
	b := l.db.NewBatch()
	add := func(gen uint32) error {
		s, stored, err := makeSeal(l.o.Key, gen)
		if err != nil {
			return err
		}
		l.seals[gen] = s
		return b.Set(generationKey(gen), stored, nil)
	}
	err := add(l.gen)
	if s := l.seals[lettersGen]; s == nil || s.aead == nil && len(l.o.Key) > 0 {
		err = errors.Join(err, add(lettersGen))
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}

// loadSeals gives the last generation that was begun.
func (l *Log) loadSeals() (last uint32, _ error) {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyGeneration}, UpperBound: []byte{keyGeneration + 1}})
	if err != nil {
		return 0, fmt.Errorf("read generations: %w", err)
	}
	var failed error
	for ok := it.First(); ok && failed == nil; ok = it.Next() {
		if len(it.Key()) != 5 {
			failed = fmt.Errorf("the list of generations: %w", errDamaged)
			break
		}
		last = binary.BigEndian.Uint32(it.Key()[1:])
		l.seals[last], failed = loadSeal(l.o.Key, last, it.Value())
	}
	return last, errors.Join(failed, it.Error(), it.Close())
}

// lastMark finds the end of the log. A header that is damaged is counted from the
// last sound one.
func (l *Log) lastMark() (mark, error) {
	it, err := l.records(l.trimmed.at, stream.At(stream.GenerationMax, stream.SeqMax))
	if err != nil {
		return mark{}, err
	}
	end, skipped := l.trimmed, mark{}
	for ok := it.Last(); ok; ok = it.Prev() {
		at, good := parseRecordKey(it.Key())
		if !good {
			return mark{}, errors.Join(fmt.Errorf("a key of a record: %w", errDamaged), it.Close())
		}
		h, _, _, err := parseRecord(at, it.Value())
		if err == nil {
			end = h.mark
			break
		}
		skipped.at = max(skipped.at, at)
		skipped.count++
		skipped.bytes += uint64(recordBytes(len(it.Value())))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return mark{}, fmt.Errorf("find the end of the log: %w", err)
	}
	return mark{max(end.at, skipped.at), end.count + skipped.count, end.bytes + skipped.bytes}, nil
}
