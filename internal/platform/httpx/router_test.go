package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

func jsonLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// served is what an Observer is told.
type served struct {
	Method, Endpoint string
	Status           int
}

type observer struct{ all []served }

func (o *observer) Request(method, endpoint string, status int, _ time.Time, _ time.Duration) {
	o.all = append(o.all, served{method, endpoint, status})
}

// bearer takes one key.
type bearer struct{}

func (bearer) Authenticate(r *http.Request) (Principal, error) {
	if r.Header.Get("Authorization") != "Bearer letmein" {
		return Principal{}, ErrNoAuth
	}
	return Principal{ID: "key_1", Name: "tester", Access: Everything{}}, nil
}

// bench is a router with one route of each kind.
type bench struct {
	rt  *Router
	obs observer
	log bytes.Buffer
}

func newBench() *bench {
	b := &bench{}
	b.rt = NewRouter(bearer{}, &b.obs, jsonLog(&b.log))
	b.rt.Public("GET /things/{id}", func(w http.ResponseWriter, r *http.Request) error { return OK(w, r.PathValue("id")) })
	b.rt.Public("POST /things", func(w http.ResponseWriter, _ *http.Request) error { return OK(w, nil) })
	b.rt.Admin("POST /things/{id}", func(w http.ResponseWriter, r *http.Request) error { return OK(w, Caller(r).Name) })
	b.rt.Admin("GET /fail", func(http.ResponseWriter, *http.Request) error { return errors.New("password=hunter2") })
	b.rt.Public("GET /limited", func(http.ResponseWriter, *http.Request) error {
		return &fault.Error{Kind: fault.Limited, Code: "test.limited", Text: "slowly", RetryAfter: 1500 * time.Millisecond}
	})
	b.rt.Public("GET /panic", func(http.ResponseWriter, *http.Request) error { panic("the roof is on fire") })
	b.rt.Public("GET /half", func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half of")
		_ = http.NewResponseController(w).Flush()
		panic("an answer")
	})
	b.rt.Public("GET /cut", func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half of")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	b.rt.Hot("GET /hot/panic", "/hot/panic", func(http.ResponseWriter, *http.Request) int { panic("the roof is on fire") })
	b.rt.Hot("/", "/{code}", func(w http.ResponseWriter, r *http.Request) int {
		if strings.Contains(r.URL.Path, "bad") {
			Fail(w, r, b.rt.log, errors.New("no disk"))
			return http.StatusInternalServerError
		}
		_, _ = io.WriteString(w, "hot")
		return http.StatusOK
	})
	b.rt.Raw("GET /signin/{token}", "/signin/{token}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	return b
}

// ask sends one request; header is "Name: value" lines.
func (b *bench) ask(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.rt.ServeHTTP(w, r)
	return w
}

func wantFault(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var got Envelope
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Errorf("%v: %s", err, w.Body)
	}
	if w.Code != status || got.Code != status || got.Error != code || got.Data != nil || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("%d %+v, want %d %s", w.Code, got, status, code)
	}
}

func TestOtherMethods(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.rt.Public("OPTIONS /own", func(http.ResponseWriter, *http.Request) error { return nil })
	for _, c := range []struct{ method, target, allow string }{
		{"PUT", "/own", "OPTIONS"}, {"TRACE", "/things/5", "GET, HEAD, POST, OPTIONS"},
		{"DELETE", "/things/5", "GET, HEAD, POST, OPTIONS"}, {"PUT", "/things/5", "GET, HEAD, POST, OPTIONS"},
		{"GET", "/things", "POST, OPTIONS"}, {"PATCH", "/fail", "GET, HEAD, OPTIONS"},
	} {
		w := b.ask(c.method, c.target)
		wantFault(t, w, 405, "route.method")
		if got := w.Header().Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.target, got, c.allow)
		}
	}
	if w := b.ask("HEAD", "/things/5"); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	w := b.ask("OPTIONS", "/things/5")
	if w.Code != 204 || w.Header().Get("Allow") != "GET, HEAD, POST, OPTIONS" || w.Header().Get("Access-Control-Allow-Origin") != "*" ||
		w.Header().Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS of a public route: %d %v", w.Code, w.Header())
	}
	w = b.ask("OPTIONS", "/fail")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("OPTIONS of a route with a key invites others: %d %v", w.Code, w.Header())
	}
}

func TestUncleanPaths(t *testing.T) {
	t.Parallel()
	b := newBench()
	for _, target := range []string{"//things/5", "/things//5", "/things/./5", "/x/../things/5", "/things/5/..", "/things/.", "/..", "//", "/things/5//"} {
		w := b.ask("GET", target)
		wantFault(t, w, 404, "route.unknown")
		if w.Header().Get("Location") != "" || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", target, w.Header())
		}
	}
	for _, s := range b.obs.all {
		if s != (served{"GET", "other", 404}) {
			t.Errorf("observed %+v", s)
		}
	}
	for target, want := range map[string]string{"/things/a%2Fb": "a/b", "/things/a%2F..%2Fb": "a/../b", "/things/...": "...", "/things/%2e%2e": ""} {
		w := b.ask("GET", target)
		if want != "" && !strings.Contains(w.Body.String(), `"`+want+`"`) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	b := newBench()
	seen := map[string]bool{}
	for _, target := range []string{"/things/5", "/nothing", "/things/5", "//", "/signin/x"} {
		for _, bad := range []string{"", "with space", "line\nbreak", strings.Repeat("x", 129), "ünïcode"} {
			id := b.ask("GET", target, "X-Request-Id: "+bad).Header().Get("X-Request-Id")
			if id == bad || !regexp.MustCompile(`^req_[0-9a-z]+$`).MatchString(id) || seen[id] {
				t.Errorf("%s with %q was answered %q", target, bad, id)
			}
			seen[id] = true
		}
		for _, good := range []string{"abc-123", strings.Repeat("x", 128), `"{}"`} {
			if id := b.ask("GET", target, "X-Request-Id: "+good).Header().Get("X-Request-Id"); id != good {
				t.Errorf("%s with %q was answered %q", target, good, id)
			}
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	b := newBench()
	w := b.ask("POST", "/things/5")
	wantFault(t, w, 401, "auth.required")
	if w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("401: %v", w.Header())
	}
	if w := b.ask("POST", "/things/5", "Authorization: Bearer letmein"); w.Code != 200 || !strings.Contains(w.Body.String(), `"data":"tester"`) {
		t.Errorf("with a key: %d %s", w.Code, w.Body)
	}
	w = b.ask("GET", "/limited")
	wantFault(t, w, 429, "test.limited")
	if w.Header().Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q, want what is not too early", w.Header().Get("Retry-After"))
	}
	w = b.ask("GET", "/fail", "Authorization: Bearer letmein", "X-Request-Id: r-1")
	wantFault(t, w, 500, "internal")
	if log := b.log.String(); strings.Contains(w.Body.String(), "hunter2") || strings.Count(log, "hunter2") != 1 ||
		!strings.Contains(log, `"request_id":"r-1"`) || strings.Contains(log, "letmein") {
		t.Errorf("answered %s, logged %s", w.Body, log)
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/panic", "/hot/panic"} {
		b := newBench()
		w := b.ask("GET", target+"?inner=SECRET", "Authorization: Bearer letmein", "X-Request-Id: r-1")
		wantFault(t, w, 500, "internal")
		log := b.log.String()
		if strings.Contains(w.Body.String(), "roof") || !strings.Contains(log, "the roof is on fire") || !strings.Contains(log, `"request_id":"r-1"`) || !strings.Contains(log, "router_test.go") {
			t.Errorf("%s: answered %s, logged %s", target, w.Body, log)
		}
		if strings.Contains(log, "SECRET") || strings.Contains(log, "letmein") {
			t.Errorf("%s: secrets in %s", target, log)
		}
		if diff := cmp.Diff([]served{{"GET", target, 500}}, b.obs.all); diff != "" {
			t.Errorf("%s: observed (-want +got):\n%s", target, diff)
		}
	}
}

// Half an answer must not reach the client as a whole one.
func TestPanicInTheMiddle(t *testing.T) {
	t.Parallel()
	b := newBench()
	srv := httptest.NewUnstartedServer(b.rt)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/half")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil || string(body) != "half of" {
		t.Errorf("read %q to its end: %v", body, err)
	}
	srv.Close() // waits for the handler, which writes the log
	if !strings.Contains(b.log.String(), "an answer") {
		t.Errorf("logged %s", &b.log)
	}
}

// A handler that cuts its answer off has said why itself.
func TestAnswerThatIsCutOff(t *testing.T) {
	t.Parallel()
	b := newBench()
	srv := httptest.NewServer(b.rt)
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL + "/cut")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil || string(body) != "half of" {
		t.Errorf("read %q to its end: %v", body, err)
	}
	srv.Close() // waits for the handler, which writes the log
	if strings.Contains(b.log.String(), "panic") {
		t.Errorf("logged %s", &b.log)
	}
}

func TestLogLine(t *testing.T) {
	t.Parallel()
	b := newBench()
	const code, token = "123456789012345678", "0000A1B2C3D4E5F6G7"
	b.ask("GET", "/things/5?secret=1", "User-Agent: tester/1", "X-Request-Id: r-1")
	var line map[string]any
	if err := json.Unmarshal(b.log.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, &b.log)
	}
	delete(line, "time")
	if took, ok := line["duration_ms"].(float64); !ok || took < 0 {
		t.Errorf("duration_ms %v", line["duration_ms"])
	}
	delete(line, "duration_ms")
	if diff := cmp.Diff(map[string]any{
		"level": "DEBUG", "msg": "request", "method": "GET", "url": "/things/5?-", "remote_addr": "192.0.2.0/24", "user_agent": "tester/1",
		"status_code": 200.0, "request_id": "r-1", "endpoint": "/things/{id}",
	}, line); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	for target, want := range map[string]string{
		"/" + code: "/" + code, "/" + code + "/" + token: "/" + code + "/-", "/" + code + "/" + strings.ToLower(token): "/" + code + "/-",
		"/" + code + "/" + token[:17]: "/" + code + "/-", "/%31" + code[1:] + "/" + token: "/%31" + code[1:] + "/-",
		"/" + code + "/%30" + token[1:]: "/" + code + "/-", "/" + code + "/" + token + "/x": "/" + code + "/-/x",
		"//" + code + "/" + token: "//" + code + "/-", "/signin/" + token: "/signin/-", "/sign%69n/" + token: "/sign%69n/-",
		"/api/v1/codes/" + code + "/verify?token=" + token: "/api/v1/codes/" + code + "/verify?-",
	} {
		b.log.Reset()
		b.ask("GET", target)
		if log := b.log.String(); strings.Contains(strings.ToUpper(log), token[1:17]) || !strings.Contains(log, `"url":"`+want+`"`) {
			t.Errorf("%s was logged as %s", target, log)
		}
	}
	b.log.Reset()
	b.ask("GET", "/"+strings.Repeat("x", 1<<10))
	if !strings.Contains(b.log.String(), strings.Repeat("x", 255)+"…") || b.log.Len() > 700 {
		t.Errorf("a long path was logged as %s", &b.log)
	}
}

func TestWhatIsLogged(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.rt.log = slog.New(slog.NewJSONHandler(&b.log, nil))
	for _, c := range []struct {
		method, target string
		logged         bool
	}{
		{"GET", "/things/5", false}, {"GET", "/nothing", false}, {"GET", "/limited", false}, {"POST", "/things", true}, {"GET", "/bad", true},
	} {
		b.log.Reset()
		b.ask(c.method, c.target)
		if got := strings.Contains(b.log.String(), `"msg":"request"`); got != c.logged {
			t.Errorf("%s %s: logged %v: %s", c.method, c.target, got, &b.log)
		}
	}
}

func TestHotFailureHasItsID(t *testing.T) {
	t.Parallel()
	b := newBench()
	w := b.ask("GET", "/bad")
	id := w.Header().Get("X-Request-Id")
	if log := b.log.String(); id == "" || strings.Count(log, `"request_id":"`+id+`"`) != 2 {
		t.Errorf("request %q logged as %s", id, log)
	}
}

// While a request runs, a second one under its key is refused; others are not.
func TestAlone(t *testing.T) {
	t.Parallel()
	var b bench
	b.rt = NewRouter(bearer{}, &b.obs, jsonLog(&b.log))
	inside, leave := make(chan struct{}), make(chan struct{})
	b.rt.Admin("POST /slow", func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.RawQuery == "wait" {
			close(inside)
			<-leave
		}
		return OK(w, nil)
	})
	b.rt.Admin("POST /panic", func(http.ResponseWriter, *http.Request) error { panic("oh") })
	const auth = "Authorization: Bearer letmein"
	done := make(chan int)
	go func() {
		r := httptest.NewRequest(http.MethodPost, "/slow?wait", nil)
		r.Header.Set("Authorization", "Bearer letmein")
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		b.rt.ServeHTTP(w, r)
		done <- w.Code
	}()
	<-inside
	wantFault(t, b.ask("POST", "/slow", auth, "Idempotency-Key: k"), 409, "idempotency.running")
	wantFault(t, b.ask("POST", "/slow", auth, `Idempotency-Key: "k"`), 409, "idempotency.running")
	for _, header := range []string{"Idempotency-Key: l", "X-Nothing: k"} {
		if w := b.ask("POST", "/slow", auth, header); w.Code != 200 {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
	close(leave)
	if status := <-done; status != 200 {
		t.Errorf("the first: %d", status)
	}
	if w := b.ask("POST", "/slow", auth, "Idempotency-Key: k"); w.Code != 200 {
		t.Errorf("after the first: %d %s", w.Code, w.Body)
	}
	wantFault(t, b.ask("POST", "/slow", auth, "Idempotency-Key: "+strings.Repeat("k", 256)), 400, "idempotency.bad_key")
	for range 2 {
		wantFault(t, b.ask("POST", "/panic", auth, "Idempotency-Key: p"), 500, "internal")
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{"": "en", "zh": "zh", "zh-CN,zh;q=0.9,en;q=0.8": "zh", "en-US,en;q=0.9,zh;q=0.8": "en", "fr": "en", "fr, ZH": "zh",
		"zh;q=0.1,en;q=0.9": "en", "en;q=0.1, zh-TW;q=0.9": "zh", "zh;q=0": "en", "zh;q=x": "en", "en;q=0,zh;q=0.1": "zh", "*": "en", "zen": "en"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Language", header)
		if got := Language(r); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestPrefersJSON(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"": false, "*/*": false, "text/html": false, "application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true,
		"application/json, text/html": true, "text/html,application/json": false, "text/html, application/json;q=0.9": false,
		"application/json;q=0.5,text/html": false, "text/html;q=0.5, application/json": true, "application/json;q=0": false,
		"application/json, text/plain, */*": true, "application/json;q=0.5, */*": false, "*/*, application/json": true,
		"application/json;q=0.9, text/html;q=0": true, "application/json;q=2": false, "application/linkset+json": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if r.Header.Set("Accept", header); PrefersJSON(r) != want {
			t.Errorf("%q: %v", header, !want)
		}
	}
}
