package scan

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// StateFilter says which codes a list is to have. The zero filter lets all through.
type StateFilter struct {
	states  [gs1.DispositionCount + 1]bool
	any     bool // some state was asked for
	scanned bool // the seed's word: at least one scan
}

// activeStates are what the seed calls active: active, and what follows it in the
// market until the item is used or taken out.
func activeStates() []gs1.Disposition {
	return []gs1.Disposition{
		gs1.Active, gs1.InProgress, gs1.InTransit, gs1.SellableAccessible, gs1.SellableNotAccessible, gs1.RetailSold, gs1.Returned,
	}
}

// ParseStates reads a comma-separated list of dispositions and of the seed's words
// "active" (any state of an item in the market) and "scanned" (at least one scan). A
// code is listed when one of them holds.
func ParseStates(text string) (f StateFilter, _ error) {
	if text == "" {
		return f, nil
	}
	if len(text) > 512 {
		return f, fault.Field("input.too_long", "state", "has more than 512 bytes")
	}
	for name := range strings.SplitSeq(text, ",") {
		switch d, ok := gs1.ParseDisposition(name); {
		case name == "scanned":
			f.scanned = true
		case name == "active":
			for _, d := range activeStates() {
				f.states[d] = true
			}
		case ok:
			f.states[d] = true
		default:
			return f, fault.Field("input.bad_state", "state", "%q is no state; use dispositions such as retail_sold, or active, scanned", name)
		}
		f.any = true
	}
	return f, nil
}

func (f *StateFilter) lets(state gs1.Disposition, scans int64) bool {
	return !f.any || f.scanned && scans > 0 || state.Known() && f.states[state]
}

// Listed is a code with a record of its own.
type Listed struct {
	Code    string
	State   gs1.Disposition
	FirstAt time.Time // of its first scan, or of its last single change when it has none
	Scanned ItemTally // Count is 0 for a code that was changed singly and never scanned
	Serial  ids.Serial
}

// Place is where a list goes on.
type Place struct {
	At     time.Time
	Serial ids.Serial
}

// Listing is a page of codes.
type Listing struct {
	Codes []Listed
	Next  *Place // nil at the end
	Freshness
}

const (
	// lookedAtMax bounds how many codes a page with a filter looks at. A page may then
	// be short, or empty, and still have a next one.
	lookedAtMax = 5000
	listStep    = 500
)

// farAhead is after every time that is kept.
func farAhead() time.Time { return time.UnixMicro(Latest + 1).UTC() }

// List gives a brand's codes that were ever scanned, or have a record of their own, since a time,
// the newest first.
func (s *Service) List(ctx context.Context, brand ids.BrandID, since time.Time, states StateFilter, after *Place, limit int) (*Listing, error) {
	if _, err := s.Catalog.Brand(ctx, brand); err != nil {
		return nil, err
	}
	fresh, err := s.freshness(ctx, GroupStatistics)
	if err != nil {
		return nil, err
	}
	at := Place{At: farAhead()}
	if after != nil {
		at = *after
	}
	out := &Listing{Freshness: fresh}
	step := listStep
	if !states.any {
		step = limit + 1
	}
	for looked := 0; looked < lookedAtMax; looked += step {
		items, err := s.recorded(ctx, brand, since, at, step)
		if err != nil {
			return nil, err
		}
		for _, i := range items {
			if len(out.Codes) == limit {
				out.Next = &at
				return out, nil
			}
			at = Place{i.At, i.Serial}
			one, ok, err := s.listed(ctx, i, &states)
			if err != nil {
				return nil, err
			}
			if ok {
				out.Codes = append(out.Codes, one)
			}
		}
		if len(items) < step {
			return out, nil
		}
	}
	out.Next = &at
	return out, nil
}

// recorded merges scanned codes with those that were only changed.
func (s *Service) recorded(ctx context.Context, brand ids.BrandID, since time.Time, before Place, limit int) ([]Item, error) {
	items, err := s.Statistics.Items(ctx, brand, since, before.At, before.Serial, limit)
	if err != nil {
		return nil, err
	}
	changed, err := s.Singles.Changed(ctx, brand, since, before.At, before.Serial, limit)
	if err != nil {
		return nil, err
	}
	for _, c := range changed {
		c.changed = true
		items = append(items, c)
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Serial, a.Serial)) })
	return items[:min(limit, len(items))], nil
}

// listed adds what is known now. ok is false for what the filter keeps out, and for a
// change of a code that is listed by its scans.
func (s *Service) listed(ctx context.Context, i Item, states *StateFilter) (l Listed, ok bool, _ error) {
	tally, err := s.Tallies.Tally(i.Serial)
	if err != nil {
		return l, false, err
	}
	if i.changed && tally.Count > 0 {
		return l, false, nil
	}
	state, err := s.Catalog.State(ctx, i.Serial)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return l, false, nil // SQL is older than the log: one such item must not hide the others
	}
	if err != nil {
		return l, false, err
	}
	if !states.lets(state, tally.Count) {
		return l, false, nil
	}
	return Listed{Code: s.Codes.Code(i.Serial), State: state, FirstAt: i.At, Scanned: tally, Serial: i.Serial}, true, nil
}
