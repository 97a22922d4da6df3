package scanhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
)

type policyView struct {
	BrandID        ids.BrandID `json:"brand_id"`
	IPDays         int         `json:"ip_days"`
	ChangedAt      *time.Time  `json:"changed_at"` // null = the usual policy
	ChangedAtLocal string      `json:"changed_at_local,omitempty"`
}

func viewPolicy(p scan.Policy, zone *time.Location) policyView {
	return policyView{p.Brand, p.IPDays, orNull(p.ChangedAt), local(p.ChangedAt, zone)}
}

// getPolicy answers GET /api/v1/brands/{brand_id}/scan-policy.
func (a *api) getPolicy(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	p, err := a.svc.Policy(r.Context(), brand)
	if err != nil {
		return err
	}
	return httpx.OK(w, viewPolicy(p, zone))
}

type policyAsk struct {
	IPDays *int `json:"ip_days"`
}

type policyMade struct {
	BrandID ids.BrandID `json:"brand_id"`
	IPDays  int         `json:"ip_days"`
}

// postPolicy answers POST /api/v1/brands/{brand_id}/scan-policy.
func (a *api) postPolicy(w http.ResponseWriter, r *http.Request) error {
	var ask policyAsk
	raw, err := httpx.Decode(w, r, httpx.BodyMax, &ask)
	if err != nil {
		return err
	}
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	if ask.IPDays == nil {
		return missing("ip_days")
	}
	req, err := httpx.Request(r, httpx.Caller(r).ID, raw)
	if err != nil {
		return err
	}
	p, replayed, err := a.svc.SetPolicy(r.Context(), req, scan.Policy{Brand: brand, IPDays: *ask.IPDays})
	if err != nil {
		return err
	}
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return httpx.OK(w, policyMade{p.Brand, p.IPDays})
}
