package batch

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// numbers is a set of numbers in the plainest form.
type numbers map[int64]bool

func numbersOf(rs Runs) numbers {
	set := numbers{}
	for _, r := range rs {
		for no := r.From; no <= r.To; no++ {
			set[no] = true
		}
	}
	return set
}

func (n numbers) list() []int64 {
	var out []int64
	for no := range n {
		out = append(out, no)
	}
	slices.Sort(out)
	return out
}

// drawRuns draws a set in its one form: sorted, apart, not touching.
func drawRuns(t *rapid.T, label string, most int64) Runs {
	var rs Runs
	next := rapid.Int64Range(1, 5).Draw(t, label+" first")
	for range rapid.IntRange(0, 6).Draw(t, label+" runs") {
		to := next + rapid.Int64Range(0, 4).Draw(t, label+" length")
		if to > most {
			break
		}
		rs = append(rs, Run{next, to})
		next = to + rapid.Int64Range(2, 5).Draw(t, label+" gap")
	}
	return rs
}

func wantWellFormed(t *rapid.T, rs Runs) {
	for i, r := range rs {
		if r.To < r.From || i > 0 && r.From <= rs[i-1].To+1 {
			t.Fatalf("%v is not sorted runs that lie apart", rs)
		}
	}
}

// TestRunsAgreeWithASet holds the algebra of runs to plain sets of numbers, and to
// leaving what it is given alone.
func TestRunsAgreeWithASet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRuns(t, "a", 60), drawRuns(t, "b", 60)
		keptA, keptB := slices.Clone(a), slices.Clone(b)
		inA, inB := numbersOf(a), numbersOf(b)
		union, both, only := numbers{}, numbers{}, numbers{}
		for no := range int64(81) {
			if got := a.Contains(no); got != inA[no] {
				t.Fatalf("%v contains %d: %v", a, no, got)
			}
			if inA[no] || inB[no] {
				union[no] = true
			}
			if inA[no] && inB[no] {
				both[no] = true
			}
			if inA[no] && !inB[no] {
				only[no] = true
			}
		}
		for _, c := range []struct {
			name string
			got  Runs
			want numbers
		}{
			{"Union", a.Union(b), union}, {"Intersect", a.Intersect(b), both}, {"Minus", a.Minus(b), only},
			{"NewRuns", NewRuns(union.list()), union},
		} {
			wantWellFormed(t, c.got)
			if diff := cmp.Diff(c.want.list(), numbersOf(c.got).list()); diff != "" {
				t.Fatalf("%s of %v and %v (-want +got):\n%s", c.name, a, b, diff)
			}
			if c.got.Count() != int64(len(c.want)) {
				t.Fatalf("%s counts %d, has %d", c.name, c.got.Count(), len(c.want))
			}
		}
		if !slices.Equal(a, keptA) || !slices.Equal(b, keptB) {
			t.Fatalf("an operand was changed: %v to %v, %v to %v", keptA, a, keptB, b)
		}
	})
}

func TestNewRunsInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(1, 40), 0, 60).Draw(t, "numbers")
		kept := slices.Clone(list)
		rs := NewRuns(list)
		wantWellFormed(t, rs)
		set := numbers{}
		for _, no := range list {
			set[no] = true
		}
		if diff := cmp.Diff(set.list(), numbersOf(rs).list()); diff != "" {
			t.Fatalf("NewRuns(%v) (-want +got):\n%s", list, diff)
		}
		if !slices.Equal(list, kept) {
			t.Fatal("the list was changed")
		}
	})
}
