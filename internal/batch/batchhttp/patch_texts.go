package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type brandTexts struct {
	Name *string `json:"name"`
}

type productTexts struct {
	Name        *string `json:"name"`
	Description *string `json:"description"`
	Help        *string `json:"help"`
}

// patchBrand answers PATCH /api/v1/brands/{brand_id}.
func (a *api) patchBrand(w http.ResponseWriter, r *http.Request) error {
	id, err := number("brand_id", r.PathValue("brand_id"))
	if err != nil {
		return err
	}
	ask, cmd, err := decode[brandTexts](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	replayed, err := a.Service.RenameBrand(r.Context(), cmd, ids.BrandID(id), ask.Name)
	if err != nil {
		return err
	}
	return answer(w, replayed, brandMade{ids.BrandID(id)})
}

// patchProduct answers PATCH /api/v1/products/{product_id}.
func (a *api) patchProduct(w http.ResponseWriter, r *http.Request) error {
	id, err := number("product_id", r.PathValue("product_id"))
	if err != nil {
		return err
	}
	ask, cmd, err := decode[productTexts](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	replayed, err := a.Service.ChangeProduct(r.Context(), cmd, batch.TextChange{
		ProductID: ids.ProductID(id), Name: ask.Name, Description: ask.Description, Help: ask.Help,
	})
	if err != nil {
		return err
	}
	return answer(w, replayed, productMade{ids.ProductID(id)})
}
