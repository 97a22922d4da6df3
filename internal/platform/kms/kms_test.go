package kms

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// peer speaks Transit as its documentation says: datakey/plaintext and decrypt of one key.
// Vault itself cannot be installed where the tests run.
type peer struct {
	*httptest.Server

	mu     sync.Mutex
	sealed map[string]string // guarded by mu
	status int               // guarded by mu; 0 = it answers
	asked  int               // guarded by mu
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	p := &peer{sealed: map[string]string{}}
	say := func(w http.ResponseWriter, data any) { _ = json.NewEncoder(w).Encode(map[string]any{"data": data}) }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/transit/datakey/plaintext/chopmark", func(w http.ResponseWriter, _ *http.Request) {
		key := strings.Repeat("k", 32)
		p.sealed["vault:v1:"+key] = key
		say(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString([]byte(key)), "ciphertext": "vault:v1:" + key})
	})
	mux.HandleFunc("POST /v1/transit/decrypt/chopmark", func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Ciphertext string }
		err := json.NewDecoder(r.Body).Decode(&q)
		key := p.sealed[q.Ciphertext]
		if err != nil || key == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		say(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString([]byte(key))})
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		if r.Header.Get("X-Vault-Token") != "the-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if p.status != 0 {
			w.WriteHeader(p.status)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *peer) answers(status int) (asked int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, asked = status, p.asked
	p.asked = 0
	return asked
}

func open(t *testing.T, p *peer, token string) *Transit {
	t.Helper()
	k, err := New(Config{URL: p.URL + "/transit/chopmark", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTransit(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	k := open(t, p, "the-token")
	key, sealed, err := k.NewKey(t.Context())
	if err != nil || !IsSealed(sealed) {
		t.Fatal(sealed, err)
	}
	if again, err := k.Open(t.Context(), sealed); err != nil || [32]byte(again) != key {
		t.Errorf("opened %x, %v", again, err)
	}
	if _, err := k.Open(t.Context(), "vault:v1:other"); !errors.Is(err, ErrAway) {
		t.Errorf("what it did not seal: %v", err)
	}
	if _, err := open(t, p, "another").Open(t.Context(), sealed); !errors.Is(err, ErrAway) || strings.Contains(err.Error(), "another") {
		t.Errorf("another token: %v", err)
	}
	p.Close()
	if _, _, err := k.NewKey(t.Context()); !errors.Is(err, ErrAway) || strings.Contains(err.Error(), "the-token") {
		t.Errorf("away: %v", err)
	}
}

// TestHeldFailsClosed: the key is held without asking, asked for again from half of its time,
// and given to nobody once its time is over and the server says no.
func TestHeldFailsClosed(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	clk := clock.Func(func() time.Time { return now })
	k := open(t, p, "the-token")
	key, sealed, err := k.NewKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h, err := Hold(k, sealed, time.Hour, clk)
	if err != nil {
		t.Fatal(err)
	}
	p.answers(0)
	for range 100 {
		if got, err := h.Key(); err != nil || got != key {
			t.Fatal(got, err)
		}
	}
	if n := p.answers(http.StatusForbidden); n != 0 {
		t.Errorf("asked %d times for what is held", n)
	}
	now = now.Add(40 * time.Minute) // beyond half of its time: the server says no
	for range 5 {
		if got, err := h.Key(); err != nil || got != key {
			t.Fatal(got, err)
		}
	}
	if n := p.answers(http.StatusForbidden); n != 1 {
		t.Errorf("asked %d times within a second", n)
	}
	now = now.Add(20 * time.Minute)
	for range 2 {
		if got, err := h.Key(); !errors.Is(err, ErrAway) || got != ([32]byte{}) {
			t.Errorf("its time is over: %x, %v", got, err)
		}
	}
	p.answers(0)
	now = now.Add(2 * time.Second)
	if got, err := h.Key(); err != nil || got != key {
		t.Errorf("the server is back: %v", err)
	}
	p.answers(http.StatusServiceUnavailable)
	if _, err := Hold(k, sealed, time.Hour, clk); !errors.Is(err, ErrAway) {
		t.Errorf("a start without the server: %v", err)
	}
}

type short struct{}

func (short) Open(context.Context, string) ([]byte, error) { return []byte("short"), nil }

func TestBadKeysAndAddresses(t *testing.T) {
	t.Parallel()
	if _, err := Hold(short{}, "vault:v1:x", time.Hour, clock.System{}); !errors.Is(err, ErrAway) {
		t.Errorf("a key of five bytes: %v", err)
	}
	for _, c := range []Config{
		{URL: "https://host/transit/key"}, {URL: "http://host/transit/key", Token: "t"}, {URL: "https://host/key", Token: "t"}, {URL: "https:///a/b", Token: "t"},
		{URL: "https://u:p@host/a/b", Token: "t"}, {URL: "https://host/a/", Token: "t"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
