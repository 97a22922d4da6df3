package batchsql

import (
	"context"
	"fmt"
	"strconv"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// ChangeTexts implements batch.Catalog. The feed tells of it, since every process keeps
// texts in memory.
func (s *Store) ChangeTexts(ctx context.Context, r ids.Request, t batch.TextChange) (replayed bool, _ error) {
	_, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		effect, err := setTexts(ctx, tx, t)
		if err != nil {
			return "", err
		}
		stamp, err := announce(ctx, tx, ids.ShardOf(t.BrandID), s.clock)
		if err != nil {
			return "", err
		}
		return effect, insertEntry(ctx, tx, stamp, feedRow{
			kind: batch.TextsChanged, id: ids.New("txt"), brand: t.BrandID, serial: ids.Serial(t.ProductID),
		})
	})
	if err != nil {
		return false, fmt.Errorf("change texts: %w", err)
	}
	return replayed, nil
}

// setTexts changes the row and names the effect.
func setTexts(ctx context.Context, tx *sqldb.Tx, t batch.TextChange) (effect string, err error) {
	if t.ProductID == 0 {
		_, err = tx.ExecContext(ctx, `UPDATE brands SET name = COALESCE(?, name) WHERE brand_id = ?`, t.Name, t.BrandID)
		return strconv.Itoa(int(t.BrandID)), err
	}
	const update = `UPDATE products SET name = COALESCE(?, name), description = COALESCE(?, description), help = COALESCE(?, help) WHERE product_id = ?`
	_, err = tx.ExecContext(ctx, update, t.Name, t.Description, t.Help, t.ProductID)
	return strconv.Itoa(int(t.ProductID)), err
}
