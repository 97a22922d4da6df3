package tracehttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/tracesql"
	"github.com/chopmark/chopmark/internal/trace/tracetest"
)

// key is the one key that is let in.
const key = "Bearer let-me-in"

type oneKey struct{}

// reader may read and no more.
type reader struct{ httpx.Everything }

func (reader) May(p httpx.Permission) bool { return p == mayRead }

func (oneKey) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") == key+" to read" {
		return httpx.Principal{ID: "reader", Name: "reader", Access: reader{}}, nil
	}
	if r.Header.Get("Authorization") != key {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "key", Name: "tester", Access: httpx.Everything{}}, nil
}

type nobody struct{}

func (nobody) Request(string, string, int, time.Time, time.Duration) {}

// world is the routes over an empty store.
type world struct {
	*testing.T
	rt       *httpx.Router
	standing *trace.Standing
	mail     *tracetest.Mail
}

func newWorld(t *testing.T) *world { return worldOf(t, newStore(t)) }

func newStore(t *testing.T) tracetest.Store {
	t.Helper()
	db := sqldbtest.SQLite(t)()
	if err := db.Migrate(t.Context(), "outbox", outbox.Schema()); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), "trace", tracesql.Schema()); err != nil {
		t.Fatal(err)
	}
	return tracesql.New(db, tracetest.Clock{At: tracetest.Start()})
}

// worldOf is a world over a store that may fail.
func worldOf(t *testing.T, store tracetest.Store) *world {
	t.Helper()
	clock := tracetest.Clock{At: tracetest.Start()}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	rt := httpx.NewRouter(oneKey{}, nobody{}, log)
	service := trace.NewService(trace.UsualLimits(), store, store, store, tracetest.Items{}, clock)
	mail := tracetest.NewMail()
	standing := trace.NewStanding(service, store, mail)
	Mount(rt, Deps{Service: service, Standing: standing, Clock: clock, Log: log, Version: "test", Stopping: t.Context()})
	return &world{t, rt, standing, mail}
}

// ask sends a request with the key, and header pairs.
func (w *world) ask(method, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, path, bytes.NewReader(body))
	r.Header.Set("Authorization", key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	return rec
}

func (w *world) want(rec *httptest.ResponseRecorder, status int) []byte {
	w.Helper()
	if rec.Code != status {
		w.Fatalf("status %d, want %d: %s", rec.Code, status, rec.Body)
	}
	return rec.Body.Bytes()
}

// openapi is the part of GS1's document that the test goes by.
type openapi struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Responses map[string]response `json:"responses"`
	} `json:"components"`
}

type operation struct {
	Responses map[string]response `json:"responses"`
}

type response struct {
	Ref     string                     `json:"$ref"`
	Headers map[string]json.RawMessage `json:"headers"`
	Content map[string]json.RawMessage `json:"content"`
}

func readOpenAPI(t *testing.T) *openapi {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "gs1", "rest-bindings", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc openapi
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}

// TestAnswersAsSpecified calls every operation of GS1's document: its good answer must have
// the status, the type and the headers that are specified, and each refusal that can be
// brought about must be one that is specified, as a problem.
func TestAnswersAsSpecified(t *testing.T) {
	t.Parallel()
	w, doc := newWorld(t), readOpenAPI(t)
	w.want(w.ask("POST", "/epcis/capture", []byte(tracetest.Document(tracetest.Event(map[string]any{
		"disposition": "in_transit", "readPoint": map[string]any{"id": "https://example.com/r"}, "bizLocation": map[string]any{"id": "https://example.com/l"},
		"epcList": []string{"urn:epc:id:sscc:4012345.0000000111"}, "eventID": "urn:uuid:1",
	})))), http.StatusAccepted)
	var jobs []job
	if err := json.Unmarshal(w.want(w.ask("GET", "/epcis/capture", nil), http.StatusOK), &jobs); err != nil || len(jobs) != 1 {
		t.Fatal(err, jobs)
	}
	subscribe := []byte(`{"dest":"https://erp.example/in","signatureToken":"s3cret","stream":true}`)
	query := []byte(`{"name":"mine","query":{"EQ_bizStep":["shipping"]}}`)
	w.want(w.ask("POST", "/epcis/queries", query), http.StatusCreated)
	var made subscriptionView
	if err := json.Unmarshal(w.want(w.ask("POST", "/epcis/queries/mine/subscriptions", subscribe), http.StatusCreated), &made); err != nil {
		t.Fatal(err)
	}
	alone := func(with map[string]any) []byte {
		with["@context"] = trace.StandardContext
		raw, err := json.Marshal(tracetest.Event(with))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	values := strings.NewReplacer("{captureID}", jobs[0].CaptureID, "{eventID}", "urn:uuid:1", "{eventType}", "ObjectEvent",
		"{epc}", url.PathEscape("urn:epc:id:sscc:4012345.0000000111"), "{bizStep}", "shipping", "{bizLocation}", url.PathEscape("https://example.com/l"),
		"{readPoint}", url.PathEscape("https://example.com/r"), "{disposition}", "in_transit", "{queryName}", "mine", "{token}", "x",
		"{subscriptionID}", made.SubscriptionID)
	bodies := map[string][]byte{
		"POST /capture": []byte(tracetest.Document(tracetest.Event(nil))), "POST /events": alone(map[string]any{"bizStep": "packing"}),
		"POST /queries": []byte(`{"name":"yours","query":{"EQ_bizStep":["shipping"]}}`),
		"POST /queries/{queryName}/subscriptions": []byte(`{"dest":"https://erp.example/in","schedule":{"hour":"1","minute":5}}`),
	}
	tried := 0
	paths := slices.Sorted(keysOf(doc.Paths))
	slices.Reverse(paths) // what is removed is removed last
	for _, path := range paths {
		for _, method := range []string{"OPTIONS", "GET", "POST", "DELETE"} {
			raw, ok := doc.Paths[path][strings.ToLower(method)]
			if !ok {
				continue
			}
			if method == "DELETE" && path == "/queries/{queryName}" {
				continue // at the end
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			tried++
			w.holds(doc, method, path, &op, values.Replace("/epcis"+path), bodies[method+" "+path])
		}
	}
	w.want(w.ask("DELETE", "/epcis/queries/mine", nil), http.StatusNoContent)
	if tried < 45 {
		t.Errorf("only %d operations were tried", tried)
	}
}

func keysOf[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (w *world) holds(doc *openapi, method, path string, op *operation, target string, body []byte) {
	w.Helper()
	name := method + " " + path
	rec := w.ask(method, target, body)
	spec, ok := op.Responses[fmt.Sprint(rec.Code)]
	if !ok || rec.Code >= 400 && path != "/nextPageToken/{token}" {
		w.Errorf("%s: status %d: %s", name, rec.Code, rec.Body)
		return
	}
	spec = spec.resolved(doc)
	for header := range spec.Headers {
		optional := header == "Link" || header == "GS1-Next-Page-Token-Expires" || header == "GS1-Query-Min-Record-Time"
		if _, there := rec.Result().Header[http.CanonicalHeaderKey(header)]; !there && !optional {
			w.Errorf("%s: header %s is missing", name, header)
		}
	}
	kind := rec.Result().Header.Get("Content-Type")
	if _, ok := spec.Content[kind]; len(spec.Content) > 0 && !ok {
		w.Errorf("%s: type %q, want one of %v", name, kind, slices.Sorted(keysOf(spec.Content)))
	}
	refusals := map[string]*httptest.ResponseRecorder{
		"no key":  w.ask(method, target, body, "Authorization", "Bearer no"),
		"unknown": w.ask(method, strings.NewReplacer("urn:uuid:1", "urn:uuid:2", "ObjectEvent", "NoEvent", "0000000111", "0000000999", "shipping", "nothing", "%2Fl", "%2Fm", "%2Fr", "%2Fs", "in_transit", "nowhere", "mine", "none", "/sub_", "/sub_9", "cap_0", "cap_9").Replace(target), body),
	}
	if method == "GET" {
		refusals["another type"] = w.ask(method, target, nil, "Accept", "image/png")
		refusals["long"] = w.ask(method, target+"?MATCH_epc=urn:"+strings.Repeat("x", urlBytesMax), nil)
	}
	if method == "POST" {
		refusals["a picture"] = w.ask(method, target, body, "Content-Type", "image/png")
		refusals["no document"] = w.ask(method, target, []byte("{"))
		refusals["again"] = w.ask(method, target, body)
	}
	for what, rec := range refusals {
		if rec.Code < 400 {
			continue // it means nothing here
		}
		_, ok := op.Responses[fmt.Sprint(rec.Code)]
		var p problem
		err := json.Unmarshal(rec.Body.Bytes(), &p)
		unsaid := what == "long" || what == "no document" || strings.Contains(target, "nextPageToken") // not every operation names them
		if !ok && !unsaid || err != nil || p.Status != rec.Code || !strings.HasPrefix(p.Type, "epcisException:") ||
			rec.Result().Header.Get("Content-Type") != "application/problem+json" {
			w.Errorf("%s, %s: status %d: %s", name, what, rec.Code, rec.Body)
		}
	}
	if refusals["no key"].Code != http.StatusUnauthorized {
		w.Errorf("%s: without a key %d", name, refusals["no key"].Code)
	}
}

func (r response) resolved(doc *openapi) response {
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		return doc.Components.Responses[name]
	}
	return r
}

// TestExamplesThroughHTTP puts GS1's examples in, XML too, and takes every event out again.
func TestExamplesThroughHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	codec := trace.NewCodec(trace.UsualLimits())
	root := filepath.Join("..", "testdata")
	n := 0
	for _, glob := range []string{"gs1/JSON/*.jsonld", "gs1/JSON/*/*.jsonld", "hash/*.xml"} {
		files, err := filepath.Glob(filepath.Join(root, glob))
		if err != nil || len(files) == 0 {
			t.Fatal(glob, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kind, read := "application/ld+json", codec.ReadJSON
			if filepath.Ext(file) == ".xml" {
				kind, read = "application/xml", codec.ReadXML
			}
			rec := w.ask("POST", "/epcis/capture", raw, "Content-Type", kind)
			w.want(rec, http.StatusAccepted)
			var j job
			if err := json.Unmarshal(w.want(w.ask("GET", rec.Header().Get("Location"), nil), http.StatusOK), &j); err != nil || !j.Success || len(j.Results) != j.Events {
				t.Fatalf("%s: %v, %+v", file, err, j)
			}
			d, err := read(string(raw))
			if err != nil {
				t.Fatal(err)
			}
			for _, sent := range d.Events {
				n++
				h := codec.Hash(sent.Event)
				back := w.want(w.ask("GET", "/epcis/events/"+url.PathEscape(h.String()), nil), http.StatusOK)
				got, err := codec.ReadJSON(string(back))
				if err != nil || len(got.Events) == 0 || len(got.Events[0].Problems) > 0 || codec.Hash(got.Events[0].Event) != h {
					t.Errorf("%s: %s came back as\n%s (%v)", file, h, back, err)
				}
				inXML := w.ask("GET", "/epcis/events/"+url.PathEscape(h.String()), nil, "Accept", "text/xml, application/json;q=0.5")
				got, err = codec.ReadXML(string(w.want(inXML, http.StatusOK)))
				if err != nil || len(got.Events) == 0 || len(got.Events[0].Problems) > 0 || codec.Hash(got.Events[0].Event) != h || inXML.Header().Get("Content-Type") != asXML {
					t.Errorf("%s: %s came back in XML as\n%s (%v)", file, h, inXML.Body, err)
				}
			}
		}
	}
	if n != 59 {
		t.Errorf("%d events, want 59", n)
	}
}

func TestContainersAndForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pack := func(parent string, at string, children ...string) map[string]any {
		return tracetest.Event(map[string]any{"type": "AggregationEvent", "action": "ADD", "epcList": nil, "parentID": parent, "childEPCs": children, "eventTime": at})
	}
	const box, pallet = "urn:epc:id:sscc:4012345.0000000111", "urn:epc:id:sscc:4012345.0000000222"
	w.want(w.ask("POST", "/epcis/capture", []byte(tracetest.Document(
		pack(box, "2026-02-01T10:00:00Z", tracetest.EPC(3, 1), tracetest.EPC(3, 2), tracetest.EPC(3, 3)), pack(pallet, "2026-02-02T10:00:00Z", box),
	)), "X-Brand-ID", "3"), http.StatusAccepted)
	ask := func(epc, query string) (c contained) {
		t.Helper()
		var out struct{ Data contained }
		if err := json.Unmarshal(w.want(w.ask("GET", "/api/v1/containers/"+url.PathEscape(epc)+query, nil), http.StatusOK), &out); err != nil {
			t.Fatal(err)
		}
		return out.Data
	}
	if c := ask(pallet, "?deep=true"); c.Items != 3 || len(c.EPCs) != 1 || len(c.Codes) != 3 {
		t.Errorf("the pallet: %+v", c)
	}
	if c := ask(pallet, ""); c.Items != 0 || len(c.EPCs) != 1 {
		t.Errorf("directly on the pallet: %+v", c)
	}
	if c := ask(tracetest.URN(3, 2), ""); len(c.Within) != 2 || c.Within[1].EPC != trace.Canonical(pallet) {
		t.Errorf("an item: %+v", c)
	}
	if c := ask(tracetest.URN(3, 2), "?at=2026-02-01T12:00:00Z"); len(c.Within) != 1 {
		t.Errorf("an item before the pallet: %+v", c)
	}
	rec := w.ask("GET", "/epcis/events?MATCH_parentID="+url.QueryEscape(box), nil, "GS1-EPC-Format", "Always_GS1_Digital_Link")
	if body := string(w.want(rec, http.StatusOK)); strings.Contains(body, "urn:epc:") || !strings.Contains(body, trace.Canonical(box)) {
		t.Errorf("as Digital Links: %s", body)
	}
	rec = w.ask("GET", "/epcis/events?MATCH_parentID="+url.QueryEscape(box), nil, "GS1-EPC-Format", "Always_EPC_URN")
	if body := string(w.want(rec, http.StatusOK)); strings.Contains(body, "https://id.gs1.org") || !strings.Contains(body, tracetest.URN(3, 1)) {
		t.Errorf("as URNs: %s", body)
	}
	first := w.ask("GET", "/epcis/events?perPage=1&orderBy=eventTime&orderDirection=ASC&GE_eventTime=2026-02-01T00:00:00+08:00", nil)
	w.want(first, http.StatusOK)
	link, _, _ := strings.Cut(strings.TrimPrefix(first.Header().Get("Link"), "<"), ">")
	if second := w.ask("GET", link, nil); !strings.Contains(string(w.want(second, http.StatusOK)), pallet) || second.Header().Get("Link") != "" {
		t.Errorf("the second page: %s, %q", second.Body, second.Header().Get("Link"))
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bomb := `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]><epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2">&c;</epcis:EPCISDocument>`
	for name, c := range map[string]struct {
		body, kind string
		status     int
	}{
		"entities":   {bomb, "application/xml", 400},
		"no root":    {"<a/>", "application/xml", 400},
		"half":       {"<a>", "text/xml", 400},
		"deep":       {strings.Repeat("[", 100_000), "application/json", 413},
		"deep XML":   {strings.Repeat("<a>", 100_000), "application/xml", 413},
		"many":       {"[" + strings.Repeat("1,", 2_000_000) + "1]", "application/json", 413},
		"long":       {strings.Repeat(" ", 33<<20), "application/json", 413},
		"no UTF-8":   {"{\"a\":\"\xff\"}", "application/json", 400},
		"no kind":    {"{}", "", 415},
		"other kind": {"{}", "text/plain", 415},
		"null":       {"null", "application/json", 400},
	} {
		rec := w.ask("POST", "/epcis/capture", []byte(c.body), "Content-Type", c.kind)
		if rec.Code != c.status {
			t.Errorf("%s: status %d, want %d: %.300s", name, rec.Code, c.status, rec.Body)
		}
	}
	if rec := w.ask("POST", "/epcis/capture", []byte(tracetest.Document()), "GS1-Capture-Error-Behaviour", "hope"); rec.Code != 400 {
		t.Errorf("an unknown behaviour: %d", rec.Code)
	}
}
