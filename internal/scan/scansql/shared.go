package scansql

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
)

// SharedSchema is the tables of a Shared engine.
func SharedSchema() fs.FS { return sub("shared") }

// SharedConfig is what an operator may set, and who is told of summaries.
type SharedConfig struct {
	Wrap       [32]byte // as Config's
	RecordDays int      // whole days that records are kept; 0 = RecordDaysUsual
	Lanes      int      // stream.Config.Workers of the groups, the same in all processes; 0 = LanesUsual
	// Raise is told what is known of the items of a batch once that is committed. When it
	// fails the batch is given again, and it is told again. May be nil.
	Raise func(ctx context.Context, items []Tallied) error
}

// Shared is all that the domain keeps in a database that several processes share. It
// keeps nothing in memory that another process would miss.
type Shared struct {
	Vault      *Vault
	Records    *SharedRecords
	Statistics *SharedStatistics
	Summary    *Summary
	db         *sqldb.DB
	leases     *lease.Leases
}

// OpenShared brings the tables to their newest form. The database stays the caller's.
func OpenShared(ctx context.Context, db *sqldb.DB, cfg SharedConfig, codes scan.Codes, c clock.Clock, log *slog.Logger) (*Shared, error) {
	err := errors.Join(db.Migrate(ctx, "idem", idem.Schema()), db.Migrate(ctx, "inbox", inbox.Schema()),
		db.Migrate(ctx, "lease", lease.Schema()), db.Migrate(ctx, "scan", SharedSchema()))
	if err != nil {
		return nil, err
	}
	for _, group := range []string{scan.GroupStatistics, scan.GroupSummary} {
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			return inbox.Lanes(ctx, tx, group, cmp.Or(cfg.Lanes, LanesUsual))
		})
		if err != nil {
			return nil, err
		}
	}
	vault, err := NewVault(ctx, db, cfg.Wrap, c, log)
	if err != nil {
		return nil, err
	}
	s := &Shared{
		Vault: vault, Statistics: newSharedStatistics(db, c), Summary: &Summary{db: db, raise: cfg.Raise}, db: db, leases: lease.New(db, ids.New("proc"), c),
		Records: &SharedRecords{db: db, vault: vault, codes: codes, clock: c, log: log},
	}
	s.KeepRecords(cfg.RecordDays)
	return s, s.Records.MakeDays(ctx)
}

// KeepRecords changes for how many whole days records are kept; 0 = the usual.
func (e *Shared) KeepRecords(days int) { e.Records.keep.Store(int64(cmp.Or(days, RecordDaysUsual))) }

// Wire fills in what the service needs of this engine.
func (e *Shared) Wire(d *scan.Deps) {
	d.Records, d.ByCode, d.Statistics, d.Policies = e.Records, e.Records, e.Statistics, e.Vault
}

// Consumers are the groups that read the log, and their effects.
func (e *Shared) Consumers() map[string]stream.Handler {
	return map[string]stream.Handler{
		scan.GroupRecords: e.Records, scan.GroupStatistics: e.Statistics, scan.GroupSummary: e.Summary,
	}
}

// Config is how the groups take from the log. A commit of a server costs the same for few
// rows as for many, so a lane waits for 500: every group does half as much again in a second
// as with the usual 100 (BenchmarkShared), which are enough where a commit is one sync of
// this machine's disk.
func (*Shared) Config() stream.Config { return stream.Config{Batch: 500, Queue: 10_000} }

// Highest is the last position of any log that something here knows of.
func (e *Shared) Highest(ctx context.Context) (at stream.Position, _ error) {
	for _, group := range []string{scan.GroupStatistics, scan.GroupSummary} {
		high, err := inbox.Highest(ctx, e.db.Reader(), group)
		if err != nil {
			return 0, err
		}
		at = max(at, high)
	}
	high, err := e.Records.highest(ctx)
	return max(at, high), err
}

// OpenFrom tells that no log must keep anything for questions: they are answered by
// indexes.
func (*Shared) OpenFrom() (stream.Position, bool) { return 0, false }

// Close ends nothing: the database is the caller's.
func (*Shared) Close() error { return nil }
