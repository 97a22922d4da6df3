package verifykv

import (
	"encoding/binary"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// The names below the log's directory, and the keys of the store of counts.
const (
	dirStream    = "stream"
	dirTallies   = "counts"
	keyWatermark = 'w' // the last position that is counted
	keyCount     = 'c' // serial u64
	keyPlace     = 'p' // number u32
)

func countKey(s ids.Serial) []byte { return binary.BigEndian.AppendUint64([]byte{keyCount}, uint64(s)) }

func placeKey(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{keyPlace}, n) }

const tallyBytesMax = 8*binary.MaxVarintLen64 + 6*binary.MaxVarintLen32

// appendTally is the stored form: what most items share is short.
func appendTally(b []byte, t *tally) []byte {
	b = binary.AppendUvarint(b, uint64(t.Count))
	b = binary.AppendUvarint(b, uint64(t.FirstAt))
	b = binary.AppendVarint(b, t.LastAt-t.FirstAt)
	b = binary.AppendUvarint(b, uint64(t.Sessions))
	b = binary.AppendUvarint(b, uint64(t.FirstIn))
	b = binary.AppendUvarint(b, uint64(t.LastIn))
	b = binary.AppendUvarint(b, t.last.At)
	b = binary.AppendUvarint(b, uint64(t.last.N))
	for _, v := range t.Visits() {
		b = binary.AppendUvarint(b, uint64(v.Second))
		if v.Second != 0 {
			b = binary.AppendUvarint(b, uint64(v.Device))
		}
	}
	return b
}

func decodeTally(raw []byte) (t tally, ok bool) {
	d := numbers{rest: raw}
	t.Count, t.FirstAt = int64(d.unsigned()), int64(d.unsigned())
	t.LastAt = t.FirstAt + d.signed()
	t.Sessions, t.FirstIn, t.LastIn = int64(d.unsigned()), uint32(d.unsigned()), uint32(d.unsigned())
	t.last = verifyevent.Ref{At: d.unsigned(), N: uint16(d.unsigned())}
	visits := t.Visits()
	for i := range visits {
		if visits[i].Second = uint32(d.unsigned()); visits[i].Second != 0 {
			visits[i].Device = uint32(d.unsigned())
		}
	}
	t.Restore(visits)
	return t, !d.bad && len(d.rest) == 0 && t.Count > 0
}

// numbers takes numbers off the front; bad sticks.
type numbers struct {
	rest []byte
	bad  bool
}

func (d *numbers) unsigned() uint64 {
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *numbers) signed() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *numbers) skip(n int) {
	if n <= 0 || d.bad {
		d.bad, d.rest = true, nil
		return
	}
	d.rest = d.rest[n:]
}

// place is stored as a sighting stores it, with its coordinates behind.
func encodePlace(p verify.Place) []byte {
	b := make([]byte, 0, 64)
	for _, text := range []string{p.Country, p.Province, p.City} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	if !p.Located {
		return b
	}
	b = binary.AppendVarint(b, int64(p.Lat*microDegrees))
	return binary.AppendVarint(b, int64(p.Lon*microDegrees))
}

const microDegrees = 1e6

func decodePlace(raw []byte) (p verify.Place, ok bool) {
	d := numbers{rest: raw}
	for _, text := range []*string{&p.Country, &p.Province, &p.City} {
		n := d.unsigned()
		if d.bad || n > uint64(len(d.rest)) {
			return p, false
		}
		*text, d.rest = string(d.rest[:n]), d.rest[n:]
	}
	if len(d.rest) > 0 {
		p.Lat, p.Lon, p.Located = float64(d.signed())/microDegrees, float64(d.signed())/microDegrees, true
	}
	return p, !d.bad && len(d.rest) == 0
}
