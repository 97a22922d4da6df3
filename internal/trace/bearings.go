package trace

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

const (
	bearingsPage = 128  // events that are looked up together
	openedMax    = 2048 // events from which on no further containers are looked up with others
)

// Bearings tells what captured events say now of the state of items, in their order, and of each
// that packs or unpacks what later events of the containers concerned say now. Events are
// looked up a page at a time: what is captured while a page is told of is not seen, and comes
// with a telling of its own. err is that of one event; what tell answers ends all.
func (s *Service) Bearings(ctx context.Context, brand ids.BrandID, hashes []Hash, tell func(h Hash, all []Bearing, err error) error) error {
	for part := range slices.Chunk(hashes, bearingsPage) {
		p, err := s.bearingPage(ctx, brand, part)
		if err != nil {
			return err
		}
		for _, h := range part {
			all, err := p.of(ctx, h)
			if errors.Is(err, ErrQueryLarge) { // maybe by what was read for others
				all, err = s.alone(ctx, brand, h)
			}
			if err := tell(h, all, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) alone(ctx context.Context, brand ids.BrandID, h Hash) ([]Bearing, error) {
	p, err := s.bearingPage(ctx, brand, []Hash{h})
	if err != nil {
		return nil, err
	}
	return p.of(ctx, h)
}

// page is some events of a brand, with what was read of the containers that they name.
type page struct {
	*reading // as of ever

	events map[Hash][]*Unpacked
	named  map[string][]*Unpacked // by container: all that name it
}

// open unpacks an event, once if it is kept.
func (r *reading) open(e *Stored) (*Unpacked, error) {
	if p := r.opened[e.No]; p != nil {
		return p, nil
	}
	p, err := r.Unpack(e)
	if err == nil && r.opened != nil {
		r.opened[e.No] = p
	}
	return p, err
}

func (s *Service) bearingPage(ctx context.Context, brand ids.BrandID, hashes []Hash) (*page, error) {
	r, err := s.reading(ctx, brand, Ever())
	if err != nil {
		return nil, err
	}
	r.opened = map[int64]*Unpacked{}
	p := &page{reading: r, events: map[Hash][]*Unpacked{}, named: map[string][]*Unpacked{}}
	stored, err := s.store.OfHashes(ctx, brand, hashes)
	if err != nil {
		return nil, err
	}
	var parents []string
	for i := range stored {
		e, err := p.open(&stored[i])
		if err != nil {
			return nil, err
		}
		p.events[e.Stored.Hash] = append(p.events[e.Stored.Hash], e)
		if packs(e) {
			parents = append(parents, Canonical(e.Parent))
		}
	}
	slices.Sort(parents)
	err = p.look(ctx, slices.Compact(parents))
	return p, err
}

// packs reports whether an event changes what is in what.
func packs(e *Unpacked) bool {
	return maskOf(e.Type)&packings != 0 && e.Action != Observe && e.Parent != ""
}

// look reads what names some containers, several at once. Those of which there is much are left
// to be asked for alone.
func (p *page) look(ctx context.Context, epcs []string) error {
	const together = gatherTerms / 3 // each has three terms
	for part := range slices.Chunk(epcs, together) {
		if len(p.opened) > openedMax {
			return nil
		}
		st := Stretch{Brand: p.brand, Order: ByTerm}
		for i := range together { // always as many, so that it is one statement
			st.Terms = append(st.Terms, nameTerms(p.brand, part[min(i, len(part)-1)])...)
		}
		found, err := p.store.Scan(ctx, st, gatherRows)
		if err != nil {
			return err
		}
		if len(found) == gatherRows {
			continue
		}
		packed, err := p.load(found)
		if err != nil {
			return err
		}
		p.sort(part, packed)
		for _, epc := range part {
			p.named[epc] = nil
		}
		for i := range found {
			e, err := p.open(&found[i])
			if err != nil {
				return err
			}
			for _, epc := range namesOf(e) {
				if slices.Contains(part, epc) {
					p.named[epc] = append(p.named[epc], e)
				}
			}
		}
	}
	return nil
}

// namesOf are the things that an event names and that are no items of ours, and its parent; each
// once.
func namesOf(e *Unpacked) []string {
	all := slices.Concat(canonicals(e.EPCs), canonicals(e.Outputs))
	if e.Parent != "" {
		all = append(all, Canonical(e.Parent))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// of is what an event says now, and what it makes others say.
func (p *page) of(ctx context.Context, h Hash) (out []Bearing, _ error) {
	seen := map[Hash]bool{}
	add := func(e *Unpacked) error {
		if e.Declared != nil || seen[e.Stored.Hash] {
			return nil
		}
		seen[e.Stored.Hash] = true
		b, err := p.bearing(ctx, e)
		out = append(out, b)
		return err
	}
	for _, e := range p.events[h] {
		if err := add(e); err != nil {
			return nil, err
		}
		if !packs(e) {
			continue
		}
		later, err := p.laterAbove(ctx, e)
		if err != nil {
			return nil, err
		}
		for _, e := range later {
			if err := add(e); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// laterAbove are the events of a packing's parent, and of what that was ever packed in, that
// are not before the packing: they are about what it put in or took out.
func (p *page) laterAbove(ctx context.Context, e *Unpacked) (out []*Unpacked, _ error) {
	level := []string{Canonical(e.Parent)}
	seen := map[string]bool{level[0]: true}
	for depth := 0; len(level) > 0 && depth < containDepthMax; depth++ {
		var next []string
		for _, epc := range level {
			c, err := p.Child(ctx, epc)
			if err != nil {
				return nil, err
			}
			named, err := p.naming(ctx, epc, c, e.Stored.Time)
			if err != nil {
				return nil, err
			}
			out = append(out, named...)
			in, err := p.ofChild(ctx, c)
			if err != nil {
				return nil, err
			}
			for _, k := range in {
				if k.add && c.in(k) && !seen[k.parent] {
					next, seen[k.parent] = append(next, k.parent), true
				}
			}
		}
		level = next
	}
	return out, nil
}

// naming are the events from a time on that name a thing.
func (p *page) naming(ctx context.Context, epc string, c Child, from time.Time) (out []*Unpacked, _ error) {
	known, looked := p.named[epc]
	for _, e := range known {
		if !e.Stored.Time.Before(from) {
			out = append(out, e)
		}
	}
	var found []Stored
	var err error
	if !looked {
		found, err = p.readNaming(ctx, p.brand, epc, from)
	}
	if err == nil && c.EPC == "" {
		var more []Stored
		more, err = p.itemNaming(ctx, c.Serial, from)
		found = append(found, more...)
	}
	if err != nil {
		return nil, err
	}
	for i := range found {
		e, err := p.open(&found[i])
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// readNaming are they of a thing that was not looked up with others.
func (s *Service) readNaming(ctx context.Context, brand ids.BrandID, epc string, from time.Time) (out []Stored, _ error) {
	st := Stretch{Brand: brand, Order: ByTerm, Terms: nameTerms(brand, epc), From: from}
	for {
		found, err := s.store.Scan(ctx, st, stretchRows)
		if err != nil {
			return nil, err
		}
		if out = append(out, found...); len(out) > gatheredMax {
			return nil, ErrQueryLarge.Textf("more than %d events are of one container", gatheredMax)
		}
		if len(found) < stretchRows {
			return out, nil
		}
		last := found[len(found)-1]
		st.After = Ref{last.No, last.Time}
	}
}

// itemNaming are the events from a time on that name an item.
func (s *Service) itemNaming(ctx context.Context, serial ids.Serial, from time.Time) ([]Stored, error) {
	refs, err := s.store.OfItem(ctx, serial)
	if err != nil {
		return nil, err
	}
	var numbers []int64
	for _, ref := range refs {
		if !ref.Time.Before(from) {
			numbers = append(numbers, ref.No)
		}
	}
	return s.store.Events(ctx, numbers)
}
