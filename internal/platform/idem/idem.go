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
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
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

// Once gives the effect of a request, and lets fn bring it about when it had none. fn
// names the effect; what it does stands and falls with the memory of it. Of the same
// request at the same time one takes effect, and the other answers the same.
//
// A commit whose answer was lost is settled here: the request's row comes first in its
// transaction, so running again waits until the lost one has ended, and then finds
// what it left. Without a key nobody can tell, and sqldb.ErrUnknownOutcome is the answer.
func Once(ctx context.Context, db *sqldb.DB, c clock.Clock, r ids.Request, fn func(ctx context.Context, tx *sqldb.Tx) (effect string, _ error)) (effect string, replayed bool, err error) {
	if effect, replayed, err = Find(ctx, db.Reader(), r); err != nil || replayed {
		return effect, replayed, err
	}
	for range settleTriesMax {
		had := true // nobody knows yet that a lost commit left nothing
		last := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			effect, replayed = "", false
			var err error
			if effect, replayed, err = take(ctx, tx, r, c.Now()); err != nil || replayed {
				return err
			}
			had = false
			if effect, err = fn(ctx, tx); err != nil {
				return err
			}
			return remember(ctx, tx, r, effect)
		})
		if last == nil {
			return effect, replayed, nil
		}
		if err == nil || !had || errors.Is(last, ErrMismatch) {
			err = last // else it stays unknown, whatever kept us from settling it
		}
		if r.IsZero() || !errors.Is(last, sqldb.ErrUnknownOutcome) {
			break
		}
	}
	return "", false, err
}

// settleTriesMax bounds how often an answer may be lost before we say so.
const settleTriesMax = 3

// take makes the request's row, whose effect is yet to come, or finds what it had.
// Whoever is second waits here for the first.
func take(ctx context.Context, tx *sqldb.Tx, r ids.Request, now time.Time) (effect string, had bool, _ error) {
	if r.IsZero() {
		return "", false, nil
	}
	const insert = `INSERT INTO idempotency (key_hash, body, effect, created_at) VALUES (?,?,'',?)`
	_, err := tx.ExecContext(ctx, insert, r.Key[:], r.Body[:], sqldb.Micros(now))
	switch {
	case err == nil:
		return "", false, nil
	case sqldb.IsDuplicate(err):
		return Find(ctx, tx, r)
	case sqldb.IsLockWait(err):
		return "", false, ErrRunning
	}
	return "", false, fmt.Errorf("take request: %w", err)
}

func remember(ctx context.Context, tx *sqldb.Tx, r ids.Request, effect string) error {
	if r.IsZero() {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE idempotency SET effect = ? WHERE key_hash = ?`, effect, r.Key[:])
	if err != nil {
		return fmt.Errorf("remember request: %w", err)
	}
	return nil
}
