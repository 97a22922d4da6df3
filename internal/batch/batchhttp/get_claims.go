package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type claimView struct {
	ClaimID        ids.ClaimID `json:"claim_id"`
	Claimant       string      `json:"claimant"`
	FromNo         int64       `json:"from_no"`
	ToNo           int64       `json:"to_no"`
	TaskID         *string     `json:"task_id"`
	CreatedAt      time.Time   `json:"created_at"`
	CreatedAtLocal string      `json:"created_at_local,omitempty"`
}

type claimList struct {
	Claims []claimView `json:"claims"`
	Cursor *string     `json:"cursor"`
}

// getClaims answers GET /api/v1/batches/{batch_id}/claims: who holds which numbers,
// in the order of the numbers.
func (a *api) getClaims(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	start, _, err := startOf(r, "claims", batch.BatchMax)
	if err != nil {
		return err
	}
	b, err := a.Service.Batch(r.Context(), ids.BatchID(r.PathValue("batch_id")))
	if err != nil {
		return err
	}
	all, err := a.Claims.ClaimsOf(r.Context(), b.ID, batch.Run{From: start.No + 1, To: b.Quantity}, limit+1)
	if err != nil {
		return err
	}
	all, next := page(all, limit, func(c batch.Claim) position { return position{List: "claims", No: c.To} })
	return httpx.OK(w, claimList{each(all, func(c batch.Claim) claimView {
		return claimView{c.ID, c.Claimant, c.From, c.To, orNullText(string(c.TaskID)), c.CreatedAt, local(c.CreatedAt, zone)}
	}), next})
}
