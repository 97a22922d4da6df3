package batchsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

func insertClaim(ctx context.Context, tx *sqldb.Tx, c batch.Claim) error {
	const insert = `INSERT INTO claims (` + claimColumns + `) VALUES (?,?,?,?,?,?,?)`
	_, err := tx.ExecContext(ctx, insert, c.ID, c.BatchID, c.Claimant, c.From, c.To, c.TaskID, sqldb.Micros(c.CreatedAt))
	if err != nil {
		return fmt.Errorf("insert claim: %w", err)
	}
	return nil
}

func scanRun(r *sql.Rows) (run batch.Run, err error) {
	err = r.Scan(&run.From, &run.To)
	return run, err
}

// scanFree reads a free block as the claim that it would be.
func scanFree(r *sql.Rows) (c batch.Claim, err error) {
	err = r.Scan(&c.BatchID, &c.From, &c.To)
	return c, err
}

// Claim implements batch.Claims.
func (s *Store) Claim(ctx context.Context, r ids.Request, ask batch.ClaimAsk, task *batch.NewTask) ([]batch.Claim, string, bool, error) {
	var claims []batch.Claim
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		claims = nil
		runs, err := takeFree(ctx, tx, ask)
		if err != nil {
			return "", err
		}
		effect := ""
		for _, run := range runs {
			c := batch.Claim{
				ID: ids.ClaimID(ids.New("clm")), BatchID: ask.BatchID, Claimant: ask.Claimant,
				From: run.From, To: run.To, CreatedAt: ask.CreatedAt,
			}
			if task != nil {
				c.TaskID = task.ID
			}
			if err := insertClaim(ctx, tx, c); err != nil {
				return "", err
			}
			claims, effect = append(claims, c), string(c.ID)
		}
		if task != nil {
			if err := insertTask(ctx, tx, task, ask.BatchID, claims); err != nil {
				return "", err
			}
			if ask.Quantity == 0 {
				effect = string(task.ID)
			}
		}
		return effect, nil
	})
	if err != nil {
		return nil, "", false, fmt.Errorf("claim: %w", err)
	}
	return claims, effect, replayed, nil
}

// lockPool makes transactions over one batch's pool wait for each other. The batch's
// row stands for its pool: blocks come and go.
func lockPool(ctx context.Context, tx *sqldb.Tx, b ids.BatchID) error {
	if _, err := tx.ExecContext(ctx, `UPDATE batches SET quantity = quantity WHERE batch_id = ?`, b); err != nil {
		return fmt.Errorf("lock pool: %w", err)
	}
	return nil
}

// takeFree takes what is asked for out of the pool.
func takeFree(ctx context.Context, tx *sqldb.Tx, ask batch.ClaimAsk) (batch.Runs, error) {
	if ask.Quantity == 0 && ask.Within == (batch.Run{}) {
		return nil, nil
	}
	if err := lockPool(ctx, tx, ask.BatchID); err != nil {
		return nil, err
	}
	if ask.Quantity > 0 {
		const query = `SELECT from_no, to_no FROM pool_free WHERE batch_id = ? AND to_no - from_no + 1 >= ? ORDER BY from_no LIMIT 1`
		var free batch.Run
		err := tx.QueryRowContext(ctx, query, ask.BatchID, ask.Quantity).Scan(&free.From, &free.To)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, batch.ErrExhausted
		}
		if err != nil {
			return nil, fmt.Errorf("find free block: %w", err)
		}
		taken := batch.Run{From: free.From, To: free.From + ask.Quantity - 1}
		return batch.Runs{taken}, cutFree(ctx, tx, ask.BatchID, free, taken)
	}
	const query = `SELECT from_no, to_no FROM pool_free WHERE batch_id = ? AND from_no <= ? AND to_no >= ? ORDER BY from_no`
	all, err := sqldb.Collect(ctx, tx, scanRun, query, ask.BatchID, ask.Within.To, ask.Within.From)
	if err != nil {
		return nil, fmt.Errorf("find free blocks: %w", err)
	}
	var taken batch.Runs
	for _, free := range all {
		part := batch.Run{From: max(free.From, ask.Within.From), To: min(free.To, ask.Within.To)}
		if err := cutFree(ctx, tx, ask.BatchID, free, part); err != nil {
			return nil, err
		}
		taken = append(taken, part)
	}
	return taken, nil
}

// cutFree takes a part out of a free block, if the block is still as it was seen.
func cutFree(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, free, part batch.Run) error {
	ok, err := changed(tx.ExecContext(ctx, `DELETE FROM pool_free WHERE batch_id = ? AND from_no = ? AND to_no = ?`, b, free.From, free.To))
	if err != nil {
		return fmt.Errorf("take free block: %w", err)
	}
	if !ok {
		return batch.ErrRaced
	}
	for _, rest := range []batch.Run{{From: free.From, To: part.From - 1}, {From: part.To + 1, To: free.To}} {
		if rest.Len() > 0 {
			if err := putFree(ctx, tx, b, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

func putFree(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, r batch.Run) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO pool_free (batch_id, from_no, to_no) VALUES (?,?,?)`, b, r.From, r.To)
	if err != nil {
		return fmt.Errorf("put free block: %w", err)
	}
	return nil
}

// giveBack returns a run to the pool and joins it with its free neighbours.
func giveBack(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, r batch.Run) error {
	const touching = `SELECT from_no, to_no FROM pool_free WHERE batch_id = ? AND (to_no = ? OR from_no = ?)`
	around, err := sqldb.Collect(ctx, tx, scanRun, touching, b, r.From-1, r.To+1)
	if err != nil {
		return fmt.Errorf("find free neighbours: %w", err)
	}
	for _, n := range around {
		if _, err := tx.ExecContext(ctx, `DELETE FROM pool_free WHERE batch_id = ? AND from_no = ?`, b, n.From); err != nil {
			return fmt.Errorf("join free blocks: %w", err)
		}
		r.From, r.To = min(r.From, n.From), max(r.To, n.To)
	}
	return putFree(ctx, tx, b, r)
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
	return sqldb.Collect(ctx, s.db.Reader(), scanClaim, query, b, within.To, within.From, limit)
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
