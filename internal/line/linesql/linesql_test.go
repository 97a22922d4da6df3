package linesql

import (
	"errors"
	"testing"

	"github.com/chopmark/chopmark/internal/line/linetest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func engine(t *testing.T, dbs *sqldb.Shards) linetest.Engine {
	t.Helper()
	for _, db := range dbs.All() {
		if err := errors.Join(db.Migrate(t.Context(), "idem", idem.Schema()), db.Migrate(t.Context(), "line", Schema())); err != nil {
			t.Fatal(err)
		}
	}
	return New(dbs, clock.Func(linetest.Start))
}

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		linetest.RunStore(t, func(t *testing.T) linetest.Engine { return engine(t, sqldb.One(fresh(t)())) })
	})
}

// TestStoreOverTwoDatabases: a brand's containers are where the brand is.
func TestStoreOverTwoDatabases(t *testing.T) {
	t.Parallel()
	linetest.RunStore(t, func(t *testing.T) linetest.Engine { return engine(t, sqldbtest.Halves(t)) })
}

func TestModel(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) { linetest.RunModel(t, engine(t, sqldb.One(fresh(t)()))) })
}

// TestLinesAtOnce: two processes, and several lines of each.
func TestLinesAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		open := fresh(t)
		linetest.RunAtOnce(t, engine(t, sqldb.One(open())), engine(t, sqldb.One(open())))
	})
}
