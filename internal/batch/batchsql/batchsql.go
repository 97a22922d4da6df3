// Package batchsql keeps the batch domain in SQL. Only the portable subset is
// used: each statement is a constant with bound parameters.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told
// apart by platform/sqldb.
package batchsql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

//go:embed schema
var schema embed.FS

// Schema is the tables' definition, a directory for each dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// Store implements batch.Store.
type Store struct {
	db     *sqldb.DB
	clock  clock.Clock
	claims *sqldb.Combiner[ids.Shard, claimAct, claimed]
}

var _ batch.Store = (*Store)(nil)

// New makes the store of a migrated database.
func New(db *sqldb.DB, c clock.Clock) *Store {
	s := &Store{db: db, clock: c}
	s.claims = sqldb.NewCombiner[ids.Shard](claimsTogether, claimsWaiting, s.claimTogether)
	return s
}

// Close waits for claims that nobody waits for any more. It comes before the end of the
// database.
func (s *Store) Close() error {
	s.claims.Close()
	return nil
}

// once runs fn unless the request had its effect before, and remembers the effect
// that fn names.
func (s *Store) once(ctx context.Context, r ids.Request, fn func(ctx context.Context, tx *sqldb.Tx) (effect string, _ error)) (effect string, replayed bool, err error) {
	return idem.Once(ctx, s.db, s.clock, r, fn)
}

// Effect implements batch.Store.
func (s *Store) Effect(ctx context.Context, r ids.Request) (effect string, replayed bool, err error) {
	return idem.Find(ctx, s.db.Reader(), r)
}

// nextID takes the next number of a kind.
func nextID(ctx context.Context, tx *sqldb.Tx, kind string) (id int32, _ error) {
	if _, err := tx.ExecContext(ctx, `UPDATE batch_ids SET last = last + 1 WHERE name = ?`, kind); err != nil {
		return 0, fmt.Errorf("take %s id: %w", kind, err)
	}
	if err := tx.QueryRowContext(ctx, `SELECT last FROM batch_ids WHERE name = ?`, kind).Scan(&id); err != nil {
		return 0, fmt.Errorf("take %s id: %w", kind, err)
	}
	return id, nil
}

// first gives the only element of a query by key.
func first[T any](all []T, err error, absent *fault.Error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	if len(all) == 0 {
		return none, absent
	}
	return all[0], nil
}

// CreateBrand implements batch.Catalog.
func (s *Store) CreateBrand(ctx context.Context, r ids.Request, b batch.Brand) (batch.Brand, bool, error) {
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		id, err := nextID(ctx, tx, "brand")
		if err != nil {
			return "", err
		}
		b.ID = ids.BrandID(id)
		return strconv.Itoa(int(id)), insertBrand(ctx, tx, b)
	})
	if err != nil {
		return batch.Brand{}, false, fmt.Errorf("create brand: %w", err)
	}
	b, err = s.Brand(ctx, ids.BrandID(number(effect)))
	return b, replayed, err
}

func insertBrand(ctx context.Context, tx *sqldb.Tx, b batch.Brand) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO brands (brand_id, name, created_at) VALUES (?,?,?)`, b.ID, b.Name, sqldb.Micros(b.CreatedAt))
	return err
}

const brandColumns = `brand_id, name, created_at`

func scanBrand(r *sql.Rows) (b batch.Brand, err error) {
	var created int64
	err = r.Scan(&b.ID, &b.Name, &created)
	b.CreatedAt = sqldb.Time(created)
	return b, err
}

// Brand implements batch.Catalog.
func (s *Store) Brand(ctx context.Context, id ids.BrandID) (batch.Brand, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanBrand, `SELECT `+brandColumns+` FROM brands WHERE brand_id = ?`, id)
	return first(all, err, batch.ErrUnknownBrand)
}

// Brands implements batch.Catalog.
func (s *Store) Brands(ctx context.Context, after ids.BrandID, limit int) ([]batch.Brand, error) {
	return sqldb.ReadRecent(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]batch.Brand, error) {
		return sqldb.Collect(ctx, q, scanBrand, `SELECT `+brandColumns+` FROM brands WHERE brand_id > ? ORDER BY brand_id LIMIT ?`, after, limit)
	})
}

const productColumns = `product_id, brand_id, name, gtin, description, help, pool_target, pool_batch_quantity, pool_expire_hours, pool_rotate_seconds, pool_mark, pool_inner_code, created_at, pool_signed`

// CreateProduct implements batch.Catalog. The product's number names its shard, as its
// brand's does, so that every database can count for itself.
func (s *Store) CreateProduct(ctx context.Context, r ids.Request, p batch.Product) (batch.Product, bool, error) {
	const insert = `INSERT INTO products (` + productColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		n, err := nextID(ctx, tx, "product")
		if err != nil {
			return "", err
		}
		id := n*ids.Shards + int32(ids.ShardOf(p.BrandID))
		_, err = tx.ExecContext(ctx, insert, id, p.BrandID, p.Name, string(p.GTIN), p.Description, p.Help,
			p.Pool.Target, p.Pool.BatchQuantity, p.Pool.ExpireHours, seconds(p.Pool.RotateEvery), p.Pool.Mark, p.Pool.InnerCode,
			sqldb.Micros(p.CreatedAt), p.Pool.Signed)
		return strconv.Itoa(int(id)), err
	})
	if err != nil {
		return batch.Product{}, false, fmt.Errorf("create product: %w", err)
	}
	p, err = s.Product(ctx, ids.ProductID(number(effect)))
	return p, replayed, err
}

func scanProduct(r *sql.Rows) (p batch.Product, err error) {
	var created, rotate int64
	var gtin string
	err = r.Scan(&p.ID, &p.BrandID, &p.Name, &gtin, &p.Description, &p.Help, &p.Pool.Target, &p.Pool.BatchQuantity,
		&p.Pool.ExpireHours, &rotate, &p.Pool.Mark, &p.Pool.InnerCode, &created, &p.Pool.Signed)
	p.GTIN, p.CreatedAt, p.Pool.RotateEvery = gs1.GTIN(gtin), sqldb.Time(created), duration(rotate)
	return p, err
}

// Product implements batch.Catalog.
func (s *Store) Product(ctx context.Context, id ids.ProductID) (batch.Product, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanProduct, `SELECT `+productColumns+` FROM products WHERE product_id = ?`, id)
	return first(all, err, batch.ErrUnknownProduct)
}

// Products implements batch.Catalog. It never asks a replica: edges are told of texts by it.
func (s *Store) Products(ctx context.Context, brand ids.BrandID, after ids.ProductID, limit int) ([]batch.Product, error) {
	if brand == 0 {
		return sqldb.Collect(ctx, s.db.Reader(), scanProduct,
			`SELECT `+productColumns+` FROM products WHERE product_id > ? ORDER BY product_id LIMIT ?`, after, limit)
	}
	return sqldb.Collect(ctx, s.db.Reader(), scanProduct,
		`SELECT `+productColumns+` FROM products WHERE brand_id = ? AND product_id > ? ORDER BY product_id LIMIT ?`, brand, after, limit)
}

// BrandOf implements batch.Catalog.
func (s *Store) BrandOf(ctx context.Context, gtin gs1.GTIN) (ids.BrandID, bool, error) {
	found, err := s.owner(ctx, gtin)
	return found.brand, found.product != 0, err
}

// owner is the first product that has a GTIN.
type owner struct {
	product ids.ProductID
	brand   ids.BrandID
}

func (s *Store) owner(ctx context.Context, gtin gs1.GTIN) (owner, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (o owner, err error) {
		return o, r.Scan(&o.product, &o.brand)
	}, `SELECT product_id, brand_id FROM products WHERE gtin = ? ORDER BY product_id LIMIT 1`, string(gtin))
	if err != nil || len(all) == 0 {
		return owner{}, err
	}
	return all[0], nil
}

// announce stamps the transaction and writes its events.
func announce(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, c clock.Clock, events ...batch.Event) (outbox.Stamp, error) {
	stamp, err := outbox.Commit(ctx, tx, shard, c.Now())
	if err != nil {
		return stamp, err
	}
	told := make([]outbox.Event, len(events))
	for i, e := range events {
		told[i] = outbox.Event{Type: e.Type, BrandID: e.BrandID, Subject: e.Subject, Data: e.Data}
	}
	return stamp, outbox.Append(ctx, tx, stamp, told...)
}

// AppendEvents implements batch.Changes.
func (s *Store) AppendEvents(ctx context.Context, shard ids.Shard, events []batch.Event) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := announce(ctx, tx, shard, s.clock, events...)
		return err
	})
}

// newTask makes the task that is born with an effect.
func newTask(t *batch.NewTask, b ids.BatchID, claimed []batch.Claim) (task.Task, error) {
	payload, total, err := t.Payload(claimed)
	return task.Task{
		ID: t.ID, Kind: t.Kind, Step: t.Step, Payload: payload, Subject: string(b), BrandID: t.BrandID, File: t.File, Total: total,
		CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt,
	}, err
}

// changed reports whether a compare-and-set took effect.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// allChanged refuses unless so many rows were changed.
func allChanged(want int, r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n != int64(want) {
		return batch.ErrRaced
	}
	return err
}

var errLost = errors.New("batchsql: a row is missing that its own transaction wrote")
