package scanhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
)

type codeView struct {
	Code            string     `json:"code"`
	State           string     `json:"state"`
	Scans           int64      `json:"scans"`
	FirstScanAt     *time.Time `json:"first_scan_at"` // null: changed singly and never scanned
	FirstScanLocal  string     `json:"first_scan_at_local,omitempty"`
	LastScanAt      *time.Time `json:"last_scan_at"`
	LastScanAtLocal string     `json:"last_scan_at_local,omitempty"`
	LastScanPlace   *string    `json:"last_scan_place"`
}

type codeList struct {
	Codes  []codeView `json:"codes"`
	Cursor *string    `json:"cursor"`
	freshness
}

const (
	pageUsual = 100
	pageMax   = 1000
)

// getCodes answers GET /api/v1/codes: a brand's codes with a record of their own, the
// newest first.
func (a *api) getCodes(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	brand, err := number("brand_id", q.Get("brand_id"))
	if err != nil {
		return err
	}
	if brand == 0 {
		return missing("brand_id")
	}
	since, err := parseTime("since", q.Get("since"))
	if err != nil {
		return err
	}
	states, err := scan.ParseStates(q.Get("state"))
	if err != nil {
		return err
	}
	after, err := a.afterOf(r)
	if err != nil {
		return err
	}
	l, err := a.svc.List(r.Context(), ids.BrandID(brand), since, states, after, limit)
	if err != nil {
		return err
	}
	out := codeList{Codes: make([]codeView, 0, len(l.Codes)), freshness: viewFreshness(l.Freshness, zone)}
	for _, c := range l.Codes {
		v := codeView{Code: c.Code, State: c.State.String(), Scans: c.Scanned.Count}
		if c.Scanned.Count > 0 {
			v.FirstScanAt, v.FirstScanLocal = orNull(c.FirstAt), local(c.FirstAt, zone)
			v.LastScanAt, v.LastScanAtLocal = orNull(c.Scanned.LastAt), local(c.Scanned.LastAt, zone)
			v.LastScanPlace = orNull(c.Scanned.Place)
		}
		out.Codes = append(out.Codes, v)
	}
	if l.Next != nil {
		out.Cursor = position{List: "codes", At: uint64(l.Next.At.UnixMicro()), Code: a.svc.Codes.Code(l.Next.Serial)}.cursor()
	}
	return httpx.OK(w, out)
}

// afterOf reads the cursor: a time, and the code that was the last. The serial that
// orders codes of one time is not for outside.
func (a *api) afterOf(r *http.Request) (*scan.Place, error) {
	p, ok, err := startOf(r, "codes")
	if err != nil || !ok {
		return nil, err
	}
	serial, err := a.svc.Codes.Serial(r.Context(), p.Code)
	if err != nil || p.At > uint64(scan.Latest)+1 {
		return nil, scan.ErrBadCursor
	}
	return &scan.Place{At: time.UnixMicro(int64(p.At)).UTC(), Serial: serial}, nil
}
