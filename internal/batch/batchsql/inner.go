package batchsql

import (
	"context"
	"fmt"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// TryInner implements batch.Changes.
func (s *Store) TryInner(ctx context.Context, r ids.Request, i batch.ItemChange, brand ids.BrandID, right bool, triesMax int) (batch.InnerRecord, error) {
	effect, _, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		rec, err := s.tryInner(ctx, tx, i, brand, right, triesMax)
		return formatInner(rec), err
	})
	if err != nil {
		return batch.InnerRecord{}, fmt.Errorf("try inner code: %w", err)
	}
	return parseInner(effect)
}

// tryInner is a try that was not asked before.
func (s *Store) tryInner(ctx context.Context, tx *sqldb.Tx, i batch.ItemChange, brand ids.BrandID, right bool, triesMax int) (rec batch.InnerRecord, _ error) {
	if err := ensureRecord(ctx, tx, i.Serial); err != nil {
		return rec, err
	}
	var at int64
	err := tx.QueryRowContext(ctx, `SELECT inner_tries, inner_at FROM item_records WHERE serial = ?`, int64(i.Serial)).Scan(&rec.Tries, &at)
	if err != nil {
		return rec, err
	}
	rec.FirstAt = sqldb.Time(at)
	if right && at != 0 {
		return rec, nil // the holder of the right code may ask as often as they like
	}
	counted, err := changed(tx.ExecContext(ctx, `UPDATE item_records SET inner_tries = inner_tries + 1 WHERE serial = ? AND inner_tries < ?`, int64(i.Serial), triesMax))
	if err != nil {
		return rec, err
	}
	if !counted {
		rec.Locked = true
		return rec, nil
	}
	rec.Tries++
	if !right {
		return rec, nil
	}
	stamp, err := announce(ctx, tx, ids.ShardOf(brand), s.clock)
	if err != nil {
		return rec, err
	}
	rec.FirstAt = stamp.At
	if _, err := tx.ExecContext(ctx, `UPDATE item_records SET inner_at = ? WHERE serial = ?`, sqldb.Micros(stamp.At), int64(i.Serial)); err != nil {
		return rec, err
	}
	return rec, insertEntry(ctx, tx, stamp, itemRow(batch.InnerChecked, i, brand))
}

// formatInner writes what a try came to as the effect of its request.
func formatInner(rec batch.InnerRecord) string {
	return fmt.Sprintf("%d %d %t", rec.Tries, sqldb.Micros(rec.FirstAt), rec.Locked)
}

func parseInner(effect string) (rec batch.InnerRecord, _ error) {
	var at int64
	if _, err := fmt.Sscanf(effect, "%d %d %t", &rec.Tries, &at, &rec.Locked); err != nil {
		return rec, fmt.Errorf("read effect of a try: %w", err)
	}
	rec.FirstAt = sqldb.Time(at)
	return rec, nil
}
