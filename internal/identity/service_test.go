package identity_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const given = "a-key-that-the-operator-brought-along"

// world is one installation; start is what a process does when it comes up.
type world struct {
	path string
	now  atomic.Int64 // seconds after identitytest.Start
	cfg  identity.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{path: filepath.Join(t.TempDir(), "chopmark.db")}
}

func (w *world) clock() clock.Clock {
	return clock.Func(func() time.Time { return identitytest.Start().Add(time.Duration(w.now.Load()) * time.Second) })
}

func (w *world) pass(d time.Duration) { w.now.Add(int64(d / time.Second)) }

func (w *world) open(t *testing.T) *identity.Service {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), w.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	identitytest.Migrate(t, db, identitysql.Schema())
	return identitytest.Service(t, w.cfg, identitysql.New(db, w.clock()), w.clock())
}

func (w *world) start(t *testing.T, givenKey string) (*identity.Service, string) {
	t.Helper()
	s := w.open(t)
	token, err := s.Bootstrap(t.Context(), givenKey)
	if err != nil {
		t.Fatal(err)
	}
	return s, token
}

func wantAdmin(t *testing.T, s *identity.Service, key string) (id string) {
	t.Helper()
	p, err := s.Authenticate(t.Context(), key)
	if err != nil || p.Role != identity.Admin || p.Name != "admin" || !ids.Valid("apk", p.ID) || p.Tenant != identity.Platform {
		t.Fatalf("Authenticate = %+v, %v, want an administrator", p, err)
	}
	return p.ID
}

func wantNobody(t *testing.T, s *identity.Service, key string) {
	t.Helper()
	if p, err := s.Authenticate(t.Context(), key); !errors.Is(err, identity.ErrBadKey) || p != nil {
		t.Errorf("Authenticate(%q) = %+v, %v, want ErrBadKey", key, p, err)
	}
}

func wantState(t *testing.T, s *identity.Service, token string, want identity.SignInState) {
	t.Helper()
	if got, err := s.OpenSignIn(t.Context(), token); err != nil || got != want {
		t.Errorf("OpenSignIn = %v, %v, want %v", got, err, want)
	}
}

func TestGivenKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.start(t, given)
	if token != "" {
		t.Error("a token came beside a given key")
	}
	first := wantAdmin(t, s, given)
	for _, wrong := range []string{"", given[1:], given + "x", strings.ToUpper(given), strings.Repeat("x", 4096)} {
		wantNobody(t, s, wrong)
	}
	w.pass(48 * time.Hour)
	for _, later := range []string{given + "-another", "", "short"} {
		s, token = w.start(t, later)
		if token != "" {
			t.Errorf("a later start with %q gave a token", later)
		}
		if got := wantAdmin(t, s, given); got != first {
			t.Errorf("a later start changed the key: %s, was %s", got, first)
		}
		wantNobody(t, s, later)
	}
}

func TestGivenKeyMustBeGood(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"31 bytes": strings.Repeat("k", 31), "513 bytes": strings.Repeat("k", 513),
		"space": strings.Repeat("k", 40) + " k", "newline": strings.Repeat("k", 40) + "\n", "not ASCII": strings.Repeat("钥", 20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newWorld(t).open(t)
			token, err := s.Bootstrap(t.Context(), key)
			if token != "" || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "CHOPMARK_ADMIN_KEY") {
				t.Fatalf("Bootstrap = %q, %v, want a refusal that names the variable", token, err)
			}
			if strings.Contains(err.Error(), key[:8]) {
				t.Errorf("the refusal repeats the key: %v", err)
			}
			if _, err := s.Bootstrap(t.Context(), given); err != nil {
				t.Errorf("after a refusal a good key is not taken: %v", err)
			}
		})
	}
	for _, n := range []int{32, 512} {
		s, _ := newWorld(t).start(t, strings.Repeat("k", n))
		wantAdmin(t, s, strings.Repeat("k", n))
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.start(t, "")
	if len(token) != 43 {
		t.Fatalf("the token has %d characters, want 43", len(token))
	}
	wantNobody(t, s, token)
	w.pass(24*time.Hour - time.Second)
	again, none := w.start(t, given) // the one that was printed still stands
	if none != "" {
		t.Error("a start beside a valid token gave another")
	}
	wantNobody(t, again, given)
	wantState(t, s, token, identity.Valid)
	wantState(t, s, token, identity.Valid)
	key, err := s.UseSignIn(t.Context(), token)
	if err != nil || !strings.HasPrefix(key, "cmk_") || len(key) != 4+43 {
		t.Fatalf("UseSignIn gave %d characters, %v", len(key), err)
	}
	p := wantAdmin(t, s, key)
	if got := wantAdmin(t, w.open(t), key); got != p {
		t.Errorf("after a start the key is %+v, was %+v", got, p)
	}
	for range 2 {
		wantState(t, s, token, identity.Used)
		if again, err := s.UseSignIn(t.Context(), token); again != "" || !errors.Is(err, identity.ErrSignInUsed) {
			t.Errorf("a replay = %q, %v, want ErrSignInUsed", again, err)
		}
		w.pass(48 * time.Hour)
	}
	wantNobody(t, again, key)
	if err := again.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAdmin(t, again, key)
}

func TestUnknownTokens(t *testing.T) {
	t.Parallel()
	s, token := newWorld(t).start(t, "")
	for _, wrong := range []string{"", "x", token[1:], token + "A", strings.Repeat("A", 43), strings.Repeat("x", 1<<16)} {
		if _, err := s.OpenSignIn(t.Context(), wrong); !errors.Is(err, identity.ErrUnknownSignIn) {
			t.Errorf("OpenSignIn = %v, want ErrUnknownSignIn", err)
		}
		if key, err := s.UseSignIn(t.Context(), wrong); key != "" || !errors.Is(err, identity.ErrUnknownSignIn) {
			t.Errorf("UseSignIn = %q, %v, want ErrUnknownSignIn", key, err)
		}
	}
	wantState(t, s, token, identity.Valid)
}

func TestExpiredSignInLocksNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.start(t, "")
	w.pass(24 * time.Hour)
	wantState(t, s, token, identity.Expired)
	if key, err := s.UseSignIn(t.Context(), token); key != "" || !errors.Is(err, identity.ErrSignInExpired) {
		t.Fatalf("UseSignIn of an expired token = %q, %v", key, err)
	}
	s, next := w.start(t, "")
	if next == "" || next == token {
		t.Fatal("no new token after the first expired")
	}
	wantState(t, s, token, identity.Expired)
	key, err := s.UseSignIn(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	wantAdmin(t, s, key)
}

func TestNewSignInAndRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	first := wantAdmin(t, s, given)
	if err := s.Revoke(t.Context(), s.OperatorOfMachine(), first); !errors.Is(err, identity.ErrLastKey) {
		t.Fatalf("revoking the last key = %v, want ErrLastKey", err)
	}
	for _, id := range []string{"", "apk_", ids.New("apk"), "apk_'; DROP TABLE"} {
		if err := s.Revoke(t.Context(), s.OperatorOfMachine(), id); !errors.Is(err, identity.ErrUnknownKey) {
			t.Errorf("Revoke(%q) = %v, want ErrUnknownKey", id, err)
		}
	}
	token, err := s.NewSignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second)
	key, err := s.UseSignIn(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), s.OperatorOfMachine(), first); err != nil {
		t.Fatal(err)
	}
	for _, svc := range []*identity.Service{s, w.open(t)} {
		wantNobody(t, svc, given)
		wantAdmin(t, svc, key)
	}
	all, err := s.Keys(t.Context(), s.OperatorOfMachine())
	if err != nil || len(all) != 2 || all[0].RevokedAt.IsZero() || !all[1].RevokedAt.IsZero() {
		t.Errorf("Keys = %+v, %v, want the revoked one and the living one", all, err)
	}
}

// failing is a store whose commits are known to have failed.
type failing struct{ identity.Store }

var errDisk = errors.New("the disk is full")

func (failing) UseSignIn(context.Context, identity.Hash, identity.Key) error { return errDisk }

// TestNoKeyWithoutCommit: what was not stored is not answered and opens nothing.
func TestNoKeyWithoutCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, token := w.start(t, "")
	db, err := sqldb.OpenSQLite(t.Context(), w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := identitytest.Service(t, w.cfg, failing{identitysql.New(db, w.clock())}, w.clock())
	if key, err := s.UseSignIn(t.Context(), token); key != "" || !errors.Is(err, errDisk) {
		t.Errorf("UseSignIn = %q, %v, want no key and the failure", key, err)
	}
	wantState(t, w.open(t), token, identity.Valid)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if key, err := w.open(t).UseSignIn(gone, token); key != "" || err == nil {
		t.Errorf("UseSignIn for one who has left = %q, %v", key, err)
	}
	wantState(t, w.open(t), token, identity.Valid)
}

// TestSecretsAreNotStored looks at the database's own bytes.
func TestSecretsAreNotStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, token := w.start(t, "")
	key, err := s.UseSignIn(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var stored strings.Builder
	files, err := filepath.Glob(w.path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		stored.Write(raw)
	}
	for what, secret := range map[string]string{"key": key, "key's random part": key[4:], "token": token} {
		if strings.Contains(stored.String(), secret) {
			t.Errorf("the %s is in the database", what)
		}
	}
	if hash := sha256.Sum256([]byte(key)); !strings.Contains(stored.String(), string(hash[:])) {
		t.Error("the key's hash is not in the database: this test looks in the wrong place")
	}
}
