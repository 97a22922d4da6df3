package keysetsql

import (
	"testing"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysettest"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		keysettest.RunStore(t, func(t *testing.T) (keyset.Store, func() keyset.Store) {
			t.Helper()
			open := fresh(t)
			another := func() keyset.Store {
				db := open()
				if err := db.Migrate(t.Context(), "keyset", Schema()); err != nil {
					t.Fatal(err)
				}
				return New(db)
			}
			return another(), another
		})
	})
}
