package batchhttp

import (
	"net/http"

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
	if !ids.ScopeOf(r.Context()).All() {
		if _, err := a.Service.Batch(r.Context(), ids.BatchID(t.Subject)); err != nil { // a foreign brand's
			return task.ErrUnknown
		}
	}
	v := taskView{
		TaskID: t.ID, State: t.State, Step: t.Step, Done: t.Done, Total: t.Total, DownloadURL: a.downloadURL(&t),
		BatchID: ids.BatchID(t.Subject),
	}
	if t.State == task.Failed {
		v.Error = &taskError{t.ErrorCode, t.ErrorText}
	}
	w.Header().Set("Cache-Control", "no-store")
	return httpx.OK(w, v)
}
