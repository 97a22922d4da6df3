package batchhttp_test

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const documentPath = "../../../docs/openapi.yaml"

var loadDocument = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromFile(documentPath) })

// document is docs/openapi.yaml, and which of its answers were seen.
type document struct {
	*openapi3.T

	mu   sync.Mutex
	seen map[string]bool // guarded by mu; "200 GET /path"
}

func openDocument(t *testing.T) *document {
	t.Helper()
	doc, err := loadDocument()
	if err != nil {
		t.Fatal(err)
	}
	return &document{T: doc, seen: map[string]bool{}}
}

// check holds one answer against the document, and the request too when it was
// accepted. Answers that no route gave (405, OPTIONS) are not in it.
func (d *document) check(t *testing.T, r *http.Request, raw []byte, rec *httptest.ResponseRecorder) {
	t.Helper()
	method, path, ok := strings.Cut(r.Pattern, " ")
	if !ok || rec.Code == http.StatusMethodNotAllowed || method == http.MethodOptions || r.Method == http.MethodHead {
		return
	}
	what := method + " " + path
	item := d.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		t.Errorf("%s is not in the document", what)
		return
	}
	op := item.GetOperation(method)
	answer := op.Responses.Status(rec.Code)
	if answer == nil {
		t.Errorf("%s: the document knows no answer %d: %.300s", what, rec.Code, rec.Body)
		return
	}
	d.mu.Lock()
	d.seen[strconv.Itoa(rec.Code)+" "+what] = true
	d.mu.Unlock()
	kind, _, err := mime.ParseMediaType(rec.Header().Get("Content-Type"))
	if err != nil && rec.Code != http.StatusNotModified {
		t.Errorf("%s: content type %q", what, rec.Header().Get("Content-Type"))
		return
	}
	if content := answer.Value.Content; len(content) > 0 {
		media := content.Get(kind)
		if media == nil {
			t.Errorf("%s %d: the document knows no %s", what, rec.Code, kind)
			return
		}
		if kind == "application/json" {
			visit(t, what+" answer", media.Schema, rec.Body.Bytes())
			checkEnvelope(t, what, rec)
		}
	}
	if rec.Code == http.StatusOK && len(raw) > 0 {
		visit(t, what+" request", op.RequestBody.Value.Content.Get("application/json").Schema, raw)
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
		t.Errorf("%s does not fit the document: %v\n%.500s", what, err, raw)
	}
}

// checkEnvelope holds an answer's code to its status.
func checkEnvelope(t *testing.T, what string, rec *httptest.ResponseRecorder) {
	t.Helper()
	var e struct{ Code int }
	if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Code != rec.Code {
		t.Errorf("%s: status %d, code %d (%v)", what, rec.Code, e.Code, err)
	}
}

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	doc := openDocument(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: operationId %q is missing or taken", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			for status, answer := range op.Responses.Map() {
				if answer.Value.Description == nil || *answer.Value.Description == "" {
					t.Errorf("%s %s %s is not described", method, path, status)
				}
				if media := answer.Value.Content.Get("application/json"); media != nil && media.Example == nil && !strings.HasPrefix(path, "/{code}") {
					t.Errorf("%s %s %s has no example", method, path, status)
				}
			}
		}
	}
}

// mountedElsewhere are the API routes of other packages.
var mountedElsewhere = []string{
	"GET /api/v1/codes/{code}/verify",
	"GET /api/v1/codes", "GET /api/v1/codes/{code}/scans", "GET /api/v1/scan-stats", "GET /api/v1/scan-stats/top",
	"GET /api/v1/brands/{brand_id}/scan-policy", "POST /api/v1/brands/{brand_id}/scan-policy",
	"GET /api/v1/dead-letters", "POST /api/v1/dead-letters/replay", "POST /api/v1/dead-letters/discard",
	"POST /api/v1/backup", "POST /api/v1/webhooks", "GET /api/v1/webhooks", "DELETE /api/v1/webhooks/{webhook_id}",
	"GET /api/v1/links", "PUT /api/v1/links", "DELETE /api/v1/links",
	"GET /api/v1/brands/{brand_id}/link-policy", "PUT /api/v1/brands/{brand_id}/link-policy",
	"GET /api/v1/openapi.json", "GET /api/v1/log/proof", "GET /api/v1/containers/{epc}",
	"POST /api/v1/complaints", "GET /api/v1/complaints", "GET /api/v1/complaints/{complaint_id}",
	"GET /api/v1/complaints/{complaint_id}/photo", "POST /api/v1/complaints/{complaint_id}/close",
	"GET /api/v1/trace/{code}", "GET /api/v1/brands/{brand_id}/places", "PATCH /api/v1/brands/{brand_id}/places",
	"GET /api/v1/reports/trace-flow", "GET /api/v1/reports/trace-completeness",
	"POST /api/v1/trace-sources", "GET /api/v1/trace-sources", "PATCH /api/v1/trace-sources/{source_id}",
	"POST /api/v1/trace-sources/{source_id}/remove", "POST /api/v1/trace-sources/{source_id}/test", "POST /api/v1/trace-sources/{source_id}/push",
	"POST /api/v1/containers", "GET /api/v1/containers", "GET /api/v1/containers/{epc}/packing", "POST /api/v1/containers/{epc}/add",
	"POST /api/v1/containers/{epc}/remove", "POST /api/v1/containers/{epc}/close", "POST /api/v1/containers/{epc}/discard",
	"POST /api/v1/trace-data", "POST /api/v1/trace-data/import", "GET /api/v1/trace-data/{code}", "GET /api/v1/search",
}

func TestDocumentHasTheRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var routes, documented []string
	for _, r := range w.rt.Routes() {
		if !strings.HasPrefix(r, "HEAD ") {
			routes = append(routes, r)
		}
	}
	for path, item := range w.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if r := method + " " + path; strings.HasPrefix(path, "/api/") && !slices.Contains(mountedElsewhere, r) && !slices.Contains(op.Tags, "people") {
				documented = append(documented, r)
			}
		}
	}
	slices.Sort(routes)
	slices.Sort(documented)
	if !slices.Equal(routes, documented) {
		t.Errorf("routes:\n%s\ndocument:\n%s", strings.Join(routes, "\n"), strings.Join(documented, "\n"))
	}
	for _, path := range []string{
		"/livez", "/readyz", "/health", "/ready", "/metrics", "/{code}", "/{code}/{token}", "/01/{gtin}/21/{serial}",
		"/01/{gtin}/10/{lot}/21/{serial}", "/demo", "/signin/{token}",
		"/.well-known/gs1resolver", "/.well-known/chopmark-keys.json", "/01/{gtin}", "/gs1/verify/01/{gtin}/21/{serial}",
	} {
		if w.doc.Paths.Value(path) == nil || w.doc.Paths.Value(path).Get == nil {
			t.Errorf("GET %s is not in the document", path)
		}
	}
}

// TestDocumentCatches plants what must not pass.
func TestDocumentCatches(t *testing.T) {
	t.Parallel()
	doc := openDocument(t)
	schema := doc.Paths.Value("/api/v1/batches/{batch_id}").Get.Responses.Status(200).Value.Content.Get("application/json")
	example := func() object {
		raw, err := json.Marshal(schema.Example)
		if err != nil {
			t.Fatal(err)
		}
		var e object
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	valid := func(e object) bool { return schema.Schema.Value.VisitJSON(e, openapi3.EnableJSONSchema2020()) == nil }
	if !valid(example()) {
		t.Fatal("the example itself does not fit")
	}
	for name, spoil := range map[string]func(data object){
		"a field too many": func(d object) { d["first_serial"] = 1.0 },
		"a field missing":  func(d object) { delete(d, "unclaimed") },
		"null":             func(d object) { d["created_at"] = nil },
		"a wrong type":     func(d object) { d["brand_id"] = "BRAND001" },
		"a wrong state":    func(d object) { d["state"] = "scanned" },
		"a wrong count":    func(d object) { d["counts"] = object{"scanned": 1.0} },
		"a wrong id":       func(d object) { d["batch_id"] = "bat_1" },
	} {
		e := example()
		spoil(e["data"].(object))
		if valid(e) {
			t.Errorf("%s passes", name)
		}
	}
}
