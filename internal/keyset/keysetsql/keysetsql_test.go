package keysetsql

import (
	"testing"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysettest"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func migrated(t *testing.T, open func() *sqldb.DB) *sqldb.DB {
	t.Helper()
	db := open()
	if err := db.Migrate(t.Context(), "keyset", Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		keysettest.RunStore(t, func(t *testing.T) (keyset.Store, func() keyset.Store) {
			t.Helper()
			open := fresh(t)
			another := func() keyset.Store { return New(migrated(t, open)) }
			return another(), another
		})
	})
}
