package identityhttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// plainPages shows what the handler says, and fails when told to.
type plainPages struct{ fail atomic.Bool }

func (p *plainPages) SignIn(w io.Writer, lang string, state State, key string) error {
	if p.fail.Load() {
		return errors.New("the template is broken")
	}
	_, err := fmt.Fprintf(w, "<html lang=%s>state=%s key=[%s]", lang, state, key)
	return err
}

func (p *plainPages) CSP() string { return "default-src 'none'" }

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// site is a served installation with a clock that tests set and a log that they read.
type site struct {
	svc   *identity.Service
	token string
	pages plainPages
	h     http.Handler
	later atomic.Int64 // seconds
	mu    sync.Mutex
	log   bytes.Buffer // guarded by mu
}

func (s *site) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *site) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func serve(t *testing.T) *site {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	identitytest.Migrate(t, db, identitysql.Schema())
	s := &site{}
	now := clock.Func(func() time.Time { return identitytest.Start().Add(time.Duration(s.later.Load()) * time.Second) })
	s.svc = identitytest.Service(t, identity.Config{}, identitysql.New(db, now), now)
	if s.token, err = s.svc.Bootstrap(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	rt := httpx.NewRouter(NewAuthenticator(s.svc, httpx.Proxies{}, nil), noMetrics{}, log)
	NewSignIn(s.svc, &s.pages).Add(rt)
	rt.Admin("GET /private", func(w http.ResponseWriter, r *http.Request) error { return httpx.OK(w, httpx.Caller(r).Name) })
	s.h = rt
	return s
}

// ask sends one request; header is "Name: value" lines.
func (s *site) ask(method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://chopmark.example"+path, nil)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w
}

var shownKey = regexp.MustCompile(`key=\[(cmk_[\w-]{43})\]`)

func keyIn(w *httptest.ResponseRecorder) string {
	if m := shownKey.FindStringSubmatch(w.Body.String()); m != nil {
		return m[1]
	}
	return ""
}

func want(t *testing.T, w *httptest.ResponseRecorder, status int, contains string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), contains) {
		t.Errorf("answer %d %q, want %d with %q", w.Code, w.Body, status, contains)
	}
	for name, value := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Access-Control-Allow-Origin": "",
	} {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := serve(t)
	link := "/signin/" + s.token
	for range 3 { // looking spends nothing
		want(t, s.ask("GET", link), 200, "state=offer key=[]")
		want(t, s.ask("HEAD", link), 200, "")
		if w := s.ask("GET", link+"?console"); w.Code != 303 || w.Header().Get("Location") != "/console/#/first?token="+s.token || w.Body.Len() > 0 {
			t.Errorf("to the console: %d %v %q", w.Code, w.Header(), w.Body)
		}
	}
	if w := s.ask("PUT", link); w.Code != 405 {
		t.Errorf("PUT answers %d, want 405", w.Code)
	}
	w := s.ask("POST", link)
	want(t, w, 200, "state=shown")
	if got := w.Header().Get("Content-Security-Policy"); got != "default-src 'none'" {
		t.Errorf("Content-Security-Policy: %q", got)
	}
	key := keyIn(w)
	if got := s.ask("GET", "/private", "Authorization: Bearer "+key); got.Code != 200 || !strings.Contains(got.Body.String(), `"admin"`) {
		t.Errorf("the key opens nothing: %d %s", got.Code, got.Body)
	}
	for _, method := range []string{"GET", "POST", "POST"} {
		w := s.ask(method, link)
		want(t, w, 410, "state=spent key=[]")
	}
}

func TestUnknownAndExpiredLookTheSame(t *testing.T) {
	t.Parallel()
	s := serve(t)
	unknown := "/signin/" + strings.Repeat("A", 43)
	want(t, s.ask("GET", unknown), 404, "state=spent key=[]")
	want(t, s.ask("POST", unknown), 404, "state=spent key=[]")
	want(t, s.ask("GET", "/signin/'%20OR%201=1"), 404, "state=spent key=[]")
	s.later.Store(24 * 3600)
	for _, method := range []string{"GET", "POST"} {
		got, other := s.ask(method, "/signin/"+s.token), s.ask(method, unknown)
		want(t, got, 410, "state=spent key=[]")
		if got.Body.String() != other.Body.String() {
			t.Errorf("%s: an expired link reads %q, an unknown one %q", method, got.Body, other.Body)
		}
	}
}

func TestOneKeyForManyPosts(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const askers = 64
	var wg sync.WaitGroup
	answers := make([]*httptest.ResponseRecorder, askers)
	start := make(chan struct{})
	for i := range askers {
		wg.Go(func() {
			<-start
			answers[i] = s.ask("POST", "/signin/"+s.token)
		})
	}
	close(start)
	wg.Wait()
	shown := 0
	for _, w := range answers {
		if key := keyIn(w); key != "" {
			shown++
			if _, err := s.svc.Authenticate(t.Context(), key); err != nil {
				t.Errorf("the shown key is refused: %v", err)
			}
			continue
		}
		want(t, w, 410, "state=spent key=[]")
	}
	keys, err := s.svc.Keys(t.Context(), s.svc.OperatorOfMachine())
	if err != nil || shown != 1 || len(keys) != 1 {
		t.Errorf("%d keys shown, %d stored (%v), want 1 and 1", shown, len(keys), err)
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := serve(t)
	link := "/signin/" + s.token
	for name, header := range map[string][]string{
		"another site":             {"Sec-Fetch-Site: cross-site"},
		"a sibling":                {"Sec-Fetch-Site: same-site"},
		"an old browser":           {"Origin: http://evil.example"},
		"another port":             {"Origin: http://chopmark.example:81"},
		"a sandbox in another":     {"Sec-Fetch-Site: cross-site", "Origin: null"},
		"null beside a false name": {"Sec-Fetch-Site: sibling", "Origin: null"},
	} {
		w := s.ask("POST", link, header...)
		want(t, w, 403, "signin.cross_origin")
		if keyIn(w) != "" {
			t.Errorf("%s got a key", name)
		}
	}
	for name, header := range map[string][]string{
		"our page":                              {"Sec-Fetch-Site: same-origin", "Origin: null"},
		"our page in an old browser":            {"Origin: http://chopmark.example"},
		"our page over plain HTTP on a network": {"Origin: null"},
		"curl":                                  nil,
	} {
		s := serve(t)
		if w := s.ask("POST", "/signin/"+s.token, header...); keyIn(w) == "" {
			t.Errorf("%s got no key: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	link := "/signin/" + s.token
	want(t, s.ask("GET", link, "Accept-Language: zh-CN,zh;q=0.9,en;q=0.8"), 200, "lang=zh")
	want(t, s.ask("GET", link, "Accept-Language: en-GB,en"), 200, "lang=en")
	want(t, s.ask("GET", link+"?lang=en", "Accept-Language: zh-CN"), 200, "lang=en")
}

func TestAuthenticator(t *testing.T) {
	t.Parallel()
	s := serve(t)
	key := keyIn(s.ask("POST", "/signin/"+s.token))
	for _, good := range []string{"Bearer " + key, "bearer " + key, "BEARER  " + key} {
		if w := s.ask("GET", "/private", "Authorization: "+good); w.Code != 200 {
			t.Errorf("%q: %d", strings.ReplaceAll(good, key, "KEY"), w.Code)
		}
	}
	for name, header := range map[string][]string{
		"nothing":         nil,
		"no scheme":       {"Authorization: " + key},
		"another scheme":  {"Authorization: Basic " + key},
		"no key":          {"Authorization: Bearer"},
		"an empty key":    {"Authorization: Bearer "},
		"a part":          {"Authorization: Bearer " + key[:40]},
		"more":            {"Authorization: Bearer " + key + "A"},
		"two":             {"Authorization: Bearer " + key, "Authorization: Bearer " + key},
		"the token":       {"Authorization: Bearer " + s.token},
		"a long one":      {"Authorization: Bearer " + strings.Repeat("x", 8000)},
		"another's words": {"Authorization: Bearer " + key + ", Bearer x"},
	} {
		w := s.ask("GET", "/private", header...)
		if w.Code != 401 || !strings.Contains(w.Body.String(), "auth.required") || w.Header().Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestNothingSecretIsSaid drives every path with a log that keeps all, and looks
// for secrets in it and in every answer but the one that shows the key.
func TestNothingSecretIsSaid(t *testing.T) {
	t.Parallel()
	s := serve(t)
	link := "/signin/" + s.token
	var said strings.Builder
	note := func(w *httptest.ResponseRecorder) {
		fmt.Fprintln(&said, w.Code, w.Header(), w.Body)
	}
	note(s.ask("GET", link))
	note(s.ask("POST", link, "Sec-Fetch-Site: cross-site"))
	s.pages.fail.Store(true)
	if w := s.ask("GET", link); w.Code != 500 {
		t.Errorf("a broken page answers %d, want 500", w.Code)
	} else {
		note(w)
	}
	s.pages.fail.Store(false)
	shown := s.ask("POST", link)
	key := keyIn(shown)
	if key == "" {
		t.Fatal("no key was shown")
	}
	fmt.Fprintln(&said, shown.Header())
	note(s.ask("POST", link))
	note(s.ask("DELETE", link))
	note(s.ask("GET", link+"/more"))
	note(s.ask("GET", "/private", "Authorization: Bearer "+key))
	note(s.ask("GET", "/private", "Authorization: Bearer "+key+"A"))
	if !strings.Contains(s.logged(), "/signin/-") {
		t.Fatalf("the log does not know the requests: this test looks in the wrong place\n%s", s.logged())
	}
	for what, secret := range map[string]string{"token": s.token, "key": key, "key's random part": key[4:]} {
		if strings.Contains(s.logged(), secret) {
			t.Errorf("the log has the %s", what)
		}
		if strings.Contains(said.String(), secret) {
			t.Errorf("an answer has the %s", what)
		}
	}
}
