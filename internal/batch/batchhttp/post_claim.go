package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type claimAsk struct {
	Quantity int64  `json:"quantity"`
	Claimant string `json:"claimant"`
}

// claimMade has the codes, or the task that writes them when they are many.
type claimMade struct {
	ClaimID ids.ClaimID `json:"claim_id"`
	BatchID ids.BatchID `json:"batch_id"`
	FromNo  int64       `json:"from_no"`
	ToNo    int64       `json:"to_no"`
	Codes   []string    `json:"codes,omitempty"`
	*fileTask
}

// postClaim answers POST /api/v1/batches/{batch_id}/claims.
func (a *api) postClaim(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[claimAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	c, err := a.Service.Claim(r.Context(), cmd, ids.BatchID(r.PathValue("batch_id")), ask.Quantity, ask.Claimant)
	if err != nil {
		return err
	}
	return a.answerClaim(w, r, c, ask.Quantity)
}

// postPoolClaim answers POST /api/v1/products/{product_id}/claims.
func (a *api) postPoolClaim(w http.ResponseWriter, r *http.Request) error {
	id, err := number("product_id", r.PathValue("product_id"))
	if err != nil {
		return err
	}
	ask, cmd, err := decode[claimAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	c, err := a.Service.ClaimFromPool(r.Context(), cmd, ids.ProductID(id), ask.Quantity, ask.Claimant)
	if err != nil {
		return err
	}
	return a.answerClaim(w, r, c, ask.Quantity)
}

// answerClaim gives the block as it was taken, also when part of it has gone back
// since: a retry is told what the first try was.
func (a *api) answerClaim(w http.ResponseWriter, r *http.Request, c batch.Claimed, quantity int64) error {
	block := batch.Run{From: c.From, To: c.From + quantity - 1}
	made := claimMade{ClaimID: c.ID, BatchID: c.BatchID, FromNo: block.From, ToNo: block.To}
	if c.TaskID != "" {
		t, err := a.fileTask(r.Context(), c.TaskID)
		if err != nil {
			return err
		}
		made.fileTask = &t
		return answer(w, c.Replayed, made)
	}
	b, err := a.Service.Batch(r.Context(), c.BatchID)
	if err != nil {
		return err
	}
	made.Codes = a.Service.Codes(&b, block)
	return answer(w, c.Replayed, made)
}
