package identitysql

import (
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		open := func(t *testing.T) (identity.Store, func() identity.Store) {
			t.Helper()
			open := fresh(t)
			another := func() identity.Store {
				db := open()
				identitytest.Migrate(t, db, Schema())
				return New(db, clock.System{})
			}
			return another(), another
		}
		identitytest.RunStore(t, open)
		identitytest.RunPeople(t, open)
	})
}

// TestEndSignIns: a link that may have been used since the copy was made is no link.
func TestEndSignIns(t *testing.T) {
	t.Parallel()
	db := sqldbtest.SQLite(t)()
	identitytest.Migrate(t, db, Schema())
	s, now := New(db, clock.System{}), time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	link := identity.SignIn{Hash: identity.Hash{1}, CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour)}
	if err := s.AddSignIn(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	if err := s.EndSignIns(t.Context(), now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.UseSignIn(t.Context(), link.Hash, identity.Key{ID: "key_1", CreatedAt: now.Add(time.Hour)}); err == nil {
		t.Error("it was used")
	}
	if empty, err := s.New(t.Context(), now.Add(time.Hour)); err != nil || !empty {
		t.Errorf("an installation without any credential: %v, %v", empty, err)
	}
}
