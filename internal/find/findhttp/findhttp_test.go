package findhttp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/obs"
)

// keys: "all" may everything, "seven" what is of brand 7, "events" may read events and no products,
// batches and places, "none" what is no search.
type keys struct{}

type access struct {
	scope ids.Scope
	may   string // "" = everything
}

func (a access) May(p httpx.Permission) bool { return a.may == "" || string(p) == a.may }
func (a access) Scope() ids.Scope            { return a.scope }

func (keys) Authenticate(r *http.Request) (httpx.Principal, error) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	of, ok := map[string]access{
		"all": {scope: ids.AllBrands()}, "seven": {scope: ids.OnlyBrands(7)}, "events": {ids.AllBrands(), "trace:read"}, "none": {ids.AllBrands(), "product:read"},
	}[name]
	if !ok {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: name, Name: name, Access: of}, nil
}

type brands struct{}

func (brands) HasBrand(ctx context.Context, id ids.BrandID) error {
	if id > 99 || !ids.ScopeOf(ctx).Has(id) {
		return fault.New(fault.NotFound, "brand.unknown", "no such brand")
	}
	return nil
}

type world struct {
	*testing.T

	rt    *httpx.Router
	index find.Index
	doc   *openapi3.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	index, err := findsql.Open(t.Context(), t.TempDir(), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := index.Close(); err != nil {
			t.Error(err)
		}
	})
	doc, err := openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, httpx.NewRouter(keys{}, obs.NewMetrics(), slog.New(slog.DiscardHandler)), index, doc}
	Mount(w.rt, find.NewService(index), brands{})
	return w
}

func (w *world) apply(at find.Standing, all ...find.Document) {
	w.Helper()
	if err := w.index.Apply(w.Context(), all, at); err != nil {
		w.Fatal(err)
	}
}

type found struct {
	Data struct {
		Hits []struct {
			Kind, ID, Title string

			At *time.Time
		}
		Cursor  *string
		Filling bool
	}
	Error   string
	Details []struct{ Field string }
}

// ask asks, and holds the answer to the document.
func (w *world) ask(status int, key string, query ...string) (a found) {
	w.Helper()
	q := url.Values{}
	for _, pair := range query {
		name, value, _ := strings.Cut(pair, "=")
		q.Set(name, value)
	}
	r := httptest.NewRequestWithContext(w.Context(), http.MethodGet, "/api/v1/search?"+q.Encode(), http.NoBody)
	r.Header.Set("Authorization", "Bearer "+key)
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	if rec.Code != status {
		w.Fatalf("%q answers %d %s, want %d", query, rec.Code, rec.Body, status)
	}
	known := w.doc.Paths.Value("/api/v1/search").Get.Responses.Status(rec.Code)
	var value any
	if known == nil || json.Unmarshal(rec.Body.Bytes(), &value) != nil || json.Unmarshal(rec.Body.Bytes(), &a) != nil {
		w.Fatalf("the document knows no answer %d", rec.Code)
	}
	if err := known.Value.Content.Get("application/json").Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		w.Errorf("%q answers %s: %v", query, rec.Body, err)
	}
	return a
}

func (a *found) ids() string {
	var all []string
	for _, h := range a.Data.Hits {
		all = append(all, h.Kind+" "+h.ID)
	}
	return strings.Join(all, ", ")
}

// TestSearch: who may read a kind finds it, of his brands, page by page, and is told when the
// index does not have everything yet.
func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var all []find.Document
	for brand := ids.BrandID(7); brand <= 8; brand++ {
		for _, k := range find.Kinds() {
			d := find.Document{Kind: k, ID: fmt.Sprint(string(k[:1]), brand), Brand: brand, Title: "common " + string(k), At: made, Version: 1}
			if k == find.Place { // of which it is not known since when it is one
				d.At = time.Time{}
			}
			all = append(all, d)
		}
	}
	w.apply(find.Standing{Cursor: "half"}, all...)
	if a := w.ask(200, "all", "q=common"); !a.Data.Filling || len(a.Data.Hits) != 8 {
		t.Errorf("while it fills: %+v", a)
	}
	w.apply(find.Standing{Cursor: "all", Filled: true})
	for _, c := range []struct {
		key, want string
		query     []string
	}{
		{"all", "product p8, product p7, batch b8, batch b7, place p8, place p7, event e8, event e7", []string{"q=COMMON"}},
		{"all", "batch b7, place p7", []string{"q=common", "brand_id=7", "kind=place,batch"}},
		{"seven", "product p7, batch b7, place p7, event e7", []string{"q=common"}},
		{"events", "event e8, event e7", []string{"q=common"}},
		{"events", "event e8, event e7", []string{"q=common", "kind=product,event"}},
		{"all", "", []string{"q=nothing"}},
	} {
		if a := w.ask(200, c.key, c.query...); a.ids() != c.want || a.Data.Filling || a.Data.Cursor != nil {
			t.Errorf("%s asks %q and gets %+v, want %s", c.key, c.query, a.Data, c.want)
		}
	}
	var pages []string
	for query := []string{"q=common", "limit=3", "kind=product,event"}; ; {
		a := w.ask(200, "all", query...)
		for _, h := range a.Data.Hits {
			if h.At == nil || !h.At.Equal(made) || h.Title != "common "+h.Kind {
				t.Errorf("%+v", h)
			}
		}
		if pages = append(pages, a.ids()); a.Data.Cursor == nil {
			break
		}
		query = append(query[:3:3], "cursor="+*a.Data.Cursor)
	}
	if got := strings.Join(pages, " | "); got != "product p8, product p7, event e8 | event e7" {
		t.Errorf("pages: %s", got)
	}
	if a := w.ask(200, "all", "q=common", "kind=place", "brand_id=7"); a.Data.Hits[0].At != nil {
		t.Errorf("a place is since %v", a.Data.Hits[0].At)
	}
}

// TestRefusals: what is wrong with a question is named.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		status      int
		key, code   string
		field       string
		query, more string
	}{
		{401, "", "", "", "q=a", ""}, {403, "none", "", "", "q=a", ""}, {403, "events", "", "", "q=a", "kind=product"},
		{404, "seven", "brand.unknown", "", "q=a", "brand_id=8"}, {404, "all", "brand.unknown", "", "q=a", "brand_id=100"},
		{400, "all", "search.bad_query", "q", "q=", ""}, {400, "all", "search.bad_query", "q", "q=" + strings.Repeat("a", 201), ""},
		{400, "all", "search.bad_query", "q", "q=a b c d e f g h i", ""}, {400, "all", "search.bad_kind", "kind", "q=a", "kind=item"},
		{400, "all", "search.bad_cursor", "cursor", "q=a", "cursor=x"}, {400, "all", "input.bad_number", "brand_id", "q=a", "brand_id=x"},
		{400, "all", "", "limit", "q=a", "limit=101"},
	} {
		a := w.ask(c.status, c.key, c.query, c.more)
		if c.code != "" && a.Error != c.code || c.field != "" && (len(a.Details) != 1 || a.Details[0].Field != c.field) {
			t.Errorf("%s asks %s %s: %+v", c.key, c.query, c.more, a)
		}
	}
}
