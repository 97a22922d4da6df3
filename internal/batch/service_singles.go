package batch

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Single is an item whose present record is its own: the last change of its state
// named it or less than a thousand together with it, it was reissued, or its inner code
// was checked.
type Single struct {
	Serial ids.Serial
	At     time.Time // of the last of these
}

// singlesPage is how many changes are read at once; each may name 100,000 items.
const singlesPage = 8

// Singles gives up to limit of a brand's single items, since a time, the newest first
// and those of the same time by serial, the highest first, after the one at (before,
// beforeSerial): the order that scanned codes are listed in, so that the two lists make
// one. What this process does not know yet is not in it.
func (s *Service) Singles(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]Single, error) {
	var (
		out   []Single
		group []ids.Serial // of one time
		at    = before
		seq   = int64(math.MaxInt64)
	)
	end := func() (full bool) {
		slices.Sort(group)
		for _, serial := range slices.Backward(slices.Compact(group)) {
			if len(out) < limit && (at.Before(before) || serial < beforeSerial) {
				out = append(out, Single{serial, at})
			}
		}
		group = group[:0]
		return len(out) == limit
	}
	for {
		entries, err := s.store.Recent(ctx, brand, at, seq, singlesPage)
		if err != nil {
			return nil, fmt.Errorf("read changes of brand %d: %w", brand, err)
		}
		for i := range entries {
			e := &entries[i]
			if e.At.Before(since) {
				end()
				return out, nil
			}
			if !e.At.Equal(at) && end() {
				return out, nil
			}
			if group, err = s.proj.singles(group, e); err != nil {
				return nil, err
			}
			at, seq = e.At, e.Seq
		}
		if len(entries) < singlesPage {
			end()
			return out, nil
		}
	}
}

// singles adds the items that got their present record by this entry.
func (p *Projection) singles(to []ids.Serial, e *Entry) ([]ids.Serial, error) {
	add := func(serial ids.Serial) error {
		at, err := p.singleAt(serial)
		if err == nil && at.Equal(e.At) {
			to = append(to, serial)
		}
		return err
	}
	if e.Kind != StateChanged {
		return to, add(e.Item.Serial)
	}
	for _, c := range e.Change.Covers {
		for _, r := range c.Numbers {
			for no := r.From; r.Len() < longRun && no <= r.To; no++ {
				if err := add(c.Batch + ids.Serial(no-1)); err != nil {
					return nil, err
				}
			}
		}
	}
	return to, nil
}

// singleAt is when an item got its present record; zero = it has none.
func (p *Projection) singleAt(serial ids.Serial) (at time.Time, _ error) {
	item, ok := p.Lookup(serial)
	if !ok {
		return at, nil
	}
	if item.at.own {
		note, _, err := p.Note(serial, item)
		if err != nil {
			return at, err
		}
		if at = note.Committed; at.IsZero() { // it was noted before events had a time of their own
			at = note.Effective
		}
	}
	if !item.at.extra {
		return at, nil
	}
	extra, err := p.Extra(serial, item)
	if err != nil {
		return at, err
	}
	latest := extra.InnerAt
	if n := len(extra.Superseded); n > 0 && extra.Superseded[n-1].After(latest) {
		latest = extra.Superseded[n-1]
	}
	return slices.MaxFunc([]time.Time{at, latest}, time.Time.Compare), nil
}
