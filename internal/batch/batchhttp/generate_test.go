package batchhttp_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch/batchhttp"
)

// unzip reads the one CSV of an export.
func unzip(t *testing.T, body string) [][]string {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != 1 {
		t.Fatalf("%d files in the zip", len(z.File))
	}
	f, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// path is a download_url without its origin.
func path(t *testing.T, url string) string {
	t.Helper()
	p, ok := strings.CutPrefix(url, publicURL)
	if !ok {
		t.Fatalf("download_url %s does not begin with %s", url, publicURL)
	}
	return p
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, product := w.brand("Acme")
	r := w.post("/api/v1/codes/generate", object{
		"brand_id": brand, "product_id": product, "batch_no": "B20240101001", "quantity": 1000, "expire_hours": 24, "description": "first",
	}).ok()
	if got := r.number("estimated_time"); got != 1 {
		t.Errorf("estimated_time %d", got)
	}
	done := w.finish(r.text("task_id")).has(`"state":"done"`, `"done":1000`, `"total":1000`, `"error":null`, `"step":"NotifyCompletion"`)
	if done.text("download_url") != r.text("download_url") {
		t.Errorf("download_url changed from %s to %s", r.text("download_url"), done.text("download_url"))
	}
	file := w.get(path(t, r.text("download_url")), "Authorization: ").ok().
		head("Content-Type", "application/zip").head("Cache-Control", "private, no-store").
		head("Content-Disposition", `attachment; filename="`+r.text("task_id")+`.zip"`)
	rows := unzip(t, file.body)
	if len(rows) != 1001 || !slices.Equal(rows[0], []string{"no", "code", "url"}) || rows[1][0] != "1" || rows[1000][0] != "1000" {
		t.Fatalf("%d rows, first %v", len(rows), rows[:2])
	}
	code := rows[1][1]
	if rows[1][2] != publicURL+"/"+code {
		t.Errorf("url %s", rows[1][2])
	}
	w.get("/api/v1/codes/"+code).ok().has(`"state":"encoded"`, `"no":1`, `"expires_at":"2026-03-02T08:30:15.123456Z"`, `"changed":null`)
	b := w.get("/api/v1/batches/"+done.text("batch_id")).ok().has(`"claimed":1000`, `"unclaimed":0`, `"description":"first"`, `"rotate_every":"off"`)
	b.has(`"counts":{"encoded":1000}`, `"state":"encoded"`)
	if got, want := w.events(), []string{"code.generated batch", "code.generated file"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
	if got, want := w.issued, []string{fmt.Sprint(brand, " 1000 false")}; !slices.Equal(got, want) {
		t.Errorf("metrics %v, want %v", got, want)
	}
}

func TestGenerateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, mine := w.brand("Mine")
	w.brand("Other")
	w.post("/api/v1/codes/generate", object{"brand_id": 1001, "product_id": mine, "batch_no": "TAKEN", "quantity": 1}).ok()
	for _, bad := range []struct {
		status     int
		code, body string
	}{
		{400, "quantity.too_small", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":0}`},
		{400, "quantity.too_small", `{"brand_id":1001,"product_id":32025,"batch_no":"B"}`},
		{400, "quantity.too_small", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":-1}`},
		{400, "quantity.too_large", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":1000001}`},
		{400, "input.bad_type", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":"10"}`},
		{400, "input.bad_type", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":10.5}`},
		{400, "input.bad_type", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":1e30}`},
		{400, "input.bad_type", `{"brand_id":1001,"product_id":32025,"batch_no":5,"quantity":1}`},
		{404, "brand.unknown", `{"brand_id":5,"product_id":32025,"batch_no":"B","quantity":1}`},
		{404, "brand.unknown", `{"brand_id":0,"product_id":32025,"batch_no":"B","quantity":1}`},
		{404, "product.unknown", `{"brand_id":1001,"product_id":5,"batch_no":"B","quantity":1}`},
		{400, "product.other_brand", `{"brand_id":1002,"product_id":32025,"batch_no":"B","quantity":1}`},
		{400, "input.required", `{"product_id":32025,"batch_no":"B","quantity":1}`},
		{400, "input.required", `{"brand_id":1001,"batch_no":"B","quantity":1}`},
		{400, "input.empty", `{"brand_id":1001,"product_id":32025,"quantity":1}`},
		{400, "input.too_long", `{"brand_id":1001,"product_id":32025,"batch_no":"` + strings.Repeat("b", 65) + `","quantity":1}`},
		{400, "batch.bad_expiry", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":1,"expire_hours":0}`},
		{400, "batch.bad_expiry", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":1,"expire_hours":-5}`},
		{400, "batch.bad_expiry", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":1,"expire_hours":2000000000}`},
		{400, "input.unknown_field", `{"brand_id":1001,"product_id":32025,"batch_no":"B","quantity":1,"rotate_every":"1h"}`},
		{409, "batch.exists", `{"brand_id":1001,"product_id":32025,"batch_no":"TAKEN","quantity":1}`},
	} {
		w.post("/api/v1/codes/generate", bad.body).fails(bad.status, bad.code)
	}
	if got := len(w.get("/api/v1/batches").ok().list("batches")); got != 1 {
		t.Errorf("%d batches, want the first alone", got)
	}
	if got := w.issued[len(w.issued)-1]; got != "1001 0 true" {
		t.Errorf("metrics of a conflict: %s", got)
	}
	if got := w.issued[1]; got != "0 0 true" {
		t.Errorf("metrics of bad input: %s", got)
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	w := newWorld(t, func(_ *batchhttp.Deps, h *held) { h.gate = gate })
	brand, product := w.brand("Acme")
	r := w.post("/api/v1/codes/generate", object{"brand_id": brand, "product_id": product, "batch_no": "B", "quantity": 5}).ok()
	w.get("/api/v1/tasks/"+r.text("task_id")).ok().has(`"state":"queued"`, `"done":0`, `"total":5`, `"step":"ReserveCodes"`).head("Cache-Control", "no-store")
	w.get(path(t, r.text("download_url")), "Authorization: ").fails(404, "blob.unknown")
	close(gate)
	w.finish(r.text("task_id")).has(`"state":"done"`)
	w.get(path(t, r.text("download_url")), "Authorization: ").ok()
	w.get("/api/v1/tasks?limit=1").ok().has(r.text("task_id"), `"state":"done"`, `"brand_id":1001`, `"cursor":null`).head("Cache-Control", "no-store")
	w.get("/api/v1/tasks?cursor=eyJsIjoiYmF0Y2hlcyJ9").fails(400, "input.bad_cursor")
	w.get("/api/v1/tasks", "Authorization: ").fails(401, "auth.required")

	for _, id := range []string{"task_123456", "x", "bat_00000000000000000000000000", "task_00000000000000000000000000", "..%2fx", strings.Repeat("t", 10<<10)} {
		w.get("/api/v1/tasks/"+id).fails(404, "task.unknown")
	}
	w.get("/api/v1/tasks/"+r.text("task_id"), "Authorization: ").fails(401, "auth.required")
}

func TestFileLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, product := w.brand("Acme")
	r := w.post("/api/v1/codes/generate", object{"brand_id": brand, "product_id": product, "batch_no": "B", "quantity": 50}).ok()
	w.finish(r.text("task_id"))
	link := path(t, r.text("download_url"))
	bare, query, _ := strings.Cut(link, "?")
	const stranger = "Authorization: "

	whole := w.get(link, stranger).ok().body
	part := w.get(link, stranger, "Range: bytes=10-19")
	if part.status != http.StatusPartialContent || part.body != whole[10:20] {
		t.Errorf("range: %d, %d bytes", part.status, len(part.body))
	}
	if r := w.get(link, stranger, "Range: bytes=99999999-"); r.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("range outside: %d", r.status)
	}
	if r := w.get(link, stranger, `If-None-Match: "`+strings.TrimPrefix(bare, "/api/v1/files/")+`"`); r.status != http.StatusNotModified {
		t.Errorf("known file: %d", r.status)
	}
	head := w.send(http.MethodHead, link, nil, stranger)
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(whole)) {
		t.Errorf("HEAD: %d, %d bytes, length %s", head.status, len(head.body), head.header.Get("Content-Length"))
	}

	w.get(bare).ok()
	w.get(bare, stranger).fails(401, "file.bad_link")
	w.get(bare+"?"+query, "Authorization: Bearer nonsense").fails(401, "auth.required")
	for _, q := range []string{
		strings.Replace(query, "expires=1", "expires=2", 1), query + "x", strings.Replace(query, "sig=", "sig=A", 1),
		"sig=&expires=99999999999", "expires=x&sig=y", strings.Split(query, "&")[0],
	} {
		w.get(bare+"?"+q, stranger).fails(401, "file.bad_link")
	}
	other := w.post("/api/v1/codes/generate", object{"brand_id": brand, "product_id": product, "batch_no": "C", "quantity": 50}).ok()
	otherBare, _, _ := strings.Cut(path(t, other.text("download_url")), "?")
	w.get(otherBare+"?"+query, stranger).fails(401, "file.bad_link")
	for _, name := range []string{"keyset.json", "chopmark.db", "..%2fchopmark.db", "%2e%2e", "x.zip", "task_00000000000000000000000000.zip", "task_00000000000000000000000000.zip.part", strings.Repeat("a", 10<<10)} {
		w.get("/api/v1/files/"+name).fails(404, "blob.unknown")
		w.get("/api/v1/files/"+name, stranger).fails(401, "file.bad_link")
	}

	w.pass(24*time.Hour + 59*time.Minute)
	w.get(link, stranger).ok()
	w.pass(time.Hour)
	w.get(link, stranger).fails(403, "file.link_expired")
	w.get(link).ok()
	fresh := w.get("/api/v1/tasks/" + r.text("task_id")).ok().text("download_url")
	w.get(path(t, fresh), stranger).ok()
}

func TestFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 100, nil)
	for _, f := range []struct{ format, kind, begins string }{
		{"ndjson", "application/x-ndjson", "{"}, {"labels-pdf", "application/pdf", "%PDF-"}, {"csv", "application/zip", "PK"},
	} {
		r := w.post("/api/v1/batches/"+b+"/export", object{"from_no": 1, "to_no": 10, "format": f.format, "unclaimed": true}).ok()
		w.finish(r.text("task_id")).has(`"state":"done"`, `"total":10`)
		got := w.get(path(t, r.text("download_url")), "Authorization: ").ok().head("Content-Type", f.kind)
		if !strings.HasPrefix(got.body, f.begins) {
			t.Errorf("%s begins with %.10q", f.format, got.body)
		}
	}
}

// TestRealServer fetches a range through a real connection.
func TestRealServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, product := w.brand("Acme")
	r := w.post("/api/v1/codes/generate", object{"brand_id": brand, "product_id": product, "batch_no": "B", "quantity": 20}).ok()
	w.finish(r.text("task_id"))
	server := w.serve()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path(t, r.text("download_url")), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=0-3")
	answer, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusPartialContent || !bytes.Equal(body, []byte("PK\x03\x04")) {
		t.Errorf("%d %q %v", answer.StatusCode, body, err)
	}
}
