package identity

import (
	"context"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Bootstrap gives a new installation its first credential, and does nothing on any
// other. A given key becomes the key named admin; without one a sign-in token comes
// back, to be printed once and never logged. An installation whose only sign-in
// expired unused is new again, so that nobody is locked out.
func (s *Service) Bootstrap(ctx context.Context, givenKey string) (signInToken string, _ error) {
	now := s.clock.Now()
	isNew, err := s.store.New(ctx, now)
	if err != nil || !isNew {
		return "", wrap("look for credentials", err)
	}
	if givenKey == "" {
		token, signIn := s.newSignIn(now)
		stored, err := s.store.Found(ctx, Credential{SignIn: &signIn}, now)
		if err != nil || !stored { // another process was first, and has printed its own
			return "", wrap("store the first sign-in", err)
		}
		return token, nil
	}
	if err := checkGiven(givenKey); err != nil {
		return "", err
	}
	k := newKey(givenKey, now)
	if _, err := s.store.Found(ctx, Credential{Key: &k}, now); err != nil {
		return "", wrap("store the given admin key", err)
	}
	s.changed(ctx) // also when another process was first: what it stored counts
	return "", nil
}

// NewSignIn makes a further sign-in link, for an operator at the machine who has
// lost the keys or wants another one.
func (s *Service) NewSignIn(ctx context.Context) (token string, _ error) {
	if len(s.dir.Load().keys) >= livingKeysMax {
		return "", ErrTooManyKeys
	}
	token, signIn := s.newSignIn(s.clock.Now())
	if err := s.store.AddSignIn(ctx, signIn); err != nil {
		return "", wrap("store a sign-in", err)
	}
	return token, nil
}

// OpenSignIn tells what a sign-in token is good for and uses nothing up.
func (s *Service) OpenSignIn(ctx context.Context, token string) (SignInState, error) {
	if len(token) != secretLength {
		return 0, ErrUnknownSignIn
	}
	signIn, err := s.store.SignIn(ctx, hashOf(token))
	if err != nil {
		return 0, wrap("look up a sign-in", err)
	}
	return signIn.State(s.clock.Now()), nil
}

// UseSignIn exchanges a sign-in token for a new API key, which nobody can be shown
// again.
func (s *Service) UseSignIn(ctx context.Context, token string) (apiKey string, _ error) {
	if len(token) != secretLength {
		return "", ErrUnknownSignIn
	}
	if len(s.dir.Load().keys) >= livingKeysMax {
		return "", ErrTooManyKeys
	}
	secret := keyPrefix + newSecret()
	k := newKey(secret, s.clock.Now())
	if err := s.store.UseSignIn(ctx, hashOf(token), k); err != nil {
		return "", wrap("use a sign-in", err)
	}
	s.note(Platform, k.ID, k.Role, "key_made", k.ID, "sign-in link")
	s.changed(ctx)
	return secret, nil
}

// NewKey asks for an API key.
type NewKey struct {
	Name      string
	Tenant    TenantID // "" = the caller's
	Role      Role
	Brands    []ids.BrandID
	ExpiresAt time.Time // zero = never
}

// CreateKey makes a key; its secret can be shown again to nobody but a retry of the request.
func (s *Service) CreateKey(ctx context.Context, r ids.Request, p *Principal, n NewKey) (k Key, secret string, replayed bool, _ error) {
	if n.Tenant == "" {
		n.Tenant = p.Tenant
	}
	if err := checkName("name", n.Name); err != nil {
		return k, "", false, err
	}
	if err := s.grantable(p, n.Tenant, n.Role, n.Brands); err != nil {
		return k, "", false, err
	}
	now := s.clock.Now()
	if !n.ExpiresAt.IsZero() && !n.ExpiresAt.After(now) {
		return k, "", false, fault.Field("key.bad_expiry", "expires_at", "lies in the past")
	}
	secret = keyPrefix + s.secrets.secretFor(r, "key")
	k = Key{
		ID: ids.New(keyIDPrefix), Hash: hashOf(secret), Name: n.Name, Role: n.Role, Tenant: n.Tenant, Brands: n.Brands,
		CreatedAt: now, CreatedBy: p.ID, ExpiresAt: n.ExpiresAt,
	}
	id, replayed, err := s.store.AddKey(ctx, r, k, livingKeysMax)
	if err != nil {
		return k, "", false, wrap("store a key", err)
	}
	k.ID = id
	s.changed(ctx)
	if kept, ok := s.dir.Load().keys[k.Hash]; ok {
		k = *kept
	}
	return k, secret, replayed, nil
}

// Keys lists the keys that the caller may see, revoked ones too, in the order of creation.
func (s *Service) Keys(ctx context.Context, p *Principal) ([]Key, error) {
	all, err := s.store.Keys(ctx)
	return slices.DeleteFunc(all, func(k Key) bool { return !p.manages(k.Tenant) }), err
}

// Revoke ends a key; the administrators' last one is refused while none of them can sign
// in otherwise.
func (s *Service) Revoke(ctx context.Context, p *Principal, id string) error {
	if !ids.Valid(keyIDPrefix, id) {
		return ErrUnknownKey
	}
	mine, err := s.Keys(ctx, p)
	if err != nil {
		return wrap("look up a key", err)
	}
	at := slices.IndexFunc(mine, func(k Key) bool { return k.ID == id })
	if at < 0 {
		return ErrUnknownKey
	}
	if set, ok := s.dir.Load().role(mine[at].Tenant, mine[at].Role); ok && !set.Within(p.may) {
		return ErrBeyondYou
	}
	if err := s.store.Revoke(ctx, id, s.clock.Now()); err != nil {
		return wrap("revoke a key", err)
	}
	s.changed(ctx)
	return nil
}

const keyIDPrefix = "apk"

func newKey(secret string, now time.Time) Key {
	return Key{ID: ids.New(keyIDPrefix), Hash: hashOf(secret), Name: adminName, Role: Admin, Tenant: Platform, CreatedAt: now}
}

func (s *Service) newSignIn(now time.Time) (token string, _ SignIn) {
	token = newSecret()
	return token, SignIn{Hash: hashOf(token), CreatedAt: now, ExpiresAt: now.Add(signInLife)}
}
