package batchsql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const claimColumns = `claim_id, batch_id, claimant, from_no, to_no, task_id, created_at`

func scanClaim(r *sql.Rows) (c batch.Claim, err error) {
	var created int64
	err = r.Scan(&c.ID, &c.BatchID, &c.Claimant, &c.From, &c.To, &c.TaskID, &created)
	c.CreatedAt = sqldb.Time(created)
	return c, err
}

// insertClaims writes claims in the order of their keys.
func insertClaims(ctx context.Context, tx *sqldb.Tx, claims ...batch.Claim) error {
	const row = `(?,?,?,?,?,?,?)`
	claims = slices.SortedFunc(slices.Values(claims), func(a, b batch.Claim) int { return cmp.Compare(a.ID, b.ID) })
	for chunk := range slices.Chunk(claims, claimsTogether) {
		args := make([]any, 0, 7*len(chunk))
		for i := range chunk {
			c := &chunk[i]
			args = append(args, c.ID, c.BatchID, c.Claimant, c.From, c.To, c.TaskID, sqldb.Micros(c.CreatedAt))
		}
		query := `INSERT INTO claims (` + claimColumns + `) VALUES ` + row + strings.Repeat(`,`+row, len(chunk)-1)
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return fmt.Errorf("insert claims: %w", err)
		}
	}
	return nil
}

func scanRun(r *sql.Rows) (run batch.Run, err error) {
	err = r.Scan(&run.From, &run.To)
	return run, err
}

// FindClaim implements batch.Claims.
func (s *Store) FindClaim(ctx context.Context, b ids.BatchID, id ids.ClaimID) (batch.Claim, error) {
	return findClaim(ctx, s.db.Reader(), b, id)
}

func findClaim(ctx context.Context, q sqldb.Querier, b ids.BatchID, id ids.ClaimID) (batch.Claim, error) {
	all, err := sqldb.Collect(ctx, q, scanClaim, `SELECT `+claimColumns+` FROM claims WHERE claim_id = ?`, id)
	c, err := first(all, err, batch.ErrUnknownClaim)
	if err == nil && b != "" && c.BatchID != b {
		return batch.Claim{}, batch.ErrUnknownClaim
	}
	return c, err
}

// ClaimsOf implements batch.Claims.
func (s *Store) ClaimsOf(ctx context.Context, b ids.BatchID, within batch.Run, limit int) ([]batch.Claim, error) {
	const query = `SELECT ` + claimColumns + ` FROM claims WHERE batch_id = ? AND from_no <= ? AND to_no >= ? AND to_no >= from_no ORDER BY from_no LIMIT ?`
	return sqldb.ReadRecent(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]batch.Claim, error) {
		return sqldb.Collect(ctx, q, scanClaim, query, b, within.To, within.From, limit)
	})
}

// ReturnClaim implements batch.Claims.
func (s *Store) ReturnClaim(ctx context.Context, r ids.Request, c batch.Claim, from, decided int64) (batch.Claim, bool, error) {
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if err := lockPool(ctx, tx, c.BatchID); err != nil {
			return "", err
		}
		now, err := findClaim(ctx, tx, c.BatchID, c.ID)
		if err != nil {
			return "", err
		}
		if from < now.From || from > now.To {
			return "", batch.ErrClaimRange
		}
		effect, err := s.shrinkClaim(ctx, tx, now, from)
		if err != nil {
			return "", err
		}
		return effect, s.unchangedSince(ctx, tx, c.BatchID, decided)
	})
	if err != nil {
		return batch.Claim{}, false, fmt.Errorf("return claim: %w", err)
	}
	// the answer is what the claim held after this return, also when it shrank since
	err = s.db.Reader().QueryRowContext(ctx, `SELECT from_no, to_no FROM claim_returns WHERE return_id = ?`, effect).Scan(&from, &c.To)
	if err != nil {
		return batch.Claim{}, false, fmt.Errorf("read return %s: %w", effect, errors.Join(errLost, err))
	}
	c.To = from - 1
	return c, replayed, nil
}

// unchangedSince takes the counter of the batch's shard, so that no state change can
// come any more, and sees whether one came after the decision.
func (s *Store) unchangedSince(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, decided int64) error {
	var brand ids.BrandID
	if err := tx.QueryRowContext(ctx, `SELECT brand_id FROM batches WHERE batch_id = ?`, b).Scan(&brand); err != nil {
		return fmt.Errorf("find brand of batch %s: %w", b, err)
	}
	if _, err := announce(ctx, tx, ids.ShardOf(brand), s.clock); err != nil {
		return err
	}
	return stillDecided(ctx, tx, ids.ShardOf(brand), decided)
}

// shrinkClaim gives from..c.To back. The pool is locked.
func (s *Store) shrinkClaim(ctx context.Context, tx *sqldb.Tx, c batch.Claim, from int64) (returnID string, _ error) {
	const shrink = `UPDATE claims SET to_no = ? WHERE claim_id = ? AND to_no = ?`
	ok, err := changed(tx.ExecContext(ctx, shrink, from-1, c.ID, c.To))
	if err != nil {
		return "", fmt.Errorf("shrink claim: %w", err)
	}
	if !ok {
		return "", batch.ErrRaced
	}
	if err := giveBack(ctx, tx, c.BatchID, batch.Run{From: from, To: c.To}); err != nil {
		return "", err
	}
	id := ids.New("ret")
	const insert = `INSERT INTO claim_returns (return_id, claim_id, from_no, to_no, created_at) VALUES (?,?,?,?,?)`
	_, err = tx.ExecContext(ctx, insert, id, c.ID, from, c.To, sqldb.Micros(s.clock.Now()))
	return id, err
}

// ReleaseClaims gives whole claims back in the transaction of a task that failed.
func (s *Store) ReleaseClaims(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, claims []ids.ClaimID) error {
	if err := lockPool(ctx, tx, b); err != nil {
		return err
	}
	for _, id := range claims {
		c, err := findClaim(ctx, tx, b, id)
		if err != nil {
			return err
		}
		if c.To < c.From {
			continue
		}
		if _, err := s.shrinkClaim(ctx, tx, c, c.From); err != nil {
			return err
		}
	}
	return nil
}

// Announce tells of the end of a task in its transaction.
func (s *Store) Announce(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, e batch.Event) error {
	_, err := announce(ctx, tx, shard, s.clock, e)
	return err
}

// Free implements batch.Claims.
func (s *Store) Free(ctx context.Context, b ids.BatchID) (batch.Runs, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanRun, `SELECT from_no, to_no FROM pool_free WHERE batch_id = ? ORDER BY from_no`, b)
}

// PoolCandidates implements batch.Claims.
func (s *Store) PoolCandidates(ctx context.Context, product ids.ProductID, quantity int64, now time.Time) ([]ids.BatchID, int64, error) {
	const query = `SELECT b.batch_id, SUM(f.to_no - f.from_no + 1), MAX(f.to_no - f.from_no + 1)
		FROM batches b JOIN pool_free f ON f.batch_id = b.batch_id
		WHERE b.product_id = ? AND (b.expires_at = 0 OR b.expires_at > ?)
		GROUP BY b.batch_id, b.expires_at, b.first_serial
		ORDER BY CASE WHEN b.expires_at = 0 THEN 1 ELSE 0 END, b.expires_at, b.first_serial`
	type candidate struct {
		id             ids.BatchID
		total, longest int64
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (c candidate, err error) {
		err = r.Scan(&c.id, &c.total, &c.longest)
		return c, err
	}, query, product, sqldb.Micros(now))
	if err != nil {
		return nil, 0, fmt.Errorf("find pool of product %d: %w", product, err)
	}
	var list []ids.BatchID
	var free int64
	for _, c := range all {
		free += c.total
		if c.longest >= quantity {
			list = append(list, c.id)
		}
	}
	return list, free, nil
}
