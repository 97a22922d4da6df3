package scanhttp

import (
	"encoding/hex"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

type scanView struct {
	ID         string    `json:"id"`
	ScanTime   time.Time `json:"scan_time"`
	TimeLocal  string    `json:"scan_time_local,omitempty"`
	Zone       *string   `json:"user_timezone"`
	UserLocal  string    `json:"scan_time_user,omitempty"` // in the scanner's own zone, where it said one
	Location   *string   `json:"location"`
	Result     string    `json:"result"`
	ErrorMsg   *string   `json:"error_msg"`
	Verdict    string    `json:"verdict"`
	Source     string    `json:"source"`
	First      bool      `json:"first_scan"`
	NewSession bool      `json:"new_session"`
	Far        bool      `json:"far_apart"`
	Device     *string   `json:"device"`
	IP         *string   `json:"ip"`
	IPAddress  *string   `json:"ip_address"` // null when forgotten
	UserAgent  *string   `json:"user_agent"`
	UserID     *int64    `json:"user_id"` // of a consumer who was signed in
	Trace      *string   `json:"trace_id"`
}

type scanList struct {
	Code   string     `json:"code"`
	Scans  []scanView `json:"scans"`
	Cursor *string    `json:"cursor"`

	*freshness // absent where the log was read: every scan is in
}

func viewScan(r *scan.Record, zone *time.Location) scanView {
	v := scanView{
		ID: scan.RefText(r.Ref), ScanTime: r.At, TimeLocal: local(r.At, zone), Zone: orNull(r.Zone), Location: orNull(r.Place),
		Result: r.Result.String(), ErrorMsg: orNull(r.Error), Verdict: scan.VerdictName(r.Verdict), Source: scan.SourceName(r.Source),
		First: r.What.Has(verifyevent.First), NewSession: r.What.Has(verifyevent.NewSession), Far: r.What.Has(verifyevent.Far),
		IP: orNull(r.Net), UserAgent: orNull(r.Agent),
	}
	if r.Zone != "" && r.Zone != "Local" {
		if own, err := time.LoadLocation(r.Zone); err == nil {
			v.UserLocal = local(r.At, own)
		}
	}
	if r.Device != 0 {
		d := strconv.FormatUint(r.Device, 16)
		v.Device = &d
	}
	if r.User != 0 {
		v.UserID = &r.User
	}
	if r.IP.IsValid() {
		v.IPAddress = orNull(r.IP.String())
	}
	if r.Trace != [16]byte{} {
		v.Trace = orNull(hex.EncodeToString(r.Trace[:]))
	}
	return v
}

const (
	scansUsual = 50
	scansMax   = 200 // each may be a look into the log or a day's file
)

// getScans answers GET /api/v1/codes/{code}/scans, the newest first.
func (a *api) getScans(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, scansUsual, scansMax)
	if err != nil {
		return err
	}
	code := r.PathValue("code")
	start, _, err := startOf(r, "scans "+code)
	if err != nil {
		return err
	}
	if start.N > math.MaxUint16 {
		return scan.ErrBadCursor
	}
	h, err := a.svc.History(r.Context(), code, verifyevent.Ref{At: start.At, N: uint16(start.N)}, limit)
	if err != nil {
		return err
	}
	out := scanList{Code: h.Code, Scans: make([]scanView, 0, len(h.Scans))}
	for i := range h.Scans {
		out.Scans = append(out.Scans, viewScan(&h.Scans[i], zone))
	}
	if h.Next != (verifyevent.Ref{}) {
		out.Cursor = position{List: "scans " + code, At: h.Next.At, N: uint64(h.Next.N)}.cursor()
	}
	if h.Freshness != nil {
		fresh := viewFreshness(*h.Freshness, zone)
		out.freshness = &fresh
	}
	return httpx.OK(w, out)
}
