package app

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// How long caches may keep an answer. Static files under one name and images of the
// scanner have the lives of docs/weak-links.md; internal/scanner and internal/console
// hold theirs with files of their own, since a program may be built without its pages.
const (
	never       = "no-store"
	askEachTime = "no-cache"
	anHour      = "public, max-age=3600"
	sevenDays   = "public, max-age=604800"
	thirtyDays  = "public, max-age=2592000"
	forever     = "public, max-age=31536000, immutable"
)

// lifeOf is the class of a route: what is under /api and /epcis is never kept, and
// everything else is on this list. A new route that is not fails TestCacheLives.
func lifeOf(path string) string {
	for _, prefix := range []string{"/api/", "/epcis"} {
		if strings.HasPrefix(path, prefix) {
			return never
		}
	}
	return map[string]string{
		"/":                               never, // and what marks link to, which is found by its look
		"/demo":                           never,
		"/signin/{token}":                 never,
		"/complaint":                      never,
		"/console":                        never, // leads to the next
		"/console/{path...}":              askEachTime,
		"/scan":                           never, // leads to the next
		"/scan/{path...}":                 askEachTime,
		"/scan/verify":                    never,
		"/.well-known/gs1resolver":        anHour,
		"/.well-known/chopmark-keys.json": askEachTime, // a revocation must not wait
		"/gs1/verify/":                    never,
		"/log/checkpoint":                 askEachTime,
		"/log/key":                        askEachTime,
		"/log/consistency":                askEachTime,
		"/log/proof":                      askEachTime,
		"/log/verify":                     never,
		"/log/tile/{tile...}":             forever,
		"/livez":                          never,
		"/readyz":                         never,
		"/health":                         never,
		"/ready":                          never,
		"/metrics":                        never,
	}[path]
}

// TestCacheLives asks every route that is mounted, and what marks link to, as a stranger
// and as the administrator, as a browser and as a program: a verdict, a story, a link and
// what is about a person are kept by no cache, what is static is for as long as its class
// says, and a page has every header that keeps foreign scripts out of it.
func TestCacheLives(t *testing.T) {
	t.Parallel()
	m := openMatrix(t)
	own := m.objects["own"]
	code, ai := own["code"], 0
	for _, route := range slices.Concat(m.rt.Routes(), m.rt.Bare()) {
		method, path, ok := strings.Cut(route, " ")
		if !ok {
			method, path = http.MethodGet, route
		}
		life := lifeOf(path)
		if key := strings.Trim(path, "/"); !ok && len(key) >= 2 && len(key) <= 4 && strings.Trim(key, "0123456789") == "" {
			life, ai = never, ai+1 // the resolver's, one for each key of GS1
		}
		if life == "" {
			t.Errorf("%s is of no class: say in lifeOf how long its answers may be kept", route)
			continue
		}
		path = strings.NewReplacer("{path...}", "", "{tile...}", "0/000.p/1", "{$}", "").Replace(path)
		path = anyParam.ReplaceAllStringFunc(path, func(hole string) string { return cmp.Or(own[strings.Trim(hole, "{}")], "x") })
		m.wantLife(method, path, "", life)
		if method == http.MethodGet {
			m.wantLife(method, path, matrixAdminKey, life)
		}
	}
	if ai == 0 {
		t.Error("no route of the resolver was asked")
	}
	for _, path := range []string{
		"/" + code, "/" + code + "/0000000000000000AB", "/000000000000000000", "/12345", "/?code=" + code, "/nothing/of/the/kind",
		"/api/v1/codes/" + code + "/verify", "/api/v1/codes/000000000000000000/verify", "/01/09506000134352", "/01/09506000134352/21/" + code,
		"/01/09506000134352/21/000000000000000000", "/01/09506000134352?linkType=linkset", "/01/09506000134353", "/ehf70095060001343521209a0000000000", "/AQnYUc1gmiERBhQ",
		"/gs1/verify/01/09506000134352/21/" + code, "/api/v1/trace/" + code + "?lang=zh", "/complaint?thanks", "/signin/none",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
			m.wantLife(method, path, "", never)
		}
	}
	m.wantLife(http.MethodGet, "/scan/icon-192.png", "", thirtyDays)
	m.wantLife(http.MethodGet, "/scan/manifest.webmanifest", "", sevenDays)
}

// TestPagesArePacked: over a weak link their size is most of the wait.
func TestPagesArePacked(t *testing.T) {
	t.Parallel()
	m := openMatrix(t)
	code := m.objects["own"]["code"]
	for _, path := range []string{"/" + code, "/000000000000000000", "/12345", "/", "/complaint", "/complaint?thanks", "/api/v1/trace/" + code, "/log/verify"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://matrix.example"+path, http.NoBody)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Accept-Encoding", "gzip, br")
		w := httptest.NewRecorder()
		m.rt.ServeHTTP(w, r)
		if h := w.Result().Header; h.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(h.Get("Content-Type"), "text/html") || w.Body.Len() > 6<<10 {
			t.Errorf("%s: %d, %q, encoded as %q, %d bytes", path, w.Code, h.Get("Content-Type"), h.Get("Content-Encoding"), w.Body.Len())
		}
	}
}

// wantLife asks as a browser and as a program. Errors are never kept, nor are answers to
// OPTIONS, whose life is said apart.
func (m *matrix) wantLife(method, path, key, life string) {
	m.t.Helper()
	for _, accept := range []string{"text/html", "application/json"} {
		r := httptest.NewRequestWithContext(m.t.Context(), method, "http://matrix.example"+path, http.NoBody)
		r.Header.Set("Accept", accept)
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		w := httptest.NewRecorder()
		m.rt.ServeHTTP(w, r)
		want := life
		if w.Code >= http.StatusBadRequest || method == http.MethodOptions {
			want = never
		}
		head := w.Result().Header
		if got := head["Cache-Control"]; len(got) != 1 || got[0] != want {
			m.t.Errorf("%s %s for %s: %d, Cache-Control %q, want %q", method, path, accept, w.Code, got, want)
		}
		if w.Code < http.StatusMultipleChoices || w.Code >= http.StatusBadRequest {
			m.wantSafe(method, path, head)
		}
	}
}

// wantSafe holds what a browser shows to its headers.
func (m *matrix) wantSafe(method, path string, head http.Header) {
	m.t.Helper()
	if got := head.Get("X-Content-Type-Options"); got != "nosniff" && strings.HasPrefix(head.Get("Content-Type"), "text/") {
		m.t.Errorf("%s %s: X-Content-Type-Options %q", method, path, got)
	}
	if !strings.HasPrefix(head.Get("Content-Type"), "text/html") {
		return
	}
	csp := head.Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action "} {
		if !strings.Contains(csp, rule) {
			m.t.Errorf("%s %s: the policy %q has no %q", method, path, csp, rule)
		}
	}
	if strings.Contains(csp, "'unsafe-") || head.Get("Referrer-Policy") != "no-referrer" {
		m.t.Errorf("%s %s: policy %q, referrer %q", method, path, csp, head.Get("Referrer-Policy"))
	}
}
