package verifyhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
)

func verifyPath(s ids.Serial) string { return "/api/v1/codes/" + code(s) + "/verify" }

var uncached = map[string]string{
	"Cache-Control": "no-store", "Vary": "Accept, Accept-Language", "Access-Control-Allow-Origin": "*",
}

func TestVerifyJSON(t *testing.T) {
	t.Parallel()
	date, at := "2026-10-31", "2026-11-01T10:30:00Z"
	w := newWorld()
	rec := w.ask("GET", verifyPath(printed))
	want(t, rec, 200)
	wantHeaders(t, rec.Header(), uncached)
	wantHeaders(t, rec.Header(), map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Content-Location": "",
	})
	if rec.Header().Get("X-Request-Id") == "" {
		t.Error("no request id")
	}
	first := verification{Code: 200, Message: "success"}
	first.Data = verdict{
		Valid: new(true), Verdict: "authentic", Reasons: []string{"scanned.first"}, Code: code(printed), Version: 1,
		Product:   productInfo{"Green tea 绿茶", "Brand & Sons", "LOT-1", &date},
		FirstScan: moment{At: &at, Place: "unknown"}, ScanCount: 1, Counted: true,
	}
	first.Data.Trace.Production.BatchNo, first.Data.Trace.Production.ProductionDate = "LOT-1", &date
	if diff := cmp.Diff(first, strict(t, rec.Body.Bytes())); diff != "" {
		t.Errorf("first scan (-want +got):\n%s", diff)
	}
	again := first
	again.Data.Verdict, again.Data.Reasons, again.Data.ScanCount = "authentic_again", []string{"scanned.before"}, 2
	if diff := cmp.Diff(again, strict(t, w.ask("GET", verifyPath(printed)).Body.Bytes())); diff != "" {
		t.Errorf("second scan (-want +got):\n%s", diff)
	}
	if got := w.sources; !cmp.Equal(got, []verify.Source{verify.FromAPI, verify.FromAPI}) {
		t.Errorf("sources %v", got)
	}
}

func TestVerifyAnswers(t *testing.T) {
	t.Parallel()
	right, wrong := inner.Code(scratched).String(), "00000000"
	for name, c := range map[string]struct {
		target   string
		status   int
		contains []string
	}{
		"no date":             {verifyPath(fixed), 200, []string{`"production_date":null`, `"expires_at":null`}},
		"sold":                {verifyPath(sold), 200, []string{`"verdict":"sold"`, `"valid":true`, `"sold":{"at":"2026-11-01T01:00:00Z","place":"Shop \"5\""}`}},
		"sold, here":          {verifyPath(sold) + "?tz=Asia/Shanghai", 200, []string{`"at_local":"2026-11-01T09:00:00+08:00"`, `"sold_at_local":"2026-11-01T09:00:00+08:00"`}},
		"recalled":            {verifyPath(recalled), 410, []string{`"code":410`, `"error":"code.recalled"`, `"valid":false`, `"counted":true`}},
		"its token":           {verifyPath(displayed) + "?token=" + token(links, displayed, 10), 200, []string{`"valid":true`}},
		"its token, lower":    {verifyPath(displayed) + "?token=" + strings.ToLower(token(links, displayed, 10)), 200, []string{`"valid":true`}},
		"a token of before":   {verifyPath(printed) + "?token=" + token(links, printed, 3), 410, []string{`"verdict":"superseded"`, `"superseded_since":"2026-11-01T04:00:00Z"`}},
		"its version":         {verifyPath(printed) + "?version=1", 200, []string{`"version":1`}},
		"a version to come":   {verifyPath(printed) + "?version=2", 404, []string{"code.unknown"}},
		"version zero":        {verifyPath(printed) + "?version=0", 400, []string{"verify.bad_version"}},
		"no version":          {verifyPath(printed) + "?version=1.0", 400, []string{"verify.bad_version", `"field":"version"`}},
		"too high a version":  {verifyPath(printed) + "?version=65536", 400, []string{"verify.bad_version"}},
		"right inner code":    {verifyPath(scratched) + "?inner=" + right, 200, []string{`"inner":{"ok":true,"tries_left":5,"first_at":"2026-11-01T10:30:00Z"}`}},
		"wrong inner code":    {verifyPath(scratched) + "?inner=" + wrong, 200, []string{`"inner":{"ok":false,"tries_left":4,"first_at":null}`}},
		"no inner code":       {verifyPath(printed) + "?inner=" + wrong, 400, []string{"verify.no_inner"}},
		"inner code not said": {verifyPath(scratched), 200, []string{`!"inner"`}},
		"no zone":             {verifyPath(printed) + "?tz=Nowhere/At_all", 400, []string{"input.bad_zone"}},
		"unknown":             {verifyPath(unknown), 404, []string{`"error":"code.unknown"`, `"data":null`}},
		"display, no token":   {verifyPath(displayed), 404, []string{"code.unknown"}},
		"17 digits":           {"/api/v1/codes/12345678901234567/verify", 400, []string{"code.malformed", "length is 17"}},
		"19 digits":           {"/api/v1/codes/1234567890123456789/verify", 400, []string{"length is 19"}},
		"a letter":            {"/api/v1/codes/12345678901234567x/verify", 400, []string{"character 18", "!7x"}},
		"full-width digits":   {"/api/v1/codes/%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96/verify", 400, []string{"character 1"}},
		"a zero byte":         {"/api/v1/codes/%0012345678901234567/verify", 400, []string{"character 1"}},
		"an encoded slash":    {"/api/v1/codes/" + code(printed) + "%2F/verify", 400, []string{"length is 19"}},
		"10 KB":               {"/api/v1/codes/" + strings.Repeat("1", 10<<10) + "/verify", 400, []string{"length is 10240", "!11111"}},
		"broken":              {verifyPath(broken), 500, []string{"internal", "!secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			rec := w.ask("GET", c.target)
			want(t, rec, c.status, c.contains...)
			wantHeaders(t, rec.Header(), uncached)
			if counted := c.status == 200 || c.status == 410; (w.scans() == 1) != counted {
				t.Errorf("answered %d and counted %d scans", c.status, w.scans())
			}
		})
	}
}

func TestFailureIsLoggedWithItsID(t *testing.T) {
	t.Parallel()
	for _, c := range [][]string{{verifyPath(broken), asJSON}, {"/" + code(broken), asPage}, {"/" + code(broken), asJSON}} {
		w := newWorld()
		rec := w.ask("GET", c[0], c[1])
		id := rec.Header().Get("X-Request-Id")
		if log := w.logged(); !strings.Contains(log, "the disk is on fire") || id == "" || !strings.Contains(log, `"request_id":"`+id+`"`) {
			t.Errorf("%v: request %q logged as %s", c, id, log)
		}
		want(t, rec, 500, "!fire")
	}
}

// Whatever is not ours gets one answer, to the byte.
func TestOneRefusal(t *testing.T) {
	t.Parallel()
	forged := token(aliens, printed, 10)
	for _, form := range []struct {
		name  string
		paths func(s ids.Serial, token string) string
		head  []string
	}{
		{"verify", func(s ids.Serial, token string) string { return verifyPath(s) + "?token=" + token }, nil},
		{"JSON", func(s ids.Serial, token string) string { return strings.TrimSuffix("/"+code(s)+"/"+token, "/") }, []string{asJSON}},
		{"page", func(s ids.Serial, token string) string { return strings.TrimSuffix("/"+code(s)+"/"+token, "/") }, []string{asPage}},
		{"page in Chinese", func(s ids.Serial, token string) string {
			return strings.TrimSuffix("/"+code(s)+"/"+token, "/") + "?lang=zh"
		}, nil},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			first := whole(w.ask("GET", form.paths(unknown, ""), form.head...))
			for name, c := range map[string]struct {
				serial ids.Serial
				token  string
			}{
				"another unknown code":     {unknown + 1, ""},
				"an unknown code, token":   {unknown, token(links, unknown, 10)},
				"display without token":    {displayed, ""},
				"display, forged token":    {displayed, forged},
				"print, forged token":      {printed, forged},
				"sold, forged token":       {sold, forged},
				"recalled, forged token":   {recalled, forged},
				"fixed, forged token":      {fixed, forged},
				"print, another's token":   {printed, token(links, fixed, 10)},
				"print, no base 32":        {printed, strings.Repeat("U", 18)},
				"print, short token":       {printed, "0"},
				"print, long token":        {printed, strings.Repeat("0", 4000)},
				"print, an epoch to come":  {printed, token(links, printed, 12)},
				"print, slash in token":    {printed, forged[:9] + "%2F" + forged[9:]},
				"print, token as Chinese":  {printed, "%E4%BB%A4%E7%89%8C"},
				"unknown, broken text too": {unknown + 2, forged},
			} {
				rec := w.ask("GET", form.paths(c.serial, c.token), form.head...)
				if rec.Code != 404 {
					t.Errorf("%s: %d", name, rec.Code)
				}
				wantSame(t, name, first, whole(rec))
			}
			if w.scans() != 0 || w.verdicts[verify.Unknown] != 17 || len(w.verdicts) != 1 {
				t.Errorf("%d scans counted, verdicts %v", w.scans(), w.verdicts)
			}
		})
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	now := token(links, printed, 10)
	linkOf := func(s ids.Serial) string { return "/" + code(s) + "/" + token(links, s, 10) }
	for name, c := range map[string]struct {
		target   string
		header   []string
		status   int
		location string // Content-Location
		contains []string
	}{
		"printed":               {"/" + code(printed), nil, 200, linkOf(printed), []string{"<html lang=en>" + code(printed) + " authentic scans=1 token=" + linkOf(printed)}},
		"printed, JSON":         {"/" + code(printed), []string{asJSON}, 200, linkOf(printed), []string{`"verdict":"authentic"`}},
		"printed, token":        {linkOf(printed), nil, 200, "", []string{"authentic scans=1 token= "}},
		"printed, lower case":   {"/" + code(printed) + "/" + strings.ToLower(now), nil, 200, "", []string{"authentic"}},
		"printed, token asked":  {"/" + code(printed) + "?token=" + now, nil, 200, "", []string{"authentic"}},
		"the path's token wins": {linkOf(printed) + "?token=0", nil, 200, "", []string{"authentic"}},
		"printed, old token":    {"/" + code(printed) + "/" + token(links, printed, 3), nil, 410, "", []string{"superseded"}},
		"fixed":                 {"/" + code(fixed), nil, 200, "", []string{"token= "}},
		"displayed, token":      {linkOf(displayed), nil, 200, "", []string{"authentic", "token= "}},
		"recalled":              {"/" + code(recalled), nil, 410, linkOf(recalled), []string{"recalled"}},
		"language asked":        {"/" + code(fixed) + "?lang=zh", []string{"Accept-Language: en"}, 200, "", []string{"lang=zh"}},
		"language known":        {"/" + code(fixed), []string{"Accept-Language: zh-CN,zh;q=0.9,en;q=0.8"}, 200, "", []string{"lang=zh"}},
		"language unknown":      {"/" + code(fixed) + "?lang=fr", []string{"Accept-Language: fr"}, 200, "", []string{"lang=en"}},
		"zone":                  {"/" + code(fixed) + "?tz=Asia/Shanghai", nil, 200, "", []string{"zone=Asia/Shanghai"}},
		"zone as header":        {"/" + code(fixed), []string{"Time-Zone: Asia/Shanghai"}, 200, "", []string{"zone=Asia/Shanghai"}},
		"no zone":               {"/" + code(fixed) + "?tz=x", nil, 400, "", []string{"malformed: tz"}},
		"both, page first":      {"/" + code(fixed), []string{"Accept: text/html,application/json;q=0.9"}, 200, "", []string{"<html"}},
		"both, JSON first":      {"/" + code(fixed), []string{"Accept: application/json, text/html"}, 200, "", []string{`"verdict"`}},
		"anything":              {"/" + code(fixed), []string{"Accept: */*"}, 200, "", []string{"<html"}},
		"17 digits":             {"/12345678901234567", nil, 400, "", []string{"malformed: ", "length is 17"}},
		"letters":               {"/hello", nil, 400, "", []string{"character 1", "!hello"}},
		"letters, JSON":         {"/hello", []string{asJSON}, 400, "", []string{`"field":"code"`}},
		"full width":            {"/%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96", nil, 400, "", []string{"malformed"}},
		"zero byte":             {"/%00", nil, 400, "", []string{"malformed"}},
		"encoded digit":         {"/%3" + code(fixed)[:1] + code(fixed)[1:], nil, 200, "", []string{"authentic"}},
		"encoded slash":         {"/" + code(printed) + "%2F" + now, nil, 400, "", []string{"length is 37"}},
		"10 KB":                 {"/" + strings.Repeat("9", 10<<10), nil, 400, "", []string{"!99999"}},
		"a slash at the end":    {"/" + code(printed) + "/", nil, 404, "", []string{"route.unknown"}},
		"deeper":                {linkOf(printed) + "/x", nil, 404, "", []string{"route.unknown"}},
		"17 digits, token":      {"/12345678901234567/" + now, nil, 400, "", []string{"malformed: ", "length is 17"}},
		"17 digits, no token":   {"/12345678901234567/x", []string{asJSON}, 400, "", []string{`"error":"code.malformed"`}},
		"letters, token":        {"/hello/" + now, nil, 400, "", []string{"malformed"}},
		"page rather than JSON": {"/" + code(fixed), []string{"Accept: application/json;q=0.5, text/html"}, 200, "", []string{"<html"}},
		"language by weight":    {"/" + code(fixed), []string{"Accept-Language: zh;q=0.1,en;q=0.9"}, 200, "", []string{"lang=en"}},
		"no code, deeper":       {"/hello/world", nil, 404, "", []string{"route.unknown"}},
		"two slashes":           {"//" + code(printed), nil, 404, "", []string{"route.unknown"}},
		"two slashes inside":    {"/" + code(printed) + "//" + now, nil, 404, "", []string{"route.unknown"}},
		"dots":                  {"/x/../" + code(printed), nil, 404, "", []string{"route.unknown"}},
		"dots at the end":       {"/" + code(printed) + "/..", nil, 404, "", []string{"route.unknown"}},
		"a dot":                 {"/./" + code(printed), nil, 404, "", []string{"route.unknown"}},
		"encoded dots":          {"/x/%2e%2e/" + code(printed), nil, 404, "", []string{"route.unknown"}},
		"a stranger's host":     {"//evil.example/%2f..", nil, 404, "", []string{"route.unknown"}},
		"front":                 {"/", nil, 200, "", []string{"front"}},
		"front in Chinese":      {"/?lang=zh", nil, 200, "", []string{"lang=zh", "front"}},
		"form, nonsense":        {"/?code=12+34", nil, 400, "", []string{"length is 4"}},
		"broken":                {"/" + code(broken), nil, 500, "", []string{"unavailable", "!fire"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			rec := w.ask("GET", c.target, c.header...)
			want(t, rec, c.status, c.contains...)
			wantHeaders(t, rec.Header(), map[string]string{"Content-Location": c.location, "Location": ""})
			if !strings.Contains(rec.Body.String(), "route.unknown") {
				wantHeaders(t, rec.Header(), uncached)
			}
			if strings.HasPrefix(rec.Body.String(), "<html") {
				wantHeaders(t, rec.Header(), map[string]string{
					"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer",
				})
			}
			if counted := (c.status == 200 || c.status == 410) && !strings.Contains(rec.Body.String(), "front"); (w.scans() == 1) != counted {
				t.Errorf("answered %d and counted %d scans", c.status, w.scans())
			}
		})
	}
}

func TestWhatIsNoScan(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"prefetch": "Sec-Purpose: prefetch", "prerender": "Sec-Purpose: prefetch;prerender",
		"old prefetch": "Purpose: prefetch", "older prefetch": "X-Moz: prefetch",
	} {
		for _, target := range []string{"/" + code(scratched), verifyPath(scratched)} {
			w := newWorld()
			want(t, w.ask("GET", target, header), 200)
			want(t, w.ask("GET", target+"?inner=00000000", header), 200)
			rec := w.ask("GET", target, header, asJSON)
			want(t, rec, 200, `"counted":false`, `"scan_count":0`, `"at":null`)
			if w.scans() != 0 || w.tries != 0 {
				t.Errorf("%s of %s: %d scans, %d tries", name, target, w.scans(), w.tries)
			}
		}
	}
}

// Over a real connection: HEAD has the same headers and no body, and is no scan.
func TestHead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	srv := httptest.NewServer(w.h)
	defer srv.Close()
	for _, path := range []string{"/" + code(fixed), verifyPath(fixed), "/" + code(unknown), "/", verifyPath(scratched) + "?inner=00000000"} {
		resp, err := srv.Client().Head(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if len(body) != 0 || err != nil || resp.ContentLength <= 0 || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("HEAD %s: %d %v, body %q, %v", path, resp.StatusCode, resp.Header, body, err)
		}
	}
	if w.scans() != 0 || w.tries != 0 {
		t.Errorf("HEAD counted %d scans, %d tries", w.scans(), w.tries)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, path := range []string{"/" + code(printed), "/" + code(printed) + "/" + token(links, printed, 10), verifyPath(printed), "/"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} {
			rec := w.ask(method, path, asJSON)
			want(t, rec, 405, `"error":"route.method"`)
			wantHeaders(t, rec.Header(), map[string]string{"Allow": "GET, HEAD, OPTIONS", "Cache-Control": "no-store"})
		}
		rec := w.ask("OPTIONS", path, "Origin: https://shop.example", "Access-Control-Request-Method: GET")
		want(t, rec, 204)
		wantHeaders(t, rec.Header(), uncached)
		wantHeaders(t, rec.Header(), map[string]string{
			"Allow": "GET, HEAD, OPTIONS", "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
			"Access-Control-Allow-Headers": "Accept, Accept-Language, Time-Zone, X-Request-ID", "Access-Control-Max-Age": "86400",
		})
		if rec.Body.Len() != 0 {
			t.Errorf("OPTIONS %s has a body: %s", path, rec.Body)
		}
	}
	if w.scans() != 0 {
		t.Errorf("%d scans counted", w.scans())
	}
}

func TestDigitalLinks(t *testing.T) {
	t.Parallel()
	link := func(s ids.Serial) string { return "/01/" + theGTIN + "/21/" + code(s) }
	to := func(s ids.Serial) string { return "/" + code(s) + "/" + token(links, s, 10) }
	for name, c := range map[string]struct {
		target   string
		status   int
		location string
	}{
		"rotating":         {link(printed), 307, to(printed)},
		"not rotating":     {link(fixed), 307, "/" + code(fixed)},
		"display":          {link(displayed), 307, "/" + code(displayed)},
		"unknown serial":   {link(unknown), 307, "/" + code(unknown)},
		"with its lot":     {"/01/" + theGTIN + "/10/LOT-1/21/" + code(fixed), 307, "/" + code(fixed)},
		"another lot":      {"/01/" + theGTIN + "/10/LOT-2/21/" + code(fixed), 404, ""},
		"another GTIN":     {"/01/04006381333931/21/" + code(fixed), 404, ""},
		"a query":          {link(printed) + "?17=271231&lang=zh", 307, to(printed) + "?17=271231&lang=zh"},
		"a hostile query":  {link(fixed) + "?x=%0d%0aSet-Cookie:a", 307, "/" + code(fixed) + "?x=%0d%0aSet-Cookie:a"},
		"no 18 digits":     {"/01/" + theGTIN + "/21/ABC", 400, ""},
		"bad check digit":  {"/01/09506000134353/21/" + code(fixed), 400, ""},
		"encoded serial":   {"/01/" + theGTIN + "/21/%3" + code(fixed)[:1] + code(fixed)[1:], 307, "/" + code(fixed)},
		"slash in serial":  {"/01/" + theGTIN + "/21/" + code(fixed)[:9] + "%2F" + code(fixed)[9:], 400, ""},
		"two slashes":      {"/01//" + theGTIN + "/21/" + code(fixed), 404, ""},
		"more after it":    {link(fixed) + "/x", 400, ""},
		"its text is lost": {link(broken), 500, ""},
		"long":             {"/01/" + theGTIN + "/21/" + strings.Repeat("1", 10<<10), 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			for _, accept := range []string{asJSON, asPage} {
				rec := w.ask("GET", c.target, accept)
				want(t, rec, c.status, "!fire")
				wantHeaders(t, rec.Header(), map[string]string{"Location": c.location})
				if c.status != 404 || name != "two slashes" {
					wantHeaders(t, rec.Header(), uncached)
				}
				if c.status == 404 && name != "two slashes" {
					wantSame(t, name, whole(w.ask("GET", "/"+code(unknown), accept)), whole(rec))
				}
			}
			if w.scans() != 0 {
				t.Errorf("a redirect counted %d scans", w.scans())
			}
		})
	}
}

func TestReservedPaths(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, path := range []string{
		"/favicon.ico", "/robots.txt", "/apple-touch-icon.png", "/apple-touch-icon-precomposed.png", "/api", "/api/v1/nothing",
		"/.well-known/x", "/metrics", "/console/x", "/%61pi/v1/x",
	} {
		rec := w.ask("GET", path)
		want(t, rec, 404, "route.unknown", "!code.")
	}
	if len(w.verdicts) != 0 {
		t.Errorf("verdicts %v", w.verdicts)
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	c := code(printed)
	typed := c[:6] + "+" + c[6:12] + "-" + c[12:]
	w := newWorld()
	for query, to := range map[string]string{
		"code=" + c: "/" + c, "code=" + typed: "/" + c, "code=" + typed + "&lang=zh": "/" + c + "?lang=zh",
		"lang=en&code=" + c: "/" + c + "?lang=en", "code=" + c + "&lang=%0d%0ax": "/" + c, "code=" + code(unknown): "/" + code(unknown),
	} {
		rec := w.ask("GET", "/?"+query)
		want(t, rec, 303)
		wantHeaders(t, rec.Header(), map[string]string{"Location": to, "Cache-Control": "no-store"})
	}
	want(t, w.ask("GET", "/?code=%EF%BC%91"), 400, "malformed")
	if w.scans() != 0 {
		t.Errorf("%d scans counted", w.scans())
	}
}

// Bytes that no client library sends, over a real connection.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	w := newWorld()
	srv := httptest.NewServer(w.h)
	defer srv.Close()
	for line, status := range map[string]int{
		"GET /" + code(fixed) + " HTTP/1.1":                     200,
		"GET /" + code(fixed) + "\x00 HTTP/1.1":                 400,
		"GET /%zz HTTP/1.1":                                     400,
		"GET /\xef\xbc\x91 HTTP/1.1":                            400,
		"GET //" + code(fixed) + " HTTP/1.1":                    404,
		"GET /a/../" + code(fixed) + " HTTP/1.1":                404,
		"GET http://other.example/" + code(fixed) + " HTTP/1.1": 200,
		"OPTIONS * HTTP/1.1":                                    200,
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, line+"\r\nHost: chopmark.example\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != status {
			t.Errorf("%q: %v, %v; want %d", line, resp, err, status)
		}
		conn.Close()
	}
}

// sink is a writer that costs nothing.
type sink struct{ head http.Header }

func (s *sink) Header() http.Header         { return s.head }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	for name, target := range map[string]string{
		"verify": verifyPath(printed), "verify token": verifyPath(printed) + "?token=" + token(links, printed, 10), "page": "/" + code(printed), "unknown": verifyPath(unknown),
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld()
			r := httptest.NewRequest(http.MethodGet, target, nil)
			out := &sink{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(out.head)
				r.Header.Del("X-Request-Id")
				w.h.ServeHTTP(out, r)
				w.sources = w.sources[:0]
			}
		})
	}
}
