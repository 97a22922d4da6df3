package batch

import (
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/ids"
)

// alerts tells of items of which a statement says what the table forbids, and of those of which
// it makes a later step impossible. What its event was alerted of before is not told again.
func (s *Service) alerts(told *Told, known *Change, targets []target) (all []Event, _ error) {
	c := &told.Change
	for _, t := range targets {
		illegal := refusedOf(c, t.First).Minus(refusedOf(known, t.First))
		for kind, numbers := range map[string]Runs{batchevent.IllegalStep: illegal, batchevent.LaterStep: told.undone[t.First]} {
			if len(numbers) == 0 {
				continue
			}
			var parts []batchevent.StateChanged
			whole := s.splitCover(&t.Batch, numbers, batchevent.StateChanged{}, func(part batchevent.StateChanged) { parts = append(parts, part) })
			if !whole {
				parts = append(parts, batchevent.StateChanged{Partial: true})
			}
			for _, part := range parts {
				e, err := NewEvent(batchevent.AlertTriggered, c.BrandID, string(t.ID), batchevent.Alert{
					Kind: kind, Cause: c.Event, ChangeID: string(c.ID), BatchID: string(t.ID), State: c.To.String(),
					Runs: part.Runs, Codes: part.Codes, At: c.Effective, Place: c.Place, Partial: part.Partial,
				})
				if err != nil {
					return nil, err
				}
				all = append(all, e)
			}
		}
	}
	return all[:min(len(all), eventsMax)], nil
}

// refusedOf are the numbers of a batch that a change would not move.
func refusedOf(c *Change, batch ids.Serial) (all Runs) {
	for _, r := range c.Refused {
		if r.Batch == batch {
			all = all.Union(r.Numbers)
		}
	}
	return all
}
