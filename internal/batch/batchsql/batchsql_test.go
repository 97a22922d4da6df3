package batchsql_test

import (
	"io/fs"
	"testing"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/task"
)

func migrate(t testing.TB, db *sqldb.DB) *sqldb.DB {
	t.Helper()
	for domain, schema := range map[string]fs.FS{
		"idem": idem.Schema(), "outbox": outbox.Schema(), "task": task.Schema(), "batch": batchsql.Schema(),
	} {
		if err := db.Migrate(t.Context(), domain, schema); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func TestStore(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := sqldb.One(migrate(t, fresh(t)())) // for the whole suite, as in TestShardedStore
		batchtest.Store(t, func(t *testing.T) batch.Store {
			empty(t, db)
			return batchsql.New(db.All()[0], clock.System{})
		})
	})
}
