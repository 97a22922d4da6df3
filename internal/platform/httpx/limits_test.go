package httpx

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/limit"
)

// oneKey knows the key "right".
type oneKey struct{}

func (oneKey) Authenticate(r *http.Request) (Principal, error) {
	if r.Header.Get("Authorization") != "Bearer right" {
		return Principal{}, ErrNoAuth
	}
	return Principal{ID: "one", Access: Everything{}}, nil
}

// TestLimits: who is a stranger, what of him counts, and what is answered all the same.
func TestLimits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	g := limit.NewGuard(limit.Options{
		Limits: limit.Limits{Requests: limit.Steady(100, time.Second), Misses: limit.Within(4, time.Hour), Keys: limit.Within(4, time.Hour)},
		Clock:  clock.Func(func() time.Time { return now }),
	})
	proxies, err := ParseProxies([]string{"127.0.0.1", "10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	rt := NewRouter(oneKey{}, noObserver{}, slog.New(slog.DiscardHandler))
	rt.Limit(NewLimits(g, proxies))
	rt.Probe("GET /livez", func(w http.ResponseWriter, _ *http.Request) error { return OK(w, nil) })
	rt.Public("GET /things/{name}", func(w http.ResponseWriter, r *http.Request) error {
		if r.PathValue("name") != "here" {
			return fault.New(fault.NotFound, "thing.unknown", "no such thing")
		}
		return OK(w, nil)
	})
	rt.Admin("GET /admin", func(w http.ResponseWriter, _ *http.Request) error { return OK(w, nil) })
	ask := func(peer, path, header string, want int) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = peer + ":1234"
		if name, value, ok := strings.Cut(header, ": "); ok {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		if w.Code != want || want == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s with %q from %s answers %d, want %d: %s", path, header, peer, w.Code, want, w.Body)
		}
	}
	for range 2 {
		ask("192.0.2.1", "/things/gone", "", 404)
	}
	ask("192.0.2.1", "/things/here", "", 429)
	ask("192.0.2.1", "/things/here", "X-Forwarded-For: 192.0.2.9", 429) // he is no proxy
	ask("192.0.2.1", "/admin", "", 429)
	ask("192.0.2.1", "/admin", "Authorization: Bearer right", 200)
	ask("192.0.2.1", "/livez", "", 200)
	ask("10.0.0.1", "/things/here", "X-Forwarded-For: 192.0.2.1", 429)
	ask("10.0.0.1", "/things/here", "X-Forwarded-For: 192.0.2.9", 200)

	for range 2 {
		ask("192.0.2.2", "/admin", "Authorization: Bearer wrong", 401)
	}
	ask("192.0.2.2", "/admin", "Authorization: Bearer right", 429)
	ask("192.0.2.2", "/things/here", "", 200)
	for range 3 {
		ask("192.0.2.3", "/admin", "", 401) // shows no key, so none is wrong
	}
	ask("192.0.2.3", "/admin", "Authorization: Bearer right", 200)

	for range 150 { // this machine itself, and then somebody behind a proxy on it
		ask("127.0.0.1", "/things/gone", "", 404)
	}
	for range 2 {
		ask("127.0.0.1", "/things/gone", "X-Forwarded-For: 192.0.2.4", 404)
	}
	ask("127.0.0.1", "/things/gone", "X-Forwarded-For: 192.0.2.4", 429)
	for range 2 { // whoever claims to be this machine
		ask("127.0.0.1", "/things/gone", "X-Forwarded-For: 127.0.0.1", 404)
	}
	ask("127.0.0.1", "/things/gone", "X-Forwarded-For: 127.0.0.1", 429)
	for range 100 {
		ask("192.0.2.5", "/things/here", "", 200)
	}
	ask("192.0.2.5", "/things/here", "", 429)
}

type noObserver struct{}

func (noObserver) Request(string, string, int, time.Time, time.Duration) {}
