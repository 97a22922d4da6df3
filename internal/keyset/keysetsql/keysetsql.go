// Package keysetsql keeps what SQL knows of a keyset, each key's name and check
// value, in the database of the batches that depend on it, so that a backup holds
// both or neither. It holds no secret.
//
// Promise: the contract of keyset.Store, which TestStore holds it to.
package keysetsql

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

//go:embed schema
var schema embed.FS

// Schema is the table's definition, a directory for each dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// Store keeps keys in one table.
type Store struct{ db *sqldb.DB }

var _ keyset.Store = (*Store)(nil)

// New makes a Store on a migrated database.
func New(db *sqldb.DB) *Store { return &Store{db} }

// Known implements keyset.Store.
func (s *Store) Known(ctx context.Context) ([]keyset.Known, error) {
	return known(ctx, s.db.Reader())
}

func known(ctx context.Context, q sqldb.Querier) ([]keyset.Known, error) {
	keys, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (k keyset.Known, err error) {
		var created, until int64
		err = rows.Scan(&k.ID, &k.Purpose, &k.Check, &created, &until)
		k.CreatedAt, k.VerifyUntil = sqldb.Time(created), sqldb.Time(until)
		return k, err
	}, `SELECT key_id, purpose, check_value, created_at, verify_until FROM keyset_keys ORDER BY created_at, key_id`)
	if err != nil {
		return nil, fmt.Errorf("select keys: %w", err)
	}
	return keys, nil
}

// Record implements keyset.Store. Reading before writing is safe here: should two
// processes record at once, a unique key refuses the second, whole.
func (s *Store) Record(ctx context.Context, keys []keyset.Known) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		old, err := known(ctx, tx)
		if err != nil {
			return err
		}
		for _, k := range keys {
			i := slices.IndexFunc(old, func(o keyset.Known) bool { return o.ID == k.ID })
			if i < 0 {
				err = insert(ctx, tx, k)
				old = append(old, k)
			} else {
				err = update(ctx, tx, old[i], k)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func insert(ctx context.Context, tx *sqldb.Tx, k keyset.Known) error {
	sole := k.ID
	if k.Purpose == keyset.Codebook {
		sole = string(keyset.Codebook)
	}
	_, err := tx.ExecContext(ctx,
		`INSERT INTO keyset_keys (key_id, purpose, check_value, created_at, verify_until, sole) VALUES (?, ?, ?, ?, ?, ?)`,
		k.ID, string(k.Purpose), k.Check, sqldb.Micros(k.CreatedAt), sqldb.Micros(k.VerifyUntil), sole)
	if sqldb.IsDuplicate(err) {
		return keyset.ErrDifferent.Textf("the key %s was recorded by another process, or another %s key was", k.ID, k.Purpose).Because(err)
	}
	if err != nil {
		return fmt.Errorf("insert key %s: %w", k.ID, err)
	}
	return nil
}

func update(ctx context.Context, tx *sqldb.Tx, old, k keyset.Known) error {
	if old.Check != k.Check || old.Purpose != k.Purpose || !old.CreatedAt.Equal(k.CreatedAt) {
		return keyset.ErrDifferent.Textf("the key %s is known with another check value, purpose or creation time", k.ID)
	}
	_, err := tx.ExecContext(ctx, `UPDATE keyset_keys SET verify_until = ? WHERE key_id = ?`,
		sqldb.Micros(k.VerifyUntil), k.ID)
	if err != nil {
		return fmt.Errorf("update key %s: %w", k.ID, err)
	}
	return nil
}
