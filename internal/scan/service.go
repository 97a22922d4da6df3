package scan

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Deps is what the service needs. Lags may be nil, and ByCode is where the engine
// answers the history of a code without Trail.
type Deps struct {
	Records    Records
	ByCode     ByCode
	Statistics Statistics
	Policies   Policies
	Codes      Codes
	Catalog    Catalog
	Trail      Trail
	Tallies    Tallies
	Singles    SingleChanges
	Lags       Lags
	Clock      clock.Clock
}

// Service is the domain's use cases. It is safe for concurrent use.
type Service struct {
	Deps
}

// NewService wires the use cases.
func NewService(d Deps) *Service { return &Service{d} }

// Policy reads what a brand wants kept of addresses.
func (s *Service) Policy(ctx context.Context, brand ids.BrandID) (Policy, error) {
	if _, err := s.Catalog.Brand(ctx, brand); err != nil {
		return Policy{}, err
	}
	return s.Policies.Policy(ctx, brand)
}

// SetPolicy changes it. What is kept longer than the new policy lets is forgotten
// before it returns; what was forgotten does not come back.
func (s *Service) SetPolicy(ctx context.Context, r ids.Request, p Policy) (Policy, bool, error) {
	if err := p.check(); err != nil {
		return p, false, err
	}
	if _, err := s.Catalog.Brand(ctx, p.Brand); err != nil {
		return p, false, err
	}
	return s.Policies.SetPolicy(ctx, r, p)
}

// Freshness tells up to when an answer is complete.
type Freshness struct {
	AsOf   time.Time     // every scan before it is in the answer
	Lag    time.Duration // between it and now
	Behind int64         // records of the log that are not consumed yet
	Newest time.Time     // the newest scan that was counted; zero = none
}

func (s *Service) freshness(ctx context.Context, group string) (Freshness, error) {
	now := s.Clock.Now()
	if s.Lags == nil {
		return Freshness{AsOf: now, Newest: s.Statistics.Newest()}, nil
	}
	lag, err := s.Lags.Lag(ctx, group)
	return Freshness{now.Add(-lag.Age), lag.Age, lag.Records, s.Statistics.Newest()}, err
}
