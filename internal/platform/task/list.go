package task

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// listed are the columns of a list: what a task is to do, and how far its handler came,
// may be megabytes and is nobody's to read.
const listed = `task_id, kind, state, step, '', '', subject, brand_id, file, done, total, error_code, error_text, created_by, created_at, finished_at`

// List lists the tasks about the brands of the caller's scope, the newest first, from
// behind a position on. Payloads and checkpoints are left out.
func (r *Runner) List(ctx context.Context, before time.Time, beforeID ids.TaskID, limit int) ([]Task, error) {
	var all []Task
	add := func(db *sqldb.DB, query string, args ...any) error {
		at := sqldb.Micros(before)
		some, err := sqldb.Collect(ctx, db.Reader(), scan, query, append(args, at, at, beforeID, limit)...)
		if err != nil {
			return fmt.Errorf("list tasks: %w", err)
		}
		all = append(all, some...)
		return nil
	}
	if scope := ids.ScopeOf(ctx); scope.All() {
		for _, db := range r.dbs.All() {
			if err := add(db, `SELECT `+listed+` FROM tasks
				WHERE created_at <= ? AND (created_at < ? OR task_id < ?) ORDER BY created_at DESC, task_id DESC LIMIT ?`); err != nil {
				return nil, err
			}
		}
	} else {
		for _, brand := range scope.Brands() {
			if err := add(r.dbs.Of(ids.ShardOf(brand)), `SELECT `+listed+` FROM tasks
				WHERE brand_id = ? AND created_at <= ? AND (created_at < ? OR task_id < ?) ORDER BY created_at DESC, task_id DESC LIMIT ?`, brand); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(all, func(a, b Task) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID)) })
	return all[:min(limit, len(all))], nil
}
