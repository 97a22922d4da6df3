package batch

import (
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Change is one step in the life of items: who moved which of them to which
// state, when and why.
type Change struct {
	ID        ids.ChangeID
	BrandID   ids.BrandID
	Seq       int64           // place in the shard's order of commit; set by the store
	Effective time.Time       // when it took effect: the commit time, set by the store; of an event when it was
	Event     string          // names the event that says so; "" = somebody's act
	To        gs1.Disposition // 0 for an undo that gives each item its own state back
	Reverts   ids.ChangeID
	Reason    string
	Actor     string
	At        time.Time // when it happened, as the caller says (a sale); zero = not said
	Place     string
	Items     int64 // moved
	Unchanged int64 // in that state already
	Refused   []Refused
	Covers    []Cover
	Asked     []Cover // what an event says of which numbers, whatever came of it; To 0 = nothing any more
}

// Cover is what a change did to one batch: the numbers that it put into a state,
// those that were in it already included. Where a change came late, an earlier one may
// give the state.
type Cover struct {
	Batch   ids.Serial // the batch's first serial
	To      gs1.Disposition
	Numbers Runs
	By      int64 // the seq of the change that gave them the state; 0 = this one, Kept = who did before
}

// Kept is Cover.By of numbers that a change found sold already: when and where an item was
// sold stays what it was, whoever says again that it was.
const Kept = -1

// Refused are items that the table would not move.
type Refused struct {
	Batch   ids.Serial      `json:"batch"`
	State   gs1.Disposition `json:"state"`
	Numbers Runs            `json:"numbers"`
}

// decision is what a change would do to one batch.
type decision struct {
	covers    []Cover
	refused   []Refused
	items     int64
	unchanged int64
}

// decide sorts the numbers into those that may move, those that are there
// already, and those that the table refuses.
func (s *states) decide(batch ids.Serial, numbers Runs, to gs1.Disposition, table *Transitions) decision {
	var d decision
	cover, same := Cover{Batch: batch, To: to}, Cover{Batch: batch, To: to, By: Kept}
	for i, runs := range s.classify(numbers) {
		state := gs1.Disposition(i)
		switch {
		case len(runs) == 0:
		case state == to:
			d.unchanged += runs.Count()
			if sale(to) {
				same.Numbers = runs
			} else {
				cover.Numbers = cover.Numbers.Union(runs)
			}
		case table.Allowed(state, to):
			d.items += runs.Count()
			cover.Numbers = cover.Numbers.Union(runs)
		default:
			d.refused = append(d.refused, Refused{batch, state, runs})
		}
	}
	for _, c := range []Cover{cover, same} {
		if len(c.Numbers) > 0 {
			d.covers = append(d.covers, c)
		}
	}
	return d
}

// decideUndo works out what undoing a change does to the numbers of one batch, by the
// history of what was asked of them. to is 0 or the state that the caller expects the
// items to come back to.
func (s *states) decideUndo(b *Batch, history []Change, taken ids.ChangeID, numbers Runs, to gs1.Disposition, table *Transitions) decision {
	f := folding{table: table, steps: stepsOf(b.First, history)}
	own := len(f.steps)
	f.steps = append(f.steps, step{&Change{To: to, Reverts: taken}, numbers, nameOf(history, taken)})
	var d decision
	var refuse Runs
	back := map[given]Runs{}
	f.each(numbers, func(r Run, active []int) {
		f.run(active) // the undo is about all of the numbers, and comes last
		switch f.fates[len(active)-1] {
		case refused:
			refuse = refuse.push(r)
			return
		case undone:
			d.unchanged += r.Len()
			return
		case same:
			d.unchanged += r.Len()
		default:
			d.items += r.Len()
		}
		g := f.given(own)
		back[g] = back[g].push(r)
	})
	d.covers = coversOf(b.First, back)
	for i, runs := range s.classify(refuse) {
		if len(runs) > 0 {
			d.refused = append(d.refused, Refused{b.First, gs1.Disposition(i), runs})
		}
	}
	return d
}

// Selection says which items a change is about: exactly one of its forms.
type Selection struct {
	BatchID  ids.BatchID
	From, To int64    // of the batch; both 0 = all of it
	Codes    []string // or these
	// Container = or what is in it, at any depth, when the change is decided.
	Container string
}

const containerBytesMax = 512

// check is the rule for a selection's form. None at all is allowed for an undo.
func (s *Selection) check(undo bool) error {
	switch {
	case s.BatchID != "" && len(s.Codes) > 0, s.Container != "" && (s.BatchID != "" || len(s.Codes) > 0):
		return fault.Field("select.two", "select", "name a batch, codes or a container, and one of them only")
	case len(s.Container) > containerBytesMax:
		return fault.Field("select.bad_container", "select.container", "is longer than %d bytes", containerBytesMax)
	case len(s.Codes) > SelectCodesMax:
		return fault.Field("select.too_many", "select.codes", "has %d codes, at most %d are allowed", len(s.Codes), SelectCodesMax)
	case s.BatchID == "" && len(s.Codes) == 0 && s.Container == "" && !undo:
		return fault.Field("select.empty", "select", "name a batch_id (with from_no, to_no) or codes")
	case s.BatchID == "" && (s.From != 0 || s.To != 0):
		return fault.Field("select.no_batch", "select.batch_id", "is needed with from_no and to_no")
	}
	return nil
}

// run is the selected part of a batch.
func (s *Selection) run(b *Batch) (Run, error) {
	r := Run{s.From, s.To}
	if r.From == 0 {
		r.From = 1
	}
	if r.To == 0 {
		r.To = b.Quantity
	}
	if r.From < 1 || r.To > b.Quantity || r.From > r.To {
		return r, fault.Field("select.bad_range", "select.from_no",
			"numbers %d to %d are not a run of the batch's 1 to %d", r.From, r.To, b.Quantity)
	}
	return r, nil
}
