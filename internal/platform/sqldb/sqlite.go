package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	sqliteReaders = 8
	// Above this size the start no longer reads the whole file to look for damage;
	// SQLite then reports it at the page where it meets it.
	quickCheckBytesMax = 256 << 20
	busyTimeout        = 10 * time.Second
)

// OpenSQLite opens the file, makes it when it is absent, and refuses it with its
// name when it is damaged. WAL with synchronous=FULL: a commit survives power loss.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	return openSQLite(ctx, path, "synchronous(FULL)")
}

const (
	copyCachePages = 4096 // of its writer, 16 MB
	copyLogPages   = 8192 // after which the log is put into the file, 32 MB
)

// OpenSQLiteCopy is OpenSQLite for what is written in bulk and can be made again. A commit
// survives the process, and loss of power takes back at most the last commits, each wholly: the
// file stays sound (WAL with synchronous=NORMAL). No commit waits for the disk.
func OpenSQLiteCopy(ctx context.Context, path string) (*DB, error) {
	return openSQLite(ctx, path, "synchronous(NORMAL)", fmt.Sprintf("cache_size(%d)", copyCachePages), fmt.Sprintf("wal_autocheckpoint(%d)", copyLogPages))
}

func openSQLite(ctx context.Context, path string, writer ...string) (*DB, error) {
	size := int64(0)
	if st, err := os.Stat(path); err == nil {
		size = st.Size()
	}
	write, err := openPool(path, 1, "immediate", writer...)
	if err != nil {
		return nil, err
	}
	read, err := openPool(path, sqliteReaders, "deferred", "synchronous(FULL)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	db := &DB{name: path, dialect: SQLite, write: write, read: read, mig: migrator{dialect: goose.DialectSQLite3},
		reads: newPrepared(read), writes: newPrepared(write)}
	if err := db.check(ctx, size); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func openPool(path string, conns int, txlock string, more ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {txlock}, "_pragma": append([]string{
		"journal_mode(WAL)", "foreign_keys(1)", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
	}, more...)}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

// check reads enough of the file to know that it is a sound database.
func (d *DB) check(ctx context.Context, size int64) error {
	pragma := "PRAGMA quick_check(1)"
	if size > quickCheckBytesMax {
		pragma = "PRAGMA schema_version"
	}
	var verdict string
	err := d.write.QueryRowContext(ctx, pragma).Scan(&verdict)
	if code := primaryCode(err); code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("data file %s is damaged or not a database (restore it from a backup): %w", d.name, err)
	}
	if err != nil {
		return fmt.Errorf("open data file %s: %w", d.name, err)
	}
	if size <= quickCheckBytesMax && verdict != "ok" {
		return fmt.Errorf("data file %s is damaged (restore it from a backup): %s", d.name, verdict)
	}
	return nil
}

// CopyTo writes the last committed state into a new file, while others read and
// write. What was deleted is not in it, nor any log. Only a file can be copied so: a
// server has its own means.
func (d *DB) CopyTo(ctx context.Context, path string) error {
	if _, err := d.read.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return fmt.Errorf("copy %s: %w", d.name, err)
	}
	return nil
}
