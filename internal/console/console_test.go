package console

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

func asked(t *testing.T, files fstest.MapFS, path, encoding string) *httptest.ResponseRecorder {
	t.Helper()
	rt := httpx.NewRouter(nobody{}, obs.NewMetrics(), slog.New(slog.DiscardHandler))
	mount(rt, files)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	rt.ServeHTTP(w, r)
	return w
}

func site() fstest.MapFS {
	return fstest.MapFS{
		"index.html":          {Data: []byte("<!doctype html>plain")},
		"index.html.br":       {Data: []byte("brotli")},
		"assets/app-1.js":     {Data: []byte("let a")},
		"assets/app-1.js.gz":  {Data: []byte("gz")},
		"assets/app-1.css":    {Data: []byte("a{}")},
		"secret/not-asked-of": {Data: []byte("x")},
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, encoding string
		status         int
		body, cache    string
		kind, encoded  string
	}{
		{"/console/", "", 200, "<!doctype html>plain", "no-cache", "text/html; charset=utf-8", ""},
		{"/console/", "gzip, br", 200, "brotli", "no-cache", "text/html; charset=utf-8", "br"},
		{"/console/batches/bat_1", "", 200, "<!doctype html>plain", "no-cache", "text/html; charset=utf-8", ""},
		{"/console/secret/not-asked-of", "", 200, "<!doctype html>plain", "no-cache", "text/html; charset=utf-8", ""},
		{"/console/assets/app-1.js", "gzip", 200, "gz", "public, max-age=31536000, immutable", "text/javascript; charset=utf-8", "gzip"},
		{"/console/assets/app-1.css", "gzip", 200, "a{}", "public, max-age=31536000, immutable", "text/css; charset=utf-8", ""},
		{"/console/assets/app-2.js", "gzip", 404, "console.no_file", "no-store", "", ""},
		{"/console/assets/%2e%2e/index.html", "", 200, "<!doctype html>plain", "no-cache", "", ""},
	} {
		w := asked(t, site(), c.path, c.encoding)
		h := w.Header()
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) || c.cache != "" && h.Get("Cache-Control") != c.cache ||
			c.kind != "" && h.Get("Content-Type") != c.kind || h.Get("Content-Encoding") != c.encoded {
			t.Errorf("%s (%s): %d %v %s", c.path, c.encoding, w.Code, h, w.Body)
		}
	}
	if w := asked(t, site(), "/console", ""); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != "/console/" {
		t.Errorf("/console: %d %v", w.Code, w.Header())
	}
	if w := asked(t, fstest.MapFS{}, "/console/", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("without its pages: %d %s", w.Code, w.Body)
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	h := asked(t, site(), "/console/", "").Header()
	if got := h.Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'self';") || strings.Contains(got, "unsafe") {
		t.Error(got)
	}
	if h.Get("Access-Control-Allow-Origin") != "" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
}
