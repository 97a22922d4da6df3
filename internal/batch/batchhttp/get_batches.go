package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type batchView struct {
	BatchID        ids.BatchID      `json:"batch_id"`
	BrandID        ids.BrandID      `json:"brand_id"`
	ProductID      ids.ProductID    `json:"product_id"`
	BatchNo        string           `json:"batch_no"`
	FirstNo        int64            `json:"first_no"`
	Quantity       int64            `json:"quantity"`
	State          string           `json:"state"`
	Counts         map[string]int64 `json:"counts"` // states without an item are left out
	Claimed        int64            `json:"claimed"`
	Unclaimed      int64            `json:"unclaimed"`
	RotateEvery    string           `json:"rotate_every"`
	Mark           batch.Mark       `json:"mark"`
	InnerCode      bool             `json:"inner_code"`
	Signed         bool             `json:"label_signature"`
	ExpiresAt      *time.Time       `json:"expires_at"`
	ExpiresAtLocal string           `json:"expires_at_local,omitempty"`
	ProductionDate *string          `json:"production_date"`
	Description    string           `json:"description"`
	CreatedAt      time.Time        `json:"created_at"`
	CreatedAtLocal string           `json:"created_at_local,omitempty"`
}

func viewBatch(v *batch.BatchView, zone *time.Location) batchView {
	counts := map[string]int64{}
	for state, n := range v.Counts {
		if n > 0 {
			counts[gs1.Disposition(state).String()] = n
		}
	}
	return batchView{
		BatchID: v.ID, BrandID: v.BrandID, ProductID: v.ProductID, BatchNo: v.No, FirstNo: 1, Quantity: v.Quantity,
		State: v.State().String(), Counts: counts, Claimed: v.Quantity - v.Unclaimed, Unclaimed: v.Unclaimed,
		RotateEvery: batch.FormatRotation(v.RotateEvery), Mark: v.Mark, InnerCode: v.InnerKeyID != "", Signed: v.SignatureKeyID != "",
		ExpiresAt: orNull(v.ExpiresAt), ExpiresAtLocal: local(v.ExpiresAt, zone),
		ProductionDate: orNullText(v.ProductionDate), Description: v.Description,
		CreatedAt: v.CreatedAt, CreatedAtLocal: local(v.CreatedAt, zone),
	}
}

type batchList struct {
	Batches []batchView `json:"batches"`
	Cursor  *string     `json:"cursor"`
}

const (
	// A page of batches is shorter than others: each batch of it is counted.
	batchesUsual = 50
	batchesMax   = 200

	// farAheadMicros is after every batch that exists.
	farAheadMicros = 1 << 58
)

// getBatches answers GET /api/v1/batches, the newest first.
func (a *api) getBatches(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, batchesUsual, batchesMax)
	if err != nil {
		return err
	}
	start, ok, err := startOf(r, "batches", farAheadMicros)
	if err != nil {
		return err
	}
	if !ok {
		start.No = farAheadMicros
	}
	var product int32 // of all products
	if text := r.URL.Query().Get("product_id"); text != "" {
		if product, err = number("product_id", text); err != nil {
			return err
		}
		if _, err := a.Service.Product(r.Context(), ids.ProductID(product)); err != nil {
			return err
		}
	}
	all, err := a.Service.ListBatches(r.Context(), ids.ProductID(product), time.UnixMicro(start.No), ids.BatchID(start.ID), limit+1)
	if err != nil {
		return err
	}
	all, next := page(all, limit, func(b batch.Batch) position {
		return position{List: "batches", No: b.CreatedAt.UnixMicro(), ID: string(b.ID)}
	})
	list := batchList{Batches: make([]batchView, 0, len(all)), Cursor: next}
	for _, b := range all {
		v, err := a.Service.View(r.Context(), b.ID)
		if err != nil {
			return err
		}
		list.Batches = append(list.Batches, viewBatch(&v, zone))
	}
	return httpx.OK(w, list)
}

// getBatch answers GET /api/v1/batches/{batch_id}.
func (a *api) getBatch(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	v, err := a.Service.View(r.Context(), ids.BatchID(r.PathValue("batch_id")))
	if err != nil {
		return err
	}
	return httpx.OK(w, viewBatch(&v, zone))
}
