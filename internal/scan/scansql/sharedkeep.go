package scansql

import (
	"context"
	"log/slog"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	leaseUpkeep = "scan-upkeep"
	upkeepLife  = 30 * time.Second
	// sharedFold is how long sightings wait for their sketches: until then who asks for
	// distinct codes reads them one by one.
	sharedFold = 10 * time.Second
)

// upkeep is a step that is done every so many looks.
type upkeep struct {
	name  string
	looks int
	fn    func(context.Context) error
}

// Keep looks after what is kept until ctx ends, as Engine.Keep does. All processes may
// run it: the one that has the lease does the work.
func (e *Shared) Keep(ctx context.Context, floor func(context.Context) (time.Time, error), log *slog.Logger) {
	ctx = sqldb.Aside(ctx)
	defer func() {
		if err := e.leases.Release(context.WithoutCancel(ctx), leaseUpkeep); err != nil {
			log.WarnContext(ctx, "the lease of looking after scan records cannot be given back and will run out", "error", err)
		}
	}()
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
	steps := []upkeep{
		{"forget", int(keepLook / foldLook), forget}, {"fold", int(sharedFold / foldLook), e.Statistics.Fold},
		{"days", int(keepLook / foldLook), days}, {"prune", int(pruneLook / foldLook), e.Statistics.Prune},
	}
	look := time.NewTicker(foldLook)
	defer look.Stop()
	for n := 0; ; {
		n = e.look(ctx, n, steps, log)
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// look does what is due at the n-th look since this process has the lease, and gives the
// number of the next. No step needs the lease's token: to do one twice, also at once, is
// harmless.
func (e *Shared) look(ctx context.Context, n int, steps []upkeep, log *slog.Logger) int {
	_, mine, err := e.leases.Hold(ctx, leaseUpkeep, upkeepLife)
	if err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "looking after scan records failed; it is tried again", "error", err)
	}
	if !mine {
		return 0
	}
	for _, step := range steps {
		if n%step.looks != 0 {
			continue
		}
		if err := step.fn(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "looking after scan records failed; it is tried again", "step", step.name, "error", err)
		}
	}
	return n + 1
}
