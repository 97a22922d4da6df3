package identityhttp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
)

// provider is a small OpenID provider: code flow, PKCE, RS256. What it says can be bent.
type provider struct {
	t    *testing.T
	srv  *httptest.Server
	key  *rsa.PrivateKey
	bend func(claims map[string]any)
	down bool

	mu    sync.Mutex
	asked map[string][2]string // code → nonce and challenge; guarded by mu
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, asked: map[string][2]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if p.down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		p.json(w, map[string]any{
			"issuer": p.srv.URL, "authorization_endpoint": p.srv.URL + "/auth", "token_endpoint": p.srv.URL + "/token", "jwks_uri": p.srv.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		b64 := base64.RawURLEncoding.EncodeToString
		p.json(w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" {
			http.Error(w, "no PKCE", http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		p.asked["the-code"] = [2]string{q.Get("nonce"), q.Get("code_challenge")}
		p.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=the-code&state="+q.Get("state"), http.StatusFound)
	})
	mux.HandleFunc("/token", p.token)
	p.srv = httptest.NewServer(mux)
	t.Cleanup(p.srv.Close)
	return p
}

func (p *provider) json(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	asked, ok := p.asked[r.PostFormValue("code")]
	delete(p.asked, r.PostFormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != asked[1] {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": p.srv.URL, "sub": "42", "aud": "chopmark", "exp": now + 300, "iat": now, "nonce": asked[0], "name": "Alice Provided",
		"email": "alice@corp.example", "preferred_username": "alice", "groups": []string{"staff", "packers"},
	}
	if p.bend != nil {
		p.bend(claims)
	}
	p.json(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(claims)})
}

func (p *provider) sign(claims map[string]any) string {
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			p.t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	text := part(map[string]string{"alg": "RS256", "kid": "1"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// TestProviderClocks: the provider's clock and ours may be minutes apart, and not more than a token
// lives.
func TestProviderClocks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ours time.Duration // ahead of the provider's, whose tokens live five minutes
		in   bool
	}{
		"together": {0, true}, "ours is ahead": {4 * time.Minute, true}, "ours is behind": {-4 * time.Minute, true},
		"ours is far ahead": {10 * time.Minute, false}, "ours is far behind": {-10 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t)
			p.bend = func(claims map[string]any) { claims["nbf"] = claims["iat"] }
			h := newHouse(t, &Provider{
				Issuer: p.srv.URL, ClientID: "chopmark", ClientSecret: "s", GroupsClaim: "groups", Tenant: identity.Platform,
				Roles: []GroupRole{{"packers", identity.Operator}},
			})
			h.later.Store(int64(c.ours / time.Second))
			b := h.browser()
			h.ask(b, "GET", "/signin/oidc", "") // it ends at the console, which is not served here
			if got := h.ask(b, "GET", "/api/v1/me", ""); (got.status == 200) != c.in {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	h := newHouse(t, &Provider{
		Issuer: p.srv.URL, ClientID: "chopmark", ClientSecret: "s", GroupsClaim: "groups", Tenant: identity.Platform,
		Roles: []GroupRole{{"bosses", identity.Admin}, {"packers", identity.Operator}, {"staff", identity.Auditor}},
	})
	// where it ends: the console's address, whatever answers there
	goes := func(c *http.Client) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.srv.URL+"/signin/oidc", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Request.URL.Fragment
	}
	p.down = true
	h.want(h.ask(h.browser(), "GET", "/signin/oidc", ""), 503, "oidc.unavailable")
	p.down = false
	c := h.browser()
	if at := goes(c); at != "" {
		t.Fatalf("the sign-in ends at #%s", at)
	}
	me := h.want(h.ask(c, "GET", "/api/v1/me", ""), 200, `"role":"operator"`)
	p.bend = func(claims map[string]any) { claims["groups"] = []string{"staff"} }
	if at := goes(c); at != "" {
		t.Fatalf("the second sign-in ends at #%s", at)
	}
	again := h.want(h.ask(c, "GET", "/api/v1/me", ""), 200, `"role":"auditor"`)
	if again.data["id"] != me.data["id"] {
		t.Error("the second sign-in made another account")
	}
	now := time.Now().Unix()
	for what, bend := range map[string]func(map[string]any){
		"no group":        func(c map[string]any) { c["groups"] = []string{"strangers"} },
		"another nonce":   func(c map[string]any) { c["nonce"] = "other" },
		"another client":  func(c map[string]any) { c["aud"] = "somebody" },
		"another issuer":  func(c map[string]any) { c["iss"] = "https://evil.example" },
		"expired":         func(c map[string]any) { c["exp"] = now - 3600 },
		"not valid yet":   func(c map[string]any) { c["nbf"] = now + 3600 },
		"groups as words": func(c map[string]any) { c["groups"] = "packers" },
	} {
		p.bend = bend
		if at := goes(h.browser()); !strings.HasPrefix(at, "/signin?error=") {
			t.Errorf("%s: ends at #%s", what, at)
		}
	}
	p.bend = nil
	h.later.Store(120) // a clock that is two minutes ahead of the provider's
	if at := goes(h.browser()); at != "" {
		t.Errorf("clocks apart: ends at #%s", at)
	}
	h.later.Store(0)
	// a callback that this browser did not begin, and one that is played again
	stranger := h.ask(h.browser(), "GET", "/signin/oidc/callback?code=the-code&state=x", "")
	if stranger.status != 404 { // it was sent to the console, which is not served here
		t.Errorf("a foreign callback: %d %s", stranger.status, stranger.body)
	}
	if got := h.ask(h.browser(), "GET", "/api/v1/me", ""); got.status != 401 {
		t.Errorf("a foreign callback opens a session: %s", got.body)
	}
}
