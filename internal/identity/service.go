package identity

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Service is the domain's use cases. It is safe for concurrent use.
type Service struct {
	store   Store
	clock   clock.Clock
	loading sync.Mutex            // held from reading the keys to showing them, so that none shows older ones
	living  atomic.Pointer[[]Key] // replaced whole
}

// NewService loads the keys.
func NewService(ctx context.Context, store Store, c clock.Clock) (*Service, error) {
	s := &Service{store: store, clock: c}
	if err := s.Reload(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the keys again. This process sees its own changes at once; one that
// shares its database with others calls Reload to see theirs.
func (s *Service) Reload(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	all, err := s.store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("load API keys: %w", err)
	}
	living := make([]Key, 0, len(all))
	for _, k := range all {
		if k.RevokedAt.IsZero() {
			living = append(living, k)
		}
	}
	s.living.Store(&living)
	return nil
}

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
	stored, err := s.store.Found(ctx, Credential{Key: &k}, now)
	if err != nil {
		return "", wrap("store the given admin key", err)
	}
	if !stored { // another process was first: what it stored counts
		return "", s.Reload(ctx)
	}
	s.update(k)
	return "", nil
}

// Authenticate tells whose key it is, or ErrBadKey. It works in memory alone.
func (s *Service) Authenticate(bearer string) (Principal, error) {
	if len(bearer) > bearerMax {
		return Principal{}, ErrBadKey
	}
	hash := hashOf(bearer)
	keys := *s.living.Load()
	found := -1
	for i := range keys { // all of them: how long it takes tells nothing of where one is
		if subtle.ConstantTimeCompare(keys[i].Hash[:], hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return Principal{}, ErrBadKey
	}
	k := &keys[found]
	return Principal{KeyID: k.ID, Name: k.Name, Role: k.Role}, nil
}

// NewSignIn makes a further sign-in link, for an operator at the machine who has
// lost the keys or wants another one.
func (s *Service) NewSignIn(ctx context.Context) (token string, _ error) {
	if len(*s.living.Load()) >= livingKeysMax {
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
	if len(*s.living.Load()) >= livingKeysMax {
		return "", ErrTooManyKeys
	}
	secret := keyPrefix + newSecret()
	k := newKey(secret, s.clock.Now())
	if err := s.store.UseSignIn(ctx, hashOf(token), k); err != nil {
		return "", wrap("use a sign-in", err)
	}
	s.update(k)
	return secret, nil
}

// Keys lists all keys, revoked ones too, in the order of creation.
func (s *Service) Keys(ctx context.Context) ([]Key, error) { return s.store.Keys(ctx) }

// Revoke ends a key; the last one is refused.
func (s *Service) Revoke(ctx context.Context, id string) error {
	if !ids.Valid(keyIDPrefix, id) {
		return ErrUnknownKey
	}
	now := s.clock.Now()
	if err := s.store.Revoke(ctx, id, now); err != nil {
		return wrap("revoke a key", err)
	}
	s.update(Key{ID: id, RevokedAt: now})
	return nil
}

// update shows what was just committed. It reads nothing, so it cannot fail after
// the fact.
func (s *Service) update(k Key) {
	s.loading.Lock()
	defer s.loading.Unlock()
	living := slices.DeleteFunc(slices.Clone(*s.living.Load()), func(o Key) bool { return o.ID == k.ID })
	if k.RevokedAt.IsZero() {
		living = append(living, k)
	}
	s.living.Store(&living)
}

const keyIDPrefix = "apk"

func newKey(secret string, now time.Time) Key {
	return Key{ID: ids.New(keyIDPrefix), Hash: hashOf(secret), Name: adminName, Role: Admin, CreatedAt: now}
}

func (s *Service) newSignIn(now time.Time) (token string, _ SignIn) {
	token = newSecret()
	return token, SignIn{Hash: hashOf(token), CreatedAt: now, ExpiresAt: now.Add(signInLife)}
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
