// Package sqldb is the door to the SQL engine: one database, its writers, and many
// readers. It speaks two dialects: SQLite, and the MySQL protocol (MySQL, MariaDB, TiDB).
//
// Promise: what Write returned nil for is durable, and a reader that starts after
// it sees it. Statements are constants with bound parameters; internal/arch holds
// every engine package to that. Times are stored as microseconds since 1970 UTC.
//
// Stores write the subset that both dialects understand. Under MySQL many transactions
// write at once, and each statement sees what is committed by then (READ COMMITTED).
// Who reads and then writes therefore first takes a row that is there, by an UPDATE of
// it, or lets a unique key or a compare-and-set decide; rows that may be missing are
// not locked. The row of the request comes first, the shard's counter last.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"
)

// Dialect is the kind of SQL that an engine speaks.
type Dialect uint8

// The dialects.
const (
	SQLite Dialect = iota // one writer at a time, one process
	MySQL                 // many writers, many processes
)

// String is the dialect's name, which is also its directory in a schema.
func (d Dialect) String() string { return [...]string{SQLite: "sqlite", MySQL: "mysql"}[d] }

// DB is one SQL database. It is safe for concurrent use.
type DB struct {
	name    string // for messages: the file, or the server without its secret
	dialect Dialect
	write   *sql.DB
	// read is a pool of its own also where it is the same server: who reads while it
	// writes must not wait for a connection that a writer like it holds.
	read *sql.DB
	mig  migrator
	// reads and writes are the statements that SQLite keeps; nil under MySQL.
	reads, writes *prepared

	watched watchers

	place    string       // its id among an installation's; "" = alone
	commits  atomic.Int64 // that ReadRecent must show
	replicas *replicas    // of this database and others; nil = none
	marks    marks
}

// Querier is what a read needs; DB.Reader and Tx both are one.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Reader answers reads from the last committed state.
func (d *DB) Reader() Querier {
	if d.reads != nil {
		return d.reads
	}
	return d.read
}

// Name tells which database this is, for messages.
func (d *DB) Name() string { return d.name }

// Dialect tells what the database speaks.
func (d *DB) Dialect() Dialect { return d.dialect }

// Pools gives the statistics of the writing and the reading pool, for metrics.
func (d *DB) Pools() (write, read sql.DBStats) { return d.write.Stats(), d.read.Stats() }

// Ping reports whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.read.PingContext(ctx) }

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
