package scansql_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
)

func clockAt(now *time.Time) clock.Clock { return clock.Func(func() time.Time { return *now }) }

// openShared is a process's engine over a database.
func openShared(tb testing.TB, db *sqldb.DB, codes scan.Codes, now *time.Time, raise func(context.Context, []scansql.Tallied) error) *scansql.Shared {
	tb.Helper()
	e, err := scansql.OpenShared(tb.Context(), db, scansql.SharedConfig{Wrap: [32]byte{3}, Raise: raise}, codes,
		clockAt(now), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestSharedSuite(t *testing.T) {
	t.Parallel()
	scantest.Suite(t, func(t *testing.T, now *time.Time) scantest.Engine {
		e := openShared(t, sqldbtest.MariaDB(t)(), scantest.Codes{}, now, nil)
		return scantest.Engine{
			Records: e.Records, Statistics: e.Statistics, Policies: e.Vault,
			Forget:    func(ctx context.Context) error { _, err := e.Vault.Forget(ctx); return err },
			CloseDays: func(ctx context.Context) error { return e.Records.CloseDays(ctx, *now) },
			DropDays:  e.Records.DropDays, Fold: e.Statistics.Fold, Prune: e.Statistics.Prune, Split: scansql.Split,
		}
	})
}

// TestShardedSuite runs it over two databases, which have every second brand each.
func TestShardedSuite(t *testing.T) {
	t.Parallel()
	scantest.Suite(t, func(t *testing.T, now *time.Time) scantest.Engine {
		e, err := scansql.Over(t.Context(), sqldbtest.Halves(t), scansql.SharedConfig{Wrap: [32]byte{3}}, scantest.Codes{},
			clockAt(now), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return e.Driven(now)
	})
}
