package batchhttp_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
)

// mutation is one request of each kind, on a world of its own.
type mutation struct {
	name, target string // the target may begin with a method that is not POST
	body, other  object // another body for the same target
}

// prepared makes what the mutations work on.
func prepared(w *world) []mutation {
	brand, product := w.brand("Acme")
	pool := w.post("/api/v1/products", object{"brand_id": brand, "name": "Tea", "pool": object{"target": 10, "expire_hours": 1000}}).ok().number("product_id")
	b := w.batch(product, "B", 40_000, nil)
	claim := w.post("/api/v1/batches/"+b+"/claims", object{"quantity": 100, "claimant": "line 1"}).ok()
	code := claim.texts("codes")[0]
	claims := "/api/v1/batches/" + b + "/claims"
	return []mutation{
		{"brand", "/api/v1/brands", object{"name": "x"}, object{"name": "y"}},
		{"product", "/api/v1/products", object{"brand_id": brand, "name": "x"}, object{"brand_id": brand, "name": "y"}},
		{"generate", "/api/v1/codes/generate", object{"brand_id": brand, "product_id": product, "batch_no": "G", "quantity": 5, "expire_hours": 1},
			object{"brand_id": brand, "product_id": product, "batch_no": "H", "quantity": 5}},
		{"batch", "/api/v1/batches", object{"product_id": product, "batch_no": "X", "quantity": 5, "expires_at": "2026-03-01T09:00:00Z"},
			object{"product_id": product, "batch_no": "Y", "quantity": 5}},
		{"claim", claims, object{"quantity": 7, "claimant": "l"}, object{"quantity": 8, "claimant": "l"}},
		{"big claim", claims, object{"quantity": 10_001, "claimant": "l"}, object{"quantity": 8, "claimant": "l"}},
		{"pool claim", fmt.Sprintf("/api/v1/products/%d/claims", pool), object{"quantity": 7, "claimant": "l"}, object{"quantity": 6, "claimant": "l"}},
		{"return", claims + "/" + claim.text("claim_id") + "/return", object{"from_no": 51}, object{"from_no": 50}},
		{"export", "/api/v1/batches/" + b + "/export", object{"from_no": 1, "to_no": 10}, object{"from_no": 1, "to_no": 11}},
		{"state", "/api/v1/codes/state", object{"select": object{"codes": []string{code, "000000000000000000"}}, "to": "active", "reason": "r"},
			object{"select": object{"codes": []string{code}}, "to": "inactive", "reason": "r"}},
		{"brand texts", fmt.Sprintf("PATCH /api/v1/brands/%d", brand), object{"name": "z"}, object{"name": "y"}},
		{"brand settings", fmt.Sprintf("PATCH /api/v1/brands/%d/settings", brand), object{"limits": object{"misses_per_hour": 5}}, object{"page": object{"hide_places": true}}},
		{"brand logo", fmt.Sprintf("PUT /api/v1/brands/%d/logo", brand), object{"image": dot}, object{}},
		{"product texts", fmt.Sprintf("PATCH /api/v1/products/%d", product), object{"help": "z"}, object{"name": "y", "description": "d"}},
		{"reissue", "/api/v1/codes/" + code + "/reissue", object{"reason": "x"}, object{"reason": "y"}},
	}
}

// facts counts what was told of mutations; that a file is ready is none.
func (w *world) facts() (n int) {
	for _, e := range w.events() {
		if e != "code.generated file" {
			n++
		}
	}
	return n
}

func TestReplays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range prepared(w) {
		key := `Idempotency-Key: "` + m.name + `"`
		first := w.mutate(m.target, m.body, key).ok().head("Idempotent-Replayed", "")
		facts := w.facts()
		again := w.mutate(m.target, m.body, key).ok().head("Idempotent-Replayed", "true")
		if again.body != first.body {
			t.Errorf("%s: answered\n%s\nthen\n%s", m.name, first.body, again.body)
		}
		w.mutate(m.target, m.body, "Idempotency-Key: "+m.name).ok().head("Idempotent-Replayed", "true") // bare is the same key
		w.mutate(m.target, m.other, key).fails(422, "idempotency.mismatch")
		if got := w.facts(); got != facts {
			t.Errorf("%s: %d facts were told, then %d", m.name, facts, got)
		}
		if bob := w.mutate(m.target, m.other, key, "Authorization: Bearer "+bobKey); bob.code == "idempotency.mismatch" || bob.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: Bob's key is taken for Alice's: %s", m.name, bob.body)
		}
	}
}

// TestReplaysLater asks again when the world has moved on: the answer stays.
func TestReplaysLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := prepared(w)
	first := map[string]string{}
	for _, m := range all {
		first[m.name] = w.mutate(m.target, m.body, "Idempotency-Key: "+m.name).ok().body
	}
	// whatever was claimed goes back, what was active is void, what was free is taken
	for _, b := range w.get("/api/v1/batches").ok().list("batches") {
		id := b.(object)["batch_id"].(string)
		for _, c := range w.get("/api/v1/batches/" + id + "/claims").ok().list("claims") {
			c := c.(object)
			w.post("/api/v1/batches/"+id+"/claims/"+c["claim_id"].(string)+"/return", object{"from_no": c["to_no"]})
		}
		w.post("/api/v1/codes/state", object{"select": object{"batch_id": id}, "to": "void", "reason": "all of it"}).ok()
	}
	w.pass(40 * time.Minute) // the batch's expiry passes, the hour of its download link does not
	for _, m := range all {
		again := w.mutate(m.target, m.body, "Idempotency-Key: "+m.name).ok().head("Idempotent-Replayed", "true")
		if again.body != first[m.name] {
			t.Errorf("%s: answered\n%s\nthen\n%s", m.name, first[m.name], again.body)
		}
	}
}

func TestRefusalsAreNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 10, nil)
	claims := "/api/v1/batches/" + b + "/claims"
	const key = "Idempotency-Key: k1"
	w.post(claims, object{"quantity": 11, "claimant": "l"}, key).fails(409, "batch.exhausted")
	w.post(claims, object{"quantity": 10, "claimant": "l"}, key).ok().head("Idempotent-Replayed", "")
	w.post(claims, object{"quantity": 10, "claimant": "l"}, key).ok().head("Idempotent-Replayed", "true")
	w.post("/api/v1/brands", `{"name":""}`, key).fails(400, "input.empty")
	w.post("/api/v1/brands", `{"name":"x"}`, key).ok().head("Idempotent-Replayed", "")
	if got := len(w.get(claims).ok().list("claims")); got != 1 {
		t.Errorf("%d claims, want 1", got)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, key := range []string{`""`, "tab\there", "snow☃", "nul\x00"} {
		w.post("/api/v1/brands", object{"name": "x"}, "Idempotency-Key: "+key).fails(400, "idempotency.bad_key")
	}
	if got := len(w.get("/api/v1/brands").ok().list("brands")); got != 0 {
		t.Errorf("%d brands", got)
	}
	// without a key each request is its own
	for range 2 {
		w.post("/api/v1/brands", object{"name": "x"}).ok().head("Idempotent-Replayed", "")
	}
	if got := len(w.get("/api/v1/brands").ok().list("brands")); got != 2 {
		t.Errorf("%d brands", got)
	}
}

// TestConcurrentKey sends one request many times at once: one effect, and every
// answer is that one's or "still running".
func TestConcurrentKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range prepared(w) {
		var group sync.WaitGroup
		answers := make([]*reply, 12)
		for i := range answers {
			group.Go(func() { answers[i] = w.mutate(m.target, m.body, "Idempotency-Key: "+m.name) })
		}
		group.Wait()
		body, fresh := "", 0
		for _, r := range answers {
			if r.status == http.StatusConflict {
				r.fails(409, "idempotency.running")
				continue
			}
			r.ok()
			if body != "" && r.body != body {
				t.Errorf("%s: two answers\n%s\n%s", m.name, body, r.body)
			}
			if body = r.body; r.header.Get("Idempotent-Replayed") == "" {
				fresh++
			}
		}
		if fresh != 1 {
			t.Errorf("%s: %d effects", m.name, fresh)
		}
	}
}

// TestConcurrentClaims has many lines claim at once: no number is given twice.
func TestConcurrentClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 200, nil)
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		taken = map[string]bool{} // guarded by mu
	)
	for range 25 {
		group.Go(func() {
			r := w.post("/api/v1/batches/"+b+"/claims", object{"quantity": 10, "claimant": "l"})
			if r.status != http.StatusOK {
				r.fails(409, "batch.exhausted")
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, code := range r.texts("codes") {
				if taken[code] {
					t.Errorf("code %s was given twice", code)
				}
				taken[code] = true
			}
		})
	}
	group.Wait()
	if len(taken) != 200 {
		t.Errorf("%d codes were given, want 200", len(taken))
	}
	w.get("/api/v1/batches/" + b).ok().has(`"unclaimed":0`)
}

// TestSeenAtOnce holds each answer to the change before it.
func TestSeenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	for i := range 20 {
		code := w.codes(w.batch(product, fmt.Sprint("B", i), 3, nil), 1)[0]
		w.get("/api/v1/codes/" + code).ok().has(`"state":"` + batch.FirstState.String() + `"`)
		w.state("active", code).ok()
		w.get("/api/v1/codes/" + code).ok().has(`"state":"active"`)
		w.post("/api/v1/codes/"+code+"/reissue", nil).ok()
		w.get("/api/v1/codes/" + code + "/link").ok().has(`"version":2`)
	}
}
