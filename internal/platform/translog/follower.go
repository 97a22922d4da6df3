package translog

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	followBatch = 1000            // events at a time
	followPoll  = time.Second     // between looks, and between signatures
	followLife  = 5 * time.Second // of the lease
)

// RelayName is the follower's name among the relays of an outbox.
const RelayName = "translog"

// Follower makes leaves of the events of an outbox, each once: leaves and position are
// one transaction. Of several processes one does it.
type Follower struct {
	Log    *Log
	Outbox *outbox.Outbox
	Leases *lease.Leases
	// Statements gives what an event says in the log; most say nothing.
	Statements func(e *outbox.Event) ([]Statement, error)
	Logger     *slog.Logger
	broken     atomic.Bool
}

// Broken reports whether the log was found to contradict what it had signed.
func (f *Follower) Broken() bool { return f.broken.Load() }

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	defer func() { _ = f.Leases.Release(context.WithoutCancel(ctx), RelayName) }() // or it runs out
	for ctx.Err() == nil {
		err := f.lead(ctx)
		switch {
		case err == nil || ctx.Err() != nil || errors.Is(err, outbox.ErrFenced):
		case errors.Is(err, ErrBroken):
			if !f.broken.Swap(true) {
				f.Logger.Error("the transparency log is broken; nothing is signed until that is settled (chopmark doctor --log)", "error", err)
			}
		default:
			f.Logger.Warn("the transparency log does not grow, will try again", "error", err)
		}
		rest(ctx)
	}
}

// lead appends and signs for as long as it holds the lease and nothing fails.
func (f *Follower) lead(ctx context.Context) error {
	token, ok, err := f.Leases.Hold(ctx, RelayName, followLife)
	if err != nil || !ok {
		return err
	}
	at, err := f.Outbox.Resume(ctx, RelayName, token)
	for err == nil && ctx.Err() == nil {
		again, ok, err := f.Leases.Hold(ctx, RelayName, followLife)
		if err != nil || !ok || again != token {
			return err
		}
		next, err := f.Step(ctx, token, at)
		if err != nil {
			return err
		}
		if next != at {
			at = next
			continue
		}
		if _, err := f.Log.Sign(ctx); err != nil && !errors.Is(err, ErrEmpty) {
			return err
		}
		f.broken.Store(false)
		rest(ctx)
	}
	return err
}

// Step takes the next events up to the log and gives the position behind them.
func (f *Follower) Step(ctx context.Context, token int64, at outbox.Cursor) (outbox.Cursor, error) {
	events, next, err := f.Outbox.Read(ctx, at, followBatch)
	if err != nil || len(events) == 0 {
		return at, err
	}
	var all []Statement
	for i := range events {
		s, err := f.Statements(&events[i])
		if err != nil {
			return at, err
		}
		all = append(all, s...)
	}
	_, err = f.Log.Append(ctx, all, func(ctx context.Context, tx *sqldb.Tx) error {
		return outbox.AdvanceIn(ctx, tx, RelayName, token, at, next)
	})
	if err != nil {
		return at, err
	}
	return next, nil
}

func rest(ctx context.Context) {
	timer := time.NewTimer(followPoll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
