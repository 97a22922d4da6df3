// Package identity knows who may act, on whose goods, and what they did: tenants, users,
// sessions, API keys, roles, the log of changes, and the one-use link that begins it all.
//
// Promise: what was revoked, disabled or signed out opens nothing any more, at once in
// this process and within a second in every other (TestRevocationIsSeen); a caller is
// known without SQL once the session is in memory (BenchmarkAuthenticate); an entry of
// the log of changes cannot be altered or left out unseen (TestAuditChain); and a key or a sign-in token is shown once, to the one who gets it, and is
// kept as its SHA-256 alone; both are 256 random bits, so a plain hash is enough. A
// sign-in token gives exactly one key, whoever asks for it at the same time, and no
// key is answered before it is durable (identitytest: UseGivesOneKey). No error and
// no log line has a key or a token in it (TestNothingSecretIsSaid).
package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Hash is the SHA-256 of a secret: all that is kept of it.
type Hash [sha256.Size]byte

func hashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// Key is an API key, without its secret.
type Key struct {
	ID        string // names it in lists, histories and idempotency scopes
	Hash      Hash
	Name      string
	Role      Role
	Tenant    TenantID
	Brands    []ids.BrandID // of the tenant's; none = all of them
	CreatedAt time.Time
	CreatedBy string    // a user's or key's id; "" = at the first start
	ExpiresAt time.Time // zero = never
	UsedAt    time.Time // the last time, to the minute; zero = never
	RevokedAt time.Time // zero = it lives
}

// lives reports whether the key opens anything at now.
func (k *Key) lives(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Principal is who an authenticated request comes from.
type Principal struct {
	ID      string // of the key or the user
	Name    string // what histories show: the key's name, the user's id (people can be erased)
	Tenant  TenantID
	Role    Role
	Session SessionID // "" = an API key
	// MustEnroll says that an administrator has no second factor yet: until then the
	// session opens nothing but what sets one up.
	MustEnroll bool
	Quota      Quota // of the tenant

	may   Set
	scope ids.Scope
}

// May reports whether the role has the permission.
func (p *Principal) May(need Permission) bool { return p.may[need] }

// Permissions lists what the caller may do.
func (p *Principal) Permissions() []Permission { return p.may.List() }

// Scope is whose objects the caller acts on.
func (p *Principal) Scope() ids.Scope { return p.scope }

// IsUser reports whether it is a person with a session.
func (p *Principal) IsUser() bool { return ids.Valid(userPrefix, p.ID) }

// SignIn is a link that may be exchanged for a key, once. Its token is not kept.
type SignIn struct {
	Hash      Hash
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero = not yet
	KeyID     string    // that it gave; "" = not yet
}

// State tells what the link is good for.
func (s *SignIn) State(now time.Time) SignInState {
	switch {
	case !s.UsedAt.IsZero():
		return Used
	case !now.Before(s.ExpiresAt):
		return Expired
	}
	return Valid
}

// SignInState is what a sign-in link is good for.
type SignInState int

// The states. Used stands before Expired: it tells more.
const (
	Valid SignInState = iota + 1
	Used
	Expired
)

const (
	signInLife    = 24 * time.Hour
	secretBytes   = 32
	keyPrefix     = "cmk_"
	bearerMax     = 512
	givenKeyMin   = 32
	givenKeyMax   = bearerMax
	livingKeysMax = 1000
	adminName     = "admin"
)

// secretLength is the length of every secret that is made here: 32 bytes as base64.
var secretLength = base64.RawURLEncoding.EncodedLen(secretBytes)

// What a caller may be told.
var (
	ErrBadKey        = fault.New(fault.Unauthenticated, "auth.bad_key", "this key is not known or was revoked")
	ErrUnknownSignIn = fault.New(fault.NotFound, "signin.unknown", "this sign-in link is not valid")
	ErrSignInUsed    = fault.New(fault.Gone, "signin.used", "this sign-in link was used before; each gives one key")
	ErrSignInExpired = fault.New(fault.Gone, "signin.expired", "this sign-in link has expired; each lives 24 hours")
	ErrUnknownKey    = fault.New(fault.NotFound, "key.unknown", "no such API key")
	ErrLastKey       = fault.New(fault.Conflict, "key.last", "this is the last administrator's API key: make another one first, or nobody can sign in")
	ErrTooManyKeys   = fault.New(fault.Conflict, "key.too_many", "there are %d API keys already; revoke some first", livingKeysMax)
)

// checkGiven is the rule for a key that the operator brings along. What is wrong is
// said without repeating any of it.
func checkGiven(key string) error {
	const code, field = "auth.bad_admin_key", "CHOPMARK_ADMIN_KEY"
	switch {
	case len(key) < givenKeyMin:
		return fault.Field(code, field, "has %d bytes, at least %d are needed; openssl rand -hex 32 makes a good one", len(key), givenKeyMin)
	case len(key) > givenKeyMax:
		return fault.Field(code, field, "has %d bytes, at most %d are allowed", len(key), givenKeyMax)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return fault.Field(code, field, "byte %d cannot travel in an Authorization header: use printable ASCII without spaces", i+1)
		}
	}
	return nil
}

// newSecret makes 256 random bits as 43 characters that are safe in a path.
func newSecret() string {
	var b [secretBytes]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	return base64.RawURLEncoding.EncodeToString(b[:])
}
