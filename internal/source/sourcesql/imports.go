package sourcesql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourceevent"
)

// TaskImport is the kind of the tasks that add the rows of a file.
const TaskImport = "trace.import"

const (
	partRows = 500
	stepAdd  = "AddRows"
)

// job is what such a task has to do.
type job struct {
	Brand   ids.BrandID `json:"brand_id"`
	Sources []string    `json:"sources"`
	Parts   int         `json:"parts"`
}

// AddImport implements source.Store.
func (s *Store) AddImport(ctx context.Context, r ids.Request, p source.Push) (ids.TaskID, bool, error) {
	parts := make([][]byte, 0, len(p.Rows)/partRows+1)
	for rows := range slices.Chunk(p.Rows, partRows) {
		body, err := json.Marshal(rows) //nolint:musttag // a form of our own, read below
		if err != nil {
			return "", false, fmt.Errorf("encode rows of a file: %w", err)
		}
		parts = append(parts, body)
	}
	payload, err := json.Marshal(job{p.Brand, sources(p.Rows), len(parts)})
	if err != nil {
		return "", false, fmt.Errorf("encode a task: %w", err)
	}
	effect, replayed, err := idem.Once(ctx, s.brand(p.Brand), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		for n, body := range parts {
			if _, err := tx.ExecContext(ctx, `INSERT INTO trace_imports (task_id, part, body) VALUES (?,?,?)`, p.ID, n, body); err != nil {
				return "", fmt.Errorf("keep rows of a file: %w", err)
			}
		}
		return p.ID, task.Insert(ctx, tx, task.Task{
			ID: ids.TaskID(p.ID), Kind: TaskImport, Step: stepAdd, Payload: payload, Subject: "brand:" + strconv.Itoa(int(p.Brand)),
			BrandID: p.Brand, Total: int64(len(p.Rows)), CreatedBy: p.CreatedBy, CreatedAt: p.CreatedAt,
		})
	})
	return ids.TaskID(effect), replayed, err
}

// Importer runs tasks of the kind TaskImport. A part of a file goes from its table to that
// of what was pushed in one transaction, so it is added once, however often the task is
// begun (TestImportIsAddedOnce).
type Importer struct{ store *Store }

var _ task.Handler = (*Importer)(nil)

// Importer makes the handler.
func (s *Store) Importer() *Importer { return &Importer{s} }

// Run implements task.Handler.
func (i *Importer) Run(ctx context.Context, p *task.Progress) error {
	var j job
	if err := json.Unmarshal(p.Payload, &j); err != nil {
		return fmt.Errorf("read payload of task %s: %w", p.ID, err)
	}
	for n := range j.Parts {
		if err := i.add(ctx, p.ID, &j, n); err != nil {
			return err
		}
		if err := p.Save(ctx, stepAdd, struct{}{}, min(int64(n+1)*partRows, p.Total)); err != nil {
			return err
		}
	}
	return nil
}

// add adds a part of a file, if that was not done yet.
func (i *Importer) add(ctx context.Context, id ids.TaskID, j *job, n int) error {
	return i.store.brand(j.Brand).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		all, err := sqldb.Collect(ctx, tx, scanBody, `SELECT body FROM trace_imports WHERE task_id = ? AND part = ?`, id, n)
		if err != nil || len(all) == 0 {
			return err
		}
		gone, err := tx.ExecContext(ctx, `DELETE FROM trace_imports WHERE task_id = ? AND part = ?`, id, n)
		if err != nil {
			return err
		}
		if one, err := gone.RowsAffected(); err != nil || one == 0 {
			return err // another process was first
		}
		var rows []source.Row
		if err := json.Unmarshal(all[0], &rows); err != nil { //nolint:musttag // what was written above
			return fmt.Errorf("read rows of task %s: %w", id, err)
		}
		return insertRows(ctx, tx, j.Brand, rows, sqldb.Micros(i.store.clock.Now()))
	})
}

// Finish implements task.Handler. What a task that failed had added stays, and its text
// says how much that is.
func (i *Importer) Finish(ctx context.Context, tx *sqldb.Tx, t *task.Task, failure error) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM trace_imports WHERE task_id = ?`, t.ID); err != nil {
		return err
	}
	if failure != nil {
		t.ErrorText += fmt.Sprintf("; %d of %d rows were added", t.Done, t.Total)
		return nil //nolint:nilerr // see above
	}
	var j job
	if err := json.Unmarshal(t.Payload, &j); err != nil {
		return fmt.Errorf("read payload of task %s: %w", t.ID, err)
	}
	t.Done = t.Total
	return i.store.tell(ctx, tx, j.Brand, string(t.ID), sourceevent.Synced{Rows: int(t.Total), Sources: j.Sources, CreatedBy: t.CreatedBy})
}

func scanBody(r *sql.Rows) (body []byte, err error) {
	err = r.Scan(&body)
	return body, err
}
