package batchhttp_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestAnswersMatchDocument draws from the real routes every answer that the
// document promises, each of which is held against its schema. Not drawn are those
// that need a race (409 of most routes), a fault inside (500) or a crowd (503).
func TestAnswersMatchDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tourMutations()
	link := w.tourReads()
	w.tourFiles(link)
	var undrawn []string
	for path, item := range w.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !strings.HasPrefix(path, "/api/") || slices.Contains(mountedElsewhere, method+" "+path) {
				continue
			}
			for status := range op.Responses.Map() {
				key := status + " " + method + " " + path
				if !w.doc.seen[key] && !slices.Contains([]string{"409", "500", "503"}, status) && !toldElsewhere(op, status) {
					undrawn = append(undrawn, key)
				}
			}
		}
	}
	slices.Sort(undrawn)
	if len(undrawn) > 0 {
		t.Errorf("the document promises what no route answered:\n%s", strings.Join(undrawn, "\n"))
	}
}

func (w *world) tourMutations() {
	w.t.Helper()
	for _, m := range prepared(w) {
		key := "Idempotency-Key: tour " + m.name
		w.mutate(m.target, m.body, key).ok()
		w.mutate(m.target, m.other, key).fails(422, "idempotency.mismatch")
		w.mutate(m.target, `{"a"`).fails(400, "input.bad_json")
		w.mutate(m.target, m.body, "Authorization: ").fails(401, "auth.required")
		w.mutate(m.target, m.body, "Content-Type: text/plain").fails(415, "input.not_json")
		w.mutate(m.target, strings.Repeat(" ", 5<<20)+"{}").fails(413, "input.too_large")
	}
	const noBatch = "/api/v1/batches/bat_00000000000000000000000000"
	for target, body := range map[string]object{
		"/api/v1/products":                         {"brand_id": 5, "name": "x"},
		"/api/v1/products/5/claims":                {"quantity": 1, "claimant": "l"},
		"/api/v1/codes/generate":                   {"brand_id": 5, "product_id": 5, "batch_no": "x", "quantity": 1},
		"/api/v1/batches":                          {"product_id": 5, "batch_no": "x", "quantity": 1},
		noBatch + "/claims":                        {"quantity": 1, "claimant": "l"},
		noBatch + "/claims/clm_1/return":           {"from_no": 1},
		noBatch + "/export":                        {},
		"/api/v1/codes/state":                      {"select": object{"batch_id": "bat_1"}, "to": "active", "reason": "r"},
		"/api/v1/codes/000000000000000000/reissue": {},
		"PATCH /api/v1/brands/5":                   {"name": "x"},
		"PATCH /api/v1/products/5":                 {"name": "x"},
		"PATCH /api/v1/brands/5/settings":          {"page": object{"hide_places": true}},
		"PUT /api/v1/brands/5/logo":                {},
	} {
		if r := w.mutate(target, body); r.status != http.StatusNotFound {
			w.t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

// tourReads gives the download link of a file that is whole.
func (w *world) tourReads() (link string) {
	w.t.Helper()
	b := w.get("/api/v1/batches").ok().list("batches")[0].(object)
	batchID, product := b["batch_id"].(string), int64(b["product_id"].(float64))
	whole := w.batch(product, "tour", 10, object{"rotate_every": "1h"})
	r := w.post("/api/v1/batches/"+whole+"/export", object{"unclaimed": true}).ok()
	w.finish(r.text("task_id"))
	link = path(w.t, r.text("download_url"))
	code := unzip(w.t, w.get(link).ok().body)[1][1]
	w.state("active", code).ok()
	for _, target := range []string{
		"/api/v1/brands", "/api/v1/brands/1001", "/api/v1/brands/1001/settings", "/api/v1/products", "/api/v1/products/32025", "/api/v1/batches", "/api/v1/batches/" + batchID,
		"/api/v1/batches/" + whole + "/claims", "/api/v1/codes/" + code, "/api/v1/codes/" + code + "/changes", "/api/v1/codes/" + code + "/link",
		"/api/v1/codes/" + code + "/qr.svg", "/api/v1/codes/" + code + "/qr.png", "/api/v1/events", "/api/v1/tasks", "/api/v1/tasks/" + r.text("task_id"),
	} {
		w.get(target + "?tz=Asia/Shanghai").ok()
		w.get(target, "Authorization: Bearer nonsense").fails(401, "auth.required")
	}
	for _, target := range []string{
		"/api/v1/brands?limit=0", "/api/v1/brands/x", "/api/v1/brands/x/settings", "/api/v1/products?limit=0", "/api/v1/products/x", "/api/v1/batches?limit=0",
		"/api/v1/batches/" + batchID + "?tz=x", "/api/v1/batches/" + batchID + "/claims?limit=0", "/api/v1/events?limit=0", "/api/v1/tasks?limit=0",
		"/api/v1/codes/1", "/api/v1/codes/1/changes", "/api/v1/codes/1/link", "/api/v1/codes/1/qr.svg", "/api/v1/codes/1/qr.png",
	} {
		if r := w.get(target); r.status != http.StatusBadRequest {
			w.t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
	const stranger = "000000000000000000"
	for _, target := range []string{
		"/api/v1/brands/5", "/api/v1/brands/5/settings", "/api/v1/products/5", "/api/v1/products?brand_id=5", "/api/v1/batches?product_id=5", "/api/v1/batches/x",
		"/api/v1/batches/x/claims", "/api/v1/tasks/x", "/api/v1/codes/" + stranger, "/api/v1/codes/" + stranger + "/changes",
		"/api/v1/codes/" + stranger + "/link", "/api/v1/codes/" + stranger + "/qr.svg", "/api/v1/codes/" + stranger + "/qr.png",
	} {
		if r := w.get(target); r.status != http.StatusNotFound {
			w.t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
	return link
}

func (w *world) tourFiles(link string) {
	w.t.Helper()
	bare, _, _ := strings.Cut(link, "?")
	logo := w.mutate("PUT /api/v1/brands/1001/logo", object{"image": dot}).ok().text("logo")
	for _, ask := range []struct {
		target, header string
		status         int
	}{
		{link, "Authorization: ", http.StatusOK},
		{link, "Range: bytes=0-3", http.StatusPartialContent},
		{link, "Range: bytes=999999-", http.StatusRequestedRangeNotSatisfiable},
		{link, "If-None-Match: *", http.StatusNotModified},
		{bare, "Authorization: ", http.StatusUnauthorized},
		{"/api/v1/files/x", "Accept: */*", http.StatusNotFound},
		{logo, "Authorization: ", http.StatusOK},
		{"/api/v1/images/x", "Accept: */*", http.StatusNotFound},
	} {
		if r := w.get(ask.target, ask.header); r.status != ask.status {
			w.t.Errorf("%s %s: %d, want %d", ask.target, ask.header, r.status, ask.status)
		}
	}
	w.pass(26 * time.Hour)
	w.get(link, "Authorization: ").fails(403, "file.link_expired")
}

// toldElsewhere reports that another package's test sees the answer: that of a caller who
// may not, and those about people.
func toldElsewhere(op *openapi3.Operation, status string) bool {
	return slices.Contains(op.Tags, "people") || strings.HasSuffix(op.Responses.Value(status).Ref, "/Forbidden")
}
