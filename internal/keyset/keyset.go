// Package keyset keeps the secrets that everything else is derived from. Codes
// are not stored, so the codebook key is the most precious thing there is: who
// loses it loses every code, who copies it can make them.
//
// Promise: a keyset is made only where none is known, is durable before the first
// batch can exist, and from then on the process starts with exactly that keyset
// or not at all. TestOpen and TestOpenAfterCrash pin it.
//
// Invariant: there is one codebook key for life, and one present key of every
// purpose. A secret is printed by nothing but Encode and Export; TestNoLeaks pins
// that.
package keyset

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Purpose is what a key is for. A key of one purpose is never used for another.
type Purpose string

// The purposes. Their names go into subkeys and stores: they never change.
const (
	Codebook  Purpose = "codebook"  // serials to codes; fixed for life
	Link      Purpose = "link"      // link tokens
	Inner     Purpose = "inner"     // codes under the scratch layer; batches name theirs
	Signature Purpose = "signature" // what can be checked offline
	Session   Purpose = "session"   // console sessions
)

// Purposes lists them all.
func Purposes() []Purpose { return []Purpose{Codebook, Link, Inner, Signature, Session} }

// DefaultKeep is how long a replaced key goes on verifying when nobody says; 0 is
// without end, for what is printed and cannot be renewed.
func (p Purpose) DefaultKeep() time.Duration {
	switch p {
	case Link, Session:
		return 30 * 24 * time.Hour
	default:
		return 0
	}
}

const (
	idPrefix = "key"
	keysMax  = 1000 // of a set: five purposes rotated every month for sixteen years
)

// Key is one secret with its name and its time.
type Key struct {
	ID          string // "key_" and 26 characters
	Purpose     Purpose
	Secret      Secret
	CreatedAt   time.Time
	VerifyUntil time.Time // zero = no end
	Public      []byte    // of a signature key whose secret is withheld; see LabelPublic
}

// verifies reports whether what the key made is still accepted.
func (k Key) verifies(now time.Time) bool {
	return k.VerifyUntil.IsZero() || now.Before(k.VerifyUntil)
}

// Known is what may be told and stored about a key: everything but its secret.
type Known struct {
	ID          string
	Purpose     Purpose
	Check       string // Check of the key
	CreatedAt   time.Time
	VerifyUntil time.Time // zero = no end
}

// Known is the key without its secret.
func (k Key) Known() Known {
	return Known{k.ID, k.Purpose, Check(k), k.CreatedAt, k.VerifyUntil}
}

// Subkey is what the key's purpose computes with: HKDF-SHA-256 of the secret, no
// salt, info "chopmark/" + purpose + "/1". The secret itself computes nothing else
// but Check.
func Subkey(k Key) [32]byte { return Derive(k, "1") }

// Derive is a further key for what belongs to the same purpose and lives as long,
// such as a salt: info "chopmark/" + purpose + "/" + label.
func Derive(k Key, label string) [32]byte {
	sub, err := hkdf.Key(sha256.New, k.Secret.reveal(), nil, "chopmark/"+string(k.Purpose)+"/"+label, 32)
	if err != nil {
		panic(err) // cannot be: 32 bytes are within HKDF's bounds
	}
	return [32]byte(sub)
}

// Check names a secret without telling it: 16 hex digits of an HMAC. It may be
// stored and shown anywhere.
func Check(k Key) string {
	h := hmac.New(sha256.New, k.Secret.reveal())
	h.Write([]byte("chopmark/check/1"))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Set is all keys of one installation. It never changes: Rotate gives another.
type Set struct {
	keys []Key // oldest first; the last of a purpose is its present key
}

// New makes a set of fresh random keys, one for each purpose.
func New(c clock.Clock) *Set {
	now, s := c.Now(), &Set{}
	for _, p := range Purposes() {
		s.keys = append(s.keys, newKey(p, now))
	}
	return s
}

func newKey(p Purpose, now time.Time) Key {
	return Key{ID: ids.New(idPrefix), Purpose: p, Secret: newSecret(), CreatedAt: now.UTC().Truncate(time.Microsecond)}
}

// Current is the present key of a purpose: the one that makes things.
func (s *Set) Current(p Purpose) Key {
	for _, k := range slices.Backward(s.keys) {
		if k.Purpose == p {
			return k
		}
	}
	panic("keyset: no key for purpose " + string(p)) // a Set is checked when it is made
}

// Verifying lists the keys whose things are still accepted, the newest first.
func (s *Set) Verifying(p Purpose, now time.Time) []Key {
	var keys []Key
	for _, k := range slices.Backward(s.keys) {
		if k.Purpose == p && k.verifies(now) {
			keys = append(keys, k)
		}
	}
	return keys
}

// ByID finds a key by its name, whether or not it still verifies.
func (s *Set) ByID(id string) (Key, bool) {
	i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return Key{}, false
	}
	return s.keys[i], true
}

// Known lists the keys without their secrets, the oldest first.
func (s *Set) Known() []Known {
	known := make([]Known, len(s.keys))
	for i, k := range s.keys {
		known[i] = k.Known()
	}
	return known
}

// Rotate gives a set with a new present key of the purpose. The one before it
// verifies for keep more, or the purpose's default when keep is 0. Inner keys
// never end: what is printed under a scratch layer cannot change. The codebook
// is refused.
func (s *Set) Rotate(p Purpose, now time.Time, keep time.Duration) (*Set, error) {
	switch {
	case !slices.Contains(Purposes(), p):
		return nil, fault.Field("keyset.unknown_purpose", "purpose", "should be one of link, inner, signature, session")
	case p == Codebook:
		return nil, ErrCodebookFixed
	case keep < 0:
		return nil, fault.Field("keyset.bad_keep", "keep", "is negative")
	case len(s.keys) >= keysMax:
		return nil, fault.New(fault.Conflict, "keyset.full", "the keyset holds %d keys, which is the most", len(s.keys))
	}
	if keep == 0 {
		keep = p.DefaultKeep()
	}
	next := slices.Clone(s.keys)
	for i := range next {
		if k := &next[i]; k.ID == s.Current(p).ID && keep > 0 && p != Inner {
			k.VerifyUntil = now.UTC().Add(keep).Truncate(time.Microsecond)
		}
	}
	return &Set{append(next, newKey(p, now))}, nil
}

// Equal reports whether both hold the same keys.
func (s *Set) Equal(o *Set) bool {
	return slices.EqualFunc(s.keys, o.keys, func(a, b Key) bool {
		return a.ID == b.ID && a.Purpose == b.Purpose && a.Secret.Equal(b.Secret) &&
			a.CreatedAt.Equal(b.CreatedAt) && a.VerifyUntil.Equal(b.VerifyUntil) && bytes.Equal(a.Public, b.Public)
	})
}

// String tells the size and nothing else.
func (s *Set) String() string { return fmt.Sprintf("keyset of %d keys", len(s.keys)) }

// LogValue implements slog.LogValuer.
func (s *Set) LogValue() slog.Value { return slog.StringValue(s.String()) }

// check holds what comes from outside to the invariant.
func (s *Set) check() error {
	if len(s.keys) > keysMax {
		return fmt.Errorf("%d keys, at most %d are allowed", len(s.keys), keysMax)
	}
	seen, present := map[string]bool{}, map[Purpose]Key{}
	for _, k := range s.keys {
		switch {
		case !ids.Valid(idPrefix, k.ID):
			return fmt.Errorf("a key has a malformed id")
		case !slices.Contains(Purposes(), k.Purpose):
			return fmt.Errorf("key %s has a purpose that this version does not know", k.ID)
		case seen[k.ID]:
			return fmt.Errorf("key %s is there twice", k.ID)
		case seen[string(k.Secret.reveal())]:
			return fmt.Errorf("key %s has the secret of another", k.ID)
		case k.CreatedAt.IsZero():
			return fmt.Errorf("key %s has no creation time", k.ID)
		case k.Purpose == Codebook && present[Codebook].ID != "":
			return fmt.Errorf("there are two codebook keys")
		}
		seen[k.ID], seen[string(k.Secret.reveal())] = true, true
		present[k.Purpose] = k
	}
	for _, p := range Purposes() {
		if k, ok := present[p]; !ok || !k.VerifyUntil.IsZero() {
			return fmt.Errorf("there is no present key for purpose %s", p)
		}
	}
	return nil
}

// Shared is the set for a process that needs only these purposes: the keys of others
// are there under their names, with secrets that are derived from theirs and tell nothing
// of them; of signature keys the public half stays true. The codebook cannot be left out,
// since the set names its installation by it.
func (s *Set) Shared(purposes ...Purpose) *Set {
	shared := &Set{slices.Clone(s.keys)}
	for i := range shared.keys {
		if k := &shared.keys[i]; k.Purpose != Codebook && !slices.Contains(purposes, k.Purpose) {
			if k.Purpose == Signature {
				public := LabelPublic(*k)
				k.Public = public[:]
			}
			k.Secret = secretOf(Derive(*k, "withheld/1"))
		}
	}
	return shared
}
