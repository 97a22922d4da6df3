package batch

import (
	"cmp"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// The fold is what the states of docs/states.md stand for: of all that was ever asked of
// an item, step by step in the order of when it took effect, what the table allows. It
// is the same whatever order the steps were committed in
// (TestOrderOfArrivalMakesNoDifference).

// before is the order of the fold: by time, of one time events first, by their names,
// and acts as they were committed.
func (c *Change) before(o *Change) int {
	act := func(c *Change) int { return min(1, 1-min(1, len(c.Event))) }
	return cmp.Or(c.Effective.Compare(o.Effective), act(c)-act(o), strings.Compare(c.Event, o.Event), cmp.Compare(c.Seq, o.Seq))
}

// asked is what the change asks of a batch's numbers, whatever came of it.
func (c *Change) asked(batch ids.Serial) (all Runs) {
	covers := c.Covers
	if c.Event != "" {
		covers = c.Asked
	}
	for _, cover := range covers {
		if cover.Batch == batch && (c.Event == "" || cover.To != 0) {
			all = all.Union(cover.Numbers)
		}
	}
	for _, r := range c.Refused {
		if r.Batch == batch && c.Event == "" {
			all = all.Union(r.Numbers)
		}
	}
	return all
}

// fate is what became of a step for an item.
type fate uint8

const (
	moved   fate = iota
	same         // it was in that state already
	refused      // the table has no such move, or there was nothing to undo
	undone       // an undo of what was undone already
)

// step is a change in the fold of one batch.
type step struct {
	*Change
	numbers Runs
	undoes  string // what it takes back: an event's name or a change's id; "" = nothing
}

func (c *Change) key() string { return cmp.Or(c.Event, string(c.ID)) }

// nameOf is the key of a change by its id.
func nameOf(history []Change, id ids.ChangeID) string {
	if i := slices.IndexFunc(history, func(c Change) bool { return c.ID == id }); i >= 0 {
		return history[i].key()
	}
	return string(id)
}

// stepsOf puts a batch's history into the order of the fold. Of what was said of an event
// the last counts; when that is nothing, the event does not.
func stepsOf(batch ids.Serial, history []Change) []step {
	last := map[string]int64{}
	for i := range history {
		c := &history[i]
		if c.Event != "" {
			last[c.Event] = max(last[c.Event], c.Seq)
		}
	}
	var all []step
	for i := range history {
		c := &history[i]
		if c.Event != "" && (c.To == 0 || c.Seq != last[c.Event]) {
			continue
		}
		s := step{Change: c, numbers: c.asked(batch)}
		if c.Reverts != "" {
			s.undoes = nameOf(history, c.Reverts)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b step) int { return a.before(b.Change) })
	return all
}

// folding folds the history of one item: the steps that ask something of it.
type folding struct {
	table *Transitions
	steps []step
	// What the last run came to.
	state  gs1.Disposition
	by     int               // the step that gave the state; -1 = none did
	fates  []fate            // of each active step
	states []gs1.Disposition // after it
	dead   []bool
}

// run folds the active steps, which are in order.
func (f *folding) run(active []int) {
	f.state, f.by, f.fates, f.states = FirstState, -1, f.fates[:0], f.states[:0]
	for k, i := range active {
		s, to, by, fate := &f.steps[i], f.steps[i].To, i, moved
		switch {
		case s.Reverts != "":
			to, by, fate = f.undo(active[:k], s)
			if by < 0 || !sale(to) { // it is the undo that gives the state, but a sale is still that sale
				by = i
			}
		case f.state == to:
			if fate = same; sale(to) {
				by = f.by
			}
			if s.Event != "" && sale(to) {
				fate = refused // by another event: it is sold once
			}
		case !f.table.Allowed(f.state, to):
			fate = refused
		}
		if fate == moved || fate == same {
			f.state, f.by = to, by
		}
		f.fates, f.states = append(f.fates, fate), append(f.states, f.state)
	}
}

// sale reports that a state says that an item was sold, by one who sold it at some time
// and place.
func sale(d gs1.Disposition) bool { return d == gs1.RetailSold || d == gs1.Dispensed }

// undo works out what an item comes back to when a step has not happened to it, and by
// which step it is there then; -1 = by none.
func (f *folding) undo(before []int, s *step) (to gs1.Disposition, by int, _ fate) {
	at := slices.IndexFunc(before, func(i int) bool { return f.steps[i].key() == s.undoes })
	if at < 0 || f.fates[at] == refused || f.fates[at] == undone {
		return 0, -1, refused
	}
	if f.deaths(before, -1); f.dead[at] {
		return 0, -1, undone
	}
	f.deaths(before, at)
	to, by = FirstState, -1
	for k, i := range before {
		next := f.steps[i].To
		switch {
		case f.steps[i].Reverts != "" || f.dead[k] || f.fates[k] == refused || to == next:
		case f.table.Allowed(to, next):
			to, by = next, i
		default:
			return 0, -1, refused
		}
	}
	switch {
	case s.To != 0 && s.To != to:
		return 0, -1, refused
	case to == f.state:
		return to, by, same
	}
	return to, by, moved
}

// deaths marks the steps that a living later one undid; extra is undone too. An undo may
// be undone itself, so it goes backwards.
func (f *folding) deaths(active []int, extra int) {
	f.dead = slices.Grow(f.dead[:0], len(active))[:len(active)]
	clear(f.dead)
	if extra >= 0 {
		f.dead[extra] = true
	}
	for k, i := range slices.Backward(active) {
		s := &f.steps[i]
		if s.Reverts == "" || f.dead[k] || f.fates[k] == refused || f.fates[k] == undone {
			continue
		}
		if at := slices.IndexFunc(active[:k], func(j int) bool { return f.steps[j].key() == s.undoes }); at >= 0 {
			f.dead[at] = true
		}
	}
}

// edge is where a step begins or ceases to be about the numbers; step -1 is the
// numbers that were asked for themselves.
type edge struct {
	at    int64
	step  int
	begin bool
}

// each goes through the stretches of the numbers that have the same history: one item
// answers for all of it. What it is told of a stretch holds until it returns.
func (f *folding) each(numbers Runs, tell func(r Run, active []int)) {
	var edges []edge
	add := func(i int, runs Runs) {
		for _, r := range runs {
			edges = append(edges, edge{r.From, i, true}, edge{r.To + 1, i, false})
		}
	}
	add(-1, numbers)
	for i := range f.steps {
		add(i, f.steps[i].numbers.Intersect(numbers))
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	var active []int
	inside := false
	for i, e := range edges {
		if i > 0 && inside && edges[i-1].at < e.at {
			tell(Run{edges[i-1].at, e.at - 1}, active)
		}
		at, found := slices.BinarySearch(active, e.step)
		switch {
		case e.step < 0:
			// two runs that touch would have been one, so no edge ends where another begins
			inside = e.begin
		case e.begin && !found:
			active = slices.Insert(active, at, e.step)
		case !e.begin && found:
			active = slices.Delete(active, at, at+1)
		}
	}
}
