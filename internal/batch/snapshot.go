package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/chopmark/chopmark/internal/gs1"
)

// snapshot takes the segments and the named pages; a page that is gone is empty.
func (e *entry) snapshot(pages map[int64]bool) Snapshot {
	snap := Snapshot{First: e.First, Segments: slices.Clone(*e.states.segments.Load()), Pages: map[int64][]byte{}}
	for i := range pages {
		snap.Pages[i] = e.states.page(i).encode()
	}
	return snap
}

// restore brings back what a snapshot holds.
func (s *states) restore(snap Snapshot) error {
	if len(snap.Segments) > 0 {
		segs := slices.Clone(snap.Segments)
		s.segments.Store(&segs)
	}
	for i, raw := range snap.Pages {
		if i < 0 || i > s.quantity>>pageBits {
			return errDamagedPage
		}
		p, err := decodePage(raw)
		if err != nil {
			return err
		}
		if p != nil {
			s.slot(i).Store(p)
		}
	}
	return nil
}

var errDamagedPage = errors.New("damaged page of states")

// encode writes a page as (state, length, bitmap)*; state 0 is the extra numbers.
// An empty page is no bytes.
func (p *page) encode() []byte {
	if p == nil {
		return nil
	}
	var out []byte
	put := func(tag byte, at *roaring.Bitmap) {
		raw, err := at.ToBytes()
		if err != nil {
			panic(fmt.Sprintf("encode bitmap in memory: %v", err)) // a bytes.Buffer never fails
		}
		out = append(out, tag)
		out = binary.AppendUvarint(out, uint64(len(raw)))
		out = append(out, raw...)
	}
	if p.extra != nil {
		put(0, p.extra)
	}
	for _, one := range p.singles {
		put(byte(one.state), one.at)
	}
	return out
}

func decodePage(raw []byte) (*page, error) {
	if len(raw) == 0 {
		return nil, nil //nolint:nilnil // no page is the usual case and not an error
	}
	p := &page{}
	for len(raw) > 0 {
		tag := raw[0]
		length, n := binary.Uvarint(raw[1:])
		if n <= 0 || length > uint64(len(raw)-1-n) {
			return nil, errDamagedPage
		}
		at := roaring.New()
		if err := at.UnmarshalBinary(raw[1+n : 1+n+int(length)]); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamagedPage, err)
		}
		switch state := gs1.Disposition(tag); {
		case tag == 0:
			p.extra = at
		case state.Known():
			p.add(state, at)
		default:
			return nil, errDamagedPage
		}
		raw = raw[1+n+int(length):]
	}
	return p, nil
}

// EncodeSegments and DecodeSegments are the stored form of a batch's segments.
func EncodeSegments(segs []Segment) []byte {
	var out []byte
	last := int64(0)
	for _, s := range segs {
		out = binary.AppendUvarint(out, uint64(s.From-last))
		out = append(out, byte(s.State))
		out = binary.AppendUvarint(out, uint64(s.Seq))
		last = s.From
	}
	return out
}

// DecodeSegments is the reverse of EncodeSegments.
func DecodeSegments(raw []byte) ([]Segment, error) {
	var segs []Segment
	last := int64(0)
	for len(raw) > 0 {
		step, n := binary.Uvarint(raw)
		if n <= 0 || len(raw) < n+2 {
			return nil, errDamagedPage
		}
		state := gs1.Disposition(raw[n])
		raw = raw[n+1:]
		seq, n := binary.Uvarint(raw)
		if n <= 0 || !state.Known() {
			return nil, errDamagedPage
		}
		raw = raw[n:]
		last += int64(step)
		segs = append(segs, Segment{last, state, int64(seq)})
	}
	return segs, nil
}
