package keyset

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// LabelSeed is the Ed25519 seed that a signature key signs labels with; ok is false where
// the key is withheld.
func LabelSeed(k Key) (seed [ed25519.SeedSize]byte, ok bool) {
	return Derive(k, "label/1"), k.Purpose == Signature && k.Public == nil
}

// LabelPublic is what verifies the labels of a signature key, withheld or not.
func LabelPublic(k Key) [ed25519.PublicKeySize]byte {
	if k.Public != nil {
		return [ed25519.PublicKeySize]byte(k.Public)
	}
	seed := Derive(k, "label/1")
	return [ed25519.PublicKeySize]byte(ed25519.NewKeyFromSeed(seed[:])[ed25519.SeedSize:])
}

// Of lists the keys of a purpose, the oldest first, those too that verify no more.
func (s *Set) Of(p Purpose) []Key {
	var keys []Key
	for _, k := range s.keys {
		if k.Purpose == p {
			keys = append(keys, k)
		}
	}
	return keys
}

// What may be wrong with a revocation.
var (
	ErrUnknownKey = fault.New(fault.NotFound, "keyset.unknown_key", "there is no such key; `chopmark keys list` names them")
	ErrNoRevoke   = fault.New(fault.Conflict, "keyset.no_revoke", "only signature keys are revoked: what else a key made would end with it; rotate it")
)

// Revoke gives a set in which what the signature key made is accepted no more, from now on.
// When it was the present one, there is a new one. Revoking again changes nothing.
func (s *Set) Revoke(id string, now time.Time) (*Set, error) {
	i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id })
	switch {
	case i < 0:
		return nil, ErrUnknownKey
	case s.keys[i].Purpose != Signature:
		return nil, ErrNoRevoke
	case !s.keys[i].verifies(now):
		return s, nil
	}
	next := &Set{slices.Clone(s.keys)}
	if s.Current(Signature).ID == id {
		var err error
		if next, err = s.Rotate(Signature, now, 0); err != nil {
			return nil, err
		}
	}
	next.keys[i].VerifyUntil = now.UTC().Truncate(time.Microsecond)
	return next, nil
}

// Revoke ends a signature key, durably, and gives the set without it.
func Revoke(ctx context.Context, o Options, id string) (*Set, error) {
	set, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	next, err := set.Revoke(id, o.Clock.Now())
	if err != nil || next == set {
		return next, err
	}
	if err := o.Vault.Replace(ctx, set, next); err != nil {
		return nil, fmt.Errorf("replace keyset %s: %w", o.Vault.Name(), err)
	}
	return next, record(ctx, o, next, set.Known())
}
