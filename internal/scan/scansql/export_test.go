package scansql

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scantest"
)

// WrappedKeys gives the stored keys of addresses.
func (e *Engine) WrappedKeys(t *testing.T) [][]byte {
	t.Helper()
	keys, err := sqldb.Collect(t.Context(), e.meta.Reader(), func(r *sql.Rows) (k []byte, err error) {
		err = r.Scan(&k)
		return k, err
	}, `SELECT wrapped FROM scan_keys`)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Cells gives the sums as the table has them.
func (e *Engine) Cells(t *testing.T) map[scan.Cell]*scan.Counts {
	t.Helper()
	cells := map[scan.Cell]*scan.Counts{}
	_, err := sqldb.Collect(t.Context(), e.stat.Reader(), func(r *sql.Rows) (struct{}, error) {
		var cell scan.Cell
		var c scan.Counts
		err := r.Scan(&cell.Grain, &cell.Brand, &cell.Start, &cell.Product, &cell.Batch, &cell.Province, &cell.Verdict,
			&c.Scans, &c.Sessions, &c.Firsts, &c.FirstsOfDay)
		cells[cell] = &c
		return struct{}{}, err
	}, `SELECT grain, brand_id, start, product_id, batch_first, province, verdict, scans, sessions, first_scans, first_of_day FROM scan_counts`)
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// Look is look, with one step that is due every second time.
func (e *Shared) Look(ctx context.Context, n int, step func()) int {
	steps := []upkeep{{"step", 2, func(context.Context) error { step(); return nil }}}
	return e.look(ctx, n, steps, slog.New(slog.DiscardHandler))
}

// Release is what Keep does at its end.
func (e *Shared) Release(ctx context.Context) error { return e.leases.Release(ctx, leaseUpkeep) }

// Ends is ends.
func (r *SharedRecords) Ends(ctx context.Context) ([]scan.Day, error) { return r.ends(ctx) }

// Driven is what the suite drives, with the upkeep of all databases.
func (s *Sharded) Driven(now *time.Time) scantest.Engine {
	all := func(fn func(ctx context.Context, one *Shared) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return s.each(nil, func(one *Shared) error { return fn(ctx, one) })
		}
	}
	return scantest.Engine{
		Records: shardedRecords{s}, Statistics: shardedStatistics{s}, Policies: shardedPolicies{s}, Split: Split,
		Forget:    all(func(ctx context.Context, one *Shared) error { _, err := one.Vault.Forget(ctx); return err }),
		CloseDays: all(func(ctx context.Context, one *Shared) error { return one.Records.CloseDays(ctx, *now) }),
		DropDays:  all(func(ctx context.Context, one *Shared) error { return one.Records.DropDays(ctx) }),
		Fold:      all(func(ctx context.Context, one *Shared) error { return one.Statistics.Fold(ctx) }),
		Prune:     all(func(ctx context.Context, one *Shared) error { return one.Statistics.Prune(ctx) }),
	}
}
