// Package task runs long work that survives the death of the process.
//
// Promise: a task whose insertion committed is run to its end, done or failed,
// however often the process dies; it goes on from its last saved checkpoint. A
// handler must therefore be able to run the part after the checkpoint again.
package task

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
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

const columns = `task_id, kind, state, step, payload, checkpoint, subject, file, done, total, error_code, error_text, created_by, created_at, finished_at`

// Insert adds a queued task in the transaction of what it belongs to.
func Insert(ctx context.Context, tx *sqldb.Tx, t Task) error {
	const insert = `INSERT INTO tasks (` + columns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	_, err := tx.ExecContext(ctx, insert, t.ID, t.Kind, Queued, t.Step, []byte(t.Payload), []byte("{}"), t.Subject, t.File,
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
	err = r.Scan(&t.ID, &t.Kind, &t.State, &t.Step, (*[]byte)(&t.Payload), (*[]byte)(&t.Checkpoint), &t.Subject, &t.File,
		&t.Done, &t.Total, &t.ErrorCode, &t.ErrorText, &t.CreatedBy, &created, &finished)
	t.CreatedAt, t.FinishedAt = sqldb.Time(created), sqldb.Time(finished)
	return t, err
}

// unfinished lists what a starting process must take up, oldest first.
func unfinished(ctx context.Context, q sqldb.Querier) ([]Task, error) {
	return sqldb.Collect(ctx, q, scan, `SELECT `+columns+` FROM tasks WHERE state IN ('queued','running') ORDER BY created_at, task_id`)
}

// save stores the progress of a running task.
func save(ctx context.Context, tx *sqldb.Tx, t *Task) error {
	const update = `UPDATE tasks SET state = ?, step = ?, checkpoint = ?, done = ?, error_code = ?, error_text = ?, finished_at = ? WHERE task_id = ? AND state IN ('queued','running')`
	r, err := tx.ExecContext(ctx, update, t.State, t.Step, []byte(t.Checkpoint), t.Done, t.ErrorCode, t.ErrorText, sqldb.Micros(t.FinishedAt), t.ID)
	if err != nil {
		return fmt.Errorf("save task %s: %w", t.ID, err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("save task %s: it has ended already", t.ID))
	}
	return nil
}
