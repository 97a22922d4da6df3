package scanner

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// TestLives: what has its hash in its name for a year, images 30 days, other static files
// 7 days; pages and the worker that keeps them are asked for each time, and a file that
// is absent is not remembered.
func TestLives(t *testing.T) {
	t.Parallel()
	rt := httpx.NewRouter(nil, noMetrics{}, slog.New(slog.DiscardHandler))
	one := &fstest.MapFile{Data: []byte("x")}
	mount(rt, fstest.MapFS{
		"index.html": one, "sw.js": one, "icon.svg": one, "icon-192.png": one, "manifest.webmanifest": one, "assets/app-1.js": one,
	}, func() ([]byte, error) { return []byte("{}"), nil })
	for path, want := range map[string]string{
		"/scan/": "no-cache", "/scan/sw.js": "no-cache", "/.well-known/chopmark-keys.json": "no-cache",
		"/scan/icon.svg": "public, max-age=2592000", "/scan/icon-192.png": "public, max-age=2592000",
		"/scan/manifest.webmanifest": "public, max-age=604800",
		"/scan/assets/app-1.js":      "public, max-age=31536000, immutable",
		"/scan/icon-9.png":           "no-store", "/scan/assets/app-2.js": "no-store",
	} {
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if got := w.Header().Get("Cache-Control"); got != want {
			t.Errorf("%s: %d, %q, want %q", path, w.Code, got, want)
		}
	}
}
