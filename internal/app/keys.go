package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/obs"
)

// Keys is the keyset of a data directory that nobody serves, for the command line.
type Keys struct {
	options keyset.Options
	set     *keyset.Set
}

// openBare opens lock and SQL only: what keys need, also when the start would be
// refused for want of them.
func openBare(ctx context.Context, cfg Config, log *slog.Logger) (*App, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &App{Config: cfg, log: log, clock: clock.System{}, metrics: obs.NewMetrics(), stop: func() {}}
	if err := a.openSQL(ctx); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// WithKeys opens the keyset, lets fn work on it, and closes everything.
func WithKeys(ctx context.Context, cfg Config, log *slog.Logger, fn func(*Keys) error) error {
	a, err := openBare(ctx, cfg, log)
	if err != nil {
		return err
	}
	work := func() error {
		o, err := a.keyOptions(ctx)
		if err != nil {
			return err
		}
		set, err := keyset.Open(ctx, o)
		if err != nil {
			return err
		}
		return fn(&Keys{o, set})
	}
	return errors.Join(work(), a.Close())
}

// List tells of every key without its secret.
func (k *Keys) List() []keyset.Known { return k.set.Known() }

// Rotate makes a new key of a purpose and names it.
func (k *Keys) Rotate(ctx context.Context, p keyset.Purpose, keep time.Duration) (id string, _ error) {
	set, err := keyset.Rotate(ctx, k.options, p, keep)
	if err != nil {
		return "", err
	}
	return set.Current(p).ID, nil
}

// Revoke ends a signature key, by its id or by the name that labels carry, and tells which
// key signs from now on.
func (k *Keys) Revoke(ctx context.Context, id string) (current string, _ error) {
	for _, key := range k.set.Of(keyset.Signature) {
		if public := published(key); public.ID().String() == id {
			id = key.ID
		}
	}
	set, err := keyset.Revoke(ctx, k.options, id)
	if err != nil {
		return "", err
	}
	return set.Current(keyset.Signature).ID, nil
}

// Public is the document of label keys.
func (k *Keys) Public() ([]byte, error) {
	return codebook.EncodeKeys(publishedOf(k.set), k.options.Clock.Now())
}

// Export writes all keys under a passphrase.
func (k *Keys) Export(passphrase string) ([]byte, error) { return keyset.Export(k.set, passphrase) }

// ImportKeys brings an export into the data directory, if it is what SQL knows.
func ImportKeys(ctx context.Context, cfg Config, log *slog.Logger, data []byte, passphrase string) error {
	set, err := keyset.Import(data, passphrase)
	if err != nil {
		return err
	}
	a, err := openBare(ctx, cfg, log)
	if err != nil {
		return err
	}
	work := func() error {
		o, err := a.keyOptions(ctx)
		if err != nil {
			return err
		}
		return keyset.Restore(ctx, o, set)
	}
	return errors.Join(work(), a.Close())
}

// Doctor opens everything as a start would, and tells what it found.
// withLog has the whole transparency log computed anew.
func Doctor(ctx context.Context, cfg Config, log *slog.Logger, out io.Writer, withLog bool) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	a, err := Open(ctx, cfg, log)
	if err != nil {
		say("BAD   the data directory cannot be opened: %v", err)
		return err
	}
	err = a.examine(ctx, say)
	if withLog {
		err = errors.Join(err, a.examineLog(ctx, say))
	}
	return errors.Join(err, a.Close())
}

// examine tells what is in an open data directory.
func (a *App) examine(ctx context.Context, say func(string, ...any)) error {
	say("ok    data directory %s, database sound, tables in this version's form", a.Data)
	set := a.keys.present()
	say("ok    keyset: codebook key %s with check value %s, known to the database", set.Current(keyset.Codebook).ID,
		keyset.Check(set.Current(keyset.Codebook)))
	serials, batches := a.proj.Issued()
	say("ok    %d serials in %d batches; a random guess hits with %.1e", serials, batches, float64(serials)/1e18)
	checked, err := a.identity.CheckAudit(ctx)
	if err != nil {
		say("BAD   %v", err)
		return err
	}
	say("ok    log of changes: %d entries, each chained to the one before; %d before them were removed after their time", checked.Entries, checked.Cut)
	return a.crossCheck(ctx, say)
}

// crossCheck samples that codes lead to their batches and back, and that the
// projection is at the end of the feed.
func (a *App) crossCheck(ctx context.Context, say func(string, ...any)) error {
	list, err := a.Batches.ListBatches(ctx, 0, a.clock.Now().Add(time.Hour), "~", doctorBatches)
	if err != nil {
		return err
	}
	for i := range list {
		b := &list[i]
		for _, no := range []int64{1, b.Quantity/2 + 1, b.Quantity} {
			_, item, err := a.Batches.Resolve(a.Batches.Code(b, no).String())
			if err != nil || item.Batch.ID != b.ID || item.No != no {
				say("BAD   number %d of batch %s does not lead back to itself", no, b.ID)
				return errors.Join(err, fmt.Errorf("batch %s cannot be verified", b.ID))
			}
		}
	}
	say("ok    first, middle and last code of %d batches lead back to themselves", len(list))
	return nil
}

const doctorBatches = 100
