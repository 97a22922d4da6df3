package scansql

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// sharedFold is how long sightings wait for their sketches: until then who asks for
// distinct codes reads them one by one.
const sharedFold = 10 * time.Second

// Keep looks after what is kept until ctx ends, as Engine.Keep does. All processes may
// run it: they take turns. To do a step twice is harmless.
func (e *Shared) Keep(ctx context.Context, floor func(context.Context) (time.Time, error), log *slog.Logger) {
	ctx = sqldb.Aside(ctx)
	look := time.NewTicker(foldLook)
	defer look.Stop()
	days := func(ctx context.Context) error {
		at, err := floor(ctx)
		if err == nil {
			err = e.Records.CloseDays(ctx, at)
		}
		if err == nil {
			err = e.Records.MakeDays(ctx)
		}
		if err == nil {
			err = e.Records.DropDays(ctx)
		}
		return err
	}
	forget := func(ctx context.Context) error {
		_, err := e.Vault.Forget(ctx)
		return err
	}
	for {
		for _, step := range []struct {
			name  string
			every time.Duration
			fn    func(context.Context) error
		}{{"forget", keepLook, forget}, {"fold", sharedFold, e.Statistics.Fold}, {"days", keepLook, days}, {"prune", pruneLook, e.Statistics.Prune}} {
			mine, err := e.turn(ctx, step.name, step.every)
			if mine {
				err = step.fn(ctx)
			}
			if err != nil && ctx.Err() == nil {
				log.ErrorContext(ctx, "looking after scan records failed; it is tried again", "step", step.name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// turn reports that a step is due and nobody else does it now. Whoever got the turn and
// died is followed by another at the next. A clock that was far ahead holds nobody up.
func (e *Shared) turn(ctx context.Context, name string, every time.Duration) (mine bool, _ error) {
	now := e.clock.Now()
	err := e.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE scan_upkeep SET next_at = ? WHERE name = ? AND (next_at <= ? OR next_at > ?)`,
			sqldb.Micros(now.Add(every)), name, sqldb.Micros(now), sqldb.Micros(now.Add(2*every)))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		mine = n == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("take a turn: %w", err)
	}
	return mine, nil
}
