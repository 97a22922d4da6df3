package identityhttp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	adminKey = "a-key-that-the-operator-brought-along"
	password = "a long enough password"
)

// house is a served installation with all routes.
type house struct {
	t     *testing.T
	svc   *identity.Service
	srv   *httptest.Server
	later atomic.Int64 // seconds
	rt    *httpx.Router
}

func newHouse(t *testing.T, provider *Provider, with ...func(*identity.Config, *Deps)) *house {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	identitytest.Migrate(t, db, identitysql.Schema())
	h := &house{t: t}
	now := clock.Func(func() time.Time { return time.Now().Add(time.Duration(h.later.Load()) * time.Second) })
	cfg, deps := identity.Config{}, Deps{}
	for _, set := range with {
		set(&cfg, &deps)
	}
	h.svc = identitytest.Service(t, cfg, identitysql.New(db, now), now)
	if _, err := h.svc.Bootstrap(t.Context(), adminKey); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	auth := NewAuthenticator(h.svc, httpx.Proxies{}, nil)
	h.rt = httpx.NewRouter(auth, noMetrics{}, log)
	h.rt.Audit(NewAuditor(h.svc, log))
	h.rt.LetOrigins(h.svc.Origins)
	h.srv = httptest.NewUnstartedServer(h.rt)
	publicURL := "http://localhost:" + portOf(h.srv)
	if provider != nil {
		provider.Now = now.Now
	}
	deps.Service, deps.Auth, deps.PublicURL, deps.Stopping, deps.Provider, deps.Log = h.svc, auth, publicURL, t.Context(), provider, log
	deps.Brand = func(context.Context, ids.BrandID) error { return nil }
	deps.Change = func(context.Context, identity.Approval, string) (string, error) { return "chg_1", nil }
	Mount(h.rt, deps)
	h.srv.Start()
	h.srv.URL = publicURL
	t.Cleanup(func() {
		h.srv.Close()
		if err := h.svc.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return h
}

func portOf(s *httptest.Server) string {
	_, port, _ := strings.Cut(s.Listener.Addr().String(), ":")
	return port
}

// browser is a client with cookies.
func (h *house) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

type reply struct {
	status int
	body   string
	data   map[string]any
	head   http.Header
}

func (h *house) ask(c *http.Client, method, path, body string, header ...string) reply {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.srv.URL+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := c.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var e struct {
		Data map[string]any `json:"data"`
	}
	_ = json.Unmarshal(raw, &e) // some answers are no JSON
	return reply{resp.StatusCode, string(raw), e.Data, resp.Header}
}

func (h *house) want(got reply, status int, contains string) reply {
	h.t.Helper()
	if got.status != status || !strings.Contains(got.body, contains) {
		h.t.Fatalf("answer %d %s, want %d with %q", got.status, got.body, status, contains)
	}
	return got
}

// user makes an active user.
func (h *house) user(login string, role identity.Role) {
	h.t.Helper()
	made := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/users", `{"login":"`+login+`","name":"Some Body","role":"`+string(role)+`"}`,
		"Authorization: Bearer "+adminKey), 200, "#/accept?token=cml_")
	h.want(h.ask(http.DefaultClient, "POST", "/api/v1/signin/accept", `{"token":"`+made.data["token"].(string)+`","password":"`+password+`"}`), 200, "usr_")
}

func signInBody(login, more string) string {
	return `{"login":"` + login + `","password":"` + password + `"` + more + `}`
}

// TestSignInRefusalsAreAlike: status, body and headers tell nothing of what was wrong.
func TestSignInRefusalsAreAlike(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.user("alice", identity.Operator)
	h.user("gone", identity.Operator)
	found := h.ask(http.DefaultClient, "GET", "/api/v1/users?find=gone", "", "Authorization: Bearer "+adminKey)
	id := found.data["users"].([]any)[0].(map[string]any)["user_id"].(string)
	h.want(h.ask(http.DefaultClient, "PATCH", "/api/v1/users/"+id, `{"disabled":true,"reason":"left"}`, "Authorization: Bearer "+adminKey), 200, "disabled")
	var first string
	for what, body := range map[string]string{
		"nobody":         `{"login":"mallory","password":"` + password + `"}`,
		"wrong password": `{"login":"alice","password":"not the password"}`,
		"empty":          `{"login":"","password":""}`,
		"disabled":       `{"login":"gone","password":"` + password + `"}`,
		"too long":       `{"login":"alice","password":"` + strings.Repeat("x", 5000) + `"}`,
	} {
		got := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/signin", body), 401, "signin.refused")
		got.head.Del("Date")
		got.head.Del("X-Request-Id")
		var said bytes.Buffer
		_ = got.head.Write(&said)
		said.WriteString(got.body)
		if first == "" {
			first = said.String()
		}
		if said.String() != first {
			t.Errorf("%s: %q, others get %q", what, said.String(), first)
		}
	}
	for path, body := range map[string]string{"/api/v1/signin": `{"login":"a","password":"b","role":"admin"}`, "/api/v1/signin/first": `{"token":"x","role":"admin"}`} {
		h.want(h.ask(http.DefaultClient, "POST", path, body), 400, "input.unknown_field")
	}
}

// TestCookieIsOursAlone: flags, fixation, and what a page of another origin can do.
func TestCookieIsOursAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.user("alice", identity.Operator)
	c := h.browser()
	u, _ := url.Parse(h.srv.URL)
	planted := &http.Cookie{Name: cookieNamePlain, Value: "cms_planted-by-somebody-else-0000", Path: "/"}
	c.Jar.SetCookies(u, []*http.Cookie{planted})
	got := h.want(h.ask(c, "POST", "/api/v1/signin", signInBody("alice", "")), 200, "ses_")
	set := got.head.Get("Set-Cookie")
	for _, flag := range []string{"session_id=cms_", "Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=1800"} {
		if !strings.Contains(set, flag) {
			t.Errorf("the cookie %q lacks %s", set, flag)
		}
	}
	if strings.Contains(got.body, "cms_") || strings.Contains(set, planted.Value) {
		t.Errorf("the token is in the body, or was chosen by another: %s", got.body)
	}
	h.want(h.ask(c, "GET", "/api/v1/me", ""), 200, `"login":"alice"`)
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"} {
		h.want(h.ask(c, "POST", "/api/v1/me/password", `{}`, header), 403, "auth.cross_origin")
		h.want(h.ask(http.DefaultClient, "POST", "/api/v1/signin", signInBody("alice", ""), header), 403, "auth.cross_origin")
	}
	h.want(h.ask(c, "POST", "/api/v1/me/password", `{"password":"wrong","new_password":"x"}`, "Sec-Fetch-Site: same-origin"), 403, "password.wrong")
	h.want(h.ask(c, "GET", "/api/v1/me?access_token="+adminKey, "", "Cookie: session_id=none"), 401, "session.over")
	h.want(h.ask(c, "POST", "/api/v1/signout", ""), 200, "")
	h.want(h.ask(c, "GET", "/api/v1/me", ""), 401, "auth.required")

	tlsHouse := httptest.NewTLSServer(h.rt)
	defer tlsHouse.Close()
	resp, err := tlsHouse.Client().Post(tlsHouse.URL+"/api/v1/signin", "application/json", strings.NewReader(signInBody("alice", "")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if set := resp.Header.Get("Set-Cookie"); !strings.HasPrefix(set, "__Host-session_id=") || !strings.Contains(set, "Secure") || strings.Contains(set, "Domain") {
		t.Errorf("over HTTPS the cookie is %q", set)
	}
	far := httptest.NewRequest(http.MethodPost, "http://chopmark.example/api/v1/signin", strings.NewReader(signInBody("alice", "")))
	far.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.rt.ServeHTTP(w, far)
	if w.Code != 403 || !strings.Contains(w.Body.String(), "needs_https") || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("in the clear over a network: %d %s", w.Code, w.Body)
	}
}

// TestOldDeviceIsTold: a second sign-in of an app ends the first, which hears why.
func TestOldDeviceIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.user("alice", identity.Operator)
	open := func() string {
		got := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/signin", signInBody("alice", `,"client_type":"app","device":"phone"`)), 200, "cms_")
		return got.data["token"].(string)
	}
	old := open()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.srv.URL+"/api/v1/me/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+old)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the stream has begun
	young := open()
	var told []string
	for lines.Scan() {
		told = append(told, lines.Text())
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, "event: session:invalidated") || !strings.Contains(text, `"reason":"replaced"`) {
		t.Errorf("the old device is told %q", text)
	}
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/me", "", "Authorization: Bearer "+old), 401, "replaced")
	devices := h.want(h.ask(http.DefaultClient, "GET", "/api/v1/me/sessions", "", "Authorization: Bearer "+young), 200, `"device":"phone"`)
	if n := len(devices.data["sessions"].([]any)); n != 1 {
		t.Errorf("%d devices, want 1", n)
	}
}

func TestMachineToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	made := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/keys", `{"name":"line","role":"machine"}`, "Authorization: Bearer "+adminKey), 200, "cmk_")
	id, key := made.data["key_id"].(string), made.data["key"].(string)
	form := func(values url.Values) reply {
		return h.ask(http.DefaultClient, "POST", "/api/v1/oauth/token", values.Encode(), "Content-Type: application/x-www-form-urlencoded")
	}
	good := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {key}}
	got := h.want(form(good), 200, `"token_type":"Bearer"`)
	var token tokenMade
	if err := json.Unmarshal([]byte(got.body), &token); err != nil || token.ExpiresIn != 3600 {
		t.Fatalf("token %+v, %v", token, err)
	}
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/me", "", "Authorization: Bearer "+token.AccessToken), 200, `"role":"machine"`)
	bad := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {key + "x"}}
	h.want(form(bad), 401, "invalid_client")
	h.want(form(url.Values{"grant_type": {"password"}}), 400, "unsupported_grant_type")
	h.want(h.ask(http.DefaultClient, "POST", "/api/v1/keys/"+id+"/revoke", "", "Authorization: Bearer "+adminKey), 200, "")
	h.want(h.ask(http.DefaultClient, "GET", "/api/v1/me", "", "Authorization: Bearer "+token.AccessToken), 401, "session.over")
	h.want(form(good), 401, "invalid_client")
}

// TestOrigins: another origin reads what its own tenant's key may, and nothing else.
func TestOrigins(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const shop = "https://shop.example"
	tenant := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/tenants", `{"name":"Acme","kind":"brand","origins":["`+shop+`"]}`, "Authorization: Bearer "+adminKey), 200, shop)
	made := h.want(h.ask(http.DefaultClient, "POST", "/api/v1/keys", `{"name":"shop","role":"dealer","tenant_id":"`+tenant.data["tenant_id"].(string)+`"}`,
		"Authorization: Bearer "+adminKey), 200, "cmk_")
	for origin, want := range map[string]string{shop: shop, "https://evil.example": ""} {
		got := h.ask(http.DefaultClient, "OPTIONS", "/api/v1/me", "", "Origin: "+origin)
		if got.head.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("before: %s is answered %q", origin, got.head.Get("Access-Control-Allow-Origin"))
		}
		got = h.ask(http.DefaultClient, "GET", "/api/v1/me", "", "Origin: "+origin, "Authorization: Bearer "+made.data["key"].(string))
		if got.head.Get("Access-Control-Allow-Origin") != want || got.head.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s is answered %q", origin, got.head.Get("Access-Control-Allow-Origin"))
		}
	}
	got := h.ask(http.DefaultClient, "GET", "/api/v1/me", "", "Origin: "+shop, "Authorization: Bearer "+adminKey)
	if got.head.Get("Access-Control-Allow-Origin") != "" {
		t.Error("one tenant's shop reads what another's key may")
	}
}

// corpus is what must be shown and logged as text, or refused, and never acted upon.
func corpus() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `=HYPERLINK("http://evil")`, "line\nbreak", "tab\there", "\x1b[31mred", "a\u2028b",
		"' OR '1'='1", strings.Repeat("长", 300), "\xff\xfe",
	}
}

// TestTextFields puts the corpus through every text field: what is taken comes back as it
// was, as JSON of our own type that no browser renders; control characters are refused.
func TestTextFields(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for _, text := range corpus() {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		q := string(quoted)
		for path, body := range map[string]string{
			"/api/v1/tenants": `{"kind":"brand","name":` + q + `}`,
			"/api/v1/roles":   `{"permissions":["code:read"],"name":` + q + `}`,
			"/api/v1/keys":    `{"role":"machine","name":` + q + `}`,
			"/api/v1/users":   `{"role":"auditor","login":"user ` + strings.Trim(q, `"`) + `","name":` + q + `}`,
		} {
			got := h.ask(http.DefaultClient, "POST", path, body, "Authorization: Bearer "+adminKey)
			bad := strings.ContainsAny(text, "\n\t\x1b\u2028") || len(text) > 256
			if bad != (got.status == 400) || !bad && got.status != 200 {
				t.Errorf("%s takes %q: %d %s", path, text, got.status, got.body)
			}
			if !strings.HasPrefix(got.head.Get("Content-Type"), "application/json") || got.head.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s answers as %s", path, got.head.Get("Content-Type"))
			}
		}
	}
}
