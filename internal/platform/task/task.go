// Package task runs long work that survives the death of the process.
//
// Promise: a task whose insertion committed is run to its end, done or failed,
// however often the process dies; it goes on from its last saved checkpoint. A
// handler must therefore be able to run the part after the checkpoint again.
//
// Several processes may share the tasks. One at a time runs a task: it holds a lease on
// it, which it renews, and when it dies another takes the task up. A lease is only a
// matter of who works. What a task writes down is held by its fence, a number that
// grows with each taking: whoever was taken over from, without knowing it yet, can
// save nothing any more (TestTakenOverSavesNothing).
package task

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
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

// State is where a task stands.
type State string

// The states. Done and failed are final.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// Task is one durable piece of work.
type Task struct {
	ID         ids.TaskID
	Kind       string
	State      State
	Step       string
	Payload    json.RawMessage // what to do; never changes
	Checkpoint json.RawMessage // how far it came; the handler's own shape
	Subject    string          // what it works on, a batch
	BrandID    ids.BrandID     // whose goods those are
	File       string          // the name of the file that it makes
	Done       int64
	Total      int64
	ErrorCode  string
	ErrorText  string
	CreatedBy  string
	CreatedAt  time.Time
	FinishedAt time.Time
}

// ErrUnknown answers an id that names no task.
var ErrUnknown = fault.New(fault.NotFound, "task.unknown", "no such task")

// ErrTakenOver answers a run whose task has ended, or is another's by now.
var ErrTakenOver = fault.New(fault.Conflict, "task.taken_over", "the task has ended already, or another process has taken it over")

const columns = `task_id, kind, state, step, payload, checkpoint, subject, brand_id, file, done, total, error_code, error_text, created_by, created_at, finished_at`

// Insert adds a queued task in the transaction of what it belongs to.
func Insert(ctx context.Context, tx *sqldb.Tx, t Task) error {
	const insert = `INSERT INTO tasks (` + columns + `, owner, lease_until, fence) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'',0,0)`
	_, err := tx.ExecContext(ctx, insert, t.ID, t.Kind, Queued, t.Step, []byte(t.Payload), []byte("{}"), t.Subject, t.BrandID, t.File,
		t.Done, t.Total, "", "", t.CreatedBy, sqldb.Micros(t.CreatedAt), 0)
	if err != nil {
		return fmt.Errorf("insert task: %w", err)
	}
	return nil
}

// Find loads a task.
func Find(ctx context.Context, q sqldb.Querier, id ids.TaskID) (Task, error) {
	all, err := sqldb.Collect(ctx, q, scan, `SELECT `+columns+` FROM tasks WHERE task_id = ?`, id)
	if err != nil {
		return Task{}, fmt.Errorf("load task: %w", err)
	}
	if len(all) == 0 {
		return Task{}, ErrUnknown
	}
	return all[0], nil
}

func scan(r *sql.Rows) (t Task, err error) {
	var created, finished int64
	err = r.Scan(&t.ID, &t.Kind, &t.State, &t.Step, (*[]byte)(&t.Payload), (*[]byte)(&t.Checkpoint), &t.Subject, &t.BrandID, &t.File,
		&t.Done, &t.Total, &t.ErrorCode, &t.ErrorText, &t.CreatedBy, &created, &finished)
	t.CreatedAt, t.FinishedAt = sqldb.Time(created), sqldb.Time(finished)
	return t, err
}

// waiting lists the tasks that nobody works on at a time, oldest first.
func waiting(ctx context.Context, q sqldb.Querier, now time.Time) ([]Task, error) {
	return sqldb.Collect(ctx, q, scan,
		`SELECT `+columns+` FROM tasks WHERE state IN ('queued','running') AND lease_until <= ? ORDER BY created_at, task_id`, sqldb.Micros(now))
}

// take makes the owner the task's only one until then, and gives the task and its fence.
// ok is false when it has ended or another works on it.
func take(ctx context.Context, tx *sqldb.Tx, id ids.TaskID, owner string, now, until time.Time) (t Task, fence int64, ok bool, err error) {
	const claim = `UPDATE tasks SET owner = ?, lease_until = ?, fence = fence + 1
		WHERE task_id = ? AND state IN ('queued','running') AND lease_until <= ?`
	if ok, err = changed(tx.ExecContext(ctx, claim, owner, sqldb.Micros(until), id, sqldb.Micros(now))); err != nil || !ok {
		return t, 0, false, err
	}
	if err := tx.QueryRowContext(ctx, `SELECT fence FROM tasks WHERE task_id = ?`, id).Scan(&fence); err != nil {
		return t, 0, false, err
	}
	t, err = Find(ctx, tx, id)
	return t, fence, err == nil, err
}

// hold sets how long the lease is good for, and is refused when it is no longer ours.
func hold(ctx context.Context, tx *sqldb.Tx, id ids.TaskID, fence int64, until time.Time) error {
	const renew = `UPDATE tasks SET lease_until = ? WHERE task_id = ? AND fence = ? AND state IN ('queued','running')`
	return mine(tx.ExecContext(ctx, renew, sqldb.Micros(until), id, fence))
}

// abandon ends all leases. It is for a start where there can be no other process.
func abandon(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE tasks SET lease_until = 0 WHERE state IN ('queued','running') AND lease_until <> 0`)
	return err
}

// abandonOf ends an owner's leases. It is for a start of that owner.
func abandonOf(ctx context.Context, tx *sqldb.Tx, owner string) error {
	_, err := tx.ExecContext(ctx, `UPDATE tasks SET lease_until = 0 WHERE state IN ('queued','running') AND owner = ? AND lease_until <> 0`, owner)
	return err
}

// save stores the progress of a task that is held.
func save(ctx context.Context, tx *sqldb.Tx, t *Task, fence int64) error {
	const update = `UPDATE tasks SET state = ?, step = ?, checkpoint = ?, done = ?, error_code = ?, error_text = ?, finished_at = ?
		WHERE task_id = ? AND fence = ? AND state IN ('queued','running')`
	err := mine(tx.ExecContext(ctx, update, t.State, t.Step, []byte(t.Checkpoint), t.Done, t.ErrorCode, shortText(t.ErrorText),
		sqldb.Micros(t.FinishedAt), t.ID, fence))
	if err != nil {
		return fmt.Errorf("save task %s: %w", t.ID, err)
	}
	return nil
}

// errorTextBytes is what fits in its column, whose characters have up to four bytes.
const errorTextBytes = 1024

// shortText makes any text one that every engine keeps: a task must be able to end.
func shortText(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), errorTextBytes)], "")
}

func mine(r sql.Result, err error) error {
	if ok, err := changed(r, err); err != nil || !ok {
		return cmp.Or(err, error(ErrTakenOver))
	}
	return nil
}

// changed reports whether a compare-and-set took effect.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
