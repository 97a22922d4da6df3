package trace

import (
	"context"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Brief is an event in the words that it is looked for by.
type Brief struct {
	Type, Step string
	Time       time.Time
	Words      []string // what is narrow last
}

// Brief gives an event of a brand in words, with at most so many of its EPCs; ok is false when
// it is not there.
func (s *Service) Brief(ctx context.Context, brand ids.BrandID, h Hash, epcs int) (b Brief, ok bool, _ error) {
	stored, err := s.store.OfHash(ctx, brand, h)
	if err != nil || len(stored) == 0 {
		return b, false, err
	}
	of := slices.IndexFunc(stored, func(e Stored) bool { return !e.Declared })
	p, err := s.Unpack(&stored[max(of, 0)])
	if err != nil {
		return b, false, err
	}
	b = Brief{Type: p.Type, Step: p.Step, Time: p.Time, Words: []string{p.Type, p.Step, p.Disposition, p.ReadPoint.ID, p.Location.ID}}
	for _, list := range [...][]Typed{p.Transactions, p.Sources, p.Destinations} {
		for _, t := range list {
			b.Words = append(b.Words, t.ID)
		}
	}
	b.Words = append(b.Words, p.Parent, p.Transformation)
	if id := p.ID; id != p.Stored.Hash.String() {
		b.Words = append(b.Words, id)
	}
	for _, list := range [...][]Quantity{p.Quantities, p.OutputQuantities} {
		for _, q := range list[:min(epcs, len(list))] {
			b.Words = append(b.Words, q.Class)
		}
	}
	for _, list := range [...][]string{p.EPCs, p.Outputs, firstNames(p.Groups[0], s.items, epcs), firstNames(p.Groups[1], s.items, epcs)} {
		n := min(epcs, len(list))
		b.Words, epcs = append(b.Words, list[:n]...), epcs-n
	}
	return b, true, nil
}

// firstNames writes the first EPCs of groups again.
func firstNames(groups []Group, items Items, most int) (out []string) {
	for _, g := range groups {
		for _, r := range g.Runs {
			for s := r.From; s <= r.To && len(out) < most; s++ {
				out = append(out, g.Prefix+items.Code(s)+g.Suffix)
			}
		}
	}
	return out
}
