package identity

import (
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// UserID names a user for good, also after the person was erased.
type UserID string

// UserState is what a user can do with the account.
type UserState string

// The states.
const (
	Invited  UserState = "invited" // has no password yet
	Active   UserState = "active"
	Disabled UserState = "disabled"
	Erased   UserState = "erased" // the person is gone; the id stays in histories
)

// User is an account of a tenant. What is known of the person is sealed.
type User struct {
	ID     UserID
	Tenant TenantID
	Role   Role
	Brands []ids.BrandID // of the tenant's; none = all of them
	State  UserState
	Sealed Sealed

	// How the user is found without being known: Secrets.lookup of each datum.
	Login, Email, Phone, External Hash

	Password  string // Argon2id in its usual text form; "" = none; inDirectory = a directory has it
	TOTP      []byte // the secret, sealed; nil = none
	TOTPOn    bool   // confirmed by a first code
	Passkeys  int    // how many
	Version   int64  // of the record: a change names the one it was made from
	CreatedAt time.Time
	ChangedAt time.Time
}

// inDirectory stands for a password that a directory has. It is no hash: nothing fits it.
const inDirectory = "directory"

// vouched reports that a provider looks after the second factor too.
func (u *User) vouched() bool { return u.External != (Hash{}) && u.Password != inDirectory }

// Enrolled reports whether the user has a second factor.
func (u *User) Enrolled() bool { return u.TOTPOn || u.Passkeys > 0 }

// LinkKind is what a link of a user is for.
type LinkKind string

// The kinds.
const (
	InviteLink LinkKind = "invite"
	ResetLink  LinkKind = "reset"
)

// UserLink lets who holds it set the user's password, once.
type UserLink struct {
	Hash      Hash
	User      UserID
	Kind      LinkKind
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
}

// Passkey is a WebAuthn credential; Data is the relying party's record of it.
type Passkey struct {
	ID        string // base64url of the credential's id
	User      UserID
	Name      string
	Data      []byte
	CreatedAt time.Time
	UsedAt    time.Time
}

const (
	userPrefix    = "usr"
	linkPrefix    = "cml_"
	inviteLife    = 7 * 24 * time.Hour
	resetLife     = time.Hour
	passkeysMax   = 20
	loginMin      = 3
	attemptsFree  = 5   // wrong tries of one name before it has to wait
	netFree       = 100 // of one address
	attemptsReset = time.Hour
)

// What a caller may be told. Everything that is wrong with a sign-in is ErrRefused, byte
// for byte: who tries names learns nothing of which exist.
var (
	ErrRefused      = fault.New(fault.Unauthenticated, "signin.refused", "the name, the password or the code is not right")
	ErrSecondFactor = fault.New(fault.Unauthenticated, "signin.second_factor", "this account needs a code from its authenticator, a recovery code, or a passkey")
	ErrTooFast      = fault.New(fault.Limited, "signin.too_fast", "too many tries; wait before the next one")
	ErrUnknownUser  = fault.New(fault.NotFound, "user.unknown", "no such user")
	ErrLoginTaken   = fault.New(fault.Conflict, "user.exists", "a user signs in with this name already")
	ErrUserRaced    = fault.New(fault.Conflict, "user.changed", "the user was changed by somebody else meanwhile; read it again")
	ErrUnknownLink  = fault.New(fault.NotFound, "link.unknown", "this link is not valid, was used, or has expired")
	ErrWrongCode    = fault.New(fault.Denied, "totp.wrong", "the code is not right, or was used before")
	ErrNoTOTP       = fault.New(fault.Conflict, "totp.not_begun", "begin with POST /api/v1/me/totp")
	ErrWrongOld     = fault.New(fault.Denied, "password.wrong", "the present password is not right")
	ErrLastAdmin    = fault.New(fault.Conflict, "user.last_admin", "this is the last administrator who can sign in")
	ErrKeysOnly     = fault.New(fault.Denied, "me.not_a_user", "an API key has no password, second factor or devices")
	ErrManyPasskeys = fault.New(fault.Conflict, "passkey.too_many", "there are %d passkeys already", passkeysMax)
	ErrElsewhere    = fault.New(fault.Conflict, "password.elsewhere", "the password of this account is kept in a directory: change it there")
	ErrNoPasskey    = fault.New(fault.NotFound, "passkey.unknown", "no such passkey")
)
