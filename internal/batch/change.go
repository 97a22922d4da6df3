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
	Effective time.Time       // the commit time; set by the store
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
}

// Cover is what a change did to one batch: the numbers that it put into a state,
// those that were in it already included.
type Cover struct {
	Batch   ids.Serial // the batch's first serial
	To      gs1.Disposition
	Numbers Runs
}

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
	cover := Cover{Batch: batch, To: to}
	for i, runs := range s.classify(numbers) {
		state := gs1.Disposition(i)
		switch {
		case len(runs) == 0:
		case state == to:
			d.unchanged += runs.Count()
			cover.Numbers = cover.Numbers.Union(runs)
		case table.Allowed(state, to):
			d.items += runs.Count()
			cover.Numbers = cover.Numbers.Union(runs)
		default:
			d.refused = append(d.refused, Refused{batch, state, runs})
		}
	}
	if len(cover.Numbers) > 0 {
		d.covers = []Cover{cover}
	}
	return d
}

// refold is the history of one batch without some of its changes: what each item
// would be now, and which of the later steps would not have been possible.
type refold struct {
	states     *states
	impossible Runs
}

// deadNumbers tells, for each change of the history, the numbers for which a
// living later change undid it. extra is undone too.
func deadNumbers(history []Change, undone ids.ChangeID, extra Runs) map[ids.ChangeID]Runs {
	dead := map[ids.ChangeID]Runs{undone: extra}
	for i := len(history) - 1; i >= 0; i-- {
		c := &history[i]
		if c.Reverts == "" {
			continue
		}
		living := c.numbers().Minus(dead[c.ID])
		dead[c.Reverts] = dead[c.Reverts].Union(living)
	}
	return dead
}

// numbers is everything that the change covers in the one batch of its history.
func (c *Change) numbers() Runs {
	var all Runs
	for _, cover := range c.Covers {
		all = all.Union(cover.Numbers)
	}
	return all
}

// foldWithout replays a batch's history (each change with its covers of this batch
// only, in order) as if change undone had not happened to the numbers.
func foldWithout(b *Batch, history []Change, undone ids.ChangeID, numbers Runs, table *Transitions) refold {
	dead := deadNumbers(history, undone, numbers)
	r := refold{states: newStates(b.Quantity)}
	for i := range history {
		c := &history[i]
		if c.Reverts != "" {
			continue // its effect is in dead
		}
		for _, cover := range c.Covers {
			living := cover.Numbers.Intersect(numbers).Minus(dead[c.ID])
			d := r.states.decide(b.First, living, cover.To, table)
			for _, done := range d.covers {
				r.states.set(done.Numbers, done.To, c.Seq)
			}
			for _, no := range d.refused {
				r.impossible = r.impossible.Union(no.Numbers)
			}
		}
	}
	return r
}

// decideUndo works out what undoing a change does to the numbers of one batch. to
// is 0 or the state that the caller expects the items to come back to.
func (s *states) decideUndo(b *Batch, history []Change, undone *Change, numbers Runs, to gs1.Disposition, table *Transitions) decision {
	var d decision
	covered := numbers.Intersect(undone.numbers())
	refuse := numbers.Minus(covered)
	covered = covered.Minus(deadNumbers(history, "", nil)[undone.ID])
	already := numbers.Minus(refuse).Minus(covered)
	d.unchanged += already.Count()

	fold := foldWithout(b, history, undone.ID, covered, table)
	refuse = refuse.Union(fold.impossible)
	for i, runs := range fold.states.classify(covered.Minus(fold.impossible)) {
		target := gs1.Disposition(i)
		if to != 0 && target != to {
			refuse = refuse.Union(runs)
			continue
		}
		if len(runs) == 0 {
			continue
		}
		same := s.classify(runs)[target].Count()
		d.unchanged += same
		d.items += runs.Count() - same
		d.covers = append(d.covers, Cover{b.First, target, runs})
	}
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
