package resolvesql

import (
	"testing"

	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/resolve"
	"github.com/chopmark/chopmark/internal/resolve/resolvetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		resolvetest.RunStore(t, func(t *testing.T) func() resolve.Store {
			t.Helper()
			open := fresh(t)
			return func() resolve.Store {
				db := open()
				if err := db.Migrate(t.Context(), "resolve", Schema()); err != nil {
					t.Fatal(err)
				}
				return New(db)
			}
		})
	})
}
