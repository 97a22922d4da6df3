package timelinehttp

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/internal/timeline"
)

// world is the routes over a brand 7 with an item that is printed and one that is displayed.
type world struct {
	t      *testing.T
	rt     *httpx.Router
	asked  int
	signed int
	places map[string]timeline.Place
	doc    *openapi3.T
}

const (
	printed   = "000000000000000001"
	displayed = "000000000000000002"
	key       = "Bearer of-seven"
)

var errUnknown = fault.New(fault.NotFound, "code.unknown", "this code is not known")

type seven struct{}

func (seven) May(p httpx.Permission) bool { return true }
func (seven) Scope() ids.Scope            { return ids.OnlyBrands(7) }

func (*world) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") != key && r.Header.Get("Cookie") != "session_id=good" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "k", Access: seven{}}, nil
}

func (*world) HasBrand(ctx context.Context, b ids.BrandID) error {
	if b != 7 || !ids.ScopeOf(ctx).Has(b) {
		return errUnknown
	}
	return nil
}

func (*world) Item(code string, may ids.Scope) (timeline.Item, error) {
	if code == printed || code == displayed && may.Has(7) {
		return timeline.Item{Code: code, Brand: 7, BatchNo: "B", MadeAt: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)}, nil
	}
	if len(code) != 18 {
		return timeline.Item{}, fault.Field("code.malformed", "code", "must be 18 digits")
	}
	return timeline.Item{}, errUnknown
}

func (*world) Changes(context.Context, string) ([]timeline.Change, error) {
	return []timeline.Change{{To: gs1.RetailSold, At: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC), Place: "上海"}}, nil
}

func (*world) Parts(context.Context, *timeline.Item) []timeline.Step {
	return []timeline.Step{{Stage: timeline.Logistics, Status: timeline.Loading}, {Stage: timeline.Production, Details: map[string]any{"inspector": "王建国", "cost": 12}}}
}

func (w *world) Places(context.Context, ids.BrandID, string, int) (all []timeline.Place, _ error) {
	for _, p := range w.places {
		all = append(all, p)
	}
	return all, nil
}

func (*world) Named(context.Context, ids.BrandID, []string) ([]timeline.Place, error) {
	return nil, nil
}

func (w *world) ChangePlaces(_ context.Context, _ ids.BrandID, set []timeline.Place, remove []string, _ int) error {
	for _, id := range remove {
		delete(w.places, id)
	}
	for _, p := range set {
		w.places[p.ID] = p
	}
	return nil
}

func (*world) TellQueried(context.Context, []timeline.Queried) error { return nil }

func (*world) Story(out io.Writer, lang string, _ *time.Location, s *timeline.Story) error {
	_, err := io.WriteString(out, "story "+lang+" "+s.Item.Code)
	return err
}

func (*world) Refused(out io.Writer, lang string) error {
	_, err := io.WriteString(out, "refused "+lang)
	return err
}

func (*world) Malformed(out io.Writer, _, reason string) error {
	_, err := io.WriteString(out, "malformed "+reason)
	return err
}
func (*world) ContentSecurityPolicy() string { return "default-src 'none'" }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, places: map[string]timeline.Place{}}
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.doc, err = openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml"); err != nil {
		t.Fatal(err)
	}
	w.rt = httpx.NewRouter(w, obs.NewMetrics(), log)
	Mount(w.rt, Deps{
		Service: timeline.NewService(timeline.Config{
			Items: w, Sources: w, Store: w, Rules: func(ids.BrandID) timeline.Rules { return timeline.Rules{} }, Clock: clock.System{}, Log: log,
			Canonical: func(s string) string { return s },
		}),
		Brands: w, Pages: w, Auth: w, Clock: clock.System{}, Traced: func(time.Duration) {},
		Asked: func(_ ids.BrandID, signed bool) {
			w.asked++
			if signed {
				w.signed++
			}
		},
	})
	return w
}

// ask asks, and holds what is JSON to the document.
func (w *world) ask(method, path, body string, head ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range head {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	if method == http.MethodHead || !strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") {
		return rec
	}
	_, pattern, _ := strings.Cut(r.Pattern, " ")
	answer := w.doc.Paths.Value(pattern).GetOperation(method).Responses.Status(rec.Code)
	var value any
	if answer == nil || json.Unmarshal(rec.Body.Bytes(), &value) != nil {
		w.t.Fatalf("%s %s: the document knows no answer %d: %s", method, path, rec.Code, rec.Body)
	}
	if err := answer.Value.Content.Get("application/json").Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		w.t.Errorf("%s %s: %v\n%s", method, path, err, rec.Body)
	}
	return rec
}

func (w *world) is(rec *httptest.ResponseRecorder, status int, wants ...string) {
	w.t.Helper()
	if rec.Code != status {
		w.t.Errorf("%d %s, want %d", rec.Code, rec.Body, status)
	}
	for _, want := range wants {
		if part, ok := strings.CutPrefix(want, "!"); ok == strings.Contains(rec.Body.String(), part) {
			w.t.Errorf("%s; want %q", rec.Body, want)
		}
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const path = "/api/v1/trace/" + printed
	rec := w.ask("GET", path+"?tz=Asia/Shanghai", "")
	w.is(rec, 200, `"code":"`+printed+`","timeline":[{"stage":"production","time":"2026-03-01T08:00:00Z","time_local":"2026-03-01T16:00:00+08:00","location":"unknown","details":{"batch_no":"B","state":"encoded"}}`,
		`{"stage":"logistics","status":"loading"}`, `"location":"上海"`, "王**", "!cost", "!serial")
	for name, want := range map[string]string{"Cache-Control": "no-store", "Vary": "Accept, Accept-Language", "Access-Control-Allow-Origin": "*"} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	w.is(w.ask("GET", path, "", "Authorization: "+key), 200, "王建国", `"cost":12`)
	w.is(w.ask("GET", path, "", "Authorization: Bearer nonsense"), 401, "auth.required")
	w.is(w.ask("GET", path, "", "Cookie: session_id=good"), 200, "王建国", `"cost":12`)
	w.is(w.ask("GET", path, "", "Cookie: session_id=over"), 200, "王**", "!cost")
	w.is(w.ask("GET", path+"?tz=Nowhere", ""), 400, "input.bad_zone")
	w.is(w.ask("GET", path+"?lang=zh", "", "Accept: text/html,application/xhtml+xml"), 200, "story zh "+printed)
	w.is(w.ask("GET", path, "", "Accept: application/json, text/html"), 200, `"timeline"`)
	w.is(w.ask("HEAD", path, ""), 200)
	if w.asked != 6 || w.signed != 2 {
		t.Errorf("%d were counted, %d with a key", w.asked, w.signed)
	}
}

func TestOneRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger, hidden := w.ask("GET", "/api/v1/trace/000000000000000009", ""), w.ask("GET", "/api/v1/trace/"+displayed, "")
	w.is(stranger, 404)
	if stranger.Body.String() != hidden.Body.String() || stranger.Code != hidden.Code {
		t.Errorf("%s differs from %s", stranger.Body, hidden.Body)
	}
	w.is(w.ask("GET", "/api/v1/trace/"+displayed, "", "Authorization: "+key), 200)
	w.is(w.ask("GET", "/api/v1/trace/"+displayed, "", "Accept: text/html"), 404, "refused en")
	w.is(w.ask("GET", "/api/v1/trace/1", "", "Accept: text/html"), 400, "malformed")
	w.is(w.ask("GET", "/api/v1/trace/1", ""), 400, "code.malformed")
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const path, auth = "/api/v1/brands/7/places", "Authorization: " + key
	w.is(w.ask("GET", path, ""), 401)
	w.is(w.ask("GET", path, "", auth), 200, `"places":[]`)
	w.is(w.ask("PATCH", path, `{"set":[{"id":"4012345000115","name":"Shop","kind":"store"},{"id":"urn:x","name":"X"}]}`, auth), 200, `"set":2`)
	w.is(w.ask("GET", path+"?limit=1", "", auth), 200, `"cursor"`)
	w.is(w.ask("PATCH", path, `{"remove":["urn:x"]}`, auth), 200, `"removed":1`)
	w.is(w.ask("GET", path, "", auth), 200, `{"id":"https://id.gs1.org/414/4012345000115","name":"Shop","kind":"store"}`)
	w.is(w.ask("PATCH", path, `{}`, auth), 400, "places.nothing_to_change")
	w.is(w.ask("PATCH", path, `{"set":[{"id":"4012345000116","name":"Shop"}]}`, auth), 400, "set[0].id")
	w.is(w.ask("GET", "/api/v1/brands/8/places", "", auth), 404)
	w.is(w.ask("GET", path+"?cursor=*", "", auth), 400, "input.bad_cursor")
}
