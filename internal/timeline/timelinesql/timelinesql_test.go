package timelinesql

import (
	"testing"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/timeline/timelinetest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		timelinetest.Run(t, func(t *testing.T) timelinetest.World {
			db := fresh(t)()
			if err := db.Migrate(t.Context(), "outbox", outbox.Schema()); err != nil {
				t.Fatal(err)
			}
			if err := db.Migrate(t.Context(), "timeline", Schema()); err != nil {
				t.Fatal(err)
			}
			return timelinetest.World{Store: Over(sqldb.One(db), clock.System{}), Outbox: outbox.New(sqldb.One(db))}
		})
	})
}
