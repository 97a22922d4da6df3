package tracesql

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
)

// Bins come in sizes of 16^k serials, up to more than all serials. A run lies in bins of the
// smallest size that is not smaller than it, so in one or two. The number of a bin is twice
// the middle of its serials: then all bins within a run are numbered within it, and each
// number tells the size.
const (
	sizeStep = 4
	sizes    = 60/sizeStep + 1
)

func bin(s ids.Serial, size int) int64 {
	shift := size * sizeStep
	return int64(s>>shift)<<(shift+1) | 1<<shift
}

// binsOf are the bins that a run is kept in.
func binsOf(r trace.Run) []int64 {
	size := 0
	for r.To-r.From >= 1<<(size*sizeStep) {
		size++
	}
	first, last := bin(r.From, size), bin(r.To, size)
	if first == last {
		return []int64{first}
	}
	return []int64{first, last}
}

// around are the bins of every size that hold a serial.
func around(s ids.Serial) []any {
	all := make([]any, sizes)
	for size := range all {
		all[size] = bin(s, size)
	}
	return all
}

func scanRef(r *sql.Rows) (ref trace.Ref, err error) {
	var at int64
	err = r.Scan(&ref.No, &at)
	ref.Time = time.UnixMilli(at).UTC()
	return ref, err
}

// OfItem implements trace.Store.
func (s *Store) OfItem(ctx context.Context, serial ids.Serial) ([]trace.Ref, error) {
	query := `SELECT event_no, event_time FROM trace_items WHERE role IN (0, 1, 2) AND bin IN (?` + strings.Repeat(`,?`, sizes-1) +
		`) AND from_serial <= ? AND to_serial >= ?`
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanRef, query, append(around(serial), int64(serial), int64(serial))...)
	return sorted(all), err
}

// Packings implements trace.Store.
func (s *Store) Packings(ctx context.Context, r trace.Run) ([]trace.Ref, error) {
	query := `SELECT event_no, event_time FROM trace_items WHERE role = 1 AND bin IN (?` + strings.Repeat(`,?`, 2*sizes-1) +
		`) AND from_serial <= ? AND to_serial >= ?`
	const within = `SELECT event_no, event_time FROM trace_items WHERE role = 1 AND bin BETWEEN ? AND ? AND from_serial <= ? AND to_serial >= ?`
	from, to := int64(r.From), int64(r.To)
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanRef, query, append(append(around(r.From), around(r.To)...), to, from)...)
	if err != nil || r.From == r.To {
		return sorted(all), err
	}
	more, err := sqldb.Collect(ctx, s.db.Reader(), scanRef, within, 2*from, 2*to+1, to, from)
	return sorted(append(all, more...)), err
}

// Parents implements trace.Store. A parent is one item, in a bin of the smallest size.
func (s *Store) Parents(ctx context.Context, r trace.Run) ([]ids.Serial, error) {
	const query = `SELECT DISTINCT from_serial FROM trace_items WHERE role = 2 AND bin BETWEEN ? AND ? ORDER BY from_serial`
	return sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (serial ids.Serial, err error) {
		err = r.Scan(&serial)
		return serial, err
	}, query, bin(r.From, 0), bin(r.To, 0))
}

// sorted puts references in the order of their time, each once.
func sorted(all []trace.Ref) []trace.Ref {
	slices.SortFunc(all, func(a, b trace.Ref) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.No, b.No))
	})
	return slices.Compact(all)
}
