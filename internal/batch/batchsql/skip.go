package batchsql

import (
	"context"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	skipIDs      = 1_000 // brands and products
	withdrawPage = 1_000
)

// Withdrawn is what an older copy no longer hands out.
type Withdrawn struct {
	Claims  int   // that were made of what was free
	Numbers int64 // in them
}

// SkipIssued makes a copy that is older than what was issued safe to issue from: each
// shard leaves out so many serials, up to its limit, brands and products leave out
// some ids, and numbers that were free are claimed by claimant, since somebody may
// hold them by now. Who knows better returns such a claim.
func (s *Store) SkipIssued(ctx context.Context, serials, limit int64, claimant string) (w Withdrawn, _ error) {
	if serials < 1 || serials > limit {
		return w, fmt.Errorf("skip issued: %d serials are not between 1 and %d", serials, limit)
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		const skip = `UPDATE serial_counters SET next = CASE WHEN next > ? THEN ? ELSE next + ? END WHERE next < ?`
		_, err1 := tx.ExecContext(ctx, skip, limit-serials, limit, serials, limit)
		_, err2 := tx.ExecContext(ctx, `UPDATE batch_ids SET last = last + ?`, skipIDs)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		w, err = s.withdraw(ctx, tx, claimant)
		return err
	})
	if err != nil {
		return Withdrawn{}, fmt.Errorf("skip issued: %w", err)
	}
	return w, nil
}

// withdraw claims all that is free.
func (s *Store) withdraw(ctx context.Context, tx *sqldb.Tx, claimant string) (w Withdrawn, _ error) {
	const query = `SELECT batch_id, from_no, to_no FROM pool_free WHERE batch_id > ? OR (batch_id = ? AND from_no > ?) ORDER BY batch_id, from_no LIMIT ?`
	var last batch.Claim
	for {
		page, err := sqldb.Collect(ctx, tx, scanFree, query, last.BatchID, last.BatchID, last.From, withdrawPage)
		if err != nil {
			return w, fmt.Errorf("find free blocks: %w", err)
		}
		for i := range page {
			c := &page[i]
			c.ID, c.Claimant, c.CreatedAt = ids.ClaimID(ids.Beside(string(c.BatchID), "clm")), claimant, s.clock.Now()
			w.Claims, w.Numbers, last = w.Claims+1, w.Numbers+c.To-c.From+1, *c
		}
		if err := insertClaims(ctx, tx, page...); err != nil {
			return w, err
		}
		if len(page) < withdrawPage {
			break
		}
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM pool_free`)
	return w, err
}
