package scansql

import (
	"context"
	"fmt"

	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Split turns a record of the log into its sightings. The lane is the brand, so that
// a backlog drains in each brand's order. A letter keeps the whole record: which of
// its sightings is meant the letter's number tells.
func Split(r stream.Record) ([]stream.Message, error) {
	var seen []*scan.Seen
	err := verifyevent.Each(r.Value, func(n uint16, s *verifyevent.Sighting) error {
		scan.Fit(s)
		seen = append(seen, &scan.Seen{Ref: verifyevent.Ref{At: uint64(r.At), N: n}, Sighting: *s})
		return nil
	})
	if err != nil {
		return nil, err
	}
	messages := make([]stream.Message, len(seen))
	for i, s := range seen {
		messages[i] = stream.Message{At: r.At, N: int(s.Ref.N), Lane: uint64(uint32(s.Brand)), Value: s, Raw: r.Value}
		if s.What.Has(verifyevent.Traced) {
			messages[i].Link = append(s.Trace.ID[:], s.Trace.Span[:]...)
		}
	}
	return messages, nil
}

// seenOf gives a message's sighting, made to fit. What comes from a dead letter is
// read again from what the letter kept.
func seenOf(m *stream.Message) (*scan.Seen, error) {
	if seen, ok := m.Value.(*scan.Seen); ok {
		return seen, nil
	}
	var found *scan.Seen
	err := verifyevent.Each(m.Raw, func(n uint16, s *verifyevent.Sighting) error {
		if int(n) == m.N {
			found = &scan.Seen{Ref: verifyevent.Ref{At: uint64(m.At), N: n}, Sighting: *s}
			scan.Fit(&found.Sighting)
		}
		return nil
	})
	if err == nil && found == nil {
		err = verifyevent.ErrDamaged
	}
	m.Value = found
	return found, err
}

// unfit says why a message can have no effect. The runner then finds it out among
// its neighbours and buries it alone.
func unfit(m *stream.Message) error {
	seen, err := seenOf(m)
	if err != nil {
		return fmt.Errorf("read sighting %s-%d: %w", m.At, m.N, err)
	}
	if why := scan.Unfit(&seen.Sighting); why != "" {
		return fmt.Errorf("sighting %s-%d: %s", m.At, m.N, why)
	}
	return nil
}

// outOfReach marks a failure that no sighting is to blame for. Sightings that reach
// the tables were judged fit, so that what fails there is the disk, the engine, the way to
// it or a fault of ours: to bury scans for it would lose them.
func outOfReach(err error) error {
	return stream.Unavailable(err)
}

// seenOfAll gives the sightings of a batch of which each is fit.
func seenOfAll(batch []stream.Message) ([]*scan.Seen, error) {
	seen := make([]*scan.Seen, len(batch))
	for i := range batch {
		if err := unfit(&batch[i]); err != nil {
			return nil, err
		}
		s, err := seenOf(&batch[i])
		if err != nil {
			return nil, err
		}
		seen[i] = s
	}
	return seen, nil
}

// Handle implements stream.Handler: it keeps a record of each sighting. The rows'
// key is the sighting's name, so no inbox is needed.
func (r *Records) Handle(ctx context.Context, _ int, batch []stream.Message) error {
	seen, err := seenOfAll(batch)
	if err != nil {
		return err
	}
	return outOfReach(r.Add(ctx, seen))
}

var _ stream.Handler = (*Records)(nil)
