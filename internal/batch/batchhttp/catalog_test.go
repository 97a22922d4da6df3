package batchhttp_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestBrands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.post("/api/v1/brands", object{"name": "茅台"}).ok().number("brand_id")
	second := w.post("/api/v1/brands", object{"name": "Acme"}).ok().number("brand_id")
	if first == second {
		t.Fatal("two brands have one id")
	}
	w.get("/api/v1/brands/1001").ok().has(`"name":"茅台"`, `"created_at":"2026-03-01T08:30:15.123456Z"`).lacks("created_at_local")
	w.get("/api/v1/brands/1001?tz=Asia/Shanghai").ok().has(`"created_at":"2026-03-01T08:30:15.123456Z"`, `"created_at_local":"2026-03-01T16:30:15.123456+08:00"`)
	w.get("/api/v1/brands/1001", "Time-Zone: Asia/Shanghai").ok().has(`"created_at_local":"2026-03-01T16:30`)
	w.get("/api/v1/brands/1001?tz=Nowhere/Land").fails(400, "input.bad_zone")
	w.get("/api/v1/brands/9").fails(404, "brand.unknown")
	w.get("/api/v1/brands/x").fails(400, "input.bad_number").has(`"field":"brand_id"`)
	w.get("/api/v1/brands/99999999999").fails(400, "input.bad_number")

	page := w.get("/api/v1/brands?limit=1").ok().has("茅台").lacks("Acme")
	w.get("/api/v1/brands?limit=1&cursor="+page.text("cursor")).ok().has("Acme", `"cursor":null`).lacks("茅台")
	w.get("/api/v1/brands").ok().has("茅台", "Acme", `"cursor":null`)

	for _, bad := range []struct{ body, code string }{
		{`{}`, "input.empty"},
		{`{"name":"  "}`, "input.empty"},
		{`{"name":"` + strings.Repeat("x", 257) + `"}`, "input.too_long"},
		{`{"name":"a\u0000b"}`, "input.bad_text"},
		{`{"name":5}`, "input.bad_type"},
		{`{"name":"a","colour":"red"}`, "input.unknown_field"},
		{`{"name":"a"} {}`, "input.bad_json"},
		{`{"name":`, "input.bad_json"},
		{`[]`, "input.bad_type"},
		{``, "input.bad_json"},
	} {
		w.post("/api/v1/brands", bad.body).fails(400, bad.code)
	}
	if got := len(w.get("/api/v1/brands").ok().list("brands")); got != 2 {
		t.Errorf("%d brands after refusals, want 2", got)
	}
}

func TestProducts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.post("/api/v1/brands", object{"name": "Mine"}).ok().number("brand_id")
	other := w.post("/api/v1/brands", object{"name": "Other"}).ok().number("brand_id")
	id := w.post("/api/v1/products", object{
		"brand_id": mine, "name": "Tea", "gtin": "6901234567892", "description": "green\nloose", "help": "400-1",
		"pool": object{"target": 100, "expire_hours": 48, "rotate_every": "90m", "mark": "display", "inner_code": true},
	}).ok().number("product_id")
	w.get("/api/v1/products/32025").ok().has(
		`"gtin":"06901234567892"`, `"description":"green\nloose"`,
		`"pool":{"target":100,"batch_quantity":100,"expire_hours":48,"rotate_every":"1h30m","mark":"display","inner_code":true,"label_signature":false}`)
	w.post("/api/v1/products", object{"brand_id": other, "name": "Plain"}).ok()
	w.get("/api/v1/products/32042").ok().has(`"gtin":null`, `"pool":null`)
	if id != 32025 {
		t.Fatalf("product_id %d", id)
	}

	w.get("/api/v1/products?brand_id=1001").ok().has("Tea").lacks("Plain")
	w.get("/api/v1/products?brand_id=1002").ok().has("Plain").lacks("Tea")
	w.get("/api/v1/products").ok().has("Plain", "Tea")
	w.get("/api/v1/products?brand_id=7").fails(404, "brand.unknown")
	w.get("/api/v1/products?brand_id=seven").fails(400, "input.bad_number")
	page := w.get("/api/v1/products?limit=1").ok().lacks("Plain")
	w.get("/api/v1/products?limit=1&cursor="+page.text("cursor")).ok().has("Plain", `"cursor":null`)
	brands := w.get("/api/v1/brands?limit=1").ok()
	w.get("/api/v1/products?cursor="+brands.text("cursor")).fails(400, "input.bad_cursor")
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "limit=-1"} {
		w.get("/api/v1/products?"+query).fails(400, "input.bad_limit")
	}
	w.get("/api/v1/products?cursor=%21").fails(400, "input.bad_cursor")
	w.get("/api/v1/products?cursor="+strings.Repeat("A", 5000)).fails(400, "input.bad_cursor")
	w.get("/api/v1/products/5").fails(404, "product.unknown")

	for _, bad := range []struct {
		status     int
		code, body string
	}{
		{404, "brand.unknown", `{"brand_id":5,"name":"x"}`},
		{404, "brand.unknown", `{"brand_id":-1,"name":"x"}`},
		{400, "input.required", `{"name":"x"}`},
		{400, "input.bad_type", `{"brand_id":"1001","name":"x"}`},
		{400, "input.bad_type", `{"brand_id":3000000000,"name":"x"}`},
		{400, "input.bad_type", `{"brand_id":1.5,"name":"x"}`},
		{400, "input.empty", `{"brand_id":1001}`},
		{400, "gs1.bad_gtin", `{"brand_id":1001,"name":"x","gtin":"6901234567893"}`},
		{400, "gs1.bad_gtin", `{"brand_id":1001,"name":"x","gtin":"690123456789"}`},
		{400, "gs1.bad_gtin", `{"brand_id":1001,"name":"x","gtin":"69O1234567892"}`},
		{400, "gs1.bad_gtin", `{"brand_id":1001,"name":"x","gtin":"６901234567892"}`},
		{400, "input.required", `{"brand_id":1001,"name":"x","pool":{}}`},
		{400, "pool.bad_target", `{"brand_id":1001,"name":"x","pool":{"target":-5}}`},
		{400, "pool.bad_quantity", `{"brand_id":1001,"name":"x","pool":{"target":5,"batch_quantity":-1}}`},
		{400, "rotate.bad_period", `{"brand_id":1001,"name":"x","pool":{"target":5,"rotate_every":"1s"}}`},
		{400, "batch.bad_mark", `{"brand_id":1001,"name":"x","pool":{"target":5,"mark":"laser"}}`},
		{400, "batch.bad_expiry", `{"brand_id":1001,"name":"x","pool":{"target":5,"expire_hours":0}}`},
		{400, "input.unknown_field", `{"brand_id":1001,"name":"x","pool":{"target":5,"size":1}}`},
		{400, "input.too_long", `{"brand_id":1001,"name":"x","help":"` + strings.Repeat("h", 4097) + `"}`},
	} {
		w.post("/api/v1/products", bad.body).fails(bad.status, bad.code)
	}
	w.post("/api/v1/products", `{"brand_id":1001,"name":"x","pool":{"target":5,"rotate_every":"hourly"}}`).has(`"field":"pool.rotate_every"`)
}

func TestBrandSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, _ := w.brand("Acme")
	path := fmt.Sprintf("/api/v1/brands/%d/settings", brand)
	w.get(path).ok().has(`"version":0`, `"misses_per_hour":0`, `"changed_at":null`)
	w.mutate("PATCH "+path, object{"limits": object{"misses_per_hour": 20}}).ok().has(`"version":1`)
	w.mutate("PATCH "+path, object{"page": object{"hide_places": true}}).ok().has(`"version":2`)
	w.get(path).ok().has(`"version":2`, `"misses_per_hour":20`, `"hide_places":true`)
	for body, code := range map[string]string{
		`{}`: "catalog.nothing_to_change", `{"limits":{"misses_per_hour":-1}}`: "brand.bad_settings", `{"limits":{"misses_per_hour":10001}}`: "brand.bad_settings",
		`{"limits":{"misses":1}}`: "input.unknown_field", `{"page":{"hide_places":"yes"}}`: "input.bad_type",
	} {
		w.mutate("PATCH "+path, body).fails(400, code)
	}
	w.get(path).ok().has(`"version":2`)
}

// TestBodies holds every route that takes a body to the common rules.
func TestBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B-1", 10, nil)
	code := w.codes(b, 1)[0]
	huge := `{"x":"` + strings.Repeat("a", 10<<20) + `"}`
	for _, target := range []string{
		"/api/v1/brands", "/api/v1/products", "/api/v1/products/32025/claims", "/api/v1/codes/generate", "/api/v1/batches",
		"/api/v1/batches/" + b + "/claims", "/api/v1/batches/" + b + "/claims/x/return", "/api/v1/batches/" + b + "/export",
		"/api/v1/codes/state", "/api/v1/codes/" + code + "/reissue",
	} {
		w.post(target, huge).fails(413, "input.too_large")
		w.post(target, `{"a":1}`, "Content-Type: text/plain").fails(415, "input.not_json")
		w.post(target, `a=1`, "Content-Type: application/x-www-form-urlencoded").fails(415, "input.not_json")
		w.post(target, `{"a":1}`, "Content-Type: ").fails(415, "input.not_json")
		w.post(target, `{"a"`).fails(400, "input.bad_json")
		w.post(target, `{"nonsense":1}`).fails(400, "input.unknown_field").has(`"field":"nonsense"`)
		w.post(target, `{}`, "Authorization: ").fails(401, "auth.required").head("WWW-Authenticate", "Bearer")
		w.post(target, `{}`, "Authorization: Bearer nonsense").fails(401, "auth.required")
		w.post(target, `{}`, "Idempotency-Key: "+strings.Repeat("k", 256)).fails(400, "idempotency.bad_key")
		for _, method := range []string{"PUT", "DELETE", "PATCH"} {
			w.send(method, target, nil).fails(405, "route.method")
		}
	}
	w.send("GET", "/api/v1/codes/generate", nil).fails(405, "route.method").head("Allow", "POST, OPTIONS")
	w.send("POST", "/api/v1/codes/"+code, "{}").fails(405, "route.method").head("Allow", "GET, HEAD, OPTIONS")
	w.send("OPTIONS", "/api/v1/codes/"+code+"/qr.svg", nil, "Authorization: ").head("Access-Control-Allow-Origin", "*")
}
