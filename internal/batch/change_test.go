package batch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// lifeChange is a change in the naive model: which items it covers, and what it
// does to them. of is the change that it undoes, -1 for none.
type lifeChange struct {
	to     gs1.Disposition
	of     int
	covers map[int]bool
}

// lives is the naive model of changes and undos: nothing is kept but what was
// done, and the state of an item is worked out anew for each item and question.
type lives struct {
	table   *Transitions
	changes []lifeChange
}

// alive reports whether a change still counts for an item.
func (l *lives) alive(change, item int) bool {
	if !l.changes[change].covers[item] {
		return false
	}
	for later := change + 1; later < len(l.changes); later++ {
		if l.changes[later].of == change && l.alive(later, item) {
			return false
		}
	}
	return true
}

// state folds what is alive; possible is false when the table forbids a step.
func (l *lives) state(item int) (state gs1.Disposition, possible bool) {
	state, possible = FirstState, true
	for i, c := range l.changes {
		switch {
		case c.of >= 0 || !l.alive(i, item) || state == c.to:
		case l.table.Allowed(state, c.to):
			state = c.to
		default:
			possible = false
		}
	}
	return state, possible
}

// outcome is what a change comes to: moved and unchanged items, the covered ones by
// the state that they get, the refused ones by the state that they are in.
type outcome struct {
	Moved, Unchanged int
	Covered, Refused map[gs1.Disposition][]int
}

func (l *lives) change(items []int, to gs1.Disposition) outcome {
	out := outcome{Covered: map[gs1.Disposition][]int{}, Refused: map[gs1.Disposition][]int{}}
	covers := map[int]bool{}
	for _, item := range items {
		state, _ := l.state(item)
		switch {
		case state == to:
			out.Unchanged++
		case l.table.Allowed(state, to):
			out.Moved++
		default:
			out.Refused[state] = append(out.Refused[state], item)
			continue
		}
		covers[item] = true
		out.Covered[to] = append(out.Covered[to], item)
	}
	l.changes = append(l.changes, lifeChange{to, -1, covers})
	return out
}

func (l *lives) undo(items []int, of int, to gs1.Disposition) outcome {
	out := outcome{Covered: map[gs1.Disposition][]int{}, Refused: map[gs1.Disposition][]int{}}
	covers := map[int]bool{}
	for _, item := range items {
		present, _ := l.state(item)
		if l.changes[of].covers[item] && !l.alive(of, item) {
			out.Unchanged++
			continue
		}
		tried := lives{l.table, append(slices.Clone(l.changes), lifeChange{of: of, covers: map[int]bool{item: true}})}
		target, possible := tried.state(item)
		if !l.changes[of].covers[item] || !possible || to != 0 && target != to {
			out.Refused[present] = append(out.Refused[present], item)
			continue
		}
		if target == present {
			out.Unchanged++
		} else {
			out.Moved++
		}
		covers[item] = true
		out.Covered[target] = append(out.Covered[target], item)
	}
	l.changes = append(l.changes, lifeChange{of: of, covers: covers})
	return out
}

// blocks is a batch whose items of the model are blocks of width numbers, so that
// the same play is done with singles, with long runs, and with what is neither.
type blocks struct {
	Batch
	width   int64
	states  *states
	history []Change // those that cover something, as the store gives them
}

func (b *blocks) runs(items []int) Runs {
	var list Runs
	for _, i := range items {
		from := int64(i)*b.width + 1
		if n := len(list); n > 0 && list[n-1].To == from-1 {
			list[n-1].To = from + b.width - 1
		} else {
			list = append(list, Run{from, from + b.width - 1})
		}
	}
	return list
}

func (b *blocks) items(t *rapid.T, rs Runs) (out []int) {
	for _, r := range rs {
		if (r.From-1)%b.width != 0 || r.To%b.width != 0 {
			t.Fatalf("run %v is not whole blocks of %d", r, b.width)
		}
		for from := r.From; from <= r.To; from += b.width {
			out = append(out, int((from-1)/b.width))
		}
	}
	return out
}

func changeID(n int) ids.ChangeID { return ids.ChangeID(fmt.Sprint("chg", n)) }

// take applies a decision and tells it in the model's terms.
func (b *blocks) take(t *rapid.T, n int, c Change, d decision) outcome {
	out := outcome{
		Moved: int(d.items / b.width), Unchanged: int(d.unchanged / b.width),
		Covered: map[gs1.Disposition][]int{}, Refused: map[gs1.Disposition][]int{},
	}
	c.ID, c.Seq, c.Covers = changeID(n), int64(n+1), d.covers
	for _, cover := range d.covers {
		if out.Covered[cover.To] != nil && !sale(cover.To) || cover.Batch != b.First {
			t.Fatalf("covers %v: two of one state, or another batch", d.covers)
		}
		out.Covered[cover.To] = append(out.Covered[cover.To], b.items(t, cover.Numbers)...)
		slices.Sort(out.Covered[cover.To])
		if cover.By != Kept {
			b.states.set(cover.Numbers, cover.To, c.Seq)
		}
	}
	for _, r := range d.refused {
		if out.Refused[r.State] != nil || r.Batch != b.First {
			t.Fatalf("refused %v: two of one state, or another batch", d.refused)
		}
		out.Refused[r.State] = b.items(t, r.Numbers)
	}
	if len(d.covers) > 0 {
		b.history = append(b.history, c)
	}
	return out
}

func (b *blocks) undo(items []int, of int, to gs1.Disposition, table *Transitions) decision {
	history := slices.Clone(b.history)
	i := slices.IndexFunc(history, func(c Change) bool { return c.ID == changeID(of) })
	if i < 0 {
		history, i = append(history, Change{ID: changeID(of)}), len(history)
	}
	return b.states.decideUndo(&b.Batch, history, history[i].ID, b.runs(items), to, table)
}

// TestUndoAgreesWithEachItemsLife plays changes, undos and undos of undos, of
// everything or of some, and compares every outcome and state with the model.
func TestUndoAgreesWithEachItemsLife(t *testing.T) {
	t.Parallel()
	const count = 7
	// few states, so that sequences get far before the table stops them
	some := rapid.SampledFrom([]gs1.Disposition{
		gs1.Active, gs1.Active, gs1.InTransit, gs1.Inactive, gs1.RetailSold, gs1.Returned, gs1.Recalled, gs1.Void, gs1.Stolen,
	})
	pick := rapid.Custom(func(t *rapid.T) (items []int) {
		mask := rapid.OneOf(rapid.Just(1<<count-1), rapid.IntRange(1, 1<<count-1)).Draw(t, "mask")
		for i := range count {
			if mask&(1<<i) != 0 {
				items = append(items, i)
			}
		}
		return items
	})
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int64{1, 1, 300, 700, 1100, 20_000}).Draw(t, "width")
		model := &lives{table: NewTransitions()}
		b := &blocks{Batch: Batch{First: 77, Quantity: count * width}, width: width, states: newStates(count * width)}
		for n := range rapid.IntRange(1, 24).Draw(t, "steps") {
			items := pick.Draw(t, "items")
			var want, got outcome
			if n > 0 && rapid.IntRange(0, 9).Draw(t, "undo") < 5 {
				of := rapid.IntRange(0, n-1).Draw(t, "of")
				to := rapid.OneOf(rapid.Just(gs1.Disposition(0)), some).Draw(t, "back to")
				d := b.undo(items, of, to, model.table)
				want, got = model.undo(items, of, to), b.take(t, n, Change{Reverts: changeID(of)}, d)
			} else {
				to := some.Draw(t, "to")
				d := b.states.decide(b.First, b.runs(items), to, model.table)
				want, got = model.change(items, to), b.take(t, n, Change{To: to}, d)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("change %d (-model +got):\n%s", n, diff)
			}
			for i := range count {
				state, possible := model.state(i)
				if !possible {
					t.Fatalf("change %d made a later step of item %d impossible", n, i)
				}
				for _, no := range []int64{int64(i)*width + 1, int64(i+1) * width} {
					if at := b.states.lookup(no); at.state != state {
						t.Fatalf("after change %d item %d (number %d) is %s, want %s", n, i, no, at.state, state)
					}
				}
			}
		}
	})
}
