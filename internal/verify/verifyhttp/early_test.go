package verifyhttp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// TestEarlyData holds that a scan which may be a repetition is answered from what is known,
// claims nothing of being the first, and counts once its handshake has completed: else never.
func TestEarlyData(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var later []func()
	ask := func(target string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		r.ProtoMajor = 3
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Set(name, value)
		}
		rec := httptest.NewRecorder()
		w.h.ServeHTTP(rec, httpx.WithEarly(r, func(do func()) { later = append(later, do) }))
		return rec
	}
	path := "/api/v1/codes/" + code(fixed) + "/verify"
	want(t, ask(path), 200, `"verdict":"authentic"`, `"reasons":["scanned.unproven"]`, `"scan_count":0`, `"counted":false`, "!scanned.first")
	want(t, ask("/"+code(fixed), asPage), 200, "authentic scans=0")
	want(t, ask(path), 200, `"scan_count":0`)
	if n := w.scans(); n != 0 || len(later) != 3 {
		t.Fatalf("%d scans before a handshake, %d wait; want 0 and 3", n, len(later))
	}
	later[0]() // the others' handshakes never complete
	if n := w.scans(); n != 1 {
		t.Errorf("%d scans after one handshake", n)
	}
	want(t, ask(path), 200, `"verdict":"authentic_again"`, `"reasons":["scanned.before"]`, `"scan_count":1`, `"counted":false`)

	later = nil
	want(t, ask("/api/v1/codes/"+code(unknown)+"/verify"), 404)
	want(t, ask(path, "Sec-Purpose: prefetch"), 200, `"counted":false`)
	if len(later) != 0 {
		t.Errorf("a refusal and a look ahead left %d scans to count", len(later))
	}
	want(t, ask("/"+code(scratched)+"?inner=ABCDEFGH", asJSON), 200)
	later[0]()
	if w.tries != 0 {
		t.Error("early data used up a try of an inner code")
	}
}
