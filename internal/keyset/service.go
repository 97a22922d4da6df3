package keyset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Options is what the use cases work with.
type Options struct {
	Vault      Vault
	Store      Store
	Clock      clock.Clock
	HasBatches bool // whether any batch exists: then a keyset is never made
}

const restore = "restore the right one with `chopmark keys import`"

// Open gives the installation's keyset, and makes it on the very first start. The
// order makes every crash harmless: the vault is durable before the store knows
// of it, and the store knows before Open returns and a batch can be made.
func Open(ctx context.Context, o Options) (*Set, error) {
	known, err := o.Store.Known(ctx)
	if err != nil {
		return nil, fmt.Errorf("read known keys: %w", err)
	}
	set, err := o.Vault.Load(ctx)
	if errors.Is(err, ErrMissing) {
		set, err = create(ctx, o, known)
	}
	if err != nil {
		return nil, err
	}
	if len(known) == 0 && o.HasBatches {
		return nil, ErrUnrecorded.Textf("there are batches, but the database does not know which keyset made them; "+
			"%s cannot be trusted to be it: restore the database, or %s", o.Vault.Name(), restore)
	}
	if err := matches(set, known, o.Vault.Name()); err != nil {
		return nil, err
	}
	if err := record(ctx, o, set, known); err != nil {
		return nil, err
	}
	return set, nil
}

// create makes the first keyset. Another process may win the race for it: then
// that one's is ours too.
func create(ctx context.Context, o Options, known []Known) (*Set, error) {
	if len(known) > 0 || o.HasBatches {
		return nil, ErrMissing.Textf("the keyset %s is missing, and codes depend on it: %s", o.Vault.Name(), restore)
	}
	set := New(o.Clock)
	err := o.Vault.Create(ctx, set)
	if errors.Is(err, ErrExists) {
		return o.Vault.Load(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("create keyset %s: %w", o.Vault.Name(), err)
	}
	return set, nil
}

// Rotate makes a new present key of the purpose, durably, and gives the set that
// holds it. A crash between the vault and the store is mended by the next Open.
func Rotate(ctx context.Context, o Options, p Purpose, keep time.Duration) (*Set, error) {
	set, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	next, err := set.Rotate(p, o.Clock.Now(), keep)
	if err != nil {
		return nil, err
	}
	if err := o.Vault.Replace(ctx, set, next); err != nil {
		return nil, fmt.Errorf("replace keyset %s: %w", o.Vault.Name(), err)
	}
	if err := record(ctx, o, next, set.Known()); err != nil {
		return nil, err
	}
	return next, nil
}

// Restore puts an imported keyset into the vault: only the one that the store
// knows, or any when it knows none. It takes the place of a damaged or a wrong
// one only when the store vouches for it. Repeating it changes nothing.
func Restore(ctx context.Context, o Options, set *Set) error {
	known, err := o.Store.Known(ctx)
	if err != nil {
		return fmt.Errorf("read known keys: %w", err)
	}
	if err := matches(set, known, "the import"); err != nil {
		return err
	}
	present, err := o.Vault.Load(ctx)
	switch {
	case errors.Is(err, ErrMissing):
		err = o.Vault.Create(ctx, set)
	case errors.Is(err, ErrExposed):
		return err
	case err == nil && len(known) > 0 && matches(present, known, "") == nil:
		return nil // the right one is in its place, with keys maybe newer than the import
	case err == nil && present.Equal(set):
	case len(known) == 0:
		return ErrExists.Textf("there is another keyset in %s, or a damaged one, and the database cannot tell which is right: "+
			"move that one away first", o.Vault.Name())
	default:
		err = o.Vault.Replace(ctx, nil, set)
	}
	if err != nil {
		return fmt.Errorf("restore keyset %s: %w", o.Vault.Name(), err)
	}
	return record(ctx, o, set, known)
}

// matches holds a set to what the store knows. Keys that the store does not know
// yet are the trace of a rotation that was cut off; a codebook key is never.
func matches(set *Set, known []Known, place string) error {
	for _, want := range known {
		have, ok := set.ByID(want.ID)
		if !ok {
			return ErrDifferent.Textf("%s does not hold the %s key %s, which the database knows: %s",
				place, want.Purpose, want.ID, restore)
		}
		if k := have.Known(); k.Check != want.Check || k.Purpose != want.Purpose {
			return ErrDifferent.Textf("the %s key %s in %s has the check value %s, and the database knows %s: %s",
				want.Purpose, want.ID, place, k.Check, want.Check, restore)
		}
	}
	codebook := set.Current(Codebook).ID
	if len(known) > 0 && !slices.ContainsFunc(known, func(k Known) bool { return k.ID == codebook }) {
		return ErrDifferent.Textf("%s holds the codebook key %s, which the database does not know: %s", place, codebook, restore)
	}
	return nil
}

// record tells the store what it does not know yet.
func record(ctx context.Context, o Options, set *Set, known []Known) error {
	var news []Known
	for _, k := range set.Known() {
		i := slices.IndexFunc(known, func(old Known) bool { return old.ID == k.ID })
		if i < 0 || !known[i].VerifyUntil.Equal(k.VerifyUntil) {
			news = append(news, k)
		}
	}
	if len(news) == 0 {
		return nil
	}
	if err := o.Store.Record(ctx, news); err != nil {
		return fmt.Errorf("record keys: %w", err)
	}
	return nil
}
