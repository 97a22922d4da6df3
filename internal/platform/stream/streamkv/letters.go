package streamkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

const formatLetter = 1

// Bury implements stream.Letters.
func (l *Log) Bury(_ context.Context, letters ...stream.Letter) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.users.Done()
	l.lettersMu.Lock()
	defer l.lettersMu.Unlock()
	b := l.db.NewIndexedBatch() // indexed: the same letter may come twice in one call
	err := l.buryIn(b, letters)
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}

func (l *Log) buryIn(b *pebble.Batch, letters []stream.Letter) error {
	for _, m := range letters {
		if err := stream.CheckGroup(m.Group); err != nil {
			return err
		}
		if m.N < stream.Unreadable || m.N > stream.MessagesMax {
			return fmt.Errorf("bury a letter of %s: there is no message %d", m.Group, m.N)
		}
		key := letterKey(m.Group, m.At, m.N)
		raw, ok, err := kvdb.Get(b, key)
		if err != nil {
			return err
		}
		if ok {
			if there, err := l.letter(key, raw); err == nil && there.Tries >= m.Tries {
				continue
			}
		}
		if m.BuriedAt.IsZero() {
			m.BuriedAt = l.o.Clock.Now()
		}
		if err := b.Set(key, l.seals[lettersGen].closeLetter(key, encodeLetter(m)), nil); err != nil {
			return fmt.Errorf("bury a letter of %s: %w", m.Group, err)
		}
	}
	return nil
}

// Dead implements stream.Letters. A letter that is damaged is listed as such, without
// its value: who lists must see that it is there.
func (l *Log) Dead(_ context.Context, group, after string, most int) ([]stream.Letter, error) {
	if err := stream.CheckGroup(group); err != nil {
		return nil, err
	}
	from := letterPrefix(group)
	to := append(letterPrefix(group)[:len(from)-1], 1)
	if after != "" {
		named, at, n, err := stream.ParseLetterID(after)
		if err != nil {
			return nil, err
		}
		if named != group {
			return nil, fmt.Errorf("letters of %s after %s: %w", group, after, stream.ErrBadLetterID)
		}
		from = append(letterKey(group, at, n), 0) // the first key behind it
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.users.Done()
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, fmt.Errorf("read letters: %w", err)
	}
	var dead []stream.Letter
	for ok := it.First(); ok && len(dead) < most; ok = it.Next() {
		m, err := l.letter(it.Key(), it.Value())
		if err != nil {
			l.o.Log.Error("a dead letter is damaged", "log", l.path, "letter", m.ID, "error", err)
			m.Reason = err.Error()
		}
		dead = append(dead, m)
	}
	return dead, errors.Join(it.Error(), it.Close())
}

// Discard implements stream.Letters.
func (l *Log) Discard(_ context.Context, ids ...string) error {
	if err := l.enter(); err != nil {
		return err
	}
	defer l.users.Done()
	l.lettersMu.Lock()
	defer l.lettersMu.Unlock()
	b := l.db.NewBatch()
	var err error
	for _, id := range ids {
		group, at, n, bad := stream.ParseLetterID(id)
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("discard %q: %w", id, bad))
			continue
		}
		err = errors.Join(err, b.Delete(letterKey(group, at, n), nil))
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close())
}

func encodeLetter(m stream.Letter) []byte {
	dst := binary.AppendUvarint([]byte{formatLetter}, m.Key)
	for _, p := range []stream.Place{m.Since, m.Until} {
		dst = binary.AppendUvarint(dst, uint64(p.At))
		dst = binary.AppendUvarint(dst, uint64(p.N))
	}
	dst = binary.AppendUvarint(dst, uint64(m.Tries))
	dst = binary.AppendUvarint(dst, uint64(m.BuriedAt.UnixMicro()))
	dst = binary.AppendUvarint(dst, uint64(len(m.Reason)))
	dst = append(dst, m.Reason...)
	dst = binary.AppendUvarint(dst, uint64(len(m.Value)))
	return append(dst, m.Value...)
}

// letter makes a letter of what is stored. Its id is there even when the rest is not.
func (l *Log) letter(key, raw []byte) (stream.Letter, error) {
	n := len(key) - 12
	if n < 3 {
		return stream.Letter{}, errDamaged
	}
	m := stream.Letter{
		Group: string(key[1 : n-1]), At: stream.Position(binary.BigEndian.Uint64(key[n:])),
		N: int(binary.BigEndian.Uint32(key[n+8:])) + stream.Unreadable,
	}
	m.ID = stream.LetterID(m.Group, m.At, m.N)
	text, err := l.seals[lettersGen].openLetter(key, raw)
	if err != nil {
		return m, fmt.Errorf("letter %s: %w", m.ID, err)
	}
	r := reader{raw: text}
	format := r.byte()
	full := m
	full.Key = r.uvarint()
	for _, p := range []*stream.Place{&full.Since, &full.Until} {
		*p = stream.Place{At: stream.Position(r.uvarint()), N: int(r.uvarint())}
	}
	full.Tries = int(r.uvarint())
	full.BuriedAt = time.UnixMicro(int64(r.uvarint())).UTC()
	full.Reason = string(r.bytes())
	full.Value = append([]byte(nil), r.bytes()...)
	if r.bad || format != formatLetter || len(r.raw) != 0 {
		return m, fmt.Errorf("letter %s: %w", m.ID, errDamaged)
	}
	return full, nil
}
