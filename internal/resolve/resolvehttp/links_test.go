package resolvehttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/resolve"
	"github.com/chopmark/chopmark/internal/resolve/resolvehttp"
	"github.com/chopmark/chopmark/internal/resolve/resolvesql"
)

// desk is a brand's routes on their engine. Every answer is held against the document.
type desk struct {
	t   *testing.T
	rt  *httpx.Router
	doc *openapi3.T
}

type catalog struct{}

func (catalog) Brand(_ context.Context, id ids.BrandID) error {
	if id > 1002 {
		return fault.New(fault.NotFound, "brand.unknown", "no such brand")
	}
	return nil
}

func (catalog) Batch(context.Context, ids.BatchID) (ids.BrandID, int64, error) { return 1001, 100, nil }

type credentials struct{}

func (credentials) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") == "" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "alice", Access: httpx.Everything{}}, nil
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

func newDesk(t *testing.T) *desk {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context(), "resolve", resolvesql.Schema()); err != nil {
		t.Fatal(err)
	}
	d := &desk{t, httpx.NewRouter(credentials{}, noMetrics{}, slog.New(slog.DiscardHandler)), doc}
	at := clock.Func(func() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC) })
	resolvehttp.MountLinks(d.rt, resolve.NewService(resolvesql.New(db), resolve.NewIndex(), catalog{}, at))
	return d
}

// send asks, and gives the answer's data where it is what was expected.
func (d *desk) send(status int, code, method, target, body string) (data map[string]any) {
	d.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	d.rt.ServeHTTP(rec, r)
	var e struct {
		Error string         `json:"error"`
		Data  map[string]any `json:"data"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || rec.Code != status || e.Error != code {
		d.t.Fatalf("%s %s: %d %s, want %d %s: %.300s", method, target, rec.Code, e.Error, status, code, rec.Body)
	}
	_, path, _ := strings.Cut(r.Pattern, " ")
	answer := d.doc.Paths.Value(path).GetOperation(method).Responses.Status(status)
	if answer == nil {
		d.t.Fatalf("%s %s: the document knows no answer %d", method, path, status)
	}
	var value any
	if err := json.Unmarshal(rec.Body.Bytes(), &value); err != nil {
		d.t.Fatal(err)
	}
	schema := answer.Value.Content.Get("application/json").Schema.Value
	if err := schema.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		d.t.Errorf("%s %s does not fit the document: %v", method, target, err)
	}
	return e.Data
}

const links = `[{"link_type":"gs1:defaultLink","href":"https://brand.example/%[1]s","title":"%[1]s"},{"link_type":"gs1:pip","href":"https://brand.example/%[1]s","title":"%[1]s","hreflang":["en"],"media_type":"text/html","context":["a"],"countries":["China"]}]`

func put(brand int, anchor, name, more string) string {
	return fmt.Sprintf(`{"brand_id":%d,"anchor":%q,"links":%s%s}`, brand, anchor, fmt.Sprintf(links, name), more)
}

func TestLinksOfABrand(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const policy, sets, rice = "/api/v1/brands/1001/link-policy", "/api/v1/links", "/01/09506000134352"
	if p := d.send(200, "", "GET", policy, ""); p["changed_at"] != nil || p["version"] != 0.0 {
		t.Errorf("a policy that was never set: %v", p)
	}
	d.send(400, "resolve.bad_link", "PUT", sets, put(1001, rice, "x", ""))
	if p := d.send(200, "", "PUT", policy, `{"hosts":["Brand.example"],"gln":"9506000134376"}`); p["changed"] != true {
		t.Errorf("%v", p)
	}
	if p := d.send(200, "", "PUT", policy, `{"hosts":["brand.example"],"gln":"9506000134376","schemes":["https"]}`); p["changed"] != false {
		t.Errorf("the same policy again: %v", p)
	}
	first := d.send(200, "", "PUT", sets, put(1001, "https://id.example/01/9506000134352", "x", `,"if_version":0`))
	if first["anchor"] != rice || first["changed"] != true {
		t.Errorf("%v", first)
	}
	if again := d.send(200, "", "PUT", sets, put(1001, rice, "x", "")); again["version"] != first["version"] || again["changed"] != false {
		t.Errorf("the same again: %v, first %v", again, first)
	}
	d.send(409, "resolve.version", "PUT", sets, put(1001, rice, "y", `,"if_version":0`))
	d.send(200, "", "PUT", sets, put(1001, rice, "y", fmt.Sprintf(`,"if_version":%v`, first["version"])))
	d.send(200, "", "PUT", sets, put(1001, "prefix:9506000", "z", ""))
	d.send(200, "", "PUT", "/api/v1/brands/1002/link-policy", `{"hosts":["brand.example"]}`)
	d.send(409, "resolve.anchor_taken", "PUT", sets, put(1002, rice, "y", ""))
	d.send(409, "resolve.anchor_taken", "DELETE", sets+"?brand_id=1002&anchor="+rice, "")
	set := d.send(200, "", "GET", sets+"?anchor=https%3A%2F%2Fx.example"+rice, "")
	if got := set["links"].([]any)[1].(map[string]any); got["href"] != "https://brand.example/y" || got["media_type"] != "text/html" {
		t.Errorf("%v", set)
	}
	page := d.send(200, "", "GET", sets+"?brand_id=1001&limit=1", "")
	if len(page["sets"].([]any)) != 1 || page["cursor"] != rice {
		t.Errorf("%v", page)
	}
	for cursor, n := page["cursor"], 1; cursor != nil; n++ { // the rest: another set, the policy that is none
		page = d.send(200, "", "GET", fmt.Sprintf("%s?brand_id=1001&limit=1&cursor=%v", sets, cursor), "")
		if cursor = page["cursor"]; n > 3 {
			t.Fatal("the list does not end")
		}
	}
	if made := d.send(200, "", "DELETE", sets+"?brand_id=1001&anchor="+rice, ""); made["changed"] != true {
		t.Errorf("%v", made)
	}
	if made := d.send(200, "", "DELETE", sets+"?brand_id=1001&anchor="+rice, ""); made["changed"] != false {
		t.Errorf("deleted again: %v", made)
	}
	d.send(404, "resolve.unknown", "GET", sets+"?anchor="+rice, "")
	d.send(200, "", "PUT", sets, put(1002, rice, "y", "")) // free again
}

func TestLinksRefuse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const policy, sets = "/api/v1/brands/1001/link-policy", "/api/v1/links"
	for _, c := range []struct {
		status                     int
		code, method, target, body string
	}{
		{400, "input.unknown_field", "PUT", sets, `{"brand":1}`},
		{400, "input.required", "PUT", sets, `{"anchor":"/01/09506000134352"}`},
		{400, "resolve.bad_anchor", "PUT", sets, put(1001, "x", "x", "")},
		{400, "gs1.bad_link", "PUT", sets, put(1001, "/01/09506000134353", "x", "")},
		{400, "input.bad_number", "PUT", sets, put(1001, "/01/09506000134352", "x", `,"if_version":-1`)},
		{404, "brand.unknown", "PUT", sets, put(1003, "/01/09506000134352", "x", "")},
		{400, "input.bad_type", "PUT", sets, `{"brand_id":"x"}`},
		{413, "input.too_large", "PUT", sets, `{"anchor":"` + strings.Repeat("x", 2<<20) + `"}`},
		{400, "input.bad_number", "GET", sets + "?brand_id=x", ""},
		{400, "input.bad_limit", "GET", sets + "?limit=0", ""},
		{400, "input.bad_cursor", "GET", sets + "?cursor=" + strings.Repeat("x", 300), ""},
		{400, "input.bad_number", "DELETE", sets + "?anchor=/01/09506000134352", ""},
		{400, "resolve.bad_anchor", "DELETE", sets + "?brand_id=1001", ""},
		{400, "input.required", "PUT", policy, `{}`},
		{400, "resolve.bad_policy", "PUT", policy, `{"hosts":["*"]}`},
		{400, "input.bad_number", "PUT", "/api/v1/brands/x/link-policy", `{"hosts":[]}`},
		{404, "brand.unknown", "GET", "/api/v1/brands/1003/link-policy", ""},
	} {
		d.send(c.status, c.code, c.method, c.target, c.body)
	}
	r := httptest.NewRequest(http.MethodPut, sets, strings.NewReader(`{}`))
	rec := httptest.NewRecorder()
	d.rt.ServeHTTP(rec, r)
	if rec.Code != http.StatusUnauthorized {
		t.Errorf("without a key: %d", rec.Code)
	}
}
