package streamkv

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

// DamagedError names a record that cannot be opened. Who reads may go on after it.
type DamagedError struct {
	At  stream.Position
	Err error
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("record %s of the log: %v", e.At, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Read gives durable records after a position to fn, in order, at most so many
// (0 = all), until fn fails. A record's value is valid until fn returns. It ends with
// a DamagedError at a record that cannot be opened.
func (l *Log) Read(after stream.Position, most int, fn func(stream.Record) error) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.users.Done()
	trimmed, end := l.bounds()
	it, err := l.records(max(after, trimmed.at), end.at)
	if err != nil {
		return err
	}
	var room []byte
	var failed error
	given := 0
	for ok := it.First(); ok && failed == nil && (most <= 0 || given < most); ok = it.Next() {
		var r stream.Record
		if r, _, failed = l.open(room[:0], it.Key(), it.Value()); failed == nil {
			room = r.Value
			failed = fn(r)
		}
		given++
	}
	return errors.Join(failed, it.Error(), it.Close())
}

// Get reads one durable record. ok is false when it is not there: it never was, is
// not durable yet, or retention took it.
func (l *Log) Get(at stream.Position) (value []byte, ok bool, _ error) {
	if err := l.enter(); err != nil {
		return nil, false, err
	}
	defer l.users.Done()
	r, ok, err := l.get(at)
	return r.Value, ok, err
}

func (l *Log) get(at stream.Position) (r stream.Record, ok bool, _ error) {
	if at > l.Durable() {
		return r, false, nil
	}
	var key [recordKeyBytes]byte
	putRecordKey(key[:], at)
	raw, closer, err := l.db.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read record %s: %w", at, err)
	}
	r, _, err = l.open(nil, key[:], raw)
	if err := errors.Join(err, closer.Close()); err != nil {
		return r, false, err
	}
	return r, true, nil
}

// Earliest is the first record that is still there; ok is false when there is none.
func (l *Log) Earliest() (at stream.Position, ok bool, _ error) {
	if err := l.enter(); err != nil {
		return 0, false, err
	}
	defer l.users.Done()
	trimmed, end := l.bounds()
	return l.firstAfter(trimmed.at, end.at)
}

func (l *Log) firstAfter(after, last stream.Position) (at stream.Position, ok bool, _ error) {
	it, err := l.records(after, last)
	if err != nil {
		return 0, false, err
	}
	if it.First() {
		at, ok = parseRecordKey(it.Key())
	}
	return at, ok, errors.Join(it.Error(), it.Close())
}

// records iterates over what lies after one position, up to another.
func (l *Log) records(after, last stream.Position) (*pebble.Iterator, error) {
	o := &pebble.IterOptions{LowerBound: recordKey(after + 1), UpperBound: recordKey(last + 1)}
	if last+1 == 0 {
		o.UpperBound = recordsEnd()
	}
	it, err := l.db.NewIter(o)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	return it, nil
}

// open makes a record of what is stored; the value is appended to dst.
func (l *Log) open(dst, key, raw []byte) (stream.Record, header, error) {
	at, ok := parseRecordKey(key)
	if !ok {
		return stream.Record{}, header{}, &DamagedError{at, errDamaged}
	}
	h, head, rest, err := parseRecord(at, raw)
	if err != nil {
		return stream.Record{At: at}, header{}, &DamagedError{at, err}
	}
	s := l.seals[at.Generation()]
	if s == nil {
		return stream.Record{At: at}, header{}, &DamagedError{at, errors.New("its generation is unknown")}
	}
	value, err := s.open(dst, at, head, rest)
	if err != nil {
		return stream.Record{At: at}, header{}, &DamagedError{at, err}
	}
	return stream.Record{At: at, Prev: h.prev, Value: value}, h, nil
}

// markAt gives the mark of the last record up to a position, and of what was deleted
// before when there is none.
func (l *Log) markAt(at stream.Position) (mark, error) {
	trimmed, _ := l.bounds()
	if at <= trimmed.at {
		return trimmed, nil
	}
	it, err := l.records(trimmed.at, at)
	if err != nil {
		return mark{}, err
	}
	found, skipped := trimmed, uint64(0)
	last := stream.Position(0)
	for ok := it.Last(); ok; ok = it.Prev() {
		p, _ := parseRecordKey(it.Key())
		last = max(last, p)
		h, _, _, err := parseRecord(p, it.Value())
		if err == nil {
			found = h.mark
			break
		}
		skipped++ // its own count is damaged: take it from the record before
	}
	found.at, found.count = max(found.at, last), found.count+skipped
	return found, errors.Join(it.Error(), it.Close())
}

// stored is the raw value of a record, for a letter about it.
func (l *Log) stored(at stream.Position) ([]byte, error) {
	raw, _, err := kvdb.Get(l.db, recordKey(at))
	return raw, err
}
