package batch

import (
	"github.com/chopmark/chopmark/internal/gs1"
)

// market is where items live that are neither sold nor withdrawn; they move freely
// among these states.
var market = [...]gs1.Disposition{
	gs1.Active, gs1.InProgress, gs1.InTransit, gs1.SellableAccessible, gs1.SellableNotAccessible, gs1.Returned,
}

// withdrawn are the states that take an item off the market from anywhere before.
var withdrawn = [...]gs1.Disposition{
	gs1.Recalled, gs1.Stolen, gs1.Damaged, gs1.NoPedigreeMatch, gs1.Destroyed, gs1.Disposed, gs1.Expired, gs1.Void,
}

// onwards are the moves from the remaining states. What is destroyed, disposed or
// void stays so; only an undo leads back.
var onwards = [...]struct {
	from gs1.Disposition
	to   []gs1.Disposition
}{
	{gs1.Encoded, []gs1.Disposition{gs1.Inactive, gs1.Active, gs1.Recalled, gs1.Stolen, gs1.Damaged, gs1.Destroyed, gs1.Disposed, gs1.Expired, gs1.Void}},
	{gs1.Inactive, []gs1.Disposition{gs1.Active, gs1.Recalled, gs1.Stolen, gs1.Damaged, gs1.Destroyed, gs1.Disposed, gs1.Expired, gs1.Void}},
	{gs1.RetailSold, []gs1.Disposition{gs1.Returned, gs1.Recalled, gs1.Stolen, gs1.Damaged, gs1.NoPedigreeMatch, gs1.Destroyed, gs1.Disposed, gs1.Expired, gs1.Void}},
	{gs1.Dispensed, []gs1.Disposition{gs1.Returned, gs1.Recalled, gs1.Stolen, gs1.Damaged, gs1.NoPedigreeMatch, gs1.Destroyed, gs1.Disposed, gs1.Expired, gs1.Void}},
	{gs1.Recalled, []gs1.Disposition{gs1.Destroyed, gs1.Disposed, gs1.Void}},
	{gs1.Stolen, []gs1.Disposition{gs1.Returned, gs1.Recalled, gs1.Destroyed, gs1.Disposed, gs1.Void}},
	{gs1.Damaged, []gs1.Disposition{gs1.Returned, gs1.Recalled, gs1.Destroyed, gs1.Disposed, gs1.Void}},
	{gs1.NoPedigreeMatch, []gs1.Disposition{gs1.Returned, gs1.Recalled, gs1.Destroyed, gs1.Disposed, gs1.Void}},
	{gs1.Expired, []gs1.Disposition{gs1.Returned, gs1.Recalled, gs1.Destroyed, gs1.Disposed, gs1.Void}},
}

// Transitions is the table of allowed moves. The zero value allows nothing.
type Transitions struct {
	allowed [gs1.DispositionCount + 1]uint32 // bit d of allowed[s]: s may become d
}

// NewTransitions builds the table of docs/states.md.
func NewTransitions() *Transitions {
	t := &Transitions{}
	for _, from := range market {
		for _, to := range market {
			t.allow(from, to)
		}
		for _, to := range withdrawn {
			t.allow(from, to)
		}
		t.allow(from, gs1.Inactive)
		t.allow(from, gs1.RetailSold)
		t.allow(from, gs1.Dispensed)
	}
	for _, o := range onwards {
		for _, to := range o.to {
			t.allow(o.from, to)
		}
	}
	return t
}

func (t *Transitions) allow(from, to gs1.Disposition) {
	if from != to {
		t.allowed[from] |= 1 << to
	}
}

// Allowed reports whether an item in state from may become to. The same state
// again is not a move.
func (t *Transitions) Allowed(from, to gs1.Disposition) bool {
	return from.Known() && to.Known() && t.allowed[from]&(1<<to) != 0
}
