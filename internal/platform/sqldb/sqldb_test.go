package sqldb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chopmark/chopmark/test/servers"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	return closing(t)(OpenSQLite(t.Context(), path))
}

func closing(t *testing.T) func(*DB, error) *DB {
	return func(db *DB, err error) *DB {
		t.Helper()
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

// each runs a test on every engine. open opens the same database each time, as
// processes would.
func each(t *testing.T, test func(t *testing.T, open func() *DB)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "chopmark.db")
		test(t, func() *DB { return open(t, path) })
	})
	t.Run("MariaDB", func(t *testing.T) { test(t, mariadb(t)) })
}

func mariadb(t *testing.T) func() *DB {
	t.Helper()
	url := servers.MariaDB(t)
	return func() *DB { return closing(t)(OpenMySQL(t.Context(), url, MySQLOptions{})) }
}

const create = "-- +goose Up\nCREATE TABLE things (id INTEGER PRIMARY KEY, name VARCHAR(64) NOT NULL UNIQUE);\n"

// of is a schema of one migration, for both dialects.
func of(name, text string) fstest.MapFS {
	file := &fstest.MapFile{Data: []byte(text)}
	return fstest.MapFS{"sqlite/" + name: file, "mysql/" + name: file}
}

func migrate(t *testing.T, db *DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), "things", of("00001_things.sql", create)); err != nil {
		t.Fatal(err)
	}
}

func things(t *testing.T, open func() *DB) *DB {
	t.Helper()
	db := open()
	migrate(t, db)
	return db
}

func openThings(t *testing.T) *DB {
	t.Helper()
	db := open(t, filepath.Join(t.TempDir(), "chopmark.db"))
	migrate(t, db)
	return db
}

func add(ctx context.Context, tx *Tx, id int, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO things (id, name) VALUES (?, ?)`, id, name)
	return err
}

func count(t *testing.T, q Querier) (n int) {
	t.Helper()
	if err := q.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM things`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReadersSeeWhatWasCommitted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := things(t, open)
		for i := range 50 {
			err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
				if err := add(ctx, tx, i, strings.Repeat("x", i)); err != nil {
					return err
				}
				if n := count(t, db.Reader()); n != i {
					t.Errorf("before the commit a reader sees %d things, want %d", n, i)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if n := count(t, db.Reader()); n != i+1 {
				t.Fatalf("after the commit a reader sees %d things, want %d", n, i+1)
			}
		}
	})
}

var errGivenUp = errors.New("given up")

func TestNothingStaysOfWhatFailed(t *testing.T) {
	t.Parallel()
	db := openThings(t)
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return errors.Join(add(ctx, tx, 1, "a"), errGivenUp) })
	if !errors.Is(err, errGivenUp) {
		t.Errorf("error = %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	err = db.Write(cancelled, func(ctx context.Context, tx *Tx) error {
		err := add(ctx, tx, 2, "b")
		cancel()
		return errors.Join(err, add(ctx, tx, 3, "c"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	err = db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { // fails at the commit
		_, err := tx.ExecContext(ctx, `PRAGMA defer_foreign_keys = 1`)
		_, err2 := tx.ExecContext(ctx, `CREATE TABLE parts (of INTEGER REFERENCES things (id))`)
		_, err3 := tx.ExecContext(ctx, `INSERT INTO parts (of) VALUES (99)`)
		return errors.Join(err, err2, err3, add(ctx, tx, 4, "d"))
	})
	if err == nil || !strings.Contains(err.Error(), "commit in "+db.Name()) {
		t.Errorf("a commit that breaks a constraint: %v", err)
	}
	if n := count(t, db.Reader()); n != 0 {
		t.Errorf("%d things stayed", n)
	}
	if err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return add(ctx, tx, 5, "e") }); err != nil {
		t.Errorf("the next write: %v", err)
	}
}

// TestCommitIsNotCancelled pins that the outcome of a commit is always known: who
// asked may go away in the last moment before it.
func TestCommitIsNotCancelled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := things(t, open)
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Write(ctx, func(ctx context.Context, tx *Tx) error {
			defer cancel()
			return add(ctx, tx, 1, "a")
		})
		if err != nil || count(t, db.Reader()) != 1 {
			t.Errorf("%v, %d things; want one", err, count(t, db.Reader()))
		}
	})
}

// TestPanicReleasesTheWriter: a server survives the panic of one request, and there
// is only one writer.
func TestPanicReleasesTheWriter(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := things(t, open)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
				_ = add(ctx, tx, 1, "a")
				panic("a bug")
			})
		}()
		if write, _ := db.Pools(); write.InUse != 0 {
			t.Fatalf("%d writers are still in use", write.InUse)
		}
		if err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return add(ctx, tx, 2, "b") }); err != nil {
			t.Fatal(err)
		}
		if n := count(t, db.Reader()); n != 1 {
			t.Errorf("%d things, want the second alone", n)
		}
	})
}

func TestWritersTakeTurns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "chopmark.db")
	handles := []*DB{open(t, path), open(t, path)} // as two processes
	migrate(t, handles[0])
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			err := handles[i%2].Write(t.Context(), func(ctx context.Context, tx *Tx) error {
				var n int
				if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM things`).Scan(&n); err != nil {
					return err
				}
				return add(ctx, tx, n, strings.Repeat("x", n)) // two at once would take the same n
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := count(t, handles[1].Reader()); n != 16 {
		t.Errorf("%d things, want 16", n)
	}
}

func TestIsDuplicate(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := things(t, open)
		try := func(id int, name any) error {
			return db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO things (id, name) VALUES (?, ?)`, id, name)
				return err
			})
		}
		if err := try(1, "a"); err != nil || IsDuplicate(err) {
			t.Fatal(err)
		}
		if err := try(1, "b"); !IsDuplicate(err) {
			t.Errorf("the same primary key: %v", err)
		}
		if err := try(2, "a"); !IsDuplicate(err) {
			t.Errorf("the same unique name: %v", err)
		}
		if err := try(3, nil); err == nil || IsDuplicate(err) || IsFull(err) {
			t.Errorf("no name at all: %v", err)
		}
		if IsDuplicate(sql.ErrNoRows) || IsFull(sql.ErrNoRows) {
			t.Error("no rows are no duplicate")
		}
	})
}

func TestIsFull(t *testing.T) {
	t.Parallel()
	db := openThings(t)
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		if _, err := tx.ExecContext(ctx, `PRAGMA max_page_count = 1`); err != nil {
			return err
		}
		for i := range 1000 {
			if err := add(ctx, tx, i, strings.Repeat("x", 5000)+string(rune(i))); err != nil {
				return err
			}
		}
		return nil
	})
	if !IsFull(err) {
		t.Errorf("a full database: %v", err)
	}
}

// sound makes a database with some pages and gives its file.
func sound(t *testing.T) (path string, raw []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "chopmark.db")
	db, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, db)
	err = db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		for i := range 200 {
			if err := add(ctx, tx, i, strings.Repeat("x", 300)+string(rune('a'+i))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, raw
}

func TestDamagedFileIsRefusedWithItsName(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(raw []byte) []byte{
		"not a database": func([]byte) []byte { return bytes.Repeat([]byte("not a database. "), 1000) },
		"header":         func(raw []byte) []byte { copy(raw, "XXXXXXXXXXXXXXXX"); return raw },
		"cut in a page":  func(raw []byte) []byte { return raw[:len(raw)/2+100] },
		"cut after one":  func(raw []byte) []byte { return raw[:4096] },
		"page in the middle": func(raw []byte) []byte {
			copy(raw[len(raw)/4096/2*4096:], bytes.Repeat([]byte{0xff}, 4096))
			return raw
		},
	} {
		path, raw := sound(t)
		raw = damage(raw)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := OpenSQLite(t.Context(), path)
		if err == nil {
			t.Errorf("%s: the file was opened", name)
			_ = db.Close()
			continue
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v; want it to name the file and say what is wrong", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, raw) {
			t.Errorf("%s: the file was changed, which may hinder its rescue (%v)", name, err)
		}
	}
}

func TestWhatCannotBeOpenedIsNotCalledDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "no such folder", "chopmark.db")
	db, err := OpenSQLite(t.Context(), path)
	if err == nil {
		t.Fatal(db.Close(), "it was opened")
	}
	if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v; want the name, and no call to restore a backup", err)
	}
}

func TestPathsMayHaveAnyCharacters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%20e&茶.db")
	migrate(t, open(t, path))
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestMigrateTwiceIsOnce(t *testing.T) {
	t.Parallel()
	db := openThings(t)
	migrate(t, db)
	more := of("00001_things.sql", create)
	more["sqlite/00002_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE things ADD COLUMN colour VARCHAR(16) NOT NULL DEFAULT '';\n")}
	if err := db.Migrate(t.Context(), "things", more); err != nil {
		t.Fatal(err)
	}
	bad := of("00001_bad.sql", "-- +goose Up\nCREATE TABLE half (id INTEGER);\nCREATE NONSENSE;\n")
	if err := db.Migrate(t.Context(), "bad", bad); err == nil || !strings.Contains(err.Error(), db.Name()) {
		t.Errorf("a bad migration: %v", err)
	}
	var n int
	if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM sqlite_master WHERE name = 'half'`).Scan(&n); err != nil || n != 0 {
		t.Errorf("half of a bad migration stayed: %d, %v", n, err)
	}
}

func TestTimesRoundTrip(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{{}, time.UnixMicro(1).UTC(), time.Date(2026, 3, 1, 8, 0, 0, 123456000, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		if got := Time(Micros(at)); !got.Equal(at) || got.IsZero() != at.IsZero() || got.Location() != time.UTC {
			t.Errorf("%v comes back as %v", at, got)
		}
	}
}

func TestCollectGivesTheScansError(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := things(t, open)
		if err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return add(ctx, tx, 1, "a") }); err != nil {
			t.Fatal(err)
		}
		_, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (int, error) { return 0, errGivenUp }, `SELECT id FROM things`)
		if !errors.Is(err, errGivenUp) {
			t.Errorf("error = %v", err)
		}
		all, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (name string, err error) {
			err = r.Scan(&name)
			return name, err
		}, `SELECT name FROM things WHERE id > ?`, 0)
		if err != nil || len(all) != 1 || all[0] != "a" {
			t.Errorf("Collect = %v, %v", all, err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestCopyTo copies while others write: the copy is a state that was committed.
func TestCopyTo(t *testing.T) {
	t.Parallel()
	db := openThings(t)
	two := func(i int) error { // always in pairs
		return db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
			return errors.Join(add(ctx, tx, 2*i, fmt.Sprint("a", i)), add(ctx, tx, 2*i+1, fmt.Sprint("b", i)))
		})
	}
	const before = 20
	for i := range before {
		if err := two(i); err != nil {
			t.Fatal(err)
		}
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := before; i < 10*before; i++ {
			if err := two(i); err != nil {
				t.Error(err)
			}
		}
	})
	path := filepath.Join(t.TempDir(), "copy ?.db") // a name that is no address
	if err := db.CopyTo(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	writer.Wait()
	if n := count(t, open(t, path).Reader()); n < 2*before || n%2 != 0 {
		t.Errorf("the copy has %d things", n)
	}
	if err := db.CopyTo(t.Context(), path); err == nil {
		t.Error("a copy took the place of another")
	}
}
