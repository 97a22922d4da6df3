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
	options := []goose.ProviderOption{goose.WithStore(store), goose.WithDisableGlobalRegistry(true)}
	pool := d.write
	if d.mig.open != nil {
		pool = d.mig.open()
		defer func() { err = errors.Join(err, pool.Close()) }()
	}
	if d.mig.locker != nil {
		options = append(options, goose.WithSessionLocker(d.mig.locker))
	}
	provider, err := goose.NewProvider("", pool, dir, options...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
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

// SessionLock implements goose's lock.SessionLocker.
func (l *nameLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	var got sql.NullInt64
	err := conn.QueryRowContext(ctx, `SELECT GET_LOCK(?, ?)`, l.name, int64(migrationWait/time.Second)).Scan(&got)
	if err != nil {
		return fmt.Errorf("wait for another's migration: %w", err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("another process has been migrating for %v: look what it does, or end it", migrationWait)
	}
	return nil
}

// SessionUnlock implements goose's lock.SessionLocker.
func (l *nameLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	var released sql.NullInt64
	if err := conn.QueryRowContext(ctx, `SELECT RELEASE_LOCK(?)`, l.name).Scan(&released); err != nil {
		return fmt.Errorf("end the turn of a migration: %w", err)
	}
	return nil
}
