package batchsql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

const batchColumns = `batch_id, product_id, brand_id, batch_no, first_serial, quantity, mark, rotate_seconds, inner_key_id, expires_at, production_date, description, created_at, signature_key_id, signature_gtin`

func scanBatch(r *sql.Rows) (b batch.Batch, err error) {
	var rotate, expires, created int64
	err = r.Scan(&b.ID, &b.ProductID, &b.BrandID, &b.No, &b.First, &b.Quantity, &b.Mark, &rotate, &b.InnerKeyID,
		&expires, &b.ProductionDate, &b.Description, &created, &b.SignatureKeyID, &b.SignatureGTIN)
	b.RotateEvery, b.ExpiresAt, b.CreatedAt = duration(rotate), sqldb.Time(expires), sqldb.Time(created)
	return b, err
}

// CreateBatch implements batch.Batches.
func (s *Store) CreateBatch(ctx context.Context, r ids.Request, n batch.NewBatch) (string, bool, error) {
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		b := n.Batch
		if err := allocate(ctx, tx, n, &b); err != nil {
			return "", err
		}
		const insert = `INSERT INTO batches (` + batchColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
		_, err := tx.ExecContext(ctx, insert, b.ID, b.ProductID, b.BrandID, b.No, int64(b.First), b.Quantity, b.Mark,
			seconds(b.RotateEvery), b.InnerKeyID, sqldb.Micros(b.ExpiresAt), b.ProductionDate, b.Description, sqldb.Micros(b.CreatedAt), b.SignatureKeyID, b.SignatureGTIN)
		if sqldb.IsDuplicate(err) {
			return "", batch.ErrBatchExists
		}
		if err != nil {
			return "", err
		}
		effect, err := s.fillNewBatch(ctx, tx, n)
		if err != nil {
			return "", err
		}
		stamp, err := announce(ctx, tx, n.Shard, s.clock, n.Event)
		if err != nil {
			return "", err
		}
		return effect, insertEntry(ctx, tx, stamp, feedRow{kind: batch.BatchCreated, id: string(b.ID), batch: b.First, brand: b.BrandID})
	})
	if err != nil {
		return "", false, fmt.Errorf("create batch: %w", err)
	}
	return effect, replayed, nil
}

// allocate takes the batch's serials from the shard's counter.
func allocate(ctx context.Context, tx *sqldb.Tx, n batch.NewBatch, b *batch.Batch) error {
	const take = `UPDATE serial_counters SET next = next + ? WHERE shard = ? AND next + ? <= ?`
	ok, err := changed(tx.ExecContext(ctx, take, b.Quantity, n.Shard, b.Quantity, n.Limit))
	if err != nil {
		return fmt.Errorf("take serials of shard %d: %w", n.Shard, err)
	}
	if !ok {
		return batch.LimitError(n.Region)
	}
	var next int64
	if err := tx.QueryRowContext(ctx, `SELECT next FROM serial_counters WHERE shard = ?`, n.Shard).Scan(&next); err != nil {
		return fmt.Errorf("take serials of shard %d: %w", n.Shard, err)
	}
	b.First, err = ids.NewSerial(n.Region, n.Shard, next-b.Quantity)
	return err
}

// fillNewBatch writes the pool of a new batch, or the claim of all of it, and the
// task. It names the effect that the request is remembered by.
func (s *Store) fillNewBatch(ctx context.Context, tx *sqldb.Tx, n batch.NewBatch) (string, error) {
	effect := string(n.Batch.ID)
	var claims []batch.Claim
	if n.Claim != nil {
		c := *n.Claim
		if n.Task != nil {
			c.TaskID = n.Task.ID
		}
		if err := insertClaims(ctx, tx, c); err != nil {
			return "", err
		}
		claims = append(claims, c)
	} else if err := putFree(ctx, tx, []any{n.Batch.ID, 1, n.Batch.Quantity}); err != nil {
		return "", err
	}
	if n.Task != nil {
		effect = string(n.Task.ID)
		t, err := newTask(n.Task, n.Batch.ID, claims)
		if err == nil {
			err = task.Insert(ctx, tx, t)
		}
		if err != nil {
			return "", err
		}
	}
	return effect, nil
}

// Batch implements batch.Batches.
func (s *Store) Batch(ctx context.Context, id ids.BatchID) (batch.Batch, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanBatch, `SELECT `+batchColumns+` FROM batches WHERE batch_id = ?`, id)
	return first(all, err, batch.ErrUnknownBatch)
}

// BatchByNo implements batch.Batches.
func (s *Store) BatchByNo(ctx context.Context, product ids.ProductID, no string) (batch.Batch, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanBatch,
		`SELECT `+batchColumns+` FROM batches WHERE product_id = ? AND batch_no = ?`, product, no)
	return first(all, err, batch.ErrUnknownBatch)
}

// ListBatches implements batch.Batches. The bound by time alone lets an index begin at the
// page, wherever that is.
func (s *Store) ListBatches(ctx context.Context, product ids.ProductID, before time.Time, beforeID ids.BatchID, limit int) ([]batch.Batch, error) {
	const all = `SELECT ` + batchColumns + ` FROM batches
		WHERE created_at <= ? AND (created_at < ? OR batch_id < ?) ORDER BY created_at DESC, batch_id DESC LIMIT ?`
	const ofProduct = `SELECT ` + batchColumns + ` FROM batches
		WHERE product_id = ? AND created_at <= ? AND (created_at < ? OR batch_id < ?) ORDER BY created_at DESC, batch_id DESC LIMIT ?`
	us := sqldb.Micros(before)
	return sqldb.ReadRecent(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]batch.Batch, error) {
		if product == 0 {
			return sqldb.Collect(ctx, q, scanBatch, all, us, us, beforeID, limit)
		}
		return sqldb.Collect(ctx, q, scanBatch, ofProduct, product, us, us, beforeID, limit)
	})
}

// BatchesOf implements batch.Batches.
func (s *Store) BatchesOf(ctx context.Context, brand ids.BrandID, before time.Time, beforeID ids.BatchID, limit int) ([]batch.Batch, error) {
	const query = `SELECT ` + batchColumns + ` FROM batches
		WHERE brand_id = ? AND created_at <= ? AND (created_at < ? OR batch_id < ?)
		ORDER BY created_at DESC, batch_id DESC LIMIT ?`
	us := sqldb.Micros(before)
	return sqldb.Collect(ctx, s.db.Reader(), scanBatch, query, brand, us, us, beforeID, limit)
}

func seconds(d time.Duration) int64  { return int64(d / time.Second) }
func duration(s int64) time.Duration { return time.Duration(s) * time.Second }

// number reads an effect that nextID made.
func number(effect string) int64 {
	n, err := strconv.ParseInt(effect, 10, 32)
	if err != nil {
		return 0 // no such id: the look-up answers "unknown"
	}
	return n
}

// HasBatches reports whether anything was ever issued here.
func (s *Store) HasBatches(ctx context.Context) (has bool, _ error) {
	err := s.db.Reader().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM batches)`).Scan(&has)
	return has, err
}
