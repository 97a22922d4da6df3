package scansql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// daysAhead is how many days have their partition before they begin.
const daysAhead = 3

// oldest is the first day that is kept.
func (r *SharedRecords) oldest() scan.Day { return scan.DayAt(r.clock.Now()) - scan.Day(r.keep.Load()) }

// ends lists the days that have a partition, the oldest first. A day's own partition
// ends with it and begins where the one before ends: a day without one goes into the
// next, and behind the last comes p_future.
func (r *SharedRecords) ends(ctx context.Context) ([]scan.Day, error) {
	names, err := sqldb.Collect(ctx, r.db.Reader(), func(rows *sql.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	}, `SELECT PARTITION_NAME FROM information_schema.partitions WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'scan_records'`)
	if err != nil {
		return nil, fmt.Errorf("list partitions of scan records: %w", err)
	}
	var days []scan.Day
	for _, name := range names {
		if n, err := strconv.ParseInt(strings.TrimPrefix(name, "p"), 10, 32); err == nil {
			days = append(days, scan.Day(n))
		}
	}
	slices.Sort(days)
	return days, nil
}

// MakeDays makes the partitions of today and the days ahead. It may run in several
// processes at once, and with a clock that was years ahead before.
func (r *SharedRecords) MakeDays(ctx context.Context) error {
	today := scan.DayAt(r.clock.Now())
	for day := today; day <= today+daysAhead; day++ {
		have, err := r.ends(ctx)
		if err != nil {
			return err
		}
		i, found := slices.BinarySearch(have, day)
		if found {
			continue
		}
		if i < len(have) {
			err = r.alter(ctx, splitDay, have[i], day, day+1, have[i], have[i]+1)
		} else {
			err = r.alter(ctx, splitFuture, day, day+1)
		}
		if err == nil {
			continue
		}
		if have, err2 := r.ends(ctx); err2 == nil && slices.Contains(have, day) {
			continue // another process was first
		}
		return fmt.Errorf("make the partition of %s: %w", day, err)
	}
	return nil
}

// The name of a partition cannot be bound: these put a statement together of numbers,
// in the server.
const (
	splitFuture = `SET @chopmark_ddl = CONCAT('ALTER TABLE scan_records REORGANIZE PARTITION p_future INTO (PARTITION p', CAST(? AS SIGNED),
		' VALUES LESS THAN (', CAST(? AS SIGNED), '), PARTITION p_future VALUES LESS THAN MAXVALUE)')`
	splitDay = `SET @chopmark_ddl = CONCAT('ALTER TABLE scan_records REORGANIZE PARTITION p', CAST(? AS SIGNED), ' INTO (PARTITION p', CAST(? AS SIGNED),
		' VALUES LESS THAN (', CAST(? AS SIGNED), '), PARTITION p', CAST(? AS SIGNED), ' VALUES LESS THAN (', CAST(? AS SIGNED), '))')`
	dropDay = `SET @chopmark_ddl = CONCAT('ALTER TABLE scan_records DROP PARTITION p', CAST(? AS SIGNED))`
)

// alter changes the table by a statement that the server puts together.
func (r *SharedRecords) alter(ctx context.Context, query string, days ...any) error {
	return r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		// Whoever writes waits behind us while we wait for those who write.
		if _, err := tx.ExecContext(ctx, `SET SESSION lock_wait_timeout = 5`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, query, days...); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `PREPARE chopmark_ddl FROM @chopmark_ddl`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `EXECUTE chopmark_ddl`); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DEALLOCATE PREPARE chopmark_ddl`)
		return err
	})
}

// CloseDays notes days that are over, as Records.CloseDays does. Their indexes are
// there from the beginning; only a closed day is ever deleted.
func (r *SharedRecords) CloseDays(ctx context.Context, floor time.Time) error {
	now := r.clock.Now()
	limit := now
	if floor.Before(limit) {
		limit = floor
	}
	over := scan.DayAt(limit.Add(-closeGrace)) // the first that is not
	err := r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE scan_days SET closed_at = ? WHERE day < ? AND closed_at = 0`, sqldb.Micros(now), over)
		return err
	})
	if err != nil {
		return fmt.Errorf("close days of scan records: %w", err)
	}
	return nil
}

// DropDays deletes the partitions of days that are closed and older than records are
// kept. It may run in several processes at once.
func (r *SharedRecords) DropDays(ctx context.Context) error {
	days, err := r.Days(ctx)
	if err != nil {
		return err
	}
	before := r.oldest() // up to the first that is open
	for _, d := range days {
		if !d.Closed {
			before = min(before, d.Day)
		}
	}
	// Hidden first: what is older than its partition's day goes with that one.
	err = r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM scan_days WHERE day < ? AND closed_at <> 0`, before)
		return err
	})
	if err != nil {
		return fmt.Errorf("hide old scan records: %w", err)
	}
	r.noted.Range(func(day, _ any) bool {
		if d, ok := day.(scan.Day); ok && d < before {
			r.noted.Delete(d)
		}
		return true
	})
	ends, err := r.ends(ctx)
	if err != nil {
		return err
	}
	for _, day := range ends {
		if day >= before {
			break
		}
		err := r.alter(ctx, dropDay, day)
		if err != nil {
			if have, err2 := r.ends(ctx); err2 != nil || slices.Contains(have, day) {
				return fmt.Errorf("delete scan records of %s: %w", day, err)
			}
			continue // another process was first
		}
		r.log.InfoContext(ctx, "scan records deleted: older than they are kept", "day", day.String(), "kept_days", r.keep.Load())
	}
	return nil
}
