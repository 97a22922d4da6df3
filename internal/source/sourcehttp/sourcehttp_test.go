package sourcehttp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/task"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourcesql"
	"github.com/chopmark/chopmark/internal/source/sourcetest"
)

// oneKey lets in who shows any key.
type oneKey struct{}

func (oneKey) Authenticate(r *http.Request) (httpx.Principal, error) {
	key := r.Header.Get("Authorization")
	if key == "" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: key, Name: "alice", Access: httpx.Everything{}}, nil
}

type unwatched struct{}

func (unwatched) Request(string, string, int, time.Time, time.Duration) {}

type catalog struct{}

func (catalog) HasBrand(_ context.Context, id ids.BrandID) error {
	if id < 1 || id > 2 {
		return fault.New(fault.NotFound, "brand.unknown", "there is no such brand")
	}
	return nil
}

func (catalog) Find(code string) (source.Ask, bool) {
	return source.Ask{Code: code, Brand: 1, BatchNo: "B-1", Product: 7}, code == ours
}

// notes keeps what the audit would.
type notes struct {
	mu  sync.Mutex
	all strings.Builder // guarded by mu
}

func (n *notes) Begin(*http.Request, string, string, *httpx.Principal) (func(int, []byte, httpx.Note), error) {
	return func(_ int, body []byte, note httpx.Note) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if note.Private {
			body = nil
		}
		fmt.Fprintf(&n.all, "%s %+v\n", body, note)
	}, nil
}

type world struct {
	*testing.T
	rt    *httpx.Router
	audit *notes
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := sqldbtest.SQLite(t)()
	err := errors.Join(db.Migrate(t.Context(), "outbox", outbox.Schema()), db.Migrate(t.Context(), "idem", idem.Schema()),
		db.Migrate(t.Context(), "task", task.Schema()), db.Migrate(t.Context(), "source", sourcesql.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c, log := clock.Func(sourcetest.Start), slog.New(slog.DiscardHandler)
	dbs := sqldb.One(db)
	store := sourcesql.Over(dbs, c)
	tasks := task.NewRunner(dbs, clock.System{}, log, 1)
	tasks.Handle(sourcesql.TaskImport, store.Importer())
	t.Cleanup(tasks.Stop)
	s, err := source.NewService(source.Config{Clock: c, Log: log, Private: true, Secrets: source.Secrets{Seal: [32]byte{1}, Push: [32]byte{2}}},
		source.Deps{Store: store, HTTP: NewClient(egress.New(true)), Catalog: catalog{}, Tasks: tasks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{t, httpx.NewRouter(oneKey{}, unwatched{}, log), &notes{}}
	w.rt.Audit(w.audit)
	Mount(w.rt, s)
	return w
}

var loadDocument = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml") })

// ask sends a request and holds the answer to the document.
func (w *world) ask(status int, method, target, body string, headers ...string) string {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "k")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	if rec.Code != status {
		w.Fatalf("%s %s answers %d %s, want %d", method, target, rec.Code, rec.Body, status)
	}
	doc, err := loadDocument()
	if err != nil {
		w.Fatal(err)
	}
	_, path, _ := strings.Cut(r.Pattern, " ")
	answer := doc.Paths.Value(path).GetOperation(method).Responses.Status(rec.Code)
	var value any
	if answer == nil || json.Unmarshal(rec.Body.Bytes(), &value) != nil {
		w.Fatalf("%s: the document knows no answer %d", r.Pattern, rec.Code)
	}
	if err := answer.Value.Content.Get("application/json").Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		w.Errorf("%s answers %s: %v", r.Pattern, rec.Body, err)
	}
	return rec.Body.String()
}

func field(t *testing.T, body, name string) string {
	t.Helper()
	var e struct{ Data map[string]any }
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(e.Data[name])
}

func has(t *testing.T, body string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(body, word) {
			t.Errorf("%s does not say %q", body, word)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mes := peer(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(rw, story)
	})
	const list = "/api/v1/trace-sources"
	w.ask(401, "GET", list, "", "Authorization: ")
	has(t, w.ask(200, "GET", list, ""), `"sources":[],"cursor":null`)
	for body, says := range map[string]string{
		`{"brand_id":1,"kind":"CRM","name":"x","url":"https://e.example/"}`:                  "kind",
		`{"brand_id":1,"kind":"MES","name":" ","url":"https://e.example/"}`:                  "name",
		`{"brand_id":1,"kind":"MES","name":"x","url":"ftp://e.example/"}`:                    "source.bad_url",
		`{"brand_id":1,"kind":"MES","name":"x","url":"https://e.example/","token":"a\nb"}`:   "token",
		`{"brand_id":-1,"kind":"MES","name":"x","url":"https://e.example/","token":"a"}`:     "brand_id",
		`{"brand_id":1,"kind":"MES","name":"\u202e","url":"https://e.example/","token":"a"}`: "name",
	} {
		has(t, w.ask(400, "POST", list, body), says)
	}
	w.ask(404, "POST", list, `{"brand_id":3,"kind":"MES","name":"x","url":"https://e.example/"}`)
	ask := fmt.Sprintf(`{"brand_id":1,"kind":"WMS","name":"上海","url":%q,"token":"sesame"}`, mes)
	made := w.ask(200, "POST", list, ask, "Idempotency-Key: 1")
	if again := w.ask(200, "POST", list, ask, "Idempotency-Key: 1"); again != made {
		t.Errorf("the same request again: %s, first %s", again, made)
	}
	id := field(t, made, "source_id")
	has(t, made, `"has_token":true`, "whsec_")
	all := w.ask(200, "GET", list+"?brand_id=1", "")
	has(t, all, id)
	for _, secret := range []string{"sesame", "whsec_"} {
		if strings.Contains(all+w.audit.all.String(), secret) {
			t.Errorf("%s is told: %s %s", secret, all, w.audit.all.String())
		}
	}
	has(t, w.ask(200, "POST", list+"/"+id+"/test", `{"code":"`+ours+`"}`), `"ok":true`, "顺丰")
	w.ask(400, "POST", list+"/"+id+"/test", `{"code":"999999999999999999"}`)
	has(t, w.ask(400, "PATCH", list+"/"+id, `{"url":"https://other.example/"}`), "source.token_needed")
	has(t, w.ask(200, "PATCH", list+"/"+id, `{"token":""}`), `"has_token":false`, `"version":2`)
	has(t, w.ask(200, "POST", list+"/"+id+"/test", `{"code":"`+ours+`"}`), `"ok":false,"problem":"it answers 403"`)
	has(t, w.ask(200, "GET", "/api/v1/trace-data/"+ours, ""), `"source":"WMS","status":"unavailable"`)
	has(t, w.ask(200, "PATCH", list+"/"+id, `{"token":"sesame"}`), `"has_token":true`, `"version":3`)
	has(t, w.ask(200, "GET", "/api/v1/trace-data/"+ours, ""), "顺丰")
	w.ask(404, "GET", "/api/v1/trace-data/999999999999999999", "")
	for range 2 {
		w.ask(200, "POST", list+"/"+id+"/remove", "")
	}
	w.ask(404, "PATCH", list+"/"+id, `{"name":"x"}`)
	has(t, w.ask(200, "GET", "/api/v1/trace-data/"+ours, ""), `"parts":[]`)
}

func TestPushes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rows = `"rows":[{"code":"` + ours + `","trace_type":"logistics","time":"2026-02-01T08:00:00+08:00","location":"上海仓","details":{"temperature":"15-25°C"}},` +
		`{"batch_no":"B-1","product_id":7,"trace_type":"production","time":"2026-01-01T08:00:00Z","details":{"inspector":"王敏"}}]`
	const body = `{"brand_id":1,"data_source":"WMS",` + rows + `}`
	first := w.ask(200, "POST", "/api/v1/trace-data", body, "Idempotency-Key: 1")
	if again := w.ask(200, "POST", "/api/v1/trace-data", body, "Idempotency-Key: 1"); again != first {
		t.Errorf("the same push again: %s, first %s", again, first)
	}
	w.ask(422, "POST", "/api/v1/trace-data", strings.Replace(body, "王敏", "李强", 1), "Idempotency-Key: 1")
	has(t, w.ask(400, "POST", "/api/v1/trace-data", strings.Replace(body, ours, "999999999999999999", 1)), "source.bad_rows", "rows[0].code")
	w.ask(413, "POST", "/api/v1/trace-data", strings.Repeat(" ", httpx.BodyMaxList+1))
	got := w.ask(200, "GET", "/api/v1/trace-data/"+ours, "")
	has(t, got, `"time":"2026-02-01T00:00:00Z"`, "王敏")
	if strings.Count(got, `"stage"`) != 2 || strings.Index(got, "王敏") > strings.Index(got, "15-25°C") {
		t.Errorf("the parts are %s", got)
	}

	made := w.ask(200, "POST", "/api/v1/trace-sources", `{"brand_id":1,"kind":"ERP","name":"x","url":"https://e.invalid/"}`)
	door := "/api/v1/trace-sources/" + field(t, made, "source_id") + "/push"
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(field(t, made, "secret"), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(id, body string) []string {
		at := strconv.FormatInt(sourcetest.Start().Unix(), 10)
		m := hmac.New(sha256.New, secret) // as the specification says, with no code of ours
		_, _ = io.WriteString(m, id+"."+at+"."+body)
		return []string{"Authorization: ", "webhook-id: " + id, "webhook-timestamp: " + at,
			"webhook-signature: v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))}
	}
	const signed = `{` + rows + `}`
	once := w.ask(200, "POST", door, signed, sign("m1", signed)...)
	if again := w.ask(200, "POST", door, signed, sign("m1", signed)...); again != once {
		t.Errorf("a replayed push: %s, first %s", again, once)
	}
	other := strings.Replace(signed, "王敏", "李强", 1)
	w.ask(422, "POST", door, other, sign("m1", other)...)
	w.ask(401, "POST", door, other, sign("m2", signed)...)
	w.ask(401, "POST", door, signed, "Authorization: ")
	as := `{"data_source":"WMS",` + rows + `}`
	has(t, w.ask(400, "POST", door, as, sign("m3", as)...), "source.other_kind")
	foreign := `{"brand_id":2,` + rows + `}`
	w.ask(404, "POST", door, strings.Replace(foreign, `"brand_id":2`, `"brand_id":9`, 1), sign("m4", strings.Replace(foreign, `"brand_id":2`, `"brand_id":9`, 1))...)
}

func TestImports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const at = "/api/v1/trace-data/import?brand_id=1&data_source=ERP&trace_type=sales&tz=Asia/Shanghai&map=code=%E6%9D%A1%E7%A0%81&ignore=x"
	const good = "条码,time,location,x\n" + ours + ",2026-02-01,南京,1\n" + ours + ",2026/2/2 8:00,武汉,2\n"
	csv := "Content-Type: text/csv"
	preview := w.ask(200, "POST", at+"&preview=true", good+"1,never,=1,\n", csv)
	has(t, preview, `"rows":3,"bad":1`, `{"line":4,"column":"location","reason":"is a formula: save its value"}`, `{"column":"条码","field":"code"}`)
	has(t, w.ask(400, "POST", at, good+"1,never,=1,\n", csv), "source.bad_lines")
	if got := w.ask(200, "GET", "/api/v1/trace-data/"+ours, ""); !strings.Contains(got, `"parts":[]`) {
		t.Errorf("a preview or a wrong file left something: %s", got)
	}
	w.ask(415, "POST", at, good)
	w.ask(400, "POST", at+"&map=x", good, csv)
	w.ask(400, "POST", strings.Replace(at, "brand_id=1", "", 1), good, csv)
	w.ask(404, "POST", strings.Replace(at, "brand_id=1", "brand_id=9", 1), good, csv)
	w.ask(413, "POST", at, strings.Repeat("x", source.TableBytesMax+1), csv)
	first := w.ask(200, "POST", at, good, csv, "Idempotency-Key: 1")
	if again := w.ask(200, "POST", at, good, csv, "Idempotency-Key: 1"); again != first {
		t.Errorf("the same file again: %s, first %s", again, first)
	}
	w.ask(422, "POST", at+"&ignore=y", good, csv, "Idempotency-Key: 1")
	for until := time.Now().Add(time.Minute); strings.Count(w.ask(200, "GET", "/api/v1/trace-data/"+ours, ""), `"stage":"sales"`) != 2; {
		if time.Now().After(until) {
			t.Fatal("the rows are not there")
		}
	}
}
