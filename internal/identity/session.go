package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// SessionID names a session to its user; the token that opens it is another secret.
type SessionID string

// ClientType is the kind of program that a user signs in with.
type ClientType string

// The kinds.
const (
	Web     ClientType = "web"
	App     ClientType = "app"
	MiniApp ClientType = "miniapp"
	API     ClientType = "api"
)

// ClientTypes lists them.
func ClientTypes() []ClientType { return []ClientType{Web, App, MiniApp, API} }

// Conflict says what a sign-in does when the user has Max sessions of that kind already.
type Conflict struct {
	Policy ConflictPolicy
	Max    int
}

// ConflictPolicy is one of three.
type ConflictPolicy string

// The policies.
const (
	Allow   ConflictPolicy = "allow"   // as many as one likes, up to a bound that replaces
	Replace ConflictPolicy = "replace" // the oldest ends, and its device is told why
	Refuse  ConflictPolicy = "refuse"  // the new one is refused
)

// Renewal says what keeps a session alive.
type Renewal string

// The renewal policies.
const (
	RenewAlways Renewal = "always" // every valid request
	RenewWrites Renewal = "writes" // only requests that change something
)

// Why a session ended.
const (
	EndExpired   = "expired"
	EndSignedOut = "signed_out"
	EndReplaced  = "replaced"
	EndForced    = "forced"
	EndPassword  = "password_changed"
	EndChanged   = "account_changed"
	EndDisabled  = "disabled"
	EndErased    = "erased"
)

// Session is one device that is signed in, or a machine's access of OAuth 2.0.
type Session struct {
	ID        SessionID
	Hash      Hash // of its token
	User      UserID
	Key       string // of a machine, instead of the user
	Client    ClientType
	Device    string // what the program calls itself
	Net       string // the network that it was opened from, without the host part
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time // moves on while it is used
	EndsAt    time.Time // never moves
	EndedAt   time.Time // zero = it lives
	Reason    string    // why it ended
}

// lives reports whether the session opens anything at now.
func (s *Session) lives(now time.Time) bool { return s.EndedAt.IsZero() && now.Before(s.ExpiresAt) }

const (
	sessionPrefix = "ses"
	tokenPrefix   = "cms_"
	tokenBytes    = 16 // 128 random bits
	tokenMACBytes = 8

	// DefaultLife is Config's usual Life.
	DefaultLife = 30 * time.Minute
	// DefaultLongest is Config's usual Longest.
	DefaultLongest = 24 * time.Hour
	machineLife    = time.Hour
	deviceMax      = 200
	// SessionsPerUser is the most that a Conflict may allow.
	SessionsPerUser = 100
)

// DefaultConflicts is one session for an app or a mini-program, and more for browsers
// and programs.
func DefaultConflicts() map[ClientType]Conflict {
	return map[ClientType]Conflict{Web: {Allow, 20}, App: {Replace, 1}, MiniApp: {Replace, 1}, API: {Allow, 50}}
}

// What a caller may be told.
var (
	ErrSessionOver    = fault.New(fault.Unauthenticated, "session.over", "this session has ended; sign in again")
	ErrUnknownSession = fault.New(fault.NotFound, "session.unknown", "no such session")
	ErrSessionRefused = fault.New(fault.Conflict, "session.elsewhere", "this account is signed in on another device; sign out there first")
	ErrBadClient      = fault.Field("session.bad_client", "client_type", "must be web, app, miniapp or api")
)

// newToken makes the secret of a session: random bits, and a MAC that tells a token of
// ours from junk without asking anybody.
func (s *Secrets) newToken() string {
	var b [tokenBytes + tokenMACBytes]byte
	rand.Read(b[:tokenBytes])
	copy(b[tokenBytes:], s.tokenMAC(b[:tokenBytes]))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

func (s *Secrets) tokenMAC(random []byte) []byte {
	h := hmac.New(sha256.New, s.Tokens[:])
	h.Write(random)
	return h.Sum(nil)[:tokenMACBytes]
}

// isToken reports whether a token was made here.
func (s *Secrets) isToken(token string) bool {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(text) != base64.RawURLEncoding.EncodedLen(tokenBytes+tokenMACBytes) {
		return false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && hmac.Equal(b[tokenBytes:], s.tokenMAC(b[:tokenBytes]))
}

// secretFor makes a secret that is shown once. With the request's identity it is made of
// that, so that a retry is shown the same one and nothing of it is kept.
func (s *Secrets) secretFor(r ids.Request, about string) string {
	if r.IsZero() {
		return newSecret()
	}
	h := hmac.New(sha256.New, s.Replays[:])
	h.Write([]byte(about + "\x00"))
	h.Write(r.Key[:])
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
