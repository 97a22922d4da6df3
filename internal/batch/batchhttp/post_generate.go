package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type generateAsk struct {
	BrandID     *ids.BrandID   `json:"brand_id"`
	ProductID   *ids.ProductID `json:"product_id"`
	BatchNo     string         `json:"batch_no"`
	Quantity    int64          `json:"quantity"`
	ExpireHours *int32         `json:"expire_hours"`
	Description string         `json:"description"`
}

// postGenerate answers POST /api/v1/codes/generate.
func (a *api) postGenerate(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[generateAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	spec, err := ask.spec()
	if err != nil {
		a.Generated(0, 0, err)
		return err
	}
	id, replayed, err := a.Service.Generate(r.Context(), cmd, spec)
	a.count(spec.BrandID, spec.Quantity, replayed, err)
	if err != nil {
		return err
	}
	t, err := a.fileTask(r.Context(), id)
	if err != nil {
		return err
	}
	return answer(w, replayed, t)
}

func (ask *generateAsk) spec() (batch.BatchSpec, error) {
	if ask.BrandID == nil {
		return batch.BatchSpec{}, missing("brand_id")
	}
	if ask.ProductID == nil {
		return batch.BatchSpec{}, missing("product_id")
	}
	if *ask.BrandID == 0 { // the core's word for "the product's"
		return batch.BatchSpec{}, batch.ErrUnknownBrand
	}
	hours, err := expireHours("expire_hours", ask.ExpireHours)
	return batch.BatchSpec{
		BrandID: *ask.BrandID, ProductID: *ask.ProductID, No: ask.BatchNo, Quantity: ask.Quantity, ExpireHours: hours,
		Description: ask.Description,
	}, err
}

// count tells the metrics of codes that were issued or refused. A brand gets its
// own label only once it is known to exist.
func (a *api) count(brand ids.BrandID, quantity int64, replayed bool, err error) {
	kind := fault.KindOf(err)
	switch {
	case replayed:
	case err == nil:
		a.Generated(brand, quantity, nil)
	case kind == fault.NotFound, kind == fault.Invalid:
		a.Generated(0, 0, err)
	default:
		a.Generated(brand, 0, err)
	}
}
