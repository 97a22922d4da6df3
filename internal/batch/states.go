package batch

import (
	"slices"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/chopmark/chopmark/internal/gs1"
)

// longRun is where a run of numbers stops being single items: from here on it is
// kept as a segment, below as bits. Both give the same answers; bits are cheaper
// when they lie scattered, segments when they are long.
const longRun = 1024

const (
	pageBits = 16 // a page has 2^16 numbers: one roaring container for each state
	pageSize = 1 << pageBits
	pageLow  = pageSize - 1
)

// Segment is a stretch of a batch in one state, from From to the next segment.
// Numbers with a bit in a page are not spoken for by it.
type Segment struct {
	From  int64
	State gs1.Disposition
	Seq   int64 // of the change that put it there; 0 = never changed
}

// states is the present state of every number of a batch: segments for long runs,
// pages of compressed bitmaps by state for singles. Its size follows what changed,
// not what exists.
//
// One goroutine writes at a time (the projection's shard lock); readers take no
// lock: segments and pages are replaced whole, never edited.
type states struct {
	quantity int64
	segments atomic.Pointer[[]Segment]
	pages    atomic.Pointer[[]atomic.Pointer[page]] // nil until the first single
}

// page holds the singles of pageSize numbers.
type page struct {
	singles []single
	extra   *roaring.Bitmap // numbers with a record of their own (version, inner code); may be nil
}

type single struct {
	state gs1.Disposition
	at    *roaring.Bitmap // the low bits of the numbers in this state
}

func newStates(quantity int64) *states {
	s := &states{quantity: quantity}
	s.segments.Store(&[]Segment{{From: 1, State: FirstState}})
	return s
}

// located is what is known of one number.
type located struct {
	state gs1.Disposition
	seq   int64 // of the segment; not meant for singles
	own   bool  // a single: its seq is in the local store
	extra bool  // has a record of its own in the local store
}

// lookup answers for a number in 1..quantity. It allocates nothing.
func (s *states) lookup(no int64) located {
	p := s.page(no >> pageBits)
	for {
		out := p.locate(uint32(no & pageLow))
		if out.own {
			return out
		}
		seg := s.segment(no)
		// A segment speaks for a number only while it has no bit: a bridge may have
		// been laid over one that got its bit since the page was read. A page that is
		// the same was so all the time: none ever comes back, not even "there is none".
		if now := s.page(no >> pageBits); now != p {
			p = now
			continue
		}
		out.state, out.seq = seg.State, seg.Seq
		return out
	}
}

// locate is what the page itself knows of a number.
func (p *page) locate(low uint32) (out located) {
	if p == nil {
		return out
	}
	out.extra = p.extra != nil && p.extra.Contains(low)
	for i := range p.singles {
		if p.singles[i].at.Contains(low) {
			out.state, out.own = p.singles[i].state, true
			break
		}
	}
	return out
}

func (s *states) page(i int64) *page {
	pages := s.pages.Load()
	if pages == nil {
		return nil
	}
	return (*pages)[i].Load()
}

// segment is the segment that covers the number.
func (s *states) segment(no int64) Segment {
	segs := *s.segments.Load()
	lo, hi := 0, len(segs) // invariant: segs[lo].From <= no
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if segs[mid].From <= no {
			lo = mid
		} else {
			hi = mid
		}
	}
	return segs[lo]
}

// split tells the numbers that are kept as segments from those that are single items.
// What a change passed over, since it was there already, cuts no run into pieces.
func (rs Runs) split(over Runs) (long, short Runs) {
	for _, r := range rs.Union(over) {
		if r.Len() >= longRun {
			long = append(long, r)
		} else {
			short = append(short, r)
		}
	}
	if len(over) == 0 {
		return long, short
	}
	return rs.Intersect(long), rs.Intersect(short)
}

// lay puts the numbers into the state, long ones as segments and short ones as single
// items. What was known of them before is forgotten.
func (s *states) lay(long, short Runs, to gs1.Disposition, seq int64) {
	// Segments first: a reader in between sees the state before or after, because
	// the bits that still stand say what was so before.
	if len(long) > 0 {
		next := splice(*s.segments.Load(), s.quantity, s.bridge(long), to, seq)
		s.segments.Store(&next)
		for _, r := range long {
			s.clearBits(r)
		}
	}
	s.setBits(short, to)
}

// bridge joins long runs whose gap holds nothing but singles: their bits speak for
// them, so that the segment may pass over them and one stays one.
func (s *states) bridge(long Runs) Runs {
	out := Runs{long[0]}
	for _, r := range long[1:] {
		gap := Run{out[len(out)-1].To + 1, r.From - 1}
		if gap.Len() < longRun && s.allSingles(gap) {
			out[len(out)-1].To = r.To
		} else {
			out = append(out, r)
		}
	}
	return out
}

func (s *states) allSingles(r Run) bool {
	for no := r.From; no <= r.To; no++ {
		if !s.lookup(no).own {
			return false
		}
	}
	return true
}

// splice lays runs of one state over the segments.
func splice(old []Segment, quantity int64, runs Runs, state gs1.Disposition, seq int64) []Segment {
	out := make([]Segment, 0, len(old)+2*len(runs))
	emit := func(seg Segment) {
		if n := len(out); n > 0 && out[n-1].State == seg.State && out[n-1].Seq == seg.Seq {
			return
		}
		out = append(out, seg)
	}
	i := 0 // the first old segment that is not passed
	for _, r := range runs {
		for i < len(old) && old[i].From < r.From {
			emit(old[i])
			i++
		}
		emit(Segment{r.From, state, seq})
		for i < len(old) && old[i].From <= r.To+1 {
			i++
		}
		if r.To < quantity { // what old[i-1] covered goes on behind the run
			emit(Segment{r.To + 1, old[i-1].State, old[i-1].Seq})
		}
	}
	for ; i < len(old); i++ {
		emit(old[i])
	}
	return out
}

// clearBits takes the numbers of a run out of every bitmap of singles.
func (s *states) clearBits(r Run) {
	pages := s.pages.Load()
	if pages == nil {
		return
	}
	for i := r.From >> pageBits; i <= r.To>>pageBits; i++ {
		p := (*pages)[i].Load()
		if p == nil || len(p.singles) == 0 {
			continue
		}
		from, to := max(r.From, i<<pageBits)&pageLow, min(r.To, (i+1)<<pageBits-1)&pageLow
		next := &page{extra: p.extra}
		for _, one := range p.singles {
			at := one.at.Clone()
			at.RemoveRange(uint64(from), uint64(to)+1)
			next.add(one.state, at)
		}
		(*pages)[i].Store(next) // also when it is empty: see lookup
	}
}

// setBits makes the numbers singles in the state, copying each page once.
func (s *states) setBits(numbers Runs, to gs1.Disposition) {
	for len(numbers) > 0 {
		i := numbers[0].From >> pageBits
		at := roaring.New()
		last := (i+1)<<pageBits - 1
		for len(numbers) > 0 && numbers[0].From <= last {
			r := numbers[0]
			at.AddRange(uint64(r.From&pageLow), uint64(min(r.To, last)&pageLow)+1)
			if r.To > last { // goes on in the next page
				numbers = append(Runs{{last + 1, r.To}}, numbers[1:]...)
				break
			}
			numbers = numbers[1:]
		}
		slot := s.slot(i)
		slot.Store(slot.Load().with(at, to))
	}
}

// with returns a copy of the page in which the numbers are in the state.
func (p *page) with(at *roaring.Bitmap, to gs1.Disposition) *page {
	next := &page{}
	if p != nil {
		next.extra = p.extra
		for _, one := range p.singles {
			if one.state == to {
				at.Or(one.at)
				continue
			}
			next.add(one.state, roaring.AndNot(one.at, at))
		}
	}
	at.RunOptimize()
	next.add(to, at)
	return next
}

func (p *page) add(state gs1.Disposition, at *roaring.Bitmap) {
	if !at.IsEmpty() {
		p.singles = append(p.singles, single{state, at})
		slices.SortFunc(p.singles, func(a, b single) int { return int(a.state) - int(b.state) })
	}
}

// markExtra notes that a number has a record of its own.
func (s *states) markExtra(no int64) {
	slot := s.slot(no >> pageBits)
	next := &page{extra: roaring.New()}
	if p := slot.Load(); p != nil {
		next.singles = p.singles
		if p.extra != nil {
			next.extra = p.extra.Clone()
		}
	}
	next.extra.Add(uint32(no & pageLow))
	slot.Store(next)
}

// slot is the place of page i, made when it is missing.
func (s *states) slot(i int64) *atomic.Pointer[page] {
	pages := s.pages.Load()
	if pages == nil {
		made := make([]atomic.Pointer[page], s.quantity>>pageBits+1)
		pages = &made
		s.pages.Store(pages)
	}
	return &(*pages)[i]
}
