// Package identitytest holds every engine of identity to its contract.
package identitytest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
)

// racers is how many ask at once where only one may win.
const racers = 64

// Start is when the suite's credentials are made.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// RunStore runs the contract of identity.Store. open gives an empty store, and
// reopen the same store as another process would see it.
func RunStore(t *testing.T, open func(t *testing.T) (s identity.Store, reopen func() identity.Store)) {
	t.Run("EmptyIsNew", func(t *testing.T) {
		s, _ := open(t)
		wantNew(t, s, Start(), true)
		wantKeys(t, s)
	})
	t.Run("FoundWithKey", func(t *testing.T) { foundWithKey(t, open) })
	t.Run("FoundWithSignIn", func(t *testing.T) { foundWithSignIn(t, open) })
	t.Run("FoundOnce", func(t *testing.T) { foundOnce(t, open) })
	t.Run("UseGivesOneKey", func(t *testing.T) { useGivesOneKey(t, open) })
	t.Run("UseRefuses", func(t *testing.T) { useRefuses(t, open) })
	t.Run("UseIsAllOrNothing", func(t *testing.T) {
		s, _ := open(t)
		signIn, k := NewSignIn(1), NewKey(1)
		must(t, s.AddSignIn(t.Context(), signIn))
		must(t, s.AddSignIn(t.Context(), NewSignIn(2)))
		must(t, s.UseSignIn(t.Context(), signIn.Hash, k))
		if err := s.UseSignIn(t.Context(), NewSignIn(2).Hash, k); err == nil {
			t.Fatal("the same key was stored twice")
		}
		got, err := s.SignIn(t.Context(), NewSignIn(2).Hash)
		must(t, err)
		if diff := cmp.Diff(NewSignIn(2), got); diff != "" {
			t.Errorf("a refused use left its mark (-want +got):\n%s", diff)
		}
	})
	t.Run("Revoke", func(t *testing.T) { revoke(t, open) })
	t.Run("RevokeLeavesOne", func(t *testing.T) { revokeLeavesOne(t, open) })
}

type opener func(t *testing.T) (identity.Store, func() identity.Store)

// NewKey makes a key of the suite; the same n gives the same hash.
func NewKey(n byte) identity.Key {
	return identity.Key{
		ID: ids.New("apk"), Hash: identity.Hash{n, 0xff, 0}, Name: "admin 管理员", Role: identity.Admin, Tenant: identity.Platform,
		CreatedAt: Start().Add(time.Duration(n) * time.Second),
	}
}

// NewSignIn makes a sign-in of the suite that lives an hour.
func NewSignIn(n byte) identity.SignIn {
	return identity.SignIn{Hash: identity.Hash{n, 0, 0xff}, CreatedAt: Start(), ExpiresAt: Start().Add(time.Hour)}
}

func foundWithKey(t *testing.T, open opener) {
	s, reopen := open(t)
	k := NewKey(1)
	wantFound(t, s, identity.Credential{Key: &k}, Start(), true)
	wantNew(t, s, Start(), false)
	other, signIn := NewKey(2), NewSignIn(1)
	wantFound(t, s, identity.Credential{Key: &other}, Start().Add(48*time.Hour), false)
	wantFound(t, s, identity.Credential{SignIn: &signIn}, Start().Add(48*time.Hour), false)
	wantKeys(t, s, k)
	wantKeys(t, reopen(), k)
}

func foundWithSignIn(t *testing.T, open opener) {
	s, reopen := open(t)
	first, second, k := NewSignIn(1), NewSignIn(2), NewKey(1)
	wantFound(t, s, identity.Credential{SignIn: &first}, Start(), true)
	last := first.ExpiresAt.Add(-time.Microsecond)
	wantNew(t, s, last, false)
	wantFound(t, s, identity.Credential{Key: &k}, last, false)
	wantNew(t, reopen(), first.ExpiresAt, true)
	second.ExpiresAt = first.ExpiresAt.Add(time.Hour)
	wantFound(t, s, identity.Credential{SignIn: &second}, first.ExpiresAt, true)
	wantFound(t, s, identity.Credential{Key: &k}, first.ExpiresAt, false)
	wantKeys(t, s)
	for _, want := range []identity.SignIn{first, second} {
		got, err := reopen().SignIn(t.Context(), want.Hash)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sign-in (-want +got):\n%s", diff)
		}
	}
	// a used one stands for its key, however old it is
	must(t, s.UseSignIn(t.Context(), second.Hash, NewKey(9)))
	wantNew(t, s, second.ExpiresAt.Add(time.Hour), false)
}

func foundOnce(t *testing.T, open opener) {
	s, _ := open(t)
	won := race(t, func(i int) error {
		k := NewKey(byte(i))
		stored, err := s.Found(t.Context(), identity.Credential{Key: &k}, Start())
		if err == nil && !stored {
			err = errLost
		}
		return err
	}, errLost)
	keys, err := s.Keys(t.Context())
	must(t, err)
	if won != 1 || len(keys) != 1 {
		t.Errorf("%d were told that they founded, %d keys are there, want 1 and 1", won, len(keys))
	}
}

var errLost = errors.New("another was first")

func useGivesOneKey(t *testing.T, open opener) {
	s, reopen := open(t)
	signIn := NewSignIn(1)
	must(t, s.AddSignIn(t.Context(), signIn))
	won := race(t, func(i int) error { return s.UseSignIn(t.Context(), signIn.Hash, NewKey(byte(i))) }, identity.ErrSignInUsed)
	keys, err := reopen().Keys(t.Context())
	must(t, err)
	if won != 1 || len(keys) != 1 {
		t.Fatalf("%d were told that they have a key, %d keys are there, want 1 and 1", won, len(keys))
	}
	got, err := reopen().SignIn(t.Context(), signIn.Hash)
	must(t, err)
	signIn.UsedAt, signIn.KeyID = keys[0].CreatedAt, keys[0].ID
	if diff := cmp.Diff(signIn, got); diff != "" {
		t.Errorf("the used sign-in (-want +got):\n%s", diff)
	}
}

func useRefuses(t *testing.T, open opener) {
	s, _ := open(t)
	signIn, k := NewSignIn(1), NewKey(1)
	must(t, s.AddSignIn(t.Context(), signIn))
	wantError(t, s.UseSignIn(t.Context(), NewSignIn(2).Hash, k), identity.ErrUnknownSignIn)
	_, err := s.SignIn(t.Context(), NewSignIn(2).Hash)
	wantError(t, err, identity.ErrUnknownSignIn)
	k.CreatedAt = signIn.ExpiresAt
	wantError(t, s.UseSignIn(t.Context(), signIn.Hash, k), identity.ErrSignInExpired)
	wantKeys(t, s)
	k.CreatedAt = signIn.ExpiresAt.Add(-time.Microsecond)
	must(t, s.UseSignIn(t.Context(), signIn.Hash, k))
	late := NewKey(2)
	late.CreatedAt = signIn.ExpiresAt.Add(time.Hour)
	wantError(t, s.UseSignIn(t.Context(), signIn.Hash, late), identity.ErrSignInUsed)
	wantKeys(t, s, k)
}

func revoke(t *testing.T, open opener) {
	s, reopen := open(t)
	a, b := NewKey(1), NewKey(2)
	add(t, s, a, b)
	end := Start().Add(time.Hour)
	wantError(t, s.Revoke(t.Context(), ids.New("apk"), end), identity.ErrUnknownKey)
	must(t, s.Revoke(t.Context(), a.ID, end))
	must(t, s.Revoke(t.Context(), a.ID, end.Add(time.Hour)))
	a.RevokedAt = end
	wantError(t, s.Revoke(t.Context(), b.ID, end), identity.ErrLastKey)
	wantKeys(t, reopen(), a, b)
	wantNew(t, s, Start().Add(48*time.Hour), false)
}

func revokeLeavesOne(t *testing.T, open opener) {
	s, _ := open(t)
	a, b := NewKey(1), NewKey(2)
	add(t, s, a, b)
	won := race(t, func(i int) error {
		return s.Revoke(t.Context(), []string{a.ID, b.ID}[i%2], Start())
	}, identity.ErrLastKey)
	keys, err := s.Keys(t.Context())
	must(t, err)
	living := 0
	for _, k := range keys {
		if k.RevokedAt.IsZero() {
			living++
		}
	}
	if living != 1 || won == racers {
		t.Errorf("%d keys live after %d of %d revocations went through, want 1", living, won, racers)
	}
}

// race lets many run at once and counts those without an error; the others must
// have been refused with lost.
func race(t *testing.T, fn func(i int) error, lost error) (won int) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, racers)
	for i := range racers {
		wg.Go(func() {
			<-start
			errs[i] = fn(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, lost):
			t.Errorf("a loser got %v, want %v", err, lost)
		}
	}
	return won
}

// add stores keys by way of sign-ins.
func add(t *testing.T, s identity.Store, keys ...identity.Key) {
	for i, k := range keys {
		signIn := NewSignIn(byte(100 + i))
		must(t, s.AddSignIn(t.Context(), signIn))
		must(t, s.UseSignIn(t.Context(), signIn.Hash, k))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func wantNew(t *testing.T, s identity.Store, now time.Time, want bool) {
	t.Helper()
	got, err := s.New(t.Context(), now)
	must(t, err)
	if got != want {
		t.Errorf("New at %s = %v, want %v", now, got, want)
	}
}

func wantFound(t *testing.T, s identity.Store, c identity.Credential, now time.Time, want bool) {
	t.Helper()
	got, err := s.Found(t.Context(), c, now)
	must(t, err)
	if got != want {
		t.Errorf("Found = %v, want %v", got, want)
	}
}

func wantKeys(t *testing.T, s identity.Store, want ...identity.Key) {
	t.Helper()
	got, err := s.Keys(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
