// Package idem remembers which mutation had which effect.
//
// Promise: a request that took effect is remembered in the transaction of its
// effect and for as long as it; the same request again names the same effect, and
// another body under the same key is refused. A refusal is not remembered.
package idem

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

//go:embed schema
var schema embed.FS

// Schema is the table's definition for the SQLite dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema/sqlite")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// What a caller may be told.
var (
	ErrMismatch = fault.New(fault.Mismatch, "idempotency.mismatch", "this Idempotency-Key was used with another body")
	ErrRunning  = fault.New(fault.Conflict, "idempotency.running", "a request with this Idempotency-Key is still running; ask again")
)

// Find names the effect that the request had. ok is false when it had none, and
// for a request without a key.
func Find(ctx context.Context, q sqldb.Querier, r ids.Request) (effect string, ok bool, err error) {
	if r.IsZero() {
		return "", false, nil
	}
	var body []byte
	err = q.QueryRowContext(ctx, `SELECT body, effect FROM idempotency WHERE key_hash = ?`, r.Key[:]).Scan(&body, &effect)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("find request: %w", err)
	case !bytes.Equal(body, r.Body[:]):
		return "", false, ErrMismatch
	}
	return effect, true, nil
}

// Remember ties the request to its effect. It must run in the effect's transaction.
func Remember(ctx context.Context, tx *sqldb.Tx, r ids.Request, effect string, now time.Time) error {
	if r.IsZero() {
		return nil
	}
	const insert = `INSERT INTO idempotency (key_hash, body, effect, created_at) VALUES (?,?,?,?)`
	_, err := tx.ExecContext(ctx, insert, r.Key[:], r.Body[:], effect, sqldb.Micros(now))
	if sqldb.IsDuplicate(err) {
		return ErrRunning // another process is committing the same request
	}
	if err != nil {
		return fmt.Errorf("remember request: %w", err)
	}
	return nil
}
