package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type productAsk struct {
	BrandID     *ids.BrandID `json:"brand_id"`
	Name        string       `json:"name"`
	GTIN        string       `json:"gtin"`
	Description string       `json:"description"`
	Help        string       `json:"help"`
	Pool        *poolAsk     `json:"pool"`
}

type poolAsk struct {
	Target        int64      `json:"target"`
	BatchQuantity int64      `json:"batch_quantity"`
	ExpireHours   *int32     `json:"expire_hours"`
	RotateEvery   string     `json:"rotate_every"`
	Mark          batch.Mark `json:"mark"`
	InnerCode     bool       `json:"inner_code"`
	Signed        bool       `json:"label_signature"`
}

type productMade struct {
	ProductID ids.ProductID `json:"product_id"`
}

// postProduct answers POST /api/v1/products.
func (a *api) postProduct(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[productAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	if ask.BrandID == nil {
		return missing("brand_id")
	}
	p := batch.Product{BrandID: *ask.BrandID, Name: ask.Name, Description: ask.Description, Help: ask.Help}
	if ask.Pool != nil {
		if p.Pool, err = ask.Pool.pool(); err != nil {
			return err
		}
	}
	p, replayed, err := a.Service.CreateProduct(r.Context(), cmd, p, ask.GTIN)
	if err != nil {
		return err
	}
	return answer(w, replayed, productMade{p.ID})
}

func (ask *poolAsk) pool() (batch.Pool, error) {
	if ask.Target == 0 {
		return batch.Pool{}, missing("pool.target")
	}
	rotate, err := batch.ParseRotation(ask.RotateEvery)
	if err != nil {
		return batch.Pool{}, renamed(err, "rotate_every", "pool.rotate_every")
	}
	hours, err := expireHours("pool.expire_hours", ask.ExpireHours)
	return batch.Pool{
		Target: ask.Target, BatchQuantity: ask.BatchQuantity, ExpireHours: hours, RotateEvery: rotate, Mark: ask.Mark,
		InnerCode: ask.InnerCode, Signed: ask.Signed,
	}, err
}

// expireHours reads hours that are absent for "never": a 0 that was said is an
// error, not a never.
func expireHours(field string, hours *int32) (int32, error) {
	if hours == nil {
		return 0, nil
	}
	if *hours < 1 {
		return 0, fault.Field("batch.bad_expiry", field, "must be at least 1, or absent for never")
	}
	return *hours, nil
}
