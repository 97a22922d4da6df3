package identity

import (
	"context"
	"maps"
	"time"
)

// Requests counts what tenants ask in memory; an account is the moment when what was drawn on
// it is paid off.
type Requests interface {
	// Drawn is that of a tenant's day; what is past = nothing is drawn.
	Drawn(t TenantID) time.Time
	// Draw must let at least so much be drawn.
	Draw(t TenantID, until time.Time)
}

// drawnMax bounds what is believed: a day is drawn at most, whatever the clock was.
const drawnMax = 24 * time.Hour

// recallRequests goes on with what was written down.
func (s *Service) recallRequests(ctx context.Context) error {
	if s.cfg.Requests == nil {
		return nil
	}
	drawn, err := s.store.Requests(ctx)
	if err != nil {
		return wrap("read what tenants asked", err)
	}
	now := s.clock.Now()
	for t, until := range drawn {
		s.cfg.Requests.Draw(t, now.Add(min(until.Sub(now), drawnMax)))
	}
	s.drawn = drawn
	return nil
}

// keepRequests writes down what was drawn since the last time; one caller at a time.
func (s *Service) keepRequests(ctx context.Context) error {
	if s.cfg.Requests == nil {
		return nil
	}
	more, now := map[TenantID]time.Time{}, s.clock.Now()
	for id, t := range s.dir.Load().tenants {
		if t.Quota.PerDay == 0 {
			continue
		}
		if until := s.cfg.Requests.Drawn(id).Truncate(time.Microsecond); until.After(now) && until.After(s.drawn[id]) {
			more[id] = until
		}
	}
	if len(more) == 0 {
		return nil
	}
	if err := s.store.KeepRequests(ctx, more); err != nil {
		return wrap("write down what tenants asked", err)
	}
	maps.Copy(s.drawn, more)
	return nil
}
