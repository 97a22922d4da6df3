package identity

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Store is what the domain asks of its SQL engine. What returned without an error
// must be durable. No method is given a secret, only its hash. Every method that takes a
// Request must tie it to its effect, and when the request had its effect before must
// change nothing and give that effect back with replayed = true. What changes whom a
// process lets in must tell the feed, in the same transaction.
type Store interface {
	Credentials
	Directory
	Usage
	Users
	Factors
	Sessions
	Audits
	Approvals
	Consumers
	Origins
}

// Credentials keeps API keys and the links of an installation without any.
type Credentials interface {
	// Keys must give every key, revoked ones too, in the order of creation.
	Keys(ctx context.Context) ([]Key, error)
	// AddKey must store a further key, and answer ErrTooManyKeys beyond most living ones.
	AddKey(ctx context.Context, r ids.Request, k Key, most int) (id string, replayed bool, _ error)
	// TouchKeys must note when keys were used last.
	TouchKeys(ctx context.Context, used map[string]time.Time) error
	// New must tell whether the installation has no key, not even a revoked one, no user,
	// and no sign-in that is valid at now.
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
	// UseSignInFor is UseSignIn for a user instead of a key; ErrLoginTaken leaves the link.
	UseSignInFor(ctx context.Context, token Hash, u User) error
	// Revoke must end a key at now. One that has ended keeps its time; the last
	// living one of the role Admin must be refused with ErrLastKey while no user of that
	// role is active, an unknown id with ErrUnknownKey.
	Revoke(ctx context.Context, id string, now time.Time) error
}

// Credential is a key or a sign-in: one of the two.
type Credential struct {
	Key    *Key
	SignIn *SignIn
}

// Directory keeps tenants and custom roles.
type Directory interface {
	Tenants(ctx context.Context) ([]Tenant, error)
	AddTenant(ctx context.Context, r ids.Request, t Tenant) (_ TenantID, replayed bool, _ error)
	// ChangeTenant must replace everything of a tenant but its brands and creation.
	ChangeTenant(ctx context.Context, t Tenant, now time.Time) error
	// SetBrand must give a tenant a brand, or take it away; both also when it is so already.
	SetBrand(ctx context.Context, t TenantID, b ids.BrandID, has bool) error
	Roles(ctx context.Context) ([]CustomRole, error)
	AddRole(ctx context.Context, r ids.Request, c CustomRole) (_ Role, replayed bool, _ error)
	ChangeRole(ctx context.Context, c CustomRole) error
	// DropRole must answer ErrRoleUsed while a user or a living key has it.
	DropRole(ctx context.Context, id Role) error
	// Feed must give what changed after a position, in the order of commit; lost reports
	// that some of it is no longer kept.
	Feed(ctx context.Context, after int64, limit int) (news []News, lost bool, _ error)
	FeedEnd(ctx context.Context) (int64, error)
}

// Usage keeps what tenants have used of their quotas.
type Usage interface {
	// TakeCodes must count codes of a tenant's day, and answer ErrQuota beyond most. A
	// negative n gives back.
	TakeCodes(ctx context.Context, t TenantID, day string, n, most int64) error
	// Requests gives until when what each tenant asked is paid off.
	Requests(ctx context.Context) (map[TenantID]time.Time, error)
	// KeepRequests must move those on, never back.
	KeepRequests(ctx context.Context, drawn map[TenantID]time.Time) error
}

// Origins keeps which other origins may read what is of a brand.
type Origins interface {
	BrandOrigins(ctx context.Context) ([]BrandOrigin, error)
	// SetBrandOrigins must replace those of a brand.
	SetBrandOrigins(ctx context.Context, b ids.BrandID, origins []string) error
}

// NewsKind is what a process must forget or read again.
type NewsKind string

// The kinds.
const (
	DirectoryNews NewsKind = "directory" // keys, tenants, roles
	UserNews      NewsKind = "user"      // one user's record
	SessionNews   NewsKind = "session"   // a session ended, Detail says why
)

// News is one entry of the feed.
type News struct {
	Seq     int64
	Kind    NewsKind
	Subject string
	Detail  string
}

// Users keeps accounts.
type Users interface {
	// AddUser must store a user with a link, and answer ErrLoginTaken for a second one with
	// the login or, unless it is zero, the external identity.
	AddUser(ctx context.Context, r ids.Request, u User, l *UserLink) (_ UserID, replayed bool, _ error)
	User(ctx context.Context, id UserID) (User, error)
	// UserBy finds a user by one of the hashes: kind is "login", "email", "phone" or "external".
	UserBy(ctx context.Context, kind string, h Hash) (User, error)
	// ListUsers gives users by id; tenant "" = of all.
	ListUsers(ctx context.Context, tenant TenantID, after UserID, limit int) ([]User, error)
	// ChangeUser must replace a record whose version is u.Version, else answer ErrUserRaced;
	// end ends sessions with it. Who would leave no active user of the role Admin and no
	// living key of it is refused with ErrLastAdmin.
	ChangeUser(ctx context.Context, u User, end Ending) error
	AddLink(ctx context.Context, r ids.Request, l UserLink) (replayed bool, _ error)
	// Link must answer ErrUnknownLink for what is unknown.
	Link(ctx context.Context, h Hash) (UserLink, error)
	// UseLink is ChangeUser that uses a link up: for one caller only, else ErrUnknownLink.
	UseLink(ctx context.Context, h Hash, now time.Time, u User, end Ending) error
}

// Ending ends sessions of a user: all but Keep. No Reason = none.
type Ending struct {
	Reason string
	Keep   SessionID
	At     time.Time
}

// Factors keeps what a user proves an identity with, beside the password.
type Factors interface {
	// Attempt counts a try under each hash that has not to wait, unless one of them has:
	// then it must count nothing and tell how long. A hash waits, longer each time, after
	// its free tries; an hour without one clears it.
	Attempt(ctx context.Context, now time.Time, tries []Try) (wait time.Duration, _ error)
	// Forgive clears the tries of a hash.
	Forgive(ctx context.Context, h Hash) error
	// TakeStep must let a TOTP step count once, and none before it.
	TakeStep(ctx context.Context, id UserID, step int64) (ok bool, _ error)
	SetRecovery(ctx context.Context, id UserID, codes []Hash) error
	UseRecovery(ctx context.Context, id UserID, code Hash, now time.Time) (ok bool, _ error)
	RecoveryLeft(ctx context.Context, id UserID) (int, error)
	AddPasskey(ctx context.Context, p Passkey, most int) error
	Passkeys(ctx context.Context, id UserID) ([]Passkey, error)
	Passkey(ctx context.Context, id string) (Passkey, error)
	TouchPasskey(ctx context.Context, p Passkey) error
	DropPasskey(ctx context.Context, user UserID, id string) error
}

// Try is one way to count a try to sign in.
type Try struct {
	Hash Hash
	Free int
}

// Sessions keeps who is signed in.
type Sessions interface {
	// OpenSession must store a session by the policy: beyond Max living ones of its user (or
	// key) and client type the oldest end, or with Refuse it must answer ErrSessionRefused.
	OpenSession(ctx context.Context, s Session, c Conflict) error
	// SessionByHash must answer ErrUnknownSession for what is unknown.
	SessionByHash(ctx context.Context, h Hash) (Session, error)
	SessionByID(ctx context.Context, id SessionID) (Session, error)
	// SessionsOf gives the living sessions of a user, newest first.
	SessionsOf(ctx context.Context, id UserID, now time.Time) ([]Session, error)
	// EndSession must end one; one that has ended keeps its time and reason.
	EndSession(ctx context.Context, id SessionID, reason string, now time.Time) error
	EndSessions(ctx context.Context, id UserID, end Ending) error
	// Renew must move on what lives, never back, and tell what does not.
	Renew(ctx context.Context, used []Renewed) (over []SessionID, _ error)
	// SweepSessions deletes what ended before a time.
	SweepSessions(ctx context.Context, before time.Time) error
	// EndedSessions gives those of an id's prefix that ended before they expired.
	EndedSessions(ctx context.Context, prefix string, now time.Time) ([]Session, error)
}

// Renewed is how far a session was moved on.
type Renewed struct {
	ID        SessionID
	SeenAt    time.Time
	ExpiresAt time.Time
}

// Audits keeps the log of changes, a chain for each tenant.
type Audits interface {
	// AppendAudit must number the entries of each tenant on from its last, chain each by
	// link to the one before, and give them back so.
	AppendAudit(ctx context.Context, entries []Entry, link func(before Hash, e *Entry) Hash) ([]Entry, error)
	// Audit gives entries with smaller numbers than before, the newest first.
	Audit(ctx context.Context, t TenantID, before int64, limit int) ([]Entry, error)
	// AuditFrom gives entries after a number, the oldest first.
	AuditFrom(ctx context.Context, t TenantID, after int64, limit int) ([]Entry, error)
	// AuditCuts gives up to where each chain was removed.
	AuditCuts(ctx context.Context) (map[TenantID]AuditCut, error)
	// CutAudit must remove the entries up to c.N and put c in place of the cut at was (0 =
	// none), both or neither; ok = no other cut was put there meanwhile.
	CutAudit(ctx context.Context, was int64, c AuditCut) (ok bool, _ error)
	// AuditHeads gives the last number and hash of every chain, and the tenants of every entry.
	AuditHeads(ctx context.Context) (map[TenantID]AuditHead, error)
}

// AuditHead is the end of a chain.
type AuditHead struct {
	N    int64
	Hash Hash
}

// Approvals keeps what waits for a second person.
type Approvals interface {
	AddApproval(ctx context.Context, r ids.Request, a Approval) (_ string, replayed bool, _ error)
	Approval(ctx context.Context, id string) (Approval, error)
	// ListApprovals gives them newest first; state "" = all.
	ListApprovals(ctx context.Context, state ApprovalState, before time.Time, beforeID string, limit int) ([]Approval, error)
	// DecideApproval must move one from a state to another, for one caller only: else ErrDecided.
	DecideApproval(ctx context.Context, id string, from ApprovalState, to Approval) error
}

// Consumers keeps the accounts of those who scan, and the codes that were sent to them.
type Consumers interface {
	// PutCode must keep a code in place of the target's one before, unless that was sent
	// within the pause: then it tells how long to wait. It must count one of each on the day,
	// all or none, and answer ErrCodesUsedUp where there are as many as there may be.
	PutCode(ctx context.Context, c OneTimeCode, pause time.Duration, day string, counts []Count) (wait time.Duration, _ error)
	// UseCode must use up a try, and with the right code the code itself: for one caller only.
	UseCode(ctx context.Context, target, code Hash, now time.Time) (ok bool, _ error)
	// Sweep deletes codes, links, tries and counts that mean nothing any more, and what was
	// decided before a time.
	Sweep(ctx context.Context, now, decided time.Time) error
	// AddConsumer must answer ErrLoginTaken for a second one with one of the hashes.
	AddConsumer(ctx context.Context, c Consumer) error
	// Consumer must answer ErrUnknownConsumer for what is unknown.
	Consumer(ctx context.Context, id ConsumerID) (Consumer, error)
	// ConsumerBy finds a living account; kind is "phone", "email" or "external".
	ConsumerBy(ctx context.Context, kind string, h Hash) (Consumer, error)
	// ChangeConsumer must replace the hashes and what is sealed of a living account, of which
	// was is sealed: else it must answer ErrConsumerRaced, and ErrIdentifierTaken where another
	// has one of the hashes.
	ChangeConsumer(ctx context.Context, was Sealed, c Consumer) error
	// EraseConsumer must remove what is sealed and the hashes, and end the sessions with it.
	EraseConsumer(ctx context.Context, id ConsumerID, end Ending) error
	// IdleConsumers gives living accounts that were not signed in to since a time.
	IdleConsumers(ctx context.Context, before time.Time, limit int) ([]ConsumerID, error)
}
