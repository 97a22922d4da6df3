package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/task"
)

type tasksView struct {
	Tasks  []listedTask `json:"tasks"`
	Cursor *string      `json:"cursor"`
}

type listedTask struct {
	taskView
	Kind       string      `json:"kind"`
	BrandID    ids.BrandID `json:"brand_id"`
	CreatedBy  string      `json:"created_by"`
	CreatedAt  time.Time   `json:"created_at"`
	FinishedAt *time.Time  `json:"finished_at"`
}

const (
	tasksUsual = 50
	tasksMax   = 200
)

// getTasks answers GET /api/v1/tasks.
func (a *api) getTasks(w http.ResponseWriter, r *http.Request) error {
	limit, err := httpx.Page(r, tasksUsual, tasksMax)
	if err != nil {
		return err
	}
	start, ok, err := startOf(r, "tasks", farAheadMicros)
	if err != nil {
		return err
	}
	if !ok {
		start.No = farAheadMicros
	}
	all, err := a.Tasks.List(r.Context(), time.UnixMicro(start.No), ids.TaskID(start.ID), limit+1)
	if err != nil {
		return err
	}
	all, next := page(all, limit, func(t task.Task) position {
		return position{List: "tasks", No: t.CreatedAt.UnixMicro(), ID: string(t.ID)}
	})
	list := tasksView{Tasks: make([]listedTask, len(all)), Cursor: next}
	for i := range all {
		t := &all[i]
		list.Tasks[i] = listedTask{taskView: a.viewTask(t), Kind: t.Kind, BrandID: t.BrandID, CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt}
		if !t.FinishedAt.IsZero() {
			list.Tasks[i].FinishedAt = &t.FinishedAt
		}
	}
	w.Header().Set("Cache-Control", "no-store") // it has addresses that open files
	return httpx.OK(w, list)
}
