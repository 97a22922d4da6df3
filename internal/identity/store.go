package identity

import (
	"context"
	"time"
)

// Store is what the domain asks of its SQL engine. What returned without an error
// must be durable. No method is given a secret, only its hash.
type Store interface {
	// Keys must give every key, revoked ones too, in the order of creation.
	Keys(ctx context.Context) ([]Key, error)
	// New must tell whether the installation has no key, not even a revoked one, and
	// no sign-in that is valid at now.
	New(ctx context.Context, now time.Time) (bool, error)
	// Found must store the credential when the installation is New; else it must
	// change nothing and answer false. Of several at once one must win.
	Found(ctx context.Context, first Credential, now time.Time) (stored bool, _ error)
	// AddSignIn must store a further sign-in.
	AddSignIn(ctx context.Context, s SignIn) error
	// SignIn must answer ErrUnknownSignIn when no sign-in has the hash.
	SignIn(ctx context.Context, token Hash) (SignIn, error)
	// UseSignIn must mark the sign-in as used at k.CreatedAt and store the key, both
	// or neither, and for one caller only. It must answer ErrUnknownSignIn,
	// ErrSignInUsed or, from ExpiresAt on, ErrSignInExpired.
	UseSignIn(ctx context.Context, token Hash, k Key) error
	// Revoke must end a key at now. One that has ended keeps its time; the last
	// living one must be refused with ErrLastKey, an unknown id with ErrUnknownKey.
	Revoke(ctx context.Context, id string, now time.Time) error
}

// Credential is a key or a sign-in: one of the two.
type Credential struct {
	Key    *Key
	SignIn *SignIn
}
