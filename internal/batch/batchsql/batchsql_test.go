package batchsql_test

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

func openDB(t *testing.T, path string) *sqldb.DB {
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
	return db
}

func migrated(t *testing.T) *sqldb.DB {
	t.Helper()
	db := openDB(t, filepath.Join(t.TempDir(), "chopmark.db"))
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
	batchtest.Store(t, func(t *testing.T) batch.Store { return batchsql.New(migrated(t), clock.System{}) })
}
