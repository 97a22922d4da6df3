// Package scanhttp is the HTTP side of the scan domain: statistics, the scans of a
// code, the codes that were scanned, and what brands want kept of addresses.
//
// Promise: an answer has the shape that docs/openapi.yaml gives it
// (TestAnswersMatchDocument); no answer has a serial in it; an address is shown whole
// only while its brand's policy lets it (TestHistoryShowsAddressesByPolicy).
package scanhttp

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
)

type api struct{ svc *scan.Service }

// Mount adds the routes. All of them need a key.
func Mount(rt *httpx.Router, svc *scan.Service) {
	a := &api{svc}
	rt.Allow("GET /api/v1/codes", "scan:read", a.getCodes)
	rt.Allow("GET /api/v1/codes/{code}/scans", "scan:read", a.getScans)
	rt.Allow("GET /api/v1/scan-stats", "scan:read", a.getStats)
	rt.Allow("GET /api/v1/scan-stats/top", "scan:read", a.getTop)
	rt.Allow("GET /api/v1/brands/{brand_id}/scan-policy", "scan:read", a.getPolicy)
	rt.Allow("POST /api/v1/brands/{brand_id}/scan-policy", "brand:change", a.postPolicy)
}

// number reads a 32-bit id; 0 when it is absent.
func number(field, text string) (int32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, fault.Field("input.bad_number", field, "must be a whole number in its range")
	}
	return int32(n), nil
}

func missing(field string) error { return fault.Field("input.required", field, "is needed") }

// parseTime reads an optional time of a request.
func parseTime(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.UTC().Year() < 1970 || t.UTC().Year() > 9999 {
		return time.Time{}, fault.Field("input.bad_time", field, "must be an RFC 3339 time such as 2026-01-31T08:00:00Z")
	}
	return t.UTC().Truncate(time.Microsecond), nil
}

// local is the copy of a time in the zone that the caller asked for; "" leaves the
// field out.
func local(t time.Time, zone *time.Location) string {
	if zone == nil || t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.RFC3339Nano)
}

// orNull is a value that may be absent.
func orNull[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// freshness is how complete an answer is.
type freshness struct {
	AsOf         time.Time  `json:"as_of"`
	AsOfLocal    string     `json:"as_of_local,omitempty"`
	LagSeconds   float64    `json:"lag_seconds"`
	Behind       int64      `json:"records_behind"`
	NewestScanAt *time.Time `json:"newest_scan_at"`
}

func viewFreshness(f scan.Freshness, zone *time.Location) freshness {
	return freshness{f.AsOf.UTC(), local(f.AsOf, zone), f.Lag.Seconds(), f.Behind, orNull(f.Newest)}
}

// cursorBytesMax is longer than any cursor that is given out.
const cursorBytesMax = 256

// position is where a list goes on.
type position struct {
	List string `json:"l"` // a cursor of one list is none of another
	At   uint64 `json:"a"`
	N    uint64 `json:"n,omitempty"`
	Code string `json:"c,omitempty"`
}

func (p position) cursor() *string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err) // cannot be: plain fields
	}
	text := base64.RawURLEncoding.EncodeToString(raw)
	return &text
}

// startOf reads ?cursor=; ok is false at the beginning of the list.
func startOf(r *http.Request, list string) (p position, ok bool, _ error) {
	text := r.URL.Query().Get("cursor")
	if text == "" {
		return position{}, false, nil
	}
	if len(text) > cursorBytesMax {
		return position{}, false, scan.ErrBadCursor
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &p) != nil || p.List != list {
		return position{}, false, scan.ErrBadCursor
	}
	return p, true, nil
}

// noStore keeps what changes with every moment out of caches.
func noStore(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }

func brandOf(r *http.Request) (ids.BrandID, error) {
	n, err := number("brand_id", r.PathValue("brand_id"))
	return ids.BrandID(n), err
}
