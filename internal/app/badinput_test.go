package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSecretsInAddresses: no route takes a credential from its address, where logs and
// referrers would have it.
func TestSecretsInAddresses(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(c *Config) { c.Limits.Address = "off" })
	asked := 0
	for route := range d.rt.Needs() {
		method, path, _ := strings.Cut(route, " ")
		path = anyParam.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "x")
		for _, name := range []string{"access_token", "token", "key", "api_key", "authorization", "session_id"} {
			if status, _, text := d.ask(method, path+"?"+name+"="+matrixAdminKey, "", ""); status != http.StatusUnauthorized {
				t.Errorf("%s with ?%s=: %d %s", route, name, status, text)
			}
			asked++
		}
	}
	if asked < 300 {
		t.Errorf("only %d addresses were asked", asked)
	}
}

// TestUnknownFieldsAreRefused: no body assigns more than its route names.
func TestUnknownFieldsAreRefused(t *testing.T) {
	t.Parallel()
	m := openMatrix(t)
	asked := 0
	for route, v := range visits() {
		method, path, _ := strings.Cut(route, " ")
		if method == http.MethodGet || v.body == "" || strings.HasSuffix(path, "/remove") || strings.HasSuffix(path, "/erase") {
			continue
		}
		body := m.fill(v.body, "own")
		for _, field := range []string{`"is_admin":true`, `"tenantId":"platform"`, `"owner_tenant":"platform"`, `"__proto__":{"role":"admin"}`} {
			more := "{" + field + "," + strings.TrimPrefix(body, "{")
			if body == "{}" {
				more = "{" + field + "}"
			}
			a := m.ask(method, m.fill(path+v.query, "own"), matrixAdminKey, more)
			if a.status < 400 {
				t.Errorf("%s takes %s: %d %s", route, field, a.status, a.body)
			}
			asked++
		}
	}
	if asked < 80 {
		t.Errorf("only %d bodies were sent", asked)
	}
}

// TestOtherSitesChangeNothing: with a person's cookie in the browser, a page of another site
// has no change made, on any route.
func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(*Config) {})
	made := d.must("POST", "/api/v1/users", matrixAdminKey, `{"login":"alice","name":"n","role":"operator"}`)
	d.must("POST", "/api/v1/signin/accept", "", fmt.Sprintf(`{"token":%q,"password":"a long enough password"}`, made["token"]))
	ask := func(method, path, body, cookie string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost:8080"+path, strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:1234"
		r.Header.Set("Content-Type", "application/json")
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		for _, h := range header {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		d.rt.ServeHTTP(w, r)
		return w
	}
	in := ask("POST", "/api/v1/signin", `{"login":"alice","password":"a long enough password"}`, "")
	cookie, _, _ := strings.Cut(in.Header().Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "session_id=cms_") {
		t.Fatalf("signed in with %q: %s", cookie, in.Body)
	}
	if w := ask("GET", "/api/v1/me", "", cookie); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	asked := 0
	for route := range d.rt.Needs() {
		method, path, _ := strings.Cut(route, " ")
		if method == http.MethodGet || method == http.MethodOptions {
			continue
		}
		path = anyParam.ReplaceAllString(path, "x")
		for _, header := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Origin: null"} {
			if w := ask(method, path, `{}`, cookie, header); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "auth.cross_origin") {
				t.Errorf("%s with %s: %d %s", route, header, w.Code, w.Body)
			}
			asked++
		}
	}
	if asked < 100 {
		t.Errorf("only %d changes were tried", asked)
	}
}

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSuffix(l.buf.String(), "\n"), "\n")
}

// TestLogLinesStayWhole: nothing that comes from outside begins a line of the log or of the
// log of changes, or leaves a secret in either.
func TestLogLinesStayWhole(t *testing.T) {
	t.Parallel()
	log := &logBuffer{}
	c := testConfig(filepath.Join(t.TempDir(), "data"))
	a, err := Open(t.Context(), c, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	a.AdminKey = matrixAdminKey
	if _, err := a.bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready := &atomic.Bool{}
	d := &desk{t, a, a.routes(t.Context(), ready, a.authenticator())}
	const forged = `{"level":"INFO","message":"admin signed in"}`
	for _, poison := range []string{"\n" + forged, "\r\n" + forged, "\u2028" + forged, "\x1b[2J" + forged, `","status_code":200,"x":"`, "%0a" + forged} {
		quoted, err := json.Marshal(poison)
		if err != nil {
			t.Fatal(err)
		}
		text := string(quoted)
		d.ask("POST", "/api/v1/signin", "", `{"login":`+text+`,"password":`+text+`,"client_type":"api","device":`+text+`}`, "User-Agent: "+poison, "X-Request-Id: "+poison)
		d.ask("POST", "/api/v1/tenants", matrixAdminKey, `{"name":`+text+`,"kind":"brand"}`, "User-Agent: "+poison, "X-Request-Id: "+poison)
		d.ask("POST", "/api/v1/consumer/codes", "", `{"phone":`+text+`}`, "X-Request-Id: "+poison)
		d.ask("DELETE", "/api/v1/"+strings.NewReplacer("\n", "%0a", "\r", "%0d", "\x1b", "%1b", `"`, "%22", "\u2028", "%e2%80%a8", " ", "%20").Replace(poison), matrixAdminKey, "")
	}
	keys := []string{"timestamp", "time"}
	for _, line := range log.lines() {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("no line of the log: %q", line)
		}
		if !slices.ContainsFunc(keys, func(k string) bool { return entry[k] != nil }) || entry["message"] == "admin signed in" {
			t.Errorf("somebody else's line: %q", line)
		}
		if strings.Contains(line, matrixAdminKey) {
			t.Errorf("the log has a key: %q", line)
		}
	}
	entries := d.must("GET", "/api/v1/audit?tenant_id=platform", matrixAdminKey, "")["entries"].([]any)
	for _, e := range entries {
		for field, v := range e.(map[string]any) {
			if text, ok := v.(string); ok && strings.ContainsAny(text, "\n\r\x1b\u2028") {
				t.Errorf("the log of changes has in %s: %q", field, text)
			}
		}
	}
	if len(entries) == 0 {
		t.Error("nothing was kept")
	}
}

// TestCredentialStuffing: a list of names and passwords from one network is slowed down,
// also when no name comes twice; another network is not.
func TestCredentialStuffing(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(*Config) {})
	try := func(i int, from string) int {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://desk.example/api/v1/signin",
			strings.NewReader(fmt.Sprintf(`{"login":"user-%d","password":"password-%d","client_type":"api"}`, i, i)))
		r.RemoteAddr = from + ":1234"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		d.rt.ServeHTTP(w, r)
		return w.Code
	}
	slowed := 0
	for i := range 130 {
		if status := try(i, fmt.Sprintf("203.0.113.%d", i)); status == http.StatusTooManyRequests {
			slowed++
		} else if status != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, status)
		}
	}
	if slowed == 0 {
		t.Error("130 names from one network, and none had to wait")
	}
	if status := try(1000, "198.51.100.1"); status != http.StatusUnauthorized {
		t.Errorf("another network: %d", status)
	}
}
