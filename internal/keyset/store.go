package keyset

import (
	"context"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Store remembers which keys there are, beside the batches that depend on them.
// It never sees a secret.
type Store interface {
	// Known must list every key ever recorded.
	Known(ctx context.Context) ([]Known, error)
	// Record must be durable when it returns, all or nothing, and the same again
	// when repeated: a key that is known already takes the new VerifyUntil. A
	// known id with another check, purpose or creation, and a second codebook key,
	// must give ErrDifferent and change nothing.
	Record(ctx context.Context, keys []Known) error
}

// Vault keeps the one keyset, secrets and all.
type Vault interface {
	// Name says where the keyset is, as an operator would look for it.
	Name() string
	// Load must give exactly what was stored; ErrMissing when nothing was,
	// ErrDamaged when it cannot be read as it was written, and ErrExposed when
	// others than its owner can read it. Each must name the place.
	Load(ctx context.Context) (*Set, error)
	// Create must be durable when it returns. When there is anything already, sound
	// or not, it must give ErrExists and change nothing.
	Create(ctx context.Context, s *Set) error
	// Replace must be durable when it returns, and whoever loads meanwhile sees
	// the one or the other whole. When what is there is not old it must give
	// ErrChanged and change nothing; with a nil old it replaces whatever is there.
	Replace(ctx context.Context, old, next *Set) error
}

// What can be wrong with a keyset. The texts that reach an operator name the
// place and the next step; the codes are what programs match.
var (
	ErrMissing       = fault.New(fault.Unavailable, "keyset.missing", "the keyset is missing")
	ErrDamaged       = fault.New(fault.Unavailable, "keyset.damaged", "the keyset is damaged")
	ErrExposed       = fault.New(fault.Unavailable, "keyset.exposed", "others can read the keyset")
	ErrDifferent     = fault.New(fault.Conflict, "keyset.different", "this is not the keyset that the codes were made with")
	ErrUnrecorded    = fault.New(fault.Conflict, "keyset.unrecorded", "there are batches, and the database knows no keyset")
	ErrExists        = fault.New(fault.Conflict, "keyset.exists", "there is a keyset already")
	ErrChanged       = fault.New(fault.Conflict, "keyset.changed", "the keyset was changed by another process meanwhile; try again")
	ErrCodebookFixed = fault.New(fault.Conflict, "keyset.codebook_fixed",
		"the codebook key is fixed for life: codes are unique only under one key")
)
