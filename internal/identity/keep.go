package identity

import (
	"context"
	"errors"
	"time"
)

// Keep says how long is kept what nobody needs for his work any more; zero fields have the
// usual times.
type Keep struct {
	Sessions  time.Duration // after their end
	Approvals time.Duration // after their decision
	Consumers time.Duration // after the last sign-in; then the account is erased. 0 = for good
	Audit     time.Duration // an entry of the log of changes; 0 = for good
}

const (
	defaultKeepSessions  = 30 * 24 * time.Hour
	defaultKeepApprovals = 730 * 24 * time.Hour
	eraseAtATime         = 200
)

func (k *Keep) fill() {
	if k.Sessions <= 0 {
		k.Sessions = defaultKeepSessions
	}
	if k.Approvals <= 0 {
		k.Approvals = defaultKeepApprovals
	}
}

// sweep deletes what has been kept for its time.
func (s *Service) sweep(ctx context.Context) error {
	now, keep := s.clock.Now(), s.cfg.Keep
	return errors.Join(
		wrap("delete ended sessions", s.store.SweepSessions(ctx, now.Add(-keep.Sessions))),
		wrap("delete what is over", s.store.Sweep(ctx, now, now.Add(-keep.Approvals))),
		wrap("erase idle consumers", s.eraseIdle(ctx, now)),
		wrap("cut the log of changes", s.cutAudit(ctx, now)),
	)
}

// eraseIdle erases accounts that were not signed in to for their time, the longest first.
func (s *Service) eraseIdle(ctx context.Context, now time.Time) error {
	if s.cfg.Keep.Consumers == 0 {
		return nil
	}
	idle, err := s.store.IdleConsumers(ctx, now.Add(-s.cfg.Keep.Consumers), eraseAtATime)
	for _, id := range idle {
		err = errors.Join(err, s.EraseConsumer(ctx, id))
	}
	return err
}
