package streamkv

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// The keys. Everything is big-endian, so that keys sort as positions do.
const (
	keyGeneration = 'g' // generation u32 → seal
	keyRecord     = 'r' // position u64 → header, value
	keyTrimmed    = 't' // → mark of the last record that was deleted
	keyGroup      = 'a' // name → state
	keyLetter     = 'd' // name, 0, position u64, n + 2 as u32 → letter

	recordKeyBytes = 9
	formatGroup    = 1
	formatMark     = 1
	// A header is four varints.
	headBytesMax = 4 * binary.MaxVarintLen64
)

var errDamaged = errors.New("what is stored is damaged")

func putRecordKey(dst []byte, at stream.Position) {
	dst[0] = keyRecord
	binary.BigEndian.PutUint64(dst[1:], uint64(at))
}

func recordKey(at stream.Position) []byte {
	k := make([]byte, recordKeyBytes)
	putRecordKey(k, at)
	return k
}

// recordsEnd is the first key behind all records.
func recordsEnd() []byte { return []byte{keyRecord + 1} }

func generationKey(gen uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyGeneration}, gen)
}

func groupKey(name string) []byte { return append([]byte{keyGroup}, name...) }

func letterPrefix(group string) []byte { return append(append([]byte{keyLetter}, group...), 0) }

func letterKey(group string, at stream.Position, n int) []byte {
	k := binary.BigEndian.AppendUint64(letterPrefix(group), uint64(at))
	return binary.BigEndian.AppendUint32(k, uint32(n-stream.Unreadable))
}

// recordBytes is what a record counts for the cap.
func recordBytes(value int) int { return value + recordKeyBytes + headBytesMax }

// header is what the log itself wants to know of a record, in front of its value.
// With the running sums in it, how far apart two records are needs no scan.
type header struct {
	at   int64 // when it was appended, in microseconds
	mark mark
	prev stream.Position
}

// appendHead leaves out mark.at: it is in the key.
func appendHead(dst []byte, h header) []byte {
	dst = binary.AppendUvarint(dst, uint64(h.at))
	dst = binary.AppendUvarint(dst, h.mark.count)
	dst = binary.AppendUvarint(dst, h.mark.bytes)
	return binary.AppendUvarint(dst, uint64(h.mark.at-h.prev))
}

// parseRecord splits what is stored under a record's key. Head and rest share raw.
func parseRecord(at stream.Position, raw []byte) (h header, head, rest []byte, _ error) {
	r := reader{raw: raw}
	h.at = int64(r.uvarint())
	h.mark = mark{at, r.uvarint(), r.uvarint()}
	back := r.uvarint()
	if r.bad || back > uint64(at) || back == 0 {
		return header{mark: mark{at: at}}, nil, nil, errDamaged
	}
	h.prev = at - stream.Position(back)
	return h, raw[:len(raw)-len(r.raw)], r.raw, nil
}

// parseRecordKey gives the position in a record's key.
func parseRecordKey(k []byte) (stream.Position, bool) {
	if len(k) != recordKeyBytes || k[0] != keyRecord {
		return 0, false
	}
	return stream.Position(binary.BigEndian.Uint64(k[1:])), true
}

func encodeMark(m mark) []byte {
	dst := binary.AppendUvarint([]byte{formatMark}, uint64(m.at))
	dst = binary.AppendUvarint(dst, m.count)
	return binary.AppendUvarint(dst, m.bytes)
}

func decodeMark(raw []byte) (mark, error) {
	r := reader{raw: raw}
	format := r.byte()
	m := mark{stream.Position(r.uvarint()), r.uvarint(), r.uvarint()}
	if r.bad || format != formatMark || len(r.raw) != 0 {
		return mark{}, errDamaged
	}
	return m, nil
}

// span is a run of neighbouring records that a group has acknowledged.
type span struct {
	first, last stream.Position
	count       uint64
}

// state is what is stored of a group.
type state struct {
	floor mark // everything up to it is acknowledged or lost; bytes is not used
	lost  uint64
	acked []span // above the floor, in order
}

func encodeState(s state) []byte {
	dst := binary.AppendUvarint([]byte{formatGroup}, uint64(s.floor.at))
	dst = binary.AppendUvarint(dst, s.floor.count)
	dst = binary.AppendUvarint(dst, s.lost)
	dst = binary.AppendUvarint(dst, uint64(len(s.acked)))
	before := s.floor.at
	for _, a := range s.acked {
		dst = binary.AppendUvarint(dst, uint64(a.first-before))
		dst = binary.AppendUvarint(dst, uint64(a.last-a.first))
		dst = binary.AppendUvarint(dst, a.count)
		before = a.last
	}
	return dst
}

func decodeState(raw []byte) (state, error) {
	r := reader{raw: raw}
	format := r.byte()
	s := state{floor: mark{at: stream.Position(r.uvarint()), count: r.uvarint()}, lost: r.uvarint()}
	n := r.uvarint()
	before := s.floor.at
	for range n {
		if r.bad {
			break
		}
		first := before + stream.Position(r.uvarint())
		a := span{first: first, last: first + stream.Position(r.uvarint()), count: r.uvarint()}
		if a.first <= before || a.last < a.first || a.count == 0 {
			return state{}, errDamaged
		}
		before = a.last
		s.acked = append(s.acked, a)
	}
	if r.bad || format != formatGroup || len(r.raw) != 0 {
		return state{}, errDamaged
	}
	return s, nil
}

// reader takes fields off the front of raw; bad tells that one was not there.
type reader struct {
	raw []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.raw)
	if n <= 0 {
		r.raw, r.bad = nil, true
		return 0
	}
	r.raw = r.raw[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.raw) == 0 {
		r.bad = true
		return 0
	}
	b := r.raw[0]
	r.raw = r.raw[1:]
	return b
}

// bytes takes a length and so many bytes.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.raw)) || n > math.MaxInt32 {
		r.raw, r.bad = nil, true
		return nil
	}
	b := r.raw[:n]
	r.raw = r.raw[n:]
	return b
}
