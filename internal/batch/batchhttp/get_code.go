package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type codeView struct {
	Code              string        `json:"code"`
	BrandID           ids.BrandID   `json:"brand_id"`
	ProductID         ids.ProductID `json:"product_id"`
	BatchID           ids.BatchID   `json:"batch_id"`
	BatchNo           string        `json:"batch_no"`
	No                int64         `json:"no"` // within the batch
	State             string        `json:"state"`
	Changed           *changedView  `json:"changed"` // how it came to this state; null for an item that never changed
	Expired           bool          `json:"expired"`
	ExpiresAt         *time.Time    `json:"expires_at"`
	ExpiresAtLocal    string        `json:"expires_at_local,omitempty"`
	Version           uint16        `json:"version"`
	Mark              batch.Mark    `json:"mark"`
	RotateEvery       string        `json:"rotate_every"`
	InnerCode         bool          `json:"inner_code"`
	Signed            bool          `json:"label_signature"`
	InnerFirstAt      *time.Time    `json:"inner_first_at"`
	InnerFirstAtLocal string        `json:"inner_first_at_local,omitempty"`
	ProductionDate    *string       `json:"production_date"`
	CreatedAt         time.Time     `json:"created_at"`
	CreatedAtLocal    string        `json:"created_at_local,omitempty"`
}

type changedView struct {
	ChangeID         ids.ChangeID `json:"change_id"`
	EffectiveAt      time.Time    `json:"effective_at"`
	EffectiveAtLocal string       `json:"effective_at_local,omitempty"`
	At               *time.Time   `json:"at"` // when it happened, as the caller said
	AtLocal          string       `json:"at_local,omitempty"`
	Place            string       `json:"place"`
	Reason           string       `json:"reason"`
}

// getCode answers GET /api/v1/codes/{code}.
func (a *api) getCode(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	v, err := a.Service.ViewCode(r.Context(), r.PathValue("code"))
	if err != nil {
		return err
	}
	b, n := &v.Batch, &v.Note
	out := codeView{
		Code: v.Code, BrandID: b.BrandID, ProductID: b.ProductID, BatchID: b.ID, BatchNo: b.No, No: v.No,
		State: v.State.String(), Expired: v.Expired, ExpiresAt: orNull(b.ExpiresAt), ExpiresAtLocal: local(b.ExpiresAt, zone),
		Version: v.Extra.Version, Mark: b.Mark, RotateEvery: batch.FormatRotation(b.RotateEvery),
		InnerCode: b.InnerKeyID != "", Signed: b.SignatureKeyID != "", InnerFirstAt: orNull(v.Extra.InnerAt), InnerFirstAtLocal: local(v.Extra.InnerAt, zone),
		ProductionDate: orNullText(b.ProductionDate), CreatedAt: b.CreatedAt, CreatedAtLocal: local(b.CreatedAt, zone),
	}
	if n.ChangeID != "" {
		out.Changed = &changedView{
			n.ChangeID, n.Effective.UTC(), local(n.Effective, zone), orNull(n.At), local(n.At, zone), n.Place, n.Reason,
		}
	}
	return httpx.OK(w, out)
}
