package scanhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scanhttp"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

type credentials struct{}

func (credentials) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") == "Bearer alice" {
		return httpx.Principal{ID: "key_alice", Name: "Alice", Access: httpx.Everything{}}, nil
	}
	return httpx.Principal{}, httpx.ErrNoAuth
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// catalog knows brands 1001 and 1002, each with one product and one batch.
type catalog struct {
	states map[ids.Serial]gs1.Disposition
}

const batchOne, batchTwo = ids.BatchID("bat_01j9zq3v5w7x8y2k4m6n0p1r3t"), ids.BatchID("bat_01j9zq3v5w7x8y2k4m6n0p1r3v")

func (catalog) batches() []scan.BatchInfo {
	return []scan.BatchInfo{
		{ID: batchOne, No: "B-1", First: 1000, Brand: 1001, Product: 2001},
		{ID: batchTwo, No: "B-2", First: 2000, Brand: 1002, Product: 2002},
	}
}

var (
	errBrand   = fault.New(fault.NotFound, "brand.unknown", "no such brand")
	errProduct = fault.New(fault.NotFound, "product.unknown", "no such product")
	errBatch   = fault.New(fault.NotFound, "batch.unknown", "no such batch")
)

func (catalog) Brand(_ context.Context, id ids.BrandID) (string, error) {
	if id != 1001 && id != 1002 {
		return "", errBrand
	}
	return "Brand", nil
}

func (catalog) Product(_ context.Context, id ids.ProductID) (ids.BrandID, string, error) {
	if id != 2001 && id != 2002 {
		return 0, "", errProduct
	}
	return ids.BrandID(id - 1000), "Product", nil
}

func (c catalog) Batch(_ context.Context, id ids.BatchID) (scan.BatchInfo, error) {
	for _, b := range c.batches() {
		if b.ID == id {
			return b, nil
		}
	}
	return scan.BatchInfo{}, errBatch
}

func (c catalog) BatchAt(_ context.Context, first ids.Serial) (scan.BatchInfo, bool, error) {
	for _, b := range c.batches() {
		if b.First == first {
			return b, true, nil
		}
	}
	return scan.BatchInfo{}, false, nil
}

func (c catalog) State(_ context.Context, s ids.Serial) (gs1.Disposition, error) {
	if d, ok := c.states[s]; ok && !d.Known() {
		return 0, scan.ErrUnknownCode
	} else if ok {
		return d, nil
	}
	return gs1.Active, nil
}

type singles []scan.Item

func (s singles) Changed(_ context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) (out []scan.Item, _ error) {
	for _, i := range s {
		if brand == 1001 && !i.At.Before(since) && (i.At.Before(before) || i.At.Equal(before) && i.Serial < beforeSerial) && len(out) < limit {
			out = append(out, i)
		}
	}
	return out, nil
}

// lags is a group that is two seconds behind.
type lags struct{}

func (lags) Lag(context.Context, string) (scan.Lag, error) {
	return scan.Lag{Records: 3, Age: 2 * time.Second}, nil
}

// world is the domain on its engine, behind its routes. Every answer is held against
// the document.
type world struct {
	t      *testing.T
	rt     *httpx.Router
	engine *scansql.Engine
	log    *scantest.Log
	states map[ids.Serial]gs1.Disposition
	now    time.Time
	doc    *openapi3.T
}

var loadDocument = sync.OnceValues(func() (*openapi3.T, error) {
	return openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml")
})

func newWorld(t *testing.T, changed ...scan.Item) *world {
	t.Helper()
	w := &world{t: t, log: scantest.NewLog(), states: map[ids.Serial]gs1.Disposition{}, now: scantest.Start()}
	var err error
	if w.doc, err = loadDocument(); err != nil {
		t.Fatal(err)
	}
	c := clock.Func(func() time.Time { return w.now })
	log, codes := slog.New(slog.DiscardHandler), scantest.Codes{Issued: 5000}
	if w.engine, err = scansql.Open(t.Context(), scansql.Config{Dir: t.TempDir(), Wrap: [32]byte{1}}, codes, c, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.engine.Close() })
	d := scan.Deps{
		Records: w.engine.Records, Statistics: w.engine.Statistics, Policies: w.engine.Vault, Codes: codes, Catalog: catalog{w.states},
		Trail: w.log, Tallies: w.log, Lags: lags{}, Clock: c, Singles: singles(changed),
	}
	w.rt = httpx.NewRouter(credentials{}, noMetrics{}, log)
	scanhttp.Mount(w.rt, scan.NewService(d))
	return w
}

// scan logs a scan of an item of brand 1001 (serials from 1000) or 1002 (from 2000).
func (w *world) scan(serial ids.Serial, with func(*verifyevent.Sighting)) verifyevent.Ref {
	s := verifyevent.Sighting{Serial: serial, At: w.now.UnixMicro(), Brand: 1001, Product: 2001, No: int64(serial) - 999, Verdict: scantest.Authentic, Source: 1}
	if serial >= 2000 {
		s.Brand, s.Product, s.No = 1002, 2002, int64(serial)-1999
	}
	if with != nil {
		with(&s)
	}
	return w.log.Scan(s)
}

// consume lets both groups have everything.
func (w *world) consume() {
	w.t.Helper()
	w.log.Flush()
	scantest.Consume(w.t, scan.GroupRecords, w.engine.Records, scansql.Split, w.log.Records)
	scantest.Consume(w.t, scan.GroupStatistics, w.engine.Statistics, scansql.Split, w.log.Records)
}

type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
	data   map[string]any
	code   string
}

func (w *world) send(method, target, body string, headers ...string) *reply {
	w.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer alice")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	w.check(r, body, rec)
	out := &reply{t: w.t, what: method + " " + target, status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	var e struct {
		Error string         `json:"error"`
		Data  map[string]any `json:"data"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil {
		w.t.Fatalf("%s: answer is not JSON: %v", out.what, err)
	}
	out.data, out.code = e.Data, e.Error
	return out
}

func (w *world) get(target string, headers ...string) *reply {
	w.t.Helper()
	return w.send(http.MethodGet, target, "", headers...)
}

// check holds an answer against the document.
func (w *world) check(r *http.Request, body string, rec *httptest.ResponseRecorder) {
	w.t.Helper()
	method, path, ok := strings.Cut(r.Pattern, " ")
	if !ok || rec.Code == http.StatusMethodNotAllowed {
		return
	}
	item := w.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		w.t.Fatalf("%s is not in the document", r.Pattern)
	}
	op := item.GetOperation(method)
	answer := op.Responses.Status(rec.Code)
	if answer == nil {
		w.t.Fatalf("%s: the document knows no answer %d: %.300s", r.Pattern, rec.Code, rec.Body)
	}
	kind, _, err := mime.ParseMediaType(rec.Header().Get("Content-Type"))
	if err != nil || answer.Value.Content.Get(kind) == nil {
		w.t.Fatalf("%s %d: content type %q: %v", r.Pattern, rec.Code, kind, err)
	}
	visit(w.t, r.Pattern+" "+strconv.Itoa(rec.Code), answer.Value.Content.Get(kind).Schema, rec.Body.Bytes())
	if rec.Code == http.StatusOK && body != "" {
		visit(w.t, r.Pattern+" request", op.RequestBody.Value.Content.Get("application/json").Schema, []byte(body))
	}
}

func visit(t *testing.T, what string, schema *openapi3.SchemaRef, raw []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if err := schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s does not fit the document: %v\n%.700s", what, err, bytes.TrimSpace(raw))
	}
}

func (r *reply) ok() *reply {
	r.t.Helper()
	if r.status != http.StatusOK {
		r.t.Fatalf("%s: status %d: %.500s", r.what, r.status, r.body)
	}
	return r
}

func (r *reply) fails(status int, code string) *reply {
	r.t.Helper()
	if r.status != status || r.code != code {
		r.t.Errorf("%s: %d %s, want %d %s: %.300s", r.what, r.status, r.code, status, code, r.body)
	}
	return r
}

func (r *reply) has(parts ...string) *reply {
	r.t.Helper()
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			r.t.Errorf("%s: no %q in %.900s", r.what, p, r.body)
		}
	}
	return r
}

func (r *reply) lacks(parts ...string) *reply {
	r.t.Helper()
	for _, p := range parts {
		if strings.Contains(r.body, p) {
			r.t.Errorf("%s: %q is in %.900s", r.what, p, r.body)
		}
	}
	return r
}

func (r *reply) list(field string) []any {
	r.t.Helper()
	l, ok := r.data[field].([]any)
	if !ok {
		r.t.Fatalf("%s: no list %s in %.300s", r.what, field, r.body)
	}
	return l
}

func (r *reply) cursor() string {
	s, _ := r.data["cursor"].(string)
	return s
}
