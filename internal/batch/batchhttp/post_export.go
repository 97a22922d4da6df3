package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type exportAsk struct {
	FromNo    *int64       `json:"from_no"`
	ToNo      *int64       `json:"to_no"`
	Format    batch.Format `json:"format"`
	Unclaimed bool         `json:"unclaimed"`
	Layout    string       `json:"layout"`
	Link      string       `json:"link"`
}

// postExport answers POST /api/v1/batches/{batch_id}/export.
func (a *api) postExport(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decodeOptional[exportAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	from, err := numberOf("from_no", ask.FromNo)
	if err != nil {
		return err
	}
	to, err := numberOf("to_no", ask.ToNo)
	if err != nil {
		return err
	}
	id, replayed, err := a.Service.Export(r.Context(), cmd, ids.BatchID(r.PathValue("batch_id")), batch.Run{From: from, To: to},
		batch.FileSpec{Format: ask.Format, Layout: ask.Layout, Link: ask.Link}, ask.Unclaimed)
	if err != nil {
		return renamed(err, "select.from_no", "from_no")
	}
	t, err := a.fileTask(r.Context(), id)
	if err != nil {
		return err
	}
	return answer(w, replayed, t)
}

// numberOf reads an optional number of an item in its batch; 0 stands for absent,
// so a 0 that was said is refused.
func numberOf(field string, no *int64) (int64, error) {
	if no == nil {
		return 0, nil
	}
	if *no < 1 {
		return 0, fault.Field("select.bad_range", field, "must be at least 1: numbers count from 1 within the batch")
	}
	return *no, nil
}
