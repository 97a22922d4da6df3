package batchhttp

import (
	"math"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type brandView struct {
	BrandID        ids.BrandID `json:"brand_id"`
	Name           string      `json:"name"`
	CreatedAt      time.Time   `json:"created_at"`
	CreatedAtLocal string      `json:"created_at_local,omitempty"`
}

func viewBrand(b batch.Brand, zone *time.Location) brandView {
	return brandView{b.ID, b.Name, b.CreatedAt, local(b.CreatedAt, zone)}
}

type brandList struct {
	Brands []brandView `json:"brands"`
	Cursor *string     `json:"cursor"`
}

// getBrands answers GET /api/v1/brands.
func (a *api) getBrands(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	start, _, err := startOf(r, "brands", math.MaxInt32)
	if err != nil {
		return err
	}
	all, err := a.Service.Brands(r.Context(), ids.BrandID(start.No), limit+1)
	if err != nil {
		return err
	}
	all, next := page(all, limit, func(b batch.Brand) position { return position{List: "brands", No: int64(b.ID)} })
	return httpx.OK(w, brandList{each(all, func(b batch.Brand) brandView { return viewBrand(b, zone) }), next})
}

// getBrand answers GET /api/v1/brands/{brand_id}.
func (a *api) getBrand(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	id, err := number("brand_id", r.PathValue("brand_id"))
	if err != nil {
		return err
	}
	b, err := a.Service.Brand(r.Context(), ids.BrandID(id))
	if err != nil {
		return err
	}
	return httpx.OK(w, viewBrand(b, zone))
}
