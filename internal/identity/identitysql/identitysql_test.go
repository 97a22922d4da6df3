package identitysql

import (
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

func open(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context(), "identity", Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestStore(t *testing.T) {
	t.Parallel()
	identitytest.RunStore(t, func(t *testing.T) (identity.Store, func() identity.Store) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "chopmark.db")
		return New(open(t, path)), func() identity.Store { return New(open(t, path)) }
	})
}
