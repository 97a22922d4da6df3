package identityrpc

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

func TestAuthenticator(t *testing.T) {
	t.Parallel()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	identitytest.Migrate(t, db, identitysql.Schema())
	svc := identitytest.Service(t, identity.Config{}, identitysql.New(db, clock.System{}), clock.System{})
	const key = "a-key-that-the-operator-brought-along"
	if _, err := svc.Bootstrap(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	a := NewAuthenticator(svc, nil)
	if p, err := a.Authenticate(key); err != nil || p.Name != "admin" || p.ID == "" || !p.May("system:manage") {
		t.Errorf("Authenticate = %+v, %v", p, err)
	}
	for _, wrong := range []string{"", key + "x"} {
		if p, err := a.Authenticate(wrong); !errors.Is(err, httpx.ErrNoAuth) || p != (httpx.Principal{}) {
			t.Errorf("Authenticate of a wrong key = %+v, %v, want ErrNoAuth", p, err)
		}
	}
}
