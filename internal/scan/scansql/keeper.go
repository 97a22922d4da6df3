package scansql

import (
	"context"
	"log/slog"
	"time"
)

// How often the engine looks after what it keeps.
const (
	foldLook  = 5 * time.Second
	keepLook  = time.Minute
	pruneLook = time.Hour
)

// Keep looks after what is kept until ctx ends: it folds statistics, closes days that
// are over, deletes what is too old and forgets addresses. floor is the time up to
// which the records' group has consumed all that was appended. What fails is logged
// and tried again at the next look.
func (e *Engine) Keep(ctx context.Context, floor func(context.Context) (time.Time, error), log *slog.Logger) {
	fold, keep, prune := time.NewTicker(foldLook), time.NewTicker(keepLook), time.NewTicker(pruneLook)
	defer fold.Stop()
	defer keep.Stop()
	defer prune.Stop()
	try := func(what string, fn func(context.Context) error) {
		if err := fn(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "looking after scan records failed; it is tried again", "step", what, "error", err)
		}
	}
	forget := func(ctx context.Context) error {
		_, err := e.Vault.Forget(ctx)
		return err
	}
	closeDays := func(ctx context.Context) error {
		at, err := floor(ctx)
		if err != nil {
			return err
		}
		return e.Records.CloseDays(ctx, at)
	}
	try("forget addresses", forget)
	for {
		select {
		case <-ctx.Done():
			return
		case <-fold.C:
			try("fold statistics", e.Statistics.Fold)
		case <-prune.C:
			try("prune statistics", e.Statistics.Prune)
		case <-keep.C:
			try("forget addresses", forget)
			try("close days", closeDays)
			try("delete old days", e.Records.DropDays)
		}
	}
}
