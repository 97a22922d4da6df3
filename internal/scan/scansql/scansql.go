// Package scansql keeps the scan domain in SQL, in one of two engines.
//
// Engine is one process's: a file of records for each day, since dropping a day is
// deleting a file, and statistics that are added up in memory.
//
// Shared is for several processes over one database of the MySQL protocol: a partition
// for each day, sums that go into tables at once, and the summary of each item. It
// stands in this package because the vault, the reading of sightings and most questions
// are the same statements. What the dialects say differently is in dialect.go.
//
// One engine: in the words of the layout the two are one package, and the suite runs
// on both.
package scansql

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
)

//go:embed schema
var schema embed.FS

func sub(name string) fs.FS {
	f, err := fs.Sub(schema, "schema/"+name)
	if err != nil {
		panic(err) // the path is embedded above
	}
	return f
}

// MetaSchema is the tables of policies, keys and days.
func MetaSchema() fs.FS { return sub("meta") }

// StatisticsSchema is the tables of the statistics.
func StatisticsSchema() fs.FS { return sub("statistics") }

func daySchema() fs.FS { return sub("day") }

// Config is what an operator may set.
type Config struct {
	Dir string // holds records/, scans.db and statistics.db
	// Wrap seals the keys of addresses. Whoever has it and an old backup can read
	// addresses that were forgotten since.
	Wrap       [32]byte
	RecordDays int // whole days that records are kept; 0 = RecordDaysUsual
	Lanes      int // stream.Config.Workers of the statistics' group; 0 = LanesUsual
}

// RecordDaysUsual is how long records are kept.
const RecordDaysUsual = 730

// LanesUsual is what stream.Config has when it is told nothing.
const LanesUsual = 20

// Engine is all that the domain keeps in SQL.
type Engine struct {
	Vault      *Vault
	Records    *Records
	Statistics *Statistics
	meta, stat *sqldb.DB
}

// Open opens what is under the directory and makes what is missing.
func Open(ctx context.Context, cfg Config, codes scan.Codes, c clock.Clock, log *slog.Logger) (_ *Engine, err error) {
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "records"), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of scan records: %w", err)
	}
	e := &Engine{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.meta, err = sqldb.OpenSQLite(ctx, filepath.Join(cfg.Dir, "scans.db")); err != nil {
		return nil, err
	}
	if e.stat, err = sqldb.OpenSQLite(ctx, filepath.Join(cfg.Dir, "statistics.db")); err != nil {
		return nil, err
	}
	if err := errors.Join(e.meta.Migrate(ctx, "idem", idem.Schema()), e.meta.Migrate(ctx, "scan", MetaSchema()),
		e.stat.Migrate(ctx, "inbox", inbox.Schema()), e.stat.Migrate(ctx, "scan", StatisticsSchema())); err != nil {
		return nil, err
	}
	if e.Vault, err = NewVault(ctx, e.meta, cfg.Wrap, c, log); err != nil {
		return nil, err
	}
	if e.Records, err = OpenRecords(ctx, filepath.Join(cfg.Dir, "records"), e.meta, e.Vault, codes, cfg.RecordDays, c, log); err != nil {
		return nil, err
	}
	e.Statistics, err = NewStatistics(ctx, e.stat, cmp.Or(cfg.Lanes, LanesUsual), c)
	return e, err
}

// KeepRecords changes for how many whole days records are kept; 0 = the usual.
func (e *Engine) KeepRecords(days int) { e.Records.keep.Store(int64(cmp.Or(days, RecordDaysUsual))) }

// Wire fills in what the service needs of this engine.
func (e *Engine) Wire(d *scan.Deps) {
	d.Records, d.Statistics, d.Policies = e.Records, e.Statistics, e.Vault
}

// Config is how the groups take from the log: as is usual.
func (*Engine) Config() stream.Config { return stream.Config{} }

// Consumers are the groups that read the log, and their effects.
func (e *Engine) Consumers() map[string]stream.Handler {
	return map[string]stream.Handler{scan.GroupRecords: e.Records, scan.GroupStatistics: e.Statistics}
}

// OpenFrom is where the log must begin for the history of codes; ok is false when it
// need not have anything.
func (e *Engine) OpenFrom() (at stream.Position, ok bool) { return e.Records.OpenFrom() }

// Pools names the databases that are open all the time, for metrics.
func (e *Engine) Pools() []*sqldb.DB { return []*sqldb.DB{e.meta, e.stat} }

// Close ends all connections. What was counted and not written down yet is in
// statistics.db already and is taken up by the next Open.
func (e *Engine) Close() error {
	var errs []error
	if e.Records != nil {
		errs = append(errs, e.Records.Close())
	}
	for _, db := range []*sqldb.DB{e.meta, e.stat} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// nonces gives randomness for sealing n addresses.
func nonces(n int) []byte {
	b := make([]byte, n*scan.NonceBytes)
	rand.Read(b) // never fails: crypto/rand ends the process first
	return b
}
