package trace

import (
	"context"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Brief is an event in the words that it is looked for by.
type Brief struct {
	No         int64 // among its shard's, as Heads counts
	ID         string
	Brand      ids.BrandID
	Type, Step string
	Time       time.Time
	Words      []string // what is narrow last
}

// CaptureHeads is where captures stand.
func (s *Standing) CaptureHeads(ctx context.Context) (Heads, error) { return s.store.Heads(ctx) }

// Briefs gives a shard's events from one number up to another in words, with at most so many
// EPCs of each. An error declaration says no new words of its event, and is left out.
func (s *Standing) Briefs(ctx context.Context, shard ids.Shard, from, to int64, epcs int) ([]Brief, error) {
	stored, err := s.store.Numbered(ctx, shard, from, to)
	if err != nil {
		return nil, err
	}
	all := make([]Brief, 0, len(stored))
	for i := range stored {
		if stored[i].Declared {
			continue
		}
		p, err := s.Unpack(&stored[i])
		if err != nil {
			return nil, fmt.Errorf("read event %s: %w", stored[i].Hash, err)
		}
		all = append(all, s.brief(p, epcs))
	}
	return all, nil
}

func (s *Standing) brief(p *Unpacked, epcs int) Brief {
	hash := p.Stored.Hash.String()
	b := Brief{
		No: p.Stored.No / ids.Shards, ID: hash, Brand: p.Stored.Brand, Type: p.Type, Step: p.Step, Time: p.Time,
		Words: []string{p.Type, p.Step, p.Disposition, p.ReadPoint.ID, p.Location.ID},
	}
	for _, list := range [...][]Typed{p.Transactions, p.Sources, p.Destinations} {
		for _, t := range list {
			b.Words = append(b.Words, t.ID)
		}
	}
	b.Words = append(b.Words, p.Parent, p.Transformation)
	if p.ID != hash {
		b.Words = append(b.Words, p.ID)
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
	return b
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
