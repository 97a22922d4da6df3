package trace

import (
	"context"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Moved is an event with the items of ours that it concerned: those that it names, and
// those that were in the containers that it names, then.
type Moved struct {
	*Event

	Hash Hash
	Runs []Run // sorted; each item once
}

// Walk tells of a brand's events from a time on and before another, of one business step
// or, when step is "", of all, the newest first, until tell says that it is enough. What was
// declared an error is passed over. A pallet that is named a thousand times is opened as
// often: callers bound how many events they take.
func (s *Service) Walk(ctx context.Context, brand ids.BrandID, step string, from, to time.Time, tell func(m *Moved) (more bool, _ error)) error {
	st := Stretch{Brand: brand, Order: ByTime, From: from, To: to, Desc: true}
	if step != "" {
		st.Order, st.Terms = ByTerm, []int64{Term{StepTerm, step}.Key(brand)}
	}
	for {
		found, err := s.store.Scan(ctx, st, stretchRows)
		if err != nil {
			return err
		}
		for i := range found {
			e := &found[i]
			if e.Declared || e.Withdrawn || e.Brand != brand {
				continue
			}
			m, err := s.moved(ctx, e)
			if err != nil {
				return err
			}
			if step != "" && m.Step != step {
				continue // another word with the same key
			}
			if more, err := tell(m); err != nil || !more {
				return err
			}
		}
		if len(found) < stretchRows {
			return nil
		}
		last := found[len(found)-1]
		st.After = Ref{last.No, last.Time}
	}
}

func (s *Service) moved(ctx context.Context, e *Stored) (*Moved, error) {
	p, err := s.Unpack(e)
	if err != nil {
		return nil, err
	}
	m := &Moved{Event: p.Event, Hash: e.Hash, Runs: runsIn(p.Groups[0], p.Groups[1])}
	for _, epc := range slices.Concat(p.EPCs, p.Outputs) {
		in, err := s.Contents(ctx, e.Brand, epc, e.Time, true)
		if err != nil {
			return nil, err
		}
		m.Runs = append(m.Runs, in.Runs...)
	}
	m.Runs = merged(m.Runs)
	return m, nil
}

// Brands lists who has events.
func (s *Service) Brands(ctx context.Context) ([]ids.BrandID, error) { return s.store.Brands(ctx) }
