package trace

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Bearing is what an event says of the state of items of ours.
type Bearing struct {
	Event Hash
	Brand ids.BrandID
	At    time.Time       // eventTime, and when it was captured at the latest
	To    gs1.Disposition // 0 = nothing, or nothing any more: it was declared an error
	Items []Run           // those that it names, and those in what it names
	Step  string
	Place string
	// Silent says that the event never said anything: nothing is known of it.
	Silent bool
	// Partial says that what it names holds more than could be looked through.
	Partial bool
}

// stepStates are the business steps that say a state by themselves; docs/states.md has why.
func stepStates() map[string]gs1.Disposition {
	return map[string]gs1.Disposition{
		"commissioning": gs1.Active, "shipping": gs1.InTransit, "departing": gs1.InTransit, "transporting": gs1.InTransit,
		"receiving": gs1.InProgress, "accepting": gs1.InProgress, "arriving": gs1.InProgress, "void_shipping": gs1.InProgress,
		"stocking": gs1.SellableAccessible, "retail_selling": gs1.RetailSold, "dispensing": gs1.Dispensed,
		"destroying": gs1.Destroyed, "decommissioning": gs1.Void,
	}
}

// Steps lists the business steps of the CBV.
func Steps() []string { return slices.Sorted(maps.Keys(newVocabularies().step.words)) }

// StateOf is the state that a business step and a disposition say, both bare words; 0 = none.
// A disposition is the state after the event (CBV 2.0, section 7.2), so it comes first: that
// of another kind says nothing, whatever the step.
func StateOf(step, disposition string) gs1.Disposition {
	if disposition == "" {
		return stepStates()[step]
	}
	if to, ok := gs1.ParseDisposition(disposition); ok && to != gs1.Void { // ours: no word of the CBV
		return to
	}
	return 0
}

// bearing reads what an event says.
func (s *Service) bearing(ctx context.Context, p *Unpacked) (b Bearing, err error) {
	b = Bearing{Event: p.Stored.Hash, Brand: p.Stored.Brand, At: p.Stored.Time, Step: p.Step, Place: p.Location.ID}
	if b.At.After(p.Stored.RecordTime) {
		b.At = p.Stored.RecordTime
	}
	if b.Place == "" {
		b.Place = p.ReadPoint.ID
	}
	if b.To = StateOf(p.Step, p.Disposition); b.To == 0 || p.Stored.Withdrawn {
		b.Silent, b.To = b.To == 0, 0
		return b, nil
	}
	groups, others := p.Groups[0], p.EPCs
	if p.Type == TransformationEvent { // its disposition is that of what came out
		groups, others = p.Groups[1], p.Outputs
	}
	b.Items = runsIn(groups)
	containers := slices.Clone(others)
	if p.Parent != "" {
		c, err := s.Child(ctx, p.Parent)
		if err != nil {
			return b, err
		}
		if c.EPC == "" {
			b.Items = append(b.Items, Run{c.Serial, c.Serial})
		}
		containers = append(containers, p.Parent)
	}
	r, err := s.reading(ctx, b.Brand, p.Stored.Time)
	if err != nil {
		return b, err
	}
	items, err := r.parentsAmong(ctx, b.Items)
	if err != nil {
		return b, err
	}
	for _, epc := range append(containers, items...) {
		in, err := s.Contents(ctx, b.Brand, epc, p.Stored.Time, true)
		if errors.Is(err, ErrQueryLarge) {
			b.Partial, err = true, nil
		}
		if err != nil {
			return b, err
		}
		b.Items = append(b.Items, in.Runs...)
	}
	b.Items = merged(b.Items)
	return b, nil
}
