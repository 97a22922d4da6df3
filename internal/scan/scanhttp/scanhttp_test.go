package scanhttp_test

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

func code(s ids.Serial) string { return scantest.Codes{}.Code(s) }

// TestAnswersMatchDocument asks every route once; the world holds each answer, here
// and in the other tests, against the document. The examples are held to it too.
func TestAnswersMatchDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.scan(1000, nil)
	w.consume()
	w.send("POST", "/api/v1/brands/1001/scan-policy", `{"ip_days":7}`).ok()
	for _, target := range []string{
		"/api/v1/codes?brand_id=1001", "/api/v1/codes/" + code(1000) + "/scans", "/api/v1/scan-stats", "/api/v1/scan-stats/top?of=products",
		"/api/v1/scan-stats/top?of=codes&brand_id=1001", "/api/v1/brands/1001/scan-policy",
	} {
		w.get(target).ok().lacks("serial", "first_serial")
		w.get(target, "Time-Zone: Asia/Shanghai").ok().has(`_local":"2026-`, "+08:00")
		w.get(target, "Time-Zone: Nowhere/Land").fails(400, "input.bad_zone")
		w.get(target, "Authorization: ").fails(401, "auth.required")
		w.send("DELETE", target, "").fails(405, "route.method")
	}
	for path, item := range w.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if media := op.Responses.Status(200); strings.Contains(path, "scan") && media != nil {
				m := media.Value.Content.Get("application/json")
				if err := m.Schema.Value.VisitJSON(m.Example, openapi3.EnableJSONSchema2020()); err != nil {
					t.Errorf("the example of %s %s: %v", method, path, err)
				}
			}
		}
	}
}

// TestHistorySeam walks one code's scans over log, open day and closed days, with
// every page size, whatever is consumed and trimmed.
func TestHistorySeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for i := range 40 {
		w.now = w.now.Add(100 * time.Minute)
		ref := w.scan(1007, func(s *verifyevent.Sighting) { s.Agent = fmt.Sprint("agent ", i) })
		w.scan(ids.Serial(1008+i%3), nil)
		want = append(want, scan.RefText(ref))
		if i%3 == 2 {
			w.log.Flush()
		}
	}
	slices.Reverse(want)
	walk := func(limit int) (got []string) {
		target := fmt.Sprintf("/api/v1/codes/%s/scans?limit=%d", code(1007), limit)
		for next := target; ; {
			r := w.get(next).ok()
			for _, s := range r.list("scans") {
				got = append(got, s.(map[string]any)["id"].(string))
			}
			if r.cursor() == "" {
				return got
			}
			next = target + "&cursor=" + r.cursor()
		}
	}
	check := func(when string) {
		t.Helper()
		for _, limit := range []int{1, 7, 40, 200} {
			if diff := cmp.Diff(want, walk(limit)); diff != "" {
				t.Fatalf("%s, pages of %d (-want +got):\n%s", when, limit, diff)
			}
		}
	}
	check("nothing consumed")
	w.consume()
	check("all consumed, all in the log")
	w.log.Trim(4)
	check("the log is trimmed below an open day")
	if err := w.engine.Records.CloseDays(t.Context(), w.now); err != nil {
		t.Fatal(err)
	}
	check("days closed")
	w.log.Trim(1000)
	check("nothing in the log")
	for range 2 { // scans that are not consumed yet come before
		w.now = w.now.Add(time.Minute)
		want = append([]string{scan.RefText(w.scan(1007, nil))}, want...)
	}
	check("two in the log alone")
	w.get("/api/v1/codes/" + code(1007) + "/scans?limit=3").ok().has(`"user_agent":"agent 39"`)
}

func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.scan(1000, func(s *verifyevent.Sighting) {
		s.IP, s.Zone, s.Agent = netip.MustParseAddr("203.0.113.77"), "America/New_York", "Mozilla"
		s.Place = verifyevent.Place{Country: "中国", Province: "贵州", City: "遵义"}
	})
	w.scan(1000, func(s *verifyevent.Sighting) {
		s.What, s.Device, s.Verdict, s.Source = verifyevent.Far, 0xbeef, scantest.Void, 3
	})
	for range 2 {
		w.get("/api/v1/codes/"+code(1000)+"/scans?tz=Asia/Shanghai").ok().has(
			`"scan_time":"2026-03-01T08:30:15.123456Z","scan_time_local":"2026-03-01T16:30:15.123456+08:00"`, `"scan_time_user":"2026-03-01T03:30:15.123456-05:00"`,
			`"location":"中国 贵州 遵义"`, `"result":"success","error_msg":null,"verdict":"authentic","source":"page","first_scan":true`,
			`"result":"abnormal","error_msg":"far_apart","verdict":"void","source":"grpc","first_scan":false`, `"device":"beef"`,
			`"ip":"203.0.113.0/24","ip_address":"203.0.113.77"`, `"user_id":null`)
		w.consume()
		w.log.Trim(10)
	}
	w.get("/api/v1/codes/"+code(1001)+"/scans").ok().has(`"scans":[]`, `"cursor":null`)
	w.get("/api/v1/codes/123/scans").fails(400, "code.malformed")
	w.get("/api/v1/codes/"+code(9999)+"/scans").fails(404, "code.unknown")
	foreign := base64.RawURLEncoding.EncodeToString([]byte(`{"l":"scans ` + code(1001) + `","a":1099511627777}`))
	w.get("/api/v1/codes/"+code(1001)+"/scans?cursor="+foreign).fails(400, "input.bad_cursor")
	for _, bad := range []string{"!", strings.Repeat("A", 500), "e30", foreign} {
		w.get("/api/v1/codes/"+code(1000)+"/scans?cursor="+bad).fails(400, "input.bad_cursor")
	}
	for _, bad := range []string{"0", "201", "x"} {
		w.get("/api/v1/codes/"+code(1000)+"/scans?limit="+bad).fails(400, "input.bad_limit")
	}
}

// TestHistoryShowsAddressesByPolicy: a whole address is shown while the policy keeps
// it, from the log as from the records.
func TestHistoryShowsAddressesByPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scans := "/api/v1/codes/" + code(1000) + "/scans"
	policy := "/api/v1/brands/1001/scan-policy"
	w.scan(1000, func(s *verifyevent.Sighting) { s.IP = netip.MustParseAddr("203.0.113.77") })
	w.get(policy).ok().has(`"ip_days":30`, `"changed_at":null`)
	w.get(scans).ok().has("203.0.113.77")
	w.send("POST", policy, `{"ip_days":0}`).ok()
	w.get(scans).ok().has("203.0.113.0/24").lacks("203.0.113.77")
	w.send("POST", policy, `{"ip_days":10}`, "Idempotency-Key: k1").ok()
	w.get(policy).ok().has(`"ip_days":10`, `"changed_at":"2026-03-01T08:30:15.123456Z"`)
	w.consume()
	w.log.Trim(10)
	w.get(scans).ok().has("203.0.113.77")
	w.now = w.now.AddDate(0, 0, 11)
	w.get(scans).ok().has("203.0.113.0/24").lacks("203.0.113.77")

	if r := w.send("POST", policy, `{"ip_days":10}`, "Idempotency-Key: k1").ok(); r.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the retry is not told to be one")
	}
	w.send("POST", policy, `{"ip_days":11}`, "Idempotency-Key: k1").fails(422, "idempotency.mismatch")
	for body, want := range map[string]string{
		`{"ip_days":-1}`: "scan.bad_policy", `{"ip_days":366}`: "scan.bad_policy", `{}`: "input.required", `{"ip_days":"x"}`: "input.bad_type",
		`{"days":1}`: "input.unknown_field", `{`: "input.bad_json",
	} {
		w.send("POST", policy, body).fails(400, want)
	}
	w.send("POST", policy, `{"ip_days":1}`, "Content-Type: text/plain").fails(415, "input.not_json")
	w.send("POST", "/api/v1/brands/9/scan-policy", `{"ip_days":1}`).fails(404, "brand.unknown")
	w.get("/api/v1/brands/9/scan-policy").fails(404, "brand.unknown")
	w.get("/api/v1/brands/x/scan-policy").fails(400, "input.bad_number")
}

func TestCodes(t *testing.T) {
	t.Parallel()
	changed := []scan.Item{{Serial: 1500, At: scantest.Start().Add(90 * time.Second)}, {Serial: 1003, At: scantest.Start()}}
	w := newWorld(t, changed...)
	for i := range ids.Serial(6) {
		w.scan(1000+i, func(s *verifyevent.Sighting) { s.Place.City = fmt.Sprint("city ", i) })
		w.scan(2000+i, nil)
		w.now = w.now.Add(time.Minute)
	}
	w.scan(1001, func(s *verifyevent.Sighting) { s.Place.City = "again" })
	w.consume()
	w.states[1002], w.states[1004], w.states[1500] = gs1.Void, gs1.RetailSold, gs1.Recalled
	list := func(query string) (got []string) {
		for next := query; ; {
			r := w.get("/api/v1/codes?brand_id=1001" + next).ok()
			for _, c := range r.list("codes") {
				got = append(got, strings.TrimLeft(c.(map[string]any)["code"].(string), "0"))
			}
			if r.cursor() == "" {
				return got
			}
			next = query + "&cursor=" + r.cursor()
		}
	}
	for query, want := range map[string]string{
		"": "1005 1004 1003 1002 1500 1001 1000", "&limit=2": "1005 1004 1003 1002 1500 1001 1000", "&limit=1&state=active": "1005 1004 1003 1001 1000",
		"&state=void": "1002", "&state=recalled,retail_sold": "1004 1500", "&state=scanned&limit=4": "1005 1004 1003 1002 1001 1000",
		"&since=2026-03-01T08:34:15Z": "1005 1004", "&state=destroyed": "",
	} {
		if got := strings.Join(list(query), " "); got != want {
			t.Errorf("%q lists %q, want %q", query, got, want)
		}
	}
	w.get("/api/v1/codes?brand_id=1001&tz=Asia/Shanghai").ok().has(
		`"state":"active","scans":2,"first_scan_at":"2026-03-01T08:31:15.123456Z","first_scan_at_local":"2026-03-01T16:31:15.123456+08:00","last_scan_at":"2026-03-01T08:36:15.123456Z"`,
		`"last_scan_place":"again"`, `"scans":0,"first_scan_at":null,"last_scan_at":null,"last_scan_place":null`,
		`"lag_seconds":2,"records_behind":3`, `"as_of":"2026-03-01T08:36:13.123456Z"`, `"newest_scan_at":"2026-03-01T08:36:15.123456Z"`)
	w.states[1005] = 0 // not known any more: the others are listed
	if got := strings.Join(list("&limit=2"), " "); got != "1004 1003 1002 1500 1001 1000" {
		t.Errorf("with one that is not known any more: %q", got)
	}
	w.get("/api/v1/codes").fails(400, "input.required")
	w.get("/api/v1/codes?brand_id=77").fails(404, "brand.unknown")
	for query, want := range map[string]string{
		"state=nonsense": "input.bad_state", "since=yesterday": "input.bad_time", "limit=1001": "input.bad_limit", "cursor=e30": "input.bad_cursor",
		"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"l":"codes","a":1,"c":"000000000000009999"}`)): "input.bad_cursor",
	} {
		w.get("/api/v1/codes?brand_id=1001&"+query).fails(400, want)
	}
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		province := []string{"贵州", "北京"}[i%2]
		w.scan(ids.Serial(1000+i%4), func(s *verifyevent.Sighting) { s.Place.Province = province })
		w.scan(2000, func(s *verifyevent.Sighting) { s.Place.Province = province })
		w.now = w.now.Add(7 * time.Minute)
	}
	w.consume()
	day := "&from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"
	w.get("/api/v1/scan-stats?by=day"+day).ok().has(
		`"totals":{"scans":20,"sessions":20,"first_scans":5}`, `"distinct_codes":{"count":5,"exact":true,"standard_error":0}`,
		`"points":[{"start":"2026-03-01T00:00:00Z","scans":20,"sessions":20,"first_scans":5,"distinct_codes":5}]`, `"as_of"`, `"lag_seconds":2`)
	w.get("/api/v1/scan-stats?by=hour&brand_id=1001&group=province"+day).ok().has(
		`"province":"贵州","others":false,"totals":{"scans":5`, `"province":"北京"`, `{"start":"2026-03-01T08:00:00Z"`, `"distinct_codes":null`)
	w.get("/api/v1/scan-stats?group=batch&batch_id="+string(batchTwo)+day).ok().has(`"batch_id":"`+string(batchTwo)+`","batch_no":"B-2"`, `"scans":10`).lacks(string(batchOne))
	w.get("/api/v1/scan-stats?by=minute&group=verdict&product_id=2001").ok().has(`"verdict":"authentic"`)
	w.get("/api/v1/scan-stats?by=day&group=brand").ok().has(`"brand_id":1001`, `"brand_id":1002`)
	w.get("/api/v1/scan-stats?by=day&group=product&brand_id=1002").ok().has(`"product_id":2002`).lacks(`"product_id":2001`)
	w.get("/api/v1/scan-stats?tz=Asia/Shanghai"+day).ok().has(`"from_local":"2026-03-01T08:00:00+08:00"`, `"start_local":"2026-03-01T16:00:00+08:00"`)
	w.get("/api/v1/scan-stats?from=2026-03-01T08:45:00Z&to=2026-03-01T08:46:00.5Z").ok().has(`"from":"2026-03-01T08:00:00Z"`, `"to":"2026-03-01T09:00:00Z"`, `"distinct_codes":null`)
	for query, want := range map[string]string{
		"by=week": "scan.bad_by", "group=city": "scan.bad_group", "by=minute&group=province": "scan.too_fine", "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z": "scan.bad_range",
		"from=x": "input.bad_time", "by=minute&from=2026-03-01T00:00:00Z&to=2026-03-02T02:00:00Z": "scan.bad_range", "brand_id=x": "input.bad_number", "brand_id=-4": "input.bad_number",
		"brand_id=1002&product_id=2001": "product.other_brand", "brand_id=1001&batch_id=" + string(batchTwo): "scan.other_batch", "by=hour&from=1970-01-01T00:00:00Z": "scan.bad_range",
		"from=9999-12-31T00:00:00Z": "scan.bad_range",
	} {
		w.get("/api/v1/scan-stats?"+query).fails(400, want)
	}
	w.get("/api/v1/scan-stats?brand_id=7").fails(404, "brand.unknown")
	w.get("/api/v1/scan-stats?product_id=7").fails(404, "product.unknown")
	w.get("/api/v1/scan-stats?batch_id=bat_1").fails(404, "batch.unknown")
}

func TestTop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 9 {
		w.scan(ids.Serial(1000+i%2), func(s *verifyevent.Sighting) { s.Place.Province = "贵州" })
	}
	w.scan(2000, nil)
	w.consume()
	w.now = w.now.Add(time.Hour)
	w.get("/api/v1/scan-stats/top?of=codes&brand_id=1001&limit=1&tz=Asia/Shanghai").ok().has(`"codes":[{"code":"`+code(1000)+`","scans":5,"last_scan_at":"2026-03-01T08:30:15.123456Z","last_scan_at_local"`, `"from":null`, `"totals":null`).lacks(code(1001))
	w.get("/api/v1/scan-stats/top?of=products").ok().has(`"top":[{"product_id":2001,"others":false,"totals":{"scans":9`, `{"product_id":2002`, `"totals":{"scans":10`)
	w.get("/api/v1/scan-stats/top?of=products&limit=1&from=2026-03-01T08:00:00Z").ok().has(`"product_id":2001`, `"from":"2026-03-01T08:00:00Z","to":"2026-03-01T10:00:00Z"`, `"totals":{"scans":10`).lacks(`"product_id":2002`)
	w.get("/api/v1/scan-stats/top?of=provinces&brand_id=1001").ok().has(`"province":"贵州"`)
	w.get("/api/v1/scan-stats/top?of=batches").ok().has(`"batch_no":"B-1"`)
	w.get("/api/v1/scan-stats/top?of=brands").ok().has(`"brand_id":1001`)
	for query, want := range map[string]string{
		"": "scan.bad_of", "of=users": "scan.bad_of", "of=codes": "input.required", "of=codes&brand_id=1001&from=2026-03-01T08:00:00Z": "scan.all_time",
		"of=codes&brand_id=1001&product_id=2001": "scan.whole_brand", "of=brands&limit=101": "input.bad_limit", "of=brands&from=1970-01-01T00:00:00Z": "scan.bad_range",
	} {
		w.get("/api/v1/scan-stats/top?"+query).fails(400, want)
	}
	w.get("/api/v1/scan-stats/top?of=codes&brand_id=7").fails(404, "brand.unknown")
}
