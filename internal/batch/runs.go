package batch

import (
	"cmp"
	"slices"
)

// Run is a run of a batch's numbers, both ends included.
type Run struct {
	From int64 `json:"from_no"`
	To   int64 `json:"to_no"`
}

// Len is how many numbers the run has.
func (r Run) Len() int64 { return r.To - r.From + 1 }

// Runs is a set of numbers: sorted runs that neither overlap nor touch.
type Runs []Run

// NewRuns makes a set of numbers in any order, with repeats.
func NewRuns(numbers []int64) Runs {
	sorted := slices.Clone(numbers)
	slices.Sort(sorted)
	var rs Runs
	for _, n := range sorted {
		rs = rs.push(Run{n, n})
	}
	return rs
}

// push adds a run that begins at or after the beginning of the last one.
func (rs Runs) push(r Run) Runs {
	if r.To < r.From {
		return rs
	}
	if n := len(rs); n > 0 && r.From <= rs[n-1].To+1 {
		rs[n-1].To = max(rs[n-1].To, r.To)
		return rs
	}
	return append(rs, r)
}

// Count is how many numbers the set has.
func (rs Runs) Count() int64 {
	var n int64
	for _, r := range rs {
		n += r.Len()
	}
	return n
}

// Contains reports whether a number is in the set.
func (rs Runs) Contains(no int64) bool {
	i, found := slices.BinarySearchFunc(rs, no, func(r Run, no int64) int { return cmp.Compare(r.From, no) })
	return found || i > 0 && rs[i-1].To >= no
}

// Union is the set of numbers that are in either.
func (rs Runs) Union(other Runs) Runs {
	if len(rs) == 0 {
		return other
	}
	if len(other) == 0 {
		return rs
	}
	out := make(Runs, 0, len(rs)+len(other))
	for len(rs) > 0 || len(other) > 0 {
		if len(other) == 0 || len(rs) > 0 && rs[0].From <= other[0].From {
			out, rs = out.push(rs[0]), rs[1:]
		} else {
			out, other = out.push(other[0]), other[1:]
		}
	}
	return out
}

// Intersect is the set of numbers that are in both.
func (rs Runs) Intersect(other Runs) Runs {
	var out Runs
	for i, j := 0, 0; i < len(rs) && j < len(other); {
		out = out.push(Run{max(rs[i].From, other[j].From), min(rs[i].To, other[j].To)})
		if rs[i].To < other[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}

// Minus is the set of numbers of rs that are not in other.
func (rs Runs) Minus(other Runs) Runs {
	if len(other) == 0 {
		return rs
	}
	out := make(Runs, 0, len(rs))
	j := 0
	for _, r := range rs {
		for j < len(other) && other[j].To < r.From {
			j++
		}
		for k := j; k < len(other) && other[k].From <= r.To; k++ {
			out = out.push(Run{r.From, other[k].From - 1})
			r.From = max(r.From, other[k].To+1)
		}
		out = out.push(r)
	}
	return out
}
