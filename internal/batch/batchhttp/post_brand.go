package batchhttp

import (
	"net/http"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type brandAsk struct {
	Name string `json:"name"`
}

type brandMade struct {
	BrandID ids.BrandID `json:"brand_id"`
}

// postBrand answers POST /api/v1/brands.
func (a *api) postBrand(w http.ResponseWriter, r *http.Request) error {
	ask, cmd, err := decode[brandAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	b, replayed, err := a.Service.CreateBrand(r.Context(), cmd, ask.Name)
	if err != nil {
		return err
	}
	if err := a.Made(r.Context(), b.ID); err != nil { // a retry does it again
		return err
	}
	return answer(w, replayed, brandMade{b.ID})
}
