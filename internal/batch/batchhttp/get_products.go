package batchhttp

import (
	"math"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type productView struct {
	ProductID      ids.ProductID `json:"product_id"`
	BrandID        ids.BrandID   `json:"brand_id"`
	Name           string        `json:"name"`
	GTIN           *string       `json:"gtin"`
	Description    string        `json:"description"`
	Help           string        `json:"help"`
	Pool           *poolView     `json:"pool"`
	CreatedAt      time.Time     `json:"created_at"`
	CreatedAtLocal string        `json:"created_at_local,omitempty"`
}

type poolView struct {
	Target        int64      `json:"target"`
	BatchQuantity int64      `json:"batch_quantity"`
	ExpireHours   *int32     `json:"expire_hours"`
	RotateEvery   string     `json:"rotate_every"`
	Mark          batch.Mark `json:"mark"`
	InnerCode     bool       `json:"inner_code"`
	Signed        bool       `json:"label_signature"`
}

func viewProduct(p batch.Product, zone *time.Location) productView {
	v := productView{
		ProductID: p.ID, BrandID: p.BrandID, Name: p.Name, GTIN: orNullText(string(p.GTIN)), Description: p.Description,
		Help: p.Help, CreatedAt: p.CreatedAt, CreatedAtLocal: local(p.CreatedAt, zone),
	}
	if pool := p.Pool; pool.Target > 0 {
		v.Pool = &poolView{
			Target: pool.Target, BatchQuantity: pool.BatchQuantity, RotateEvery: batch.FormatRotation(pool.RotateEvery),
			Mark: pool.Mark, InnerCode: pool.InnerCode, Signed: pool.Signed,
		}
		if pool.ExpireHours > 0 {
			v.Pool.ExpireHours = &pool.ExpireHours
		}
	}
	return v
}

type productList struct {
	Products []productView `json:"products"`
	Cursor   *string       `json:"cursor"`
}

// getProducts answers GET /api/v1/products.
func (a *api) getProducts(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	start, _, err := startOf(r, "products", math.MaxInt32)
	if err != nil {
		return err
	}
	var brand int32 // of all brands
	if text := r.URL.Query().Get("brand_id"); text != "" {
		if brand, err = number("brand_id", text); err != nil {
			return err
		}
		if _, err := a.Service.Brand(r.Context(), ids.BrandID(brand)); err != nil {
			return err
		}
	}
	all, err := a.Service.Products(r.Context(), ids.BrandID(brand), ids.ProductID(start.No), limit+1)
	if err != nil {
		return err
	}
	all, next := page(all, limit, func(p batch.Product) position { return position{List: "products", No: int64(p.ID)} })
	return httpx.OK(w, productList{each(all, func(p batch.Product) productView { return viewProduct(p, zone) }), next})
}

// getProduct answers GET /api/v1/products/{product_id}.
func (a *api) getProduct(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	id, err := number("product_id", r.PathValue("product_id"))
	if err != nil {
		return err
	}
	p, err := a.Service.Product(r.Context(), ids.ProductID(id))
	if err != nil {
		return err
	}
	return httpx.OK(w, viewProduct(p, zone))
}
