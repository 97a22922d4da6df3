package complaintsql

import (
	"errors"
	"testing"

	"github.com/chopmark/chopmark/internal/complaint/complainttest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func world(t *testing.T, dbs *sqldb.Shards) complainttest.World {
	t.Helper()
	for _, db := range dbs.All() {
		err := errors.Join(db.Migrate(t.Context(), "outbox", outbox.Schema()), db.Migrate(t.Context(), "idem", idem.Schema()),
			db.Migrate(t.Context(), "complaint", Schema()))
		if err != nil {
			t.Fatal(err)
		}
	}
	told := outbox.New(dbs)
	return complainttest.World{Store: New(dbs, clock.Func(complainttest.Start)), Told: func(t *testing.T, brand ids.BrandID) (subjects []string) {
		t.Helper()
		events, _, err := told.Read(t.Context(), outbox.Cursor{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.BrandID == brand {
				subjects = append(subjects, e.Subject)
			}
		}
		return subjects
	}}
}

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		complainttest.RunStore(t, func(t *testing.T) complainttest.World { return world(t, sqldb.One(fresh(t)())) })
	})
}

// TestStoreOverTwoDatabases: a brand's complaints are where the brand is.
func TestStoreOverTwoDatabases(t *testing.T) {
	t.Parallel()
	complainttest.RunStore(t, func(t *testing.T) complainttest.World { return world(t, sqldbtest.Halves(t)) })
}
