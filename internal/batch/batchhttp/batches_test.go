package batchhttp_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
)

func TestBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	made := w.post("/api/v1/batches", object{
		"product_id": product, "batch_no": "B-1", "quantity": 10_000_000_000, "rotate_every": "1h", "mark": "display",
		"inner_code": true, "expires_at": "2027-01-01T00:00:00+08:00", "production_date": "2026-02-27", "description": "big",
	}).ok().has(`"first_no":1`, `"quantity":10000000000`, `"state":"encoded"`)
	b := w.get("/api/v1/batches/" + made.text("batch_id") + "?tz=Asia/Shanghai").ok()
	b.has(`"counts":{"encoded":10000000000}`, `"claimed":0`, `"unclaimed":10000000000`, `"rotate_every":"1h"`, `"mark":"display"`,
		`"inner_code":true`, `"expires_at":"2026-12-31T16:00:00Z"`, `"expires_at_local":"2027-01-01T00:00:00+08:00"`,
		`"production_date":"2026-02-27"`, `"first_no":1`)
	b.lacks("serial", "key_inner", "InnerKey")
	if got, want := w.events(), []string{"code.generated batch"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}

	w.pass(time.Second)
	plain := w.batch(product, "B-2", 5, nil)
	w.get("/api/v1/batches/"+plain).ok().has(`"expires_at":null`, `"production_date":null`, `"inner_code":false`, `"mark":"print"`, `"rotate_every":"off"`)
	first := w.get("/api/v1/batches?limit=1").ok().has(plain).lacks(made.text("batch_id"))
	w.get("/api/v1/batches?limit=1&cursor="+first.text("cursor")).ok().has(made.text("batch_id"), `"cursor":null`).lacks(plain)
	_, other := w.brand("Other")
	w.get(fmt.Sprint("/api/v1/batches?product_id=", other)).ok().has(`"batches":[]`)
	w.get(fmt.Sprint("/api/v1/batches?product_id=", product)).ok().has(plain)
	w.get("/api/v1/batches?product_id=5").fails(404, "product.unknown")
	w.get("/api/v1/batches?limit=201").fails(400, "input.bad_limit")
	for _, id := range []string{"x", "bat_1", "bat_00000000000000000000000000", "%00", strings.Repeat("b", 10<<10)} {
		w.get("/api/v1/batches/"+id).fails(404, "batch.unknown")
	}
}

func TestBatchRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	w.batch(product, "TAKEN", 1, nil)
	for _, bad := range []struct {
		status     int
		code, rest string
	}{
		{400, "quantity.too_small", `"quantity":0`},
		{400, "quantity.too_small", `"quantity":-1`},
		{400, "quantity.too_large", `"quantity":10000000001`},
		{400, "rotate.bad_period", `"quantity":1,"rotate_every":"1s"`},
		{400, "rotate.bad_period", `"quantity":1,"rotate_every":"-1h"`},
		{400, "rotate.bad_period", `"quantity":1,"rotate_every":"hourly"`},
		{400, "rotate.bad_period", `"quantity":1,"rotate_every":"999999h"`},
		{400, "rotate.bad_period", `"quantity":1,"rotate_every":"60.5s"`},
		{400, "input.bad_type", `"quantity":1,"rotate_every":3600`},
		{400, "batch.bad_mark", `"quantity":1,"mark":"laser"`},
		{400, "input.bad_type", `"quantity":1,"inner_code":"yes"`},
		{400, "input.bad_time", `"quantity":1,"expires_at":"tomorrow"`},
		{400, "input.bad_time", `"quantity":1,"expires_at":"2027-01-01"`},
		{400, "input.bad_time", `"quantity":1,"expires_at":"0000-01-01T00:00:00Z"`},
		{400, "batch.bad_expiry", `"quantity":1,"expires_at":"2026-01-01T00:00:00Z"`},
		{400, "batch.bad_date", `"quantity":1,"production_date":"27.2.2026"`},
		{400, "input.unknown_field", `"quantity":1,"expire_hours":3`},
		{400, "input.repeated_field", `"quantity":1,"quantity":2`},
		{400, "input.unknown_field", `"Quantity":1`},
	} {
		body := `{"product_id":32025,"batch_no":"B",` + bad.rest + `}`
		w.post("/api/v1/batches", body).fails(bad.status, bad.code)
	}
	w.post("/api/v1/batches", `{"product_id":32025,"batch_no":"TAKEN","quantity":1}`).fails(409, "batch.exists")
	w.post("/api/v1/batches", `{"product_id":77,"batch_no":"B","quantity":1}`).fails(404, "product.unknown")
	w.post("/api/v1/batches", `{"batch_no":"B","quantity":1}`).fails(400, "input.required")
	if got := len(w.get("/api/v1/batches").ok().list("batches")); got != 1 {
		t.Errorf("%d batches, want 1", got)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 20_000, nil)
	claims := "/api/v1/batches/" + b + "/claims"
	first := w.post(claims, object{"quantity": 100, "claimant": "line 1"}).ok().has(`"from_no":1`, `"to_no":100`).lacks("task_id", "download_url")
	codes := first.texts("codes")
	if len(codes) != 100 {
		t.Fatalf("%d codes", len(codes))
	}
	w.get("/api/v1/codes/"+codes[41]).ok().has(`"no":42`, `"batch_id":"`+b+`"`)
	big := w.post(claims, object{"quantity": 10_001, "claimant": "line 2"}).ok().has(`"from_no":101`, `"to_no":10101`).lacks(`"codes"`)
	w.finish(big.text("task_id")).has(`"total":10001`)
	if rows := unzip(t, w.get(path(t, big.text("download_url")), "Authorization: ").ok().body); rows[1][0] != "101" || len(rows) != 10_002 {
		t.Errorf("%d rows, first %v", len(rows), rows[1])
	}
	w.get("/api/v1/batches/"+b).ok().has(`"claimed":10101`, `"unclaimed":9899`, `"counts":{"encoded":20000}`)
	w.post(claims, object{"quantity": 9900, "claimant": "line 3"}).fails(409, "batch.exhausted")
	w.post(claims, object{"quantity": 0, "claimant": "line 3"}).fails(400, "quantity.too_small")
	w.post(claims, object{"quantity": -1, "claimant": "line 3"}).fails(400, "quantity.too_small")
	w.post(claims, object{"quantity": 10_000_000_001, "claimant": "line 3"}).fails(400, "quantity.too_large")
	w.post(claims, object{"quantity": 1}).fails(400, "input.empty").has(`"field":"claimant"`)
	w.post("/api/v1/batches/x/claims", object{"quantity": 1, "claimant": "l"}).fails(404, "batch.unknown")

	list := w.get(claims+"?limit=1").ok().has("line 1", `"task_id":null`).lacks("line 2")
	w.get(claims+"?limit=1&cursor="+list.text("cursor")).ok().has("line 2", big.text("task_id"), `"cursor":null`).lacks("line 1")
	w.get(claims+"?tz=Asia/Shanghai").ok().has("line 1", "line 2", "+08:00")
	w.get("/api/v1/batches/x/claims").fails(404, "batch.unknown")
}

func TestReturns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 100, nil)
	claims := "/api/v1/batches/" + b + "/claims"
	c := w.post(claims, object{"quantity": 50, "claimant": "line 1"}).ok()
	codes, id := c.texts("codes"), c.text("claim_id")
	giveBack := func(from int64) *reply { return w.post(claims+"/"+id+"/return", object{"from_no": from}) }

	giveBack(41).ok().has(`"claim_id":"`+id+`"`, `"from_no":1`, `"to_no":40`, `"returned":true`)
	w.get("/api/v1/batches/"+b).ok().has(`"claimed":40`, `"unclaimed":60`)
	giveBack(41).fails(400, "claim.bad_range")
	giveBack(0).fails(400, "claim.bad_range")
	w.post(claims+"/"+id+"/return", `{}`).fails(400, "input.required")
	w.post(claims+"/"+id+"/return", `{"from_no":"1"}`).fails(400, "input.bad_type")
	w.post(claims+"/clm_1/return", object{"from_no": 1}).fails(404, "claim.unknown")
	other := w.batch(product, "C", 100, nil)
	w.post("/api/v1/batches/"+other+"/claims/"+id+"/return", object{"from_no": 1}).fails(404, "claim.unknown")

	w.state("active", codes[35]).ok()
	giveBack(30).fails(409, "claim.in_use")
	serial, _, err := w.svc.Resolve(codes[38])
	if err != nil {
		t.Fatal(err)
	}
	w.scans.Scan(serial)
	giveBack(38).fails(409, "claim.in_use")
	giveBack(40).ok().has(`"to_no":39`)
	// 41..50 and 40 were given back, and join what was free
	w.post(claims, object{"quantity": 61, "claimant": "line 2"}).ok().has(`"from_no":40`, `"to_no":100`)
	whole := w.batch(product, "D", 10, nil)
	c = w.post("/api/v1/batches/"+whole+"/claims", object{"quantity": 10, "claimant": "line 1"}).ok()
	w.post("/api/v1/batches/"+whole+"/claims/"+c.text("claim_id")+"/return", object{"from_no": 1}).ok().has(`"from_no":1`, `"to_no":0`)
	w.get("/api/v1/batches/" + whole + "/claims").ok().has(`"claims":[]`)
}

func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 20_000, nil)
	export := "/api/v1/batches/" + b + "/export"
	w.post(export, object{}).fails(409, "export.nothing")
	w.send(http.MethodPost, export, nil).fails(409, "export.nothing")
	w.codes(b, 10)
	r := w.post(export, object{}).ok()
	w.finish(r.text("task_id")).has(`"total":10`)
	w.get("/api/v1/batches/" + b).ok().has(`"claimed":10`)
	r = w.post(export, object{"from_no": 5, "to_no": 20, "unclaimed": true, "link": "gs1"}).ok()
	w.finish(r.text("task_id")).has(`"total":16`)
	rows := unzip(t, w.get(path(t, r.text("download_url")), "Authorization: ").ok().body)
	if rows[1][0] != "5" || len(rows) != 17 || rows[1][2] != publicURL+"/01/06901234567892/21/"+rows[1][1] {
		t.Errorf("%d rows, first %v", len(rows), rows[1])
	}
	w.get("/api/v1/batches/" + b).ok().has(`"claimed":20`)

	for _, bad := range []struct{ code, body, field string }{
		{"select.bad_range", `{"from_no":0}`, "from_no"},
		{"select.bad_range", `{"to_no":-3}`, "to_no"},
		{"select.bad_range", `{"from_no":9,"to_no":8}`, "from_no"},
		{"select.bad_range", `{"to_no":20001}`, "from_no"},
		{"export.bad_format", `{"format":"xlsx"}`, "format"},
		{"export.bad_layout", `{"layout":"a5"}`, "layout"},
		{"export.bad_link", `{"link":"long"}`, "link"},
		{"export.too_many_labels", `{"format":"labels-pdf","unclaimed":true}`, "to_no"},
	} {
		w.post(export, bad.body).fails(400, bad.code).has(`"field":"` + bad.field + `"`)
	}
	w.get("/api/v1/batches/" + b).ok().has(`"claimed":20`)
	display := w.batch(product, "D", 5, object{"mark": "display"})
	w.post("/api/v1/batches/"+display+"/export", `{"link":"gs1","unclaimed":true}`).fails(400, "export.no_gtin")
	w.post("/api/v1/batches/x/export", `{}`).fails(404, "batch.unknown")
}

func TestPoolClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, plain := w.brand("Acme")
	product := w.post("/api/v1/products", object{
		"brand_id": brand, "name": "Tea", "pool": object{"target": 10, "batch_quantity": 30, "rotate_every": "1h"},
	}).ok().number("product_id")
	claims := fmt.Sprintf("/api/v1/products/%d/claims", product)
	c := w.post(claims, object{"quantity": 5, "claimant": "line 1"}).ok()
	if got := len(c.texts("codes")); got != 5 {
		t.Errorf("%d codes", got)
	}
	w.get("/api/v1/batches/"+c.text("batch_id")).ok().has(`"batch_no":"POOL-20260301-001"`, `"quantity":30`, `"unclaimed":25`, `"rotate_every":"1h"`)
	w.post(claims, object{"quantity": 20, "claimant": "line 1"}).ok().has(c.text("batch_id"), `"from_no":6`)
	w.get(fmt.Sprint("/api/v1/batches?product_id=", product)).ok().has("POOL-20260301-002")
	w.post(claims, object{"quantity": 31, "claimant": "line 1"}).fails(409, "batch.exhausted")
	w.post(claims, object{"quantity": 0, "claimant": "line 1"}).fails(400, "quantity.too_small")
	w.post(fmt.Sprintf("/api/v1/products/%d/claims", plain), object{"quantity": 1, "claimant": "l"}).fails(409, "batch.exhausted")
	w.post("/api/v1/products/5/claims", object{"quantity": 1, "claimant": "l"}).fails(404, "product.unknown")
	w.post("/api/v1/products/x/claims", object{"quantity": 1, "claimant": "l"}).fails(400, "input.bad_number")
}

func TestGuessBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	var last *reply
	for i := range batch.ShardLimit(0)/batch.BatchMax + 1 {
		last = w.post("/api/v1/batches", object{"product_id": product, "batch_no": fmt.Sprint(i), "quantity": int64(batch.BatchMax)})
		if last.status != http.StatusOK {
			break
		}
	}
	if last.status != http.StatusConflict || !slices.Contains([]string{"batch.guess_bound", "batch.shard_full"}, last.code) {
		t.Errorf("%d %s", last.status, last.body)
	}
}
