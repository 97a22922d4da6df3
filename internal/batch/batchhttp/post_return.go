package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type returnAsk struct {
	FromNo *int64 `json:"from_no"`
}

// returned tells what the claim holds after the return; to_no lies before from_no
// when all of it went back.
type returned struct {
	ClaimID  ids.ClaimID `json:"claim_id"`
	FromNo   int64       `json:"from_no"`
	ToNo     int64       `json:"to_no"`
	Returned bool        `json:"returned"`
}

// postReturn answers POST /api/v1/batches/{batch_id}/claims/{claim_id}/return.
func (a *api) postReturn(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[returnAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	if ask.FromNo == nil {
		return missing("from_no")
	}
	batchID, claimID := ids.BatchID(r.PathValue("batch_id")), ids.ClaimID(r.PathValue("claim_id"))
	c, replayed, err := a.Service.ReturnClaim(r.Context(), cmd, batchID, claimID, *ask.FromNo)
	if err != nil {
		return err
	}
	return answer(w, replayed, returned{c.ID, c.From, c.To, true})
}
