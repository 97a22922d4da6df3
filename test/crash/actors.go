package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"

	"github.com/chopmark/chopmark/test/harness"
)

const (
	workers   = 8
	itemsEach = 30
	batchSize = 1_000_000
)

// actor is one worker with the facts that it was told.
type actor struct {
	id      int
	rng     *rand.Rand
	n       int // of its requests, for keys
	items   []*item
	batches []string
	claims  []claim
	open    *request // whose answer never came
}

type claim struct {
	ID   string `json:"claim_id"`
	From int64  `json:"from_no"`
	To   int64  `json:"to_no"`
}

// item is driven by one actor, so that its facts have an order.
type item struct {
	code    string
	state   string
	version int
	scans   int64 // known to be counted
	maybe   int64 // scans since then whose answer never came
	highest int64 // the highest count that was answered
	first   string
}

// request is a mutation under its key.
type request struct {
	key, path string
	body      any
	done      func(harness.Answer)
}

// newClient is a client of many connections; through, if not nil, carries what it asks.
func newClient(through func(http.RoundTripper) http.RoundTripper) *http.Client {
	var t http.RoundTripper = &http.Transport{MaxIdleConnsPerHost: 2 * workers}
	if through != nil {
		t = through(t)
	}
	return &http.Client{Transport: t}
}

// found makes the brand, the product, the pool and the actors with their items.
func (w *world) found(ctx context.Context) error {
	var made struct {
		Brand   int32    `json:"brand_id"`
		Product int32    `json:"product_id"`
		Batch   string   `json:"batch_id"`
		Codes   []string `json:"codes"`
	}
	post := func(path string, body any) error { return w.server.Must(ctx, http.MethodPost, path, body, &made) }
	if err := post("/api/v1/brands", map[string]any{"name": "Crash"}); err != nil {
		return err
	}
	if err := post("/api/v1/products", map[string]any{"brand_id": made.Brand, "name": "Crash"}); err != nil {
		return err
	}
	w.product = made.Product
	if err := post("/api/v1/batches", w.batch("pool", batchSize)); err != nil {
		return err
	}
	w.pool = made.Batch
	if err := post("/api/v1/batches/"+w.pool+"/claims", map[string]any{"quantity": itemsEach * workers, "claimant": "items"}); err != nil {
		return err
	}
	for i := range workers {
		a := &actor{id: i, rng: rand.New(rand.NewPCG(w.Seed, uint64(i)+1))}
		for _, code := range made.Codes[i*itemsEach : (i+1)*itemsEach] {
			a.items = append(a.items, &item{code: code, state: "active", version: 1})
		}
		w.actors = append(w.actors, a)
	}
	return post("/api/v1/codes/state", map[string]any{"select": map[string]any{"batch_id": w.pool}, "to": "active", "reason": "packed"})
}

func (w *world) batch(no string, quantity int64) map[string]any {
	return map[string]any{"product_id": w.product, "batch_no": no, "quantity": quantity, "rotate_every": "1h"}
}

// step does one thing; false when no answer came.
func (w *world) step(ctx context.Context, client *http.Client, a *actor) bool {
	a.n++
	it := a.items[a.rng.IntN(len(a.items))]
	switch p := a.rng.IntN(100); {
	case p < 60:
		return w.scan(ctx, client, it) == nil
	case p < 75:
		return w.send(ctx, client, a, w.change(a, it))
	case p < 90:
		return w.send(ctx, client, a, w.claim(a))
	case p < 95:
		return w.send(ctx, client, a, w.reissue(a, it))
	default:
		return w.send(ctx, client, a, w.newBatch(a))
	}
}

func (w *world) key(a *actor) string { return fmt.Sprintf("crash-%d-%d-%d", w.Seed, a.id, a.n) }

func (w *world) send(ctx context.Context, client *http.Client, a *actor, r *request) bool {
	answer, err := w.server.Call(ctx, client, http.MethodPost, r.path, r.key, r.body)
	if err != nil {
		a.open = r
		return false
	}
	r.done(answer)
	return true
}

// Next are the states that the transition table allows from each, of those that are
// played with.
func Next(state string) []string {
	switch state {
	case "active":
		return []string{"in_transit", "sellable_accessible", "retail_sold"}
	case "in_transit":
		return []string{"sellable_accessible", "active", "returned"}
	case "sellable_accessible":
		return []string{"retail_sold", "in_transit"}
	case "retail_sold":
		return []string{"returned"}
	default: // returned
		return []string{"active"}
	}
}

func (w *world) change(a *actor, it *item) *request {
	open := Next(it.state)
	to := open[a.rng.IntN(len(open))]
	return &request{w.key(a), "/api/v1/codes/state", map[string]any{
		"select": map[string]any{"codes": []string{it.code}}, "to": to, "reason": "crash test", "strict": true,
	}, func(r harness.Answer) {
		if r.Status != http.StatusOK {
			w.reportf("move of %s from %s to %s answered %d %s", it.code, it.state, to, r.Status, r.Error)
		}
		it.state = to
		w.acked.changes.Add(1)
	}}
}

func (w *world) claim(a *actor) *request {
	return &request{w.key(a), "/api/v1/batches/" + w.pool + "/claims",
		map[string]any{"quantity": 1 + a.rng.IntN(20), "claimant": fmt.Sprint("line ", a.id)},
		func(r harness.Answer) {
			var c claim
			if err := json.Unmarshal(r.Data, &c); err != nil || r.Status != http.StatusOK {
				w.reportf("claim answered %d %s", r.Status, r.Error)
			}
			a.claims = append(a.claims, c)
			w.acked.claims.Add(1)
		}}
}

func (w *world) reissue(a *actor, it *item) *request {
	return &request{w.key(a), "/api/v1/codes/" + it.code + "/reissue", map[string]any{"reason": "crash test"}, func(r harness.Answer) {
		if r.Status != http.StatusOK {
			w.reportf("reissue answered %d %s", r.Status, r.Error)
		}
		it.version++
		w.acked.reissues.Add(1)
	}}
}

func (w *world) newBatch(a *actor) *request {
	return &request{w.key(a), "/api/v1/batches", w.batch(w.key(a), 1+a.rng.Int64N(1_000_000)), func(r harness.Answer) {
		var b struct {
			ID string `json:"batch_id"`
		}
		if err := json.Unmarshal(r.Data, &b); err != nil || r.Status != http.StatusOK {
			w.reportf("batch answered %d %s", r.Status, r.Error)
		}
		a.batches = append(a.batches, b.ID)
		w.acked.batches.Add(1)
	}}
}

func (w *world) scan(ctx context.Context, client *http.Client, it *item) error {
	answer, err := w.server.Call(ctx, client, http.MethodGet, verifyPath(it), "", nil)
	if err != nil {
		it.maybe++
		return err
	}
	it.scans++
	w.acked.scans.Add(1)
	w.judge(it, answer, true)
	return nil
}

func verifyPath(it *item) string { return "/api/v1/codes/" + it.code + "/verify" }
