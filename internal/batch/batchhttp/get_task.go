package batchhttp

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/task"
)

type taskView struct {
	TaskID      ids.TaskID  `json:"task_id"`
	State       task.State  `json:"state"`
	Step        string      `json:"step"`
	Done        int64       `json:"done"`
	Total       int64       `json:"total"`
	DownloadURL string      `json:"download_url"`
	BatchID     ids.BatchID `json:"batch_id"`
	Error       *taskError  `json:"error"`
}

type taskError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// getTask answers GET /api/v1/tasks/{task_id}.
func (a *api) getTask(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("task_id")
	if !ids.Valid("task", id) {
		return task.ErrUnknown
	}
	t, err := a.Tasks.Find(r.Context(), ids.TaskID(id))
	if err != nil {
		return err
	}
	brand, ofBrand := brandOf(&t)
	if !ids.ScopeOf(r.Context()).All() && !a.sees(r.Context(), &t, brand, ofBrand) {
		return task.ErrUnknown
	}
	w.Header().Set("Cache-Control", "no-store")
	return httpx.OK(w, a.viewTask(&t))
}

func (a *api) viewTask(t *task.Task) taskView {
	v := taskView{TaskID: t.ID, State: t.State, Step: t.Step, Done: t.Done, Total: t.Total}
	if _, ofBrand := brandOf(t); !ofBrand {
		v.BatchID = ids.BatchID(t.Subject)
	}
	if t.File != "" {
		v.DownloadURL = a.downloadURL(t)
	}
	if t.State == task.Failed {
		v.Error = &taskError{t.ErrorCode, t.ErrorText}
	}
	return v
}

// brandOf is the brand that a task is about where it is about no batch.
func brandOf(t *task.Task) (brand string, ok bool) { return strings.CutPrefix(t.Subject, "brand:") }

// sees reports whether a task is about the caller's goods: a batch, or where other domains
// say so a brand.
func (a *api) sees(ctx context.Context, t *task.Task, brand string, ofBrand bool) bool {
	if ofBrand {
		id, err := strconv.ParseInt(brand, 10, 32)
		return err == nil && ids.ScopeOf(ctx).Has(ids.BrandID(id))
	}
	_, err := a.Service.Batch(ctx, ids.BatchID(t.Subject))
	return err == nil
}
