package scanhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
)

type topView struct {
	Of        string     `json:"of"`
	From      *time.Time `json:"from"` // null for codes: theirs is of all time
	FromLocal string     `json:"from_local,omitempty"`
	To        *time.Time `json:"to"`
	ToLocal   string     `json:"to_local,omitempty"`
	Totals    *counts    `json:"totals"` // of all, also those that are not listed
	Top       []lineView `json:"top"`
	Codes     []topCode  `json:"codes"`
	freshness
}

type topCode struct {
	Code            string    `json:"code"`
	Scans           int64     `json:"scans"`
	LastScanAt      time.Time `json:"last_scan_at"`
	LastScanAtLocal string    `json:"last_scan_at_local,omitempty"`
}

const topUsual = 10

// getTop answers GET /api/v1/scan-stats/top.
func (a *api) getTop(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, topUsual, scan.TopMax)
	if err != nil {
		return err
	}
	q, err := questionOf(r)
	if err != nil {
		return err
	}
	of := r.URL.Query().Get("of")
	group, ok := map[string]scan.Dimension{
		"products": scan.ByProduct, "batches": scan.ByBatch, "provinces": scan.ByProvince, "brands": scan.ByBrand,
	}[of]
	if of == "codes" {
		return a.topCodes(w, r, q, limit, zone)
	}
	if !ok {
		return fault.Field("scan.bad_of", "of", "must be codes, products, batches, provinces or brands")
	}
	t, err := a.svc.Top(r.Context(), q, group, limit)
	if err != nil {
		return err
	}
	total := viewCounts(t.Total)
	out := topView{
		Of: of, From: &t.From, FromLocal: local(t.From, zone), To: &t.To, ToLocal: local(t.To, zone), Totals: &total,
		Top: make([]lineView, 0, len(t.Lines)), Codes: []topCode{}, freshness: viewFreshness(t.Freshness, zone),
	}
	for i := range t.Lines {
		out.Top = append(out.Top, viewLine(&t.Lines[i], group, scan.EachDay, zone))
	}
	return httpx.OK(w, out)
}

func (a *api) topCodes(w http.ResponseWriter, r *http.Request, q scan.Question, limit int, zone *time.Location) error {
	switch {
	case q.Brand == 0:
		return missing("brand_id")
	case !q.From.IsZero() || !q.To.IsZero():
		return fault.Field("scan.all_time", "from", "the top codes are those of all time: leave from and to out")
	case q.Product != 0 || q.Batch != "":
		return fault.Field("scan.whole_brand", "product_id", "the top codes are those of the whole brand")
	}
	all, fresh, err := a.svc.TopCodes(r.Context(), q.Brand, limit)
	if err != nil {
		return err
	}
	out := topView{Of: "codes", Top: []lineView{}, Codes: make([]topCode, 0, len(all)), freshness: viewFreshness(fresh, zone)}
	for _, c := range all {
		out.Codes = append(out.Codes, topCode{c.Code, c.Count, c.LastAt, local(c.LastAt, zone)})
	}
	return httpx.OK(w, out)
}
