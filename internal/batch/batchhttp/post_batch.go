package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type batchAsk struct {
	ProductID      *ids.ProductID `json:"product_id"`
	BatchNo        string         `json:"batch_no"`
	Quantity       int64          `json:"quantity"`
	RotateEvery    string         `json:"rotate_every"`
	Mark           batch.Mark     `json:"mark"`
	InnerCode      bool           `json:"inner_code"`
	Signed         bool           `json:"label_signature"`
	ExpiresAt      string         `json:"expires_at"`
	ProductionDate string         `json:"production_date"`
	Description    string         `json:"description"`
}

type batchMade struct {
	BatchID  ids.BatchID `json:"batch_id"`
	FirstNo  int64       `json:"first_no"`
	Quantity int64       `json:"quantity"`
	State    string      `json:"state"`
}

// postBatch answers POST /api/v1/batches.
func (a *api) postBatch(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[batchAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	spec, err := ask.spec()
	if err != nil {
		a.Generated(0, 0, err)
		return err
	}
	b, replayed, err := a.Service.CreateBatch(r.Context(), cmd, spec)
	a.count(b.BrandID, b.Quantity, replayed, err)
	if err != nil {
		return err
	}
	return answer(w, replayed, batchMade{b.ID, 1, b.Quantity, batch.FirstState.String()})
}

func (ask *batchAsk) spec() (batch.BatchSpec, error) {
	if ask.ProductID == nil {
		return batch.BatchSpec{}, missing("product_id")
	}
	rotate, err := batch.ParseRotation(ask.RotateEvery)
	if err != nil {
		return batch.BatchSpec{}, err
	}
	expires, err := parseTime("expires_at", ask.ExpiresAt)
	return batch.BatchSpec{
		ProductID: *ask.ProductID, No: ask.BatchNo, Quantity: ask.Quantity, RotateEvery: rotate, Mark: ask.Mark,
		InnerCode: ask.InnerCode, Signed: ask.Signed, ExpiresAt: expires, ProductionDate: ask.ProductionDate, Description: ask.Description,
	}, err
}
