// Package sqldbtest runs tests of what is kept in SQL on every engine.
package sqldbtest

import (
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/test/servers"
)

// Fresh makes an empty database and gives what opens it. Each call of that is a
// handle of its own, as another process would have.
type Fresh func(t *testing.T) (open func() *sqldb.DB)

// Each runs a test once for each engine.
func Each(t *testing.T, test func(t *testing.T, fresh Fresh)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, SQLite) })
	t.Run("MariaDB", func(t *testing.T) { test(t, MariaDB) })
}

// SQLite makes a file.
func SQLite(t *testing.T) func() *sqldb.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chopmark.db")
	return opener(t, func() (*sqldb.DB, error) { return sqldb.OpenSQLite(t.Context(), path) })
}

// MariaDB makes a database on the test binary's server.
func MariaDB(t *testing.T) func() *sqldb.DB {
	t.Helper()
	url := servers.MariaDB(t)
	return opener(t, func() (*sqldb.DB, error) { return sqldb.OpenMySQL(t.Context(), url, sqldb.MySQLOptions{}) })
}

// Halves makes two databases on the test binary's server, of which the second has the
// shards with odd numbers.
func Halves(t *testing.T) *sqldb.Shards {
	t.Helper()
	home, odd := MariaDB(t)(), MariaDB(t)()
	var of [ids.Shards]*sqldb.DB
	for i := 1; i < len(of); i += 2 {
		of[i] = odd
	}
	dbs, err := sqldb.Join(t.Context(), home, of)
	if err != nil {
		t.Fatal(err)
	}
	return dbs
}

func opener(t *testing.T, open func() (*sqldb.DB, error)) func() *sqldb.DB {
	return func() *sqldb.DB {
		t.Helper()
		db, err := open()
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
}
