package scansql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// CloseDays makes the indexes of the days that are over: UTC day and grace are past,
// and all that was appended before floor was consumed. It returns when it has, which
// for a day of many million rows takes minutes; it is meant to be called each minute
// by one goroutine, and again after a failure.
func (r *Records) CloseDays(ctx context.Context, floor time.Time) error {
	limit := r.clock.Now()
	if floor.Before(limit) {
		limit = floor
	}
	for _, day := range r.openDays() {
		if limit.Before(day.End().Add(closeGrace)) {
			continue
		}
		if err := r.closeDay(ctx, day); err != nil {
			return fmt.Errorf("close scan records of %s: %w", day, err)
		}
	}
	return nil
}

func (r *Records) openDays() []scan.Day {
	r.mu.RLock()
	defer r.mu.RUnlock()
	days := slices.Sorted(maps.Keys(r.days))
	return slices.DeleteFunc(days, func(d scan.Day) bool { return r.days[d].closedAt != 0 })
}

func (r *Records) closeDay(ctx context.Context, day scan.Day) error {
	began := r.clock.Now()
	err := r.files.with(ctx, day, true, func(f *dayFile) error {
		if err := index(ctx, f.db, sqldb.Micros(began)); err != nil {
			return err
		}
		// The true range, now that it does not grow: a search by position then meets
		// one day, or two where days touch.
		r.settling.Lock()
		defer r.settling.Unlock()
		info, err := rangeOf(ctx, f.db)
		if err != nil {
			return err
		}
		return r.settle(ctx, day, info)
	})
	if err != nil {
		return err
	}
	r.log.InfoContext(ctx, "day of scan records closed", "day", day.String(), "took", r.clock.Now().Sub(began).String())
	return nil
}

// settle notes that a day is closed. The range may become smaller by it.
func (r *Records) settle(ctx context.Context, day scan.Day, info dayInfo) error {
	err := r.meta.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE scan_days SET low_pos = ?, high_pos = ?, closed_at = ? WHERE day = ?`,
			int64(info.low), int64(info.high), info.closedAt, day)
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.days[day] = info
	r.mu.Unlock()
	return nil
}

// index makes the seed's four indexes, each in its own transaction, and marks the
// file. The one by user is of the rows that have one: today none.
func index(ctx context.Context, db *sqldb.DB, now int64) error {
	each := func(fn func(ctx context.Context, tx *sqldb.Tx) error) func() error {
		return func() error { return db.Write(ctx, fn) }
	}
	for _, step := range []func() error{
		each(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS scan_records_code ON scan_rows (code, scan_time)`)
			return err
		}),
		each(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS scan_records_user ON scan_rows (user_id, scan_time) WHERE user_id IS NOT NULL`)
			return err
		}),
		each(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS scan_records_time ON scan_rows (scan_time)`)
			return err
		}),
		each(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS scan_records_result ON scan_rows (scan_time, result)`)
			return err
		}),
		each(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO scan_day (closed_at) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM scan_day)`, now)
			return err
		}),
	} {
		if err := ctx.Err(); err != nil {
			return err // the indexes that are made stay; the next run makes the rest
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// DropDays deletes whole days that are older than records are kept. A day that is
// open stays, whatever its age.
func (r *Records) DropDays(ctx context.Context) error {
	oldest := scan.DayAt(r.clock.Now()) - scan.Day(r.keep.Load())
	days, err := r.Days(ctx)
	if err != nil {
		return err
	}
	for _, d := range days {
		if d.Day >= oldest || !d.Closed {
			continue
		}
		ok, err := r.files.remove(d.Day)
		if err != nil {
			return err
		}
		if !ok {
			continue // somebody reads it: the next run deletes it
		}
		err = r.meta.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM scan_days WHERE day = ?`, d.Day)
			return err
		})
		if err != nil {
			return fmt.Errorf("note that scan records of %s are deleted: %w", d.Day, err)
		}
		r.mu.Lock()
		delete(r.days, d.Day)
		r.mu.Unlock()
		r.log.InfoContext(ctx, "scan records deleted: older than they are kept", "day", d.Day.String(), "kept_days", r.keep.Load())
	}
	return nil
}
