package linehttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/line/linesql"
	"github.com/chopmark/chopmark/internal/line/linetest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

// keys: "all" may everything, "seven" what is of brand 7, "reader" may read alone.
type keys struct{}

type access struct {
	scope ids.Scope
	reads bool
}

func (a access) May(p httpx.Permission) bool { return !a.reads || p == mayRead }
func (a access) Scope() ids.Scope            { return a.scope }

func (keys) Authenticate(r *http.Request) (httpx.Principal, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	of, ok := map[string]access{"all": {scope: ids.AllBrands()}, "seven": {scope: ids.OnlyBrands(7)}, "reader": {ids.AllBrands(), true}}[name]
	if !ok {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: name, Name: name, Access: of}, nil
}

type world struct {
	*testing.T

	rt *httpx.Router
	*linetest.World
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := sqldbtest.SQLite(t)()
	if err := errors.Join(db.Migrate(t.Context(), "idem", idem.Schema()), db.Migrate(t.Context(), "line", linesql.Schema())); err != nil {
		t.Fatal(err)
	}
	w := &world{t, httpx.NewRouter(keys{}, obs.NewMetrics(), slog.New(slog.DiscardHandler)),
		linetest.NewWorld(linesql.New(sqldb.One(db), clock.Func(linetest.Start)))}
	Mount(w.rt, w.Service)
	return w
}

var loadDocument = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml") })

type answer struct {
	head http.Header
	Data map[string]any

	Error   string
	Details []struct{ Field, Reason string }
}

// ask sends a request and holds the answer to the document.
func (w *world) ask(status int, key, method, target, body string, headers ...string) (a answer) {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+key)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	if rec.Code != status {
		w.Fatalf("%s %s %s answers %d %s, want %d", method, target, body, rec.Code, rec.Body, status)
	}
	doc, err := loadDocument()
	if err != nil {
		w.Fatal(err)
	}
	_, path, _ := strings.Cut(r.Pattern, " ")
	known := doc.Paths.Value(path).GetOperation(method).Responses.Status(rec.Code)
	var value any
	if known == nil || json.Unmarshal(rec.Body.Bytes(), &value) != nil || json.Unmarshal(rec.Body.Bytes(), &a) != nil {
		w.Fatalf("%s: the document knows no answer %d", r.Pattern, rec.Code)
	}
	if err := known.Value.Content.Get("application/json").Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		w.Errorf("%s answers %s: %v", r.Pattern, rec.Body, err)
	}
	a.head = rec.Header()
	return a
}

func (w *world) has(a answer, field string, want any) {
	w.Helper()
	if got := fmt.Sprint(a.Data[field]); got != fmt.Sprint(want) {
		w.Errorf("%s is %s, want %v", field, got, want)
	}
}

func quoted(all ...string) string {
	raw, err := json.Marshal(map[string][]string{"children": all})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// TestCase goes through the life of a case, as a line does.
func TestCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const open = `{"brand_id":7,"kind":"case","epc":"urn:epc:id:sscc:4012345.0000000001","capacity":3}`
	at := "/api/v1/containers/" + url.PathEscape("https://id.gs1.org/00/"+linetest.SSCC(1))
	for i := range 2 {
		a := w.ask(200, "seven", "POST", "/api/v1/containers", open, "Idempotency-Key: o")
		w.has(a, "sscc", linetest.SSCC(1))
		w.has(a, "opened_by", "seven")
		if again := a.head.Get("Idempotent-Replayed") == "true"; again != (i == 1) {
			t.Errorf("request %d: replayed %v", i, again)
		}
	}
	w.ask(422, "seven", "POST", "/api/v1/containers", strings.Replace(open, "3}", "4}", 1), "Idempotency-Key: o")
	for range 2 {
		a := w.ask(200, "seven", "POST", at+"/add", quoted(linetest.Code(7, 1), linetest.Code(7, 2)), "Idempotency-Key: a")
		w.has(a, "changed", 2)
		w.has(a, "children", 2)
	}
	w.has(w.ask(200, "seven", "POST", at+"/remove", quoted(linetest.Code(7, 2)), "Idempotency-Key: r"), "children", 1)
	a := w.ask(200, "seven", "GET", at+"/packing", "")
	w.has(a, "codes", []string{linetest.Code(7, 1)})
	w.has(a, "state", "open")
	w.has(a, "event_id", nil)
	closed := w.ask(200, "seven", "POST", at+"/close", "")
	w.has(closed, "state", "closed")
	w.has(w.ask(200, "seven", "POST", at+"/close", ""), "event_id", closed.Data["event_id"])
	w.has(w.ask(200, "all", "GET", at+"/packing", ""), "closed_at", closed.Data["closed_at"])
	if a := w.ask(409, "seven", "POST", at+"/discard", ""); a.Error != "line.not_open" {
		t.Errorf("discard a closed one: %s", a.Error)
	}
	w.ask(200, "seven", "POST", "/api/v1/containers", `{"brand_id":7,"kind":"pallet","gs1_company_prefix":"401234"}`)
	pallet := "/api/v1/containers/" + linetest.SSCC(2)
	w.ask(200, "seven", "POST", "/api/v1/containers", `{"brand_id":7,"kind":"pallet","epc":"`+linetest.SSCC(2)+`"}`)
	w.ask(200, "seven", "POST", pallet+"/add", quoted(linetest.SSCC(1)))
	w.has(w.ask(200, "seven", "GET", pallet+"/packing", ""), "epcs", []string{"urn:epc:id:sscc:4012345.0000000001"})
	for range 2 {
		w.has(w.ask(200, "seven", "POST", pallet+"/discard", "", "Idempotency-Key: d"), "state", "discarded")
	}
	if w.Events.Count() != 1 {
		t.Errorf("%d events", w.Events.Count())
	}
}

// TestRefusalsNameTheChild: and nothing of the request was done.
func TestRefusalsNameTheChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := 1; n <= 2; n++ {
		w.ask(200, "all", "POST", "/api/v1/containers", fmt.Sprintf(`{"brand_id":7,"kind":"case","epc":%q}`, linetest.SSCC(n)))
	}
	one, two := "/api/v1/containers/"+linetest.SSCC(1), "/api/v1/containers/"+linetest.SSCC(2)
	w.ask(200, "all", "POST", one+"/add", quoted(linetest.Code(7, 1)))
	a := w.ask(409, "all", "POST", two+"/add", quoted(linetest.Code(7, 2), linetest.Code(7, 1), linetest.Code(8, 3)))
	if a.Error != "line.child_in_open" || len(a.Details) != 2 || a.Details[0].Field != linetest.Code(7, 1) || !strings.HasPrefix(a.Details[0].Reason, "line.child_in_open: ") ||
		a.Details[1].Field != linetest.Code(8, 3) || !strings.HasPrefix(a.Details[1].Reason, "line.child_foreign: ") {
		t.Errorf("refused as %+v", a)
	}
	w.has(w.ask(200, "all", "GET", two+"/packing", ""), "children", 0)
	w.ask(400, "all", "POST", two+"/add", quoted("x"))
	for why, times := range map[string]int{"line.child_in_open": 1, "line.child_foreign": 1, "line.bad_child": 1, "line.child_packed": 0} {
		if got := w.Said(why); got != times || !slices.Contains(line.Refusals(), why) {
			t.Errorf("%s was told of %d times, want %d; all are %v", why, got, times, line.Refusals())
		}
	}
	w.ask(400, "all", "POST", two+"/add", `{"children":[]}`)
	w.ask(415, "all", "POST", two+"/add", "")
	w.ask(400, "all", "POST", two+"/add", `{"items":["1"]}`)
	w.ask(413, "all", "POST", two+"/add", quoted(strings.Repeat("1", httpx.BodyMax)))
	w.ask(400, "all", "GET", "/api/v1/containers/12/packing", "")
	w.ask(404, "all", "GET", "/api/v1/containers/"+linetest.SSCC(9)+"/packing", "")
	w.ask(400, "all", "GET", two+"/packing", "", "X-Brand-ID: x")
	w.ask(403, "reader", "POST", two+"/close", "")
	w.ask(401, "", "POST", two+"/close", "")
	w.ask(404, "seven", "POST", "/api/v1/containers", `{"brand_id":8,"kind":"case","gs1_company_prefix":"4012345"}`)
	w.ask(400, "all", "POST", "/api/v1/containers", `{"brand_id":8,"kind":"box","gs1_company_prefix":"4012345"}`)
	w.ask(200, "all", "POST", "/api/v1/containers", fmt.Sprintf(`{"brand_id":8,"kind":"case","epc":%q}`, linetest.SSCC(1)))
	if a := w.ask(400, "all", "GET", one+"/packing", ""); a.Details[0].Field != "X-Brand-ID" {
		t.Errorf("of which brand: %+v", a)
	}
	w.has(w.ask(200, "all", "GET", one+"/packing", "", "X-Brand-ID: 8"), "brand_id", 8)
	w.has(w.ask(200, "seven", "GET", one+"/packing", ""), "brand_id", 7)
}

func TestListPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 5 {
		w.ask(200, "all", "POST", "/api/v1/containers", fmt.Sprintf(`{"brand_id":7,"kind":"case","epc":%q}`, linetest.SSCC(n)))
	}
	var got []string
	for target := "/api/v1/containers?brand_id=7&state=open&limit=2"; ; {
		a := w.ask(200, "seven", "GET", target, "")
		for _, c := range a.Data["containers"].([]any) {
			got = append(got, c.(map[string]any)["sscc"].(string))
		}
		cursor, more := a.Data["cursor"].(string)
		if !more {
			break
		}
		target = "/api/v1/containers?brand_id=7&state=open&limit=2&cursor=" + cursor
	}
	if len(got) != 5 || got[0] != linetest.SSCC(4) || got[4] != linetest.SSCC(0) {
		t.Errorf("lists %v", got)
	}
	w.ask(400, "all", "GET", "/api/v1/containers", "")
	w.ask(400, "all", "GET", "/api/v1/containers?brand_id=7&state=shut", "")
	w.ask(400, "all", "GET", "/api/v1/containers?brand_id=7&cursor=x", "")
	w.ask(404, "seven", "GET", "/api/v1/containers?brand_id=8", "")
}
