package scanner

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/obs"
)

type nobody struct{}

func (nobody) Authenticate(*http.Request) (httpx.Principal, error) {
	return httpx.Principal{}, httpx.ErrNoAuth
}

// ask asks routes over some built files.
func ask(t *testing.T, files fstest.MapFS, path string) *httptest.ResponseRecorder {
	t.Helper()
	rt := httpx.NewRouter(nobody{}, obs.NewMetrics(), slog.New(slog.DiscardHandler))
	mount(rt, files, func() ([]byte, error) { return []byte(`{"keys":[]}`), nil })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://goods.example"+path, http.NoBody)
	r.Header.Set("Accept-Encoding", "gzip, br")
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	return w
}

func some() fstest.MapFS {
	return fstest.MapFS{
		"index.html": {Data: []byte("page")}, "index.html.br": {Data: []byte("packed")}, "sw.js": {Data: []byte("worker")},
		"manifest.webmanifest": {Data: []byte("{}")}, "icon-192.png": {Data: []byte("icon")}, "assets/r-1.wasm": {Data: []byte("wasm")},
		verifier: {Data: []byte("<style>a{}</style><script>b()</script>")},
	}
}

// TestRoutes: what is there, as what, and for how long it may be kept.
func TestRoutes(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct {
		status            int
		body, kind, cache string
	}{
		"/scan/":                          {200, "packed", "text/html; charset=utf-8", "no-cache"},
		"/scan/sw.js":                     {200, "worker", "text/javascript; charset=utf-8", "no-cache"},
		"/scan/manifest.webmanifest":      {200, "{}", "application/manifest+json", "public, max-age=604800"},
		"/scan/icon-192.png":              {200, "icon", "image/png", "public, max-age=2592000"},
		"/scan/icon-9.png":                {404, "", "application/json; charset=utf-8", "no-store"},
		"/scan/assets/r-1.wasm":           {200, "wasm", "application/wasm", "public, max-age=31536000, immutable"},
		"/scan/assets/none.js":            {404, "", "application/json; charset=utf-8", "no-store"},
		"/scan/../scan/sw.js":             {404, "", "application/json; charset=utf-8", ""},
		"/scan/verify":                    {200, "", "text/html; charset=utf-8", "no-store"},
		"/.well-known/chopmark-keys.json": {200, `{"keys":[]}`, "application/json", "no-cache"},
	} {
		w := ask(t, some(), path)
		h := w.Header()
		if w.Code != want.status || want.body != "" && w.Body.String() != want.body || !strings.HasPrefix(h.Get("Content-Type"), strings.TrimSuffix(want.kind, "; charset=utf-8")) ||
			want.cache != "" && h.Get("Cache-Control") != want.cache {
			t.Errorf("%s: %d %q %v", path, w.Code, w.Body, h)
		}
	}
	if w := ask(t, some(), "/scan"); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != "/scan/" {
		t.Errorf("/scan: %d %v", w.Code, w.Header())
	}
	if w := ask(t, some(), "/scan/verify.html"); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != "/scan/verify" {
		t.Errorf("/scan/verify.html: %d %v", w.Code, w.Header())
	}
	if w := ask(t, some(), "/.well-known/chopmark-keys.json"); w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Error("other origins may not read the keys")
	}
	for _, path := range []string{"/scan/", "/scan/verify"} {
		if w := ask(t, fstest.MapFS{}, path); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "scanner.not_built") {
			t.Errorf("%s of a program without its pages: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestPolicy: only the program's own files run, and only here WebAssembly does.
func TestPolicy(t *testing.T) {
	t.Parallel()
	got := ask(t, some(), "/scan/").Header().Get("Content-Security-Policy")
	if !strings.Contains(got, "script-src 'self' 'wasm-unsafe-eval';") || strings.Contains(got, "'unsafe-inline'") || strings.Contains(got, "'unsafe-eval'") ||
		!strings.HasPrefix(got, "default-src 'none'") {
		t.Error(got)
	}
}

// TestVerifierIsAlone: the page runs what is in it and can ask nobody.
func TestVerifierIsAlone(t *testing.T) {
	t.Parallel()
	got := ask(t, some(), "/scan/verify").Header().Get("Content-Security-Policy")
	for _, no := range []string{"connect-src", "'self'", "unsafe", "wasm"} {
		if strings.Contains(got, no) {
			t.Errorf("%s is in %s", no, got)
		}
	}
	const script = "script-src 'sha256-cf242PFc/kb7xD0Qzhsmd9vvRkc+cWFmbi+k+YvtdKc='" // of b()
	if !strings.Contains(got, script) || !strings.Contains(got, "style-src 'sha256-") {
		t.Error(got)
	}
}
