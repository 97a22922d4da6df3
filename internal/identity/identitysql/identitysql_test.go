package identitysql

import (
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		identitytest.RunStore(t, func(t *testing.T) (identity.Store, func() identity.Store) {
			t.Helper()
			open := fresh(t)
			another := func() identity.Store {
				db := open()
				if err := db.Migrate(t.Context(), "identity", Schema()); err != nil {
					t.Fatal(err)
				}
				return New(db)
			}
			return another(), another
		})
	})
}
