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
const (
	listed  = `SELECT task_id, kind, state, step, '', '', subject, brand_id, file, done, total, error_code, error_text, created_by, created_at, finished_at FROM tasks`
	older   = ` created_at <= ? AND (created_at < ? OR task_id < ?) ORDER BY created_at DESC, task_id DESC LIMIT ?`
	listAll = listed + ` WHERE` + older
	listOf  = listed + ` WHERE brand_id = ? AND` + older
)

// List lists the tasks about the brands of the caller's scope, the newest first, from
// behind a position on. Payloads and checkpoints are left out.
func (r *Runner) List(ctx context.Context, before time.Time, beforeID ids.TaskID, limit int) ([]Task, error) {
	var all []Task
	at, scope := sqldb.Micros(before), ids.ScopeOf(ctx)
	if scope.All() {
		for _, db := range r.dbs.All() {
			some, err := sqldb.Collect(ctx, db.Reader(), scan, listAll, at, at, beforeID, limit)
			if err != nil {
				return nil, fmt.Errorf("list tasks: %w", err)
			}
			all = append(all, some...)
		}
	}
	for _, brand := range scope.Brands() {
		some, err := sqldb.Collect(ctx, r.dbs.Of(ids.ShardOf(brand)).Reader(), scan, listOf, brand, at, at, beforeID, limit)
		if err != nil {
			return nil, fmt.Errorf("list tasks of brand %d: %w", brand, err)
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Task) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID)) })
	return all[:min(limit, len(all))], nil
}
