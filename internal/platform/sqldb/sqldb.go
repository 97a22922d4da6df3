// Package sqldb is the door to the SQL engine: one database, one writer at a time
// where the engine wants it so, and many readers.
//
// Promise: what Write returned nil for is durable, and a reader that starts after
// it sees it. Statements are constants with bound parameters; internal/arch holds
// every engine package to that. Times are stored as microseconds since 1970 UTC.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// DB is one SQL database. It is safe for concurrent use.
type DB struct {
	name  string // for messages: the file, or the server without its secret
	write *sql.DB
	read  *sql.DB
}

// Querier is what a read needs; DB.Reader and Tx both are one.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx is a transaction that may write.
type Tx struct{ *sql.Tx }

// Reader answers reads from the last committed state.
func (d *DB) Reader() Querier { return d.read }

// Name tells which database this is, for messages.
func (d *DB) Name() string { return d.name }

// Pools gives the statistics of the writing and the reading pool, for metrics.
func (d *DB) Pools() (write, read sql.DBStats) { return d.write.Stats(), d.read.Stats() }

// Ping reports whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.read.PingContext(ctx) }

// Write runs fn in one transaction and commits it. When fn or the commit fails
// nothing of it stays. fn may be given up halfway by ctx, but a commit that has
// begun is waited for: its outcome is always known here.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	tx, err := d.write.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return fmt.Errorf("begin in %s: %w", d.name, err)
	}
	returned := false
	defer func() {
		if !returned { // fn panics: without the writer every later Write would wait for ever
			_ = tx.Rollback()
		}
	}()
	err = fn(ctx, &Tx{tx})
	returned = true
	if err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit in %s: %w", d.name, err)
	}
	return nil
}

// ignoreDone keeps the first failure clean of the echo that a rollback gives when
// the engine has ended the transaction already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Migrate brings one domain's tables to their newest form. Each domain keeps its
// own version table, so that domains move on their own.
func (d *DB) Migrate(ctx context.Context, domain string, schema fs.FS) error {
	store, err := database.NewStore(goose.DialectSQLite3, "schema_"+domain)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", domain, err)
	}
	provider, err := goose.NewProvider("", d.write, schema,
		goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate %s: %w", domain, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate %s in %s: %w", domain, d.name, err)
	}
	return nil
}

// Close ends all connections.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// Micros is the stored form of t; the zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the reverse of Micros.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Collect runs a query and scans each row with scan.
func Collect[T any](ctx context.Context, q Querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
