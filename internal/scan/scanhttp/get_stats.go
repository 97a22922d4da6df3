package scanhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
)

type counts struct {
	Scans    int64 `json:"scans"`
	Sessions int64 `json:"sessions"`
	Firsts   int64 `json:"first_scans"`
}

func viewCounts(c scan.Counts) counts { return counts{c.Scans, c.Sessions, c.Firsts} }

type pointView struct {
	Start      time.Time `json:"start"`
	StartLocal string    `json:"start_local,omitempty"`
	counts
	DistinctCodes *int64 `json:"distinct_codes"` // of whole days
}

type lineView struct {
	BrandID   *ids.BrandID   `json:"brand_id,omitempty"`
	ProductID *ids.ProductID `json:"product_id,omitempty"`
	BatchID   *ids.BatchID   `json:"batch_id,omitempty"`
	BatchNo   *string        `json:"batch_no,omitempty"`
	Province  *string        `json:"province,omitempty"` // "" = not known
	Verdict   *string        `json:"verdict,omitempty"`
	Others    bool           `json:"others"`
	Totals    counts         `json:"totals"`
	Points    []pointView    `json:"points,omitempty"`
}

func viewLine(l *scan.Line, group scan.Dimension, by scan.Grain, zone *time.Location) lineView {
	v := lineView{Others: l.Others, Totals: viewCounts(l.Total)}
	if !l.Others {
		switch group {
		case scan.ByBrand:
			v.BrandID = &l.Brand
		case scan.ByProduct:
			v.ProductID = &l.Product
		case scan.ByBatch:
			if l.Batch != nil {
				v.BatchID, v.BatchNo = &l.Batch.ID, &l.Batch.No
			}
		case scan.ByProvince:
			v.Province = &l.Province
		case scan.ByVerdict:
			v.Verdict = &l.Verdict
		case scan.ByNothing:
		}
	}
	for _, p := range l.Points {
		point := pointView{Start: p.Start, StartLocal: local(p.Start, zone), counts: viewCounts(p.Counts)}
		// A day's first scans count its codes, but for a part of the day's scans that
		// cuts through codes.
		if by == scan.EachDay && group != scan.ByProvince && group != scan.ByVerdict {
			point.DistinctCodes = &p.FirstsOfDay
		}
		v.Points = append(v.Points, point)
	}
	return v
}

type distinctView struct {
	Count int64   `json:"count"`
	Exact bool    `json:"exact"`
	Error float64 `json:"standard_error"` // of the count, as a part of it
}

type statsView struct {
	By            string        `json:"by"`
	Group         *string       `json:"group"`
	From          time.Time     `json:"from"`
	FromLocal     string        `json:"from_local,omitempty"`
	To            time.Time     `json:"to"`
	ToLocal       string        `json:"to_local,omitempty"`
	Totals        counts        `json:"totals"`
	DistinctCodes *distinctView `json:"distinct_codes"`
	Series        []lineView    `json:"series"`
	freshness
}

// dimensionOf reads a dimension by its name.
func dimensionOf(name string) (scan.Dimension, bool) {
	d, ok := map[string]scan.Dimension{
		"": scan.ByNothing, "brand": scan.ByBrand, "product": scan.ByProduct, "batch": scan.ByBatch,
		"province": scan.ByProvince, "verdict": scan.ByVerdict,
	}[name]
	return d, ok
}

// questionOf reads what narrows the statistics.
func questionOf(r *http.Request) (q scan.Question, _ error) {
	v := r.URL.Query()
	brand, err := number("brand_id", v.Get("brand_id"))
	if err != nil {
		return q, err
	}
	product, err := number("product_id", v.Get("product_id"))
	if err != nil {
		return q, err
	}
	q = scan.Question{Brand: ids.BrandID(brand), Product: ids.ProductID(product), Batch: ids.BatchID(v.Get("batch_id"))}
	if q.From, err = parseTime("from", v.Get("from")); err != nil {
		return q, err
	}
	q.To, err = parseTime("to", v.Get("to"))
	return q, err
}

// getStats answers GET /api/v1/scan-stats.
func (a *api) getStats(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	q, err := questionOf(r)
	if err != nil {
		return err
	}
	byName, groupName := r.URL.Query().Get("by"), r.URL.Query().Get("group")
	if byName == "" {
		byName = "hour"
	}
	by, ok := scan.ParseGrain(byName)
	if !ok {
		return fault.Field("scan.bad_by", "by", "must be minute, hour or day")
	}
	group, ok := dimensionOf(groupName)
	if !ok {
		return fault.Field("scan.bad_group", "group", "must be brand, product, batch, province or verdict")
	}
	s, err := a.svc.Series(r.Context(), q, by, group)
	if err != nil {
		return err
	}
	out := statsView{
		By: byName, Group: orNull(groupName), From: s.From, FromLocal: local(s.From, zone), To: s.To, ToLocal: local(s.To, zone),
		Totals: viewCounts(s.Total), Series: make([]lineView, 0, len(s.Lines)), freshness: viewFreshness(s.Freshness, zone),
	}
	if s.Distinct != nil {
		out.DistinctCodes = &distinctView{s.Distinct.Count, s.Distinct.Exact, 0}
		if !s.Distinct.Exact {
			out.DistinctCodes.Error = scan.SketchError
		}
	}
	for i := range s.Lines {
		out.Series = append(out.Series, viewLine(&s.Lines[i], group, by, zone))
	}
	return httpx.OK(w, out)
}
