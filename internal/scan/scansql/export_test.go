package scansql

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
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
