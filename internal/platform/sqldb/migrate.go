package sqldb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// migrator is what the dialects do differently about migrations.
type migrator struct {
	dialect goose.Dialect
	// open gives connections without a time limit: to alter a large table takes long.
	// nil = the writing pool.
	open func() *sql.DB
	// locker keeps other processes from migrating at the same time; nil where there are none.
	locker *nameLock
}

// Migrate brings one domain's tables to their newest form. schema has a directory for
// each dialect. Each domain keeps its own version table, so that domains move on
// their own. Several processes may start at once: they take turns.
//
// MySQL commits each statement that defines something. A migration there must be one
// that can run again over half of itself: IF NOT EXISTS, INSERT IGNORE.
func (d *DB) Migrate(ctx context.Context, domain string, schema fs.FS) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("migrate %s in %s: %w", domain, d.name, err)
		}
	}()
	dir, err := fs.Sub(schema, d.dialect.String())
	if err != nil {
		return err
	}
	store, err := database.NewStore(d.mig.dialect, "schema_"+domain)
	if err != nil {
		return err
	}
	pool := d.write
	if d.mig.open != nil {
		pool = d.mig.open()
		defer func() { err = errors.Join(err, pool.Close()) }()
	}
	if d.mig.locker != nil {
		release, failed := d.mig.locker.take(ctx, pool)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	provider, err := goose.NewProvider("", pool, dir, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if err := begin(ctx, store, pool); err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// begin makes the table of versions what goose wants at its beginning: with a row of
// version 0. goose makes table and row in two steps, and where definitions commit at
// once a crash may come between; no start would get past that.
func begin(ctx context.Context, store database.Store, pool *sql.DB) error {
	known, err := store.ListMigrations(ctx, pool)
	if err != nil || len(known) > 0 {
		return nil //nolint:nilerr // without a table goose makes it, and says what else is wrong
	}
	return store.Insert(ctx, pool, database.InsertRequest{Version: 0})
}

// migrationWait is how long a starting process waits for another's migration.
const migrationWait = 10 * time.Minute

// nameLock is the server's lock by name, which ends with its connection. Names are
// the server's, not the database's.
type nameLock struct{ name string }

func lockFor(database string) *nameLock {
	sum := sha256.Sum256([]byte(database))
	return &nameLock{"chopmark_" + hex.EncodeToString(sum[:8])}
}

// take waits for the lock on a connection of its own, which release gives back.
// goose would take it too late: it looks at its table of versions before, which
// another process may just be making.
func (l *nameLock) take(ctx context.Context, pool *sql.DB) (release func() error, err error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for another's migration: %w", err)
	}
	// It says nothing while the migration runs, and must not be hung up on for that.
	if _, err := conn.ExecContext(ctx, `SET SESSION wait_timeout = 86400`); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for another's migration: %w", err), conn.Close())
	}
	var got sql.NullInt64
	err = conn.QueryRowContext(ctx, `SELECT GET_LOCK(?, ?)`, l.name, int64(migrationWait/time.Second)).Scan(&got)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for another's migration: %w", err), conn.Close())
	}
	if got.Int64 != 1 {
		return nil, errors.Join(fmt.Errorf("another process has been migrating for %v: look what it does, or end it", migrationWait), conn.Close())
	}
	return func() error {
		var released sql.NullInt64
		err := conn.QueryRowContext(context.WithoutCancel(ctx), `SELECT RELEASE_LOCK(?)`, l.name).Scan(&released)
		return errors.Join(err, conn.Close())
	}, nil
}
