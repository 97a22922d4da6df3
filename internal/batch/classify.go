package batch

import (
	"github.com/chopmark/chopmark/internal/gs1"
)

// byState is a set of numbers for each state.
type byState [gs1.DispositionCount + 1]Runs

// classify sorts the numbers by their present state.
func (s *states) classify(numbers Runs) byState {
	var base, own byState
	segs := *s.segments.Load()
	i := 0
	for _, r := range numbers {
		for i+1 < len(segs) && segs[i+1].From <= r.From {
			i++
		}
		for j := i; j < len(segs) && segs[j].From <= r.To; j++ {
			end := s.quantity
			if j+1 < len(segs) {
				end = segs[j+1].From - 1
			}
			s.classifyPiece(Run{max(r.From, segs[j].From), min(r.To, end)}, segs[j].State, &base, &own)
		}
	}
	for state := range base {
		base[state] = base[state].Union(own[state])
	}
	return base
}

// classifyPiece sorts a run that lies in one segment.
func (s *states) classifyPiece(piece Run, state gs1.Disposition, base, own *byState) {
	pages := s.pages.Load()
	if pages == nil {
		base[state] = base[state].push(piece)
		return
	}
	next := piece.From // the first number that is not sorted yet
	for i := piece.From >> pageBits; i <= piece.To>>pageBits; i++ {
		p := (*pages)[i].Load()
		if p == nil || len(p.singles) == 0 {
			continue
		}
		within := Run{max(piece.From, i<<pageBits), min(piece.To, (i+1)<<pageBits-1)}
		var singles Runs
		for _, one := range p.singles {
			runs := runsOf(one, i, within)
			for _, r := range runs {
				own[one.state] = own[one.state].push(r)
			}
			singles = singles.Union(runs)
		}
		for _, r := range singles {
			base[state] = base[state].push(Run{next, r.From - 1})
			next = r.To + 1
		}
	}
	base[state] = base[state].push(Run{next, piece.To})
}

// runsOf lists the numbers of a page's bitmap within a run of that page.
func runsOf(one single, pageNo int64, within Run) Runs {
	var out Runs
	it := one.at.Iterator()
	it.AdvanceIfNeeded(uint32(within.From & pageLow))
	for it.HasNext() {
		no := pageNo<<pageBits + int64(it.Next())
		if no > within.To {
			break
		}
		out = out.push(Run{no, no})
	}
	return out
}

// Counts is how many numbers of a batch are in each state.
type Counts [gs1.DispositionCount + 1]int64

// counts adds up the whole batch without listing its numbers.
func (s *states) counts() Counts {
	var out Counts
	segs := *s.segments.Load()
	for i, seg := range segs {
		end := s.quantity
		if i+1 < len(segs) {
			end = segs[i+1].From - 1
		}
		out[seg.State] += end - seg.From + 1
	}
	pages := s.pages.Load()
	if pages == nil {
		return out
	}
	for i := range *pages {
		p := (*pages)[i].Load()
		if p == nil {
			continue
		}
		for _, one := range p.singles {
			s.countPage(&out, one, int64(i))
		}
	}
	return out
}

// countPage moves the singles of a page from their segments' states to their own.
func (s *states) countPage(out *Counts, one single, pageNo int64) {
	out[one.state] += int64(one.at.GetCardinality())
	first, last := s.segment(max(1, pageNo<<pageBits)), s.segment(min(s.quantity, (pageNo+1)<<pageBits-1))
	if first.From == last.From {
		out[first.State] -= int64(one.at.GetCardinality())
		return
	}
	it := one.at.Iterator()
	for it.HasNext() {
		out[s.segment(pageNo<<pageBits+int64(it.Next())).State]--
	}
}

// allUntouched reports whether every number is in the state and has no record of its own.
func (s *states) allUntouched(numbers Run, state gs1.Disposition) bool {
	if got := s.classify(Runs{numbers})[state]; len(got) != 1 || got[0] != numbers {
		return false
	}
	pages := s.pages.Load()
	if pages == nil {
		return true
	}
	for i := numbers.From >> pageBits; i <= numbers.To>>pageBits; i++ {
		p := (*pages)[i].Load()
		if p == nil || p.extra == nil {
			continue
		}
		it := p.extra.Iterator()
		it.AdvanceIfNeeded(uint32(max(numbers.From, i<<pageBits) & pageLow))
		if it.HasNext() && i<<pageBits+int64(it.Next()) <= numbers.To {
			return false
		}
	}
	return true
}
