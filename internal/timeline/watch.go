package timeline

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

const (
	watchEvery  = 10 * time.Minute
	watchWindow = 30 * 24 * time.Hour
)

// Watch measures the completeness of all brands' traces now and then. Of several processes
// one does it: who leads.
type Watch struct {
	Service *Service
	Brands  func(ctx context.Context) ([]ids.BrandID, error)
	// Lead keeps the leader's part, for a time; false = another process has it.
	Lead func(ctx context.Context, life time.Duration) (bool, error)

	shipped, complete atomic.Int64
}

// Shipped and Complete are what was measured last: items that were shipped in the last 30
// days, and those of them whose trace has no gap. Both are 0 where another process leads.
func (w *Watch) Shipped() float64 { return float64(w.shipped.Load()) }

// Complete is told by Shipped.
func (w *Watch) Complete() float64 { return float64(w.complete.Load()) }

// Run measures until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		if err := w.measure(ctx); err != nil && ctx.Err() == nil {
			w.Service.Log.Warn("the completeness of traces is not measured, will try again", "error", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watch) measure(ctx context.Context) error {
	leads, err := w.Lead(ctx, 2*watchEvery)
	if err != nil || !leads {
		w.shipped.Store(0)
		w.complete.Store(0)
		return err
	}
	brands, err := w.Brands(ctx)
	if err != nil {
		return err
	}
	now := w.Service.Clock.Now()
	var shipped, complete int64
	for _, brand := range brands {
		if brand == 0 {
			continue // events of nobody's items
		}
		all, _, err := w.Service.Complete(ctx, brand, now.Add(-watchWindow), now)
		if err != nil {
			return err
		}
		for _, c := range all {
			shipped, complete = shipped+c.Shipped, complete+c.Complete
		}
	}
	w.shipped.Store(shipped)
	w.complete.Store(complete)
	return nil
}
