package sqldb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// What a caller may be told when a transaction did not come about, or may have.
var (
	// ErrUnknownOutcome answers a commit whose answer was lost: the transaction may
	// stand or not. Only who can name it (idem.Once by the request) can settle that.
	ErrUnknownOutcome = fault.New(fault.Unavailable, "sql.unknown_outcome",
		"the connection to the database was lost during the commit; it may have taken effect: ask again with the same Idempotency-Key")
	ErrUnavailable = fault.New(fault.Unavailable, "sql.unavailable", "the database does not answer; nothing was changed, ask again")
	ErrBusy        = fault.New(fault.Unavailable, "sql.busy", "too many writers are after the same rows; nothing was changed, ask again")
)

const (
	// How often one Write runs, with pauses of 2.5 s in all between: a deadlock is gone
	// at once, a server that starts again takes seconds.
	triesMax = 10
	// A lock wait has taken innodb_lock_wait_timeout already.
	lockWaitsMax = 2

	pauseMin = 10 * time.Millisecond
	pauseMax = 500 * time.Millisecond
)

// Tx is a transaction that may write. Once the engine has ended it on its own, as
// after a deadlock, no further statement of it runs: it would stand alone.
type Tx struct {
	tx    *sql.Tx
	ended error
	said  []announcement

	kept *prepared                   // nil = none are
	keep []func(ctx context.Context) // of statements that are not yet, once the connection is free
}

// ExecContext runs a statement.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t.ended != nil {
		return nil, t.ended
	}
	if t.kept != nil {
		if stmt := t.kept.known(query); stmt != nil {
			stmt = t.tx.StmtContext(ctx, stmt) //nolint:sqlclosecheck // closed with the transaction
			r, err := stmt.ExecContext(ctx, args...)
			return r, t.note(err)
		}
		t.keep = append(t.keep, func(ctx context.Context) { t.kept.statement(ctx, query) })
	}
	r, err := t.tx.ExecContext(ctx, query, args...)
	return r, t.note(err)
}

// QueryContext implements Querier.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if t.ended != nil {
		return nil, t.ended
	}
	rows, err := t.tx.QueryContext(ctx, query, args...)
	return rows, t.note(err)
}

// QueryRowContext implements Querier.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if t.ended != nil {
		over, cancel := context.WithCancelCause(ctx)
		cancel(t.ended)
		ctx = over
	}
	return t.tx.QueryRowContext(ctx, query, args...)
}

// PrepareContext makes a statement of this transaction.
func (t *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if t.ended != nil {
		return nil, t.ended
	}
	return t.tx.PrepareContext(ctx, query)
}

func (t *Tx) note(err error) error {
	if err != nil && endsTransaction(err) {
		t.ended = err
	}
	return err
}

// Write runs fn in one transaction and commits it. When fn or the commit fails
// nothing of it stays. fn may be given up halfway by ctx, but a commit that has
// begun is waited for.
//
// Under MySQL fn may run again, in a new transaction, when the one before is known to
// have left nothing: after a deadlock, a lock wait, or a connection that was lost before
// the commit. So fn must set anew whatever it hands out of itself. A commit whose
// answer was lost is ErrUnknownOutcome, and is not tried again here.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	lockWaits := 0
	for try := 1; ; try++ {
		mine := &Tx{kept: d.writes}
		err := d.attempt(ctx, mine, fn)
		for _, keep := range mine.keep {
			keep(ctx)
		}
		if err == nil || errors.Is(err, ErrUnknownOutcome) {
			d.answered(ctx)
		}
		if err == nil || d.dialect == SQLite || ctx.Err() != nil || errors.Is(err, ErrUnknownOutcome) {
			return err
		}
		isLost, isConflict := lost(err), conflict(err)
		if !isLost && !isConflict {
			return err
		}
		if IsLockWait(err) {
			lockWaits++
		}
		if try == triesMax || lockWaits == lockWaitsMax || !pause(ctx, try) {
			if isLost {
				return ErrUnavailable.Because(err)
			}
			return ErrBusy.Because(err)
		}
	}
}

// attempt is one run of fn.
func (d *DB) attempt(ctx context.Context, mine *Tx, fn func(ctx context.Context, tx *Tx) error) error {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("begin in %s: %w", d.name, err)
	}
	defer func() { _ = conn.Close() }() // back into the pool; it may be gone
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return fmt.Errorf("begin in %s: %w", d.name, err)
	}
	returned := false
	defer func() {
		if !returned { // fn panics: without the writer every later Write would wait for ever
			_ = d.rollback(conn, tx)
		}
	}()
	mine.tx = tx
	err = fn(ctx, mine)
	returned = true
	if err == nil {
		err = mine.ended // fn has overlooked it
	}
	if err != nil {
		return errors.Join(err, d.rollback(conn, tx))
	}
	err = tx.Commit()
	switch {
	case err == nil:
		d.watched.tell(mine.said)
		return nil
	case d.dialect == MySQL && !conflict(err):
		d.watched.tell(mine.said)
		return fmt.Errorf("commit in %s: %w", d.name, ErrUnknownOutcome.Because(err))
	}
	return fmt.Errorf("commit in %s: %w", d.name, err)
}

// rollback ends a transaction of which nothing shall stay. A server does that too when
// its connection ends, so what cannot be rolled back is hung up on.
func (d *DB) rollback(conn *sql.Conn, tx *sql.Tx) error {
	err := tx.Rollback()
	if err == nil || errors.Is(err, sql.ErrTxDone) {
		return nil // the engine has ended the transaction already
	}
	if d.dialect == MySQL {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		return nil
	}
	return err
}

// pause waits before the next try, longer each time, and never as long as another who
// was refused with it. It reports false when ctx ended first.
func pause(ctx context.Context, try int) bool {
	most := min(pauseMin<<(try-1), pauseMax)
	var b [4]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	wait := most/2 + time.Duration(uint64(most/2)*uint64(binary.BigEndian.Uint32(b[:]))>>32)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
