package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/test/crash"
	"github.com/chopmark/chopmark/test/harness"
)

const (
	actors       = 4
	itemsEach    = 40
	bulk         = 300 // items that move together
	poolSize     = 50_000_000
	claimMax     = 20
	generateMax  = 30
	scannersEach = 2 // at each edge

	factPause  = 15 * time.Millisecond
	scanPause  = 8 * time.Millisecond
	askAgain   = 50 * time.Millisecond
	answerTime = 8 * time.Second // after it nobody waits for an answer
	settleTime = 2 * time.Minute // after it a fact that is not known yet is a finding
)

// actor brings about facts of its own brand.
type actor struct {
	id      int
	rng     *rand.Rand
	n       int // of its requests, for keys
	brand   int32
	product int32
	pool    string
	items   []*item
	bulk    []string
	bulkIn  string // the state of those
	tasks   []string
}

// request is a mutation under its key.
type request struct {
	key, path string
	body      any
	done      func(harness.Answer)
}

// newClient gives up on an answer in time.
func newClient(through http.RoundTripper) *http.Client {
	return &http.Client{Transport: through, Timeout: answerTime}
}

// load lets everybody work until ctx ends. Whoever holds w.pause for writing finds nothing
// under way.
func (w *world) load(ctx context.Context) (wait func()) {
	var wg sync.WaitGroup
	client := newClient(&http.Transport{MaxIdleConnsPerHost: 2 * actors * scannersEach})
	every := func(pause time.Duration, step func()) {
		wg.Go(func() {
			for t := time.NewTicker(pause); ; {
				select {
				case <-ctx.Done():
					t.Stop()
					return
				case <-t.C:
				}
				w.pause.RLock()
				step()
				w.pause.RUnlock()
			}
		})
	}
	for _, a := range w.actors {
		every(factPause, func() { w.settle(ctx, client, w.next(a)) })
	}
	for i, edge := range w.edges {
		for j := range scannersEach {
			rng := rand.New(rand.NewPCG(w.Seed, uint64(100+10*i+j)))
			every(scanPause, func() {
				items := w.actors[rng.IntN(actors)].items
				w.scan(ctx, client, edge, items[rng.IntN(itemsEach)].code)
			})
		}
	}
	return func() {
		wg.Wait()
		client.CloseIdleConnections()
	}
}

func (w *world) next(a *actor) *request {
	a.n++
	it := a.items[a.rng.IntN(len(a.items))]
	switch p := a.rng.IntN(100); {
	case p < 40:
		return w.claim(a)
	case p < 70:
		return w.change(a, it)
	case p < 85:
		return w.reissue(a, it)
	case p < 95:
		return w.move(a)
	default:
		return w.generate(a)
	}
}

// settle asks under one key until the outcome is known.
func (w *world) settle(ctx context.Context, client *http.Client, r *request) {
	begun, unknown := time.Now(), false
	for ctx.Err() == nil {
		answer, err := w.issue.now().Call(ctx, client, http.MethodPost, r.path, r.key, r.body)
		if err == nil && answer.Status < http.StatusInternalServerError && answer.Error != "idempotency.running" {
			r.done(answer)
			if unknown {
				w.again(ctx, client, r, answer)
			}
			return
		}
		if ctx.Err() == nil && !unknown {
			w.ledger.unknown()
			unknown = true
		}
		if time.Since(begun) > settleTime {
			w.ledger.findf(lost, "%s under %s has no answer after %v: %d %s, %v", r.path, r.key, settleTime, answer.Status, answer.Error, err)
			return
		}
		wait(ctx, askAgain)
	}
}

// again asks once more for what was unknown: the answer is the same, and says that it is
// given again.
func (w *world) again(ctx context.Context, client *http.Client, r *request, first harness.Answer) {
	again, err := w.issue.now().Call(ctx, client, http.MethodPost, r.path, r.key, r.body)
	if err != nil || again.Status >= http.StatusInternalServerError || again.Error == "idempotency.running" {
		return // the fault goes on; it is counted once all the same, or the checks find it
	}
	if !again.Replayed || string(again.Data) != string(first.Data) {
		w.ledger.findf(doubled, "%s %s: the second answer differs (replayed %v):\n%s\n%s", r.path, r.key, again.Replayed, first.Data, again.Data)
	}
}

func (w *world) key(a *actor) string { return fmt.Sprintf("faults-%d-%d-%d", w.Seed, a.id, a.n) }

// ok reports whether an answer is the one that must come.
func (w *world) ok(r *request, answer harness.Answer, data any) bool {
	if err := json.Unmarshal(answer.Data, data); answer.Status != http.StatusOK || err != nil {
		w.ledger.findf(lost, "%s under %s answered %d %s: %v", r.path, r.key, answer.Status, answer.Error, err)
		return false
	}
	return true
}

func (w *world) claim(a *actor) *request {
	r := &request{key: w.key(a), path: "/api/v1/batches/" + a.pool + "/claims", body: map[string]any{"quantity": 1 + a.rng.IntN(claimMax), "claimant": fmt.Sprint("line ", a.id)}}
	r.done = func(answer harness.Answer) {
		var c claim
		if w.ok(r, answer, &c) {
			w.ledger.claimed(a.pool, c)
		}
	}
	return r
}

func (w *world) stateRequest(a *actor, codes []string, to string, moved func()) *request {
	r := &request{key: w.key(a), path: "/api/v1/codes/state", body: map[string]any{"select": map[string]any{"codes": codes}, "to": to, "reason": "faults", "strict": true}}
	r.done = func(answer harness.Answer) {
		var made struct {
			ID    string `json:"change_id"`
			Items int    `json:"items"`
		}
		if !w.ok(r, answer, &made) {
			return
		}
		if made.Items != len(codes) {
			w.ledger.findf(lost, "change %s moved %d items, not %d", made.ID, made.Items, len(codes))
		}
		w.ledger.locked(moved)
		w.ledger.fact(made.ID)
	}
	return r
}

func (w *world) change(a *actor, it *item) *request {
	open := crash.Next(it.state)
	to := open[a.rng.IntN(len(open))]
	return w.stateRequest(a, []string{it.code}, to, func() { it.state = to })
}

// move takes many items at once to another state.
func (w *world) move(a *actor) *request {
	to := crash.Next(a.bulkIn)[0]
	return w.stateRequest(a, a.bulk, to, func() {
		a.bulkIn = to
		for _, it := range w.ends(a) {
			it.state = to
		}
	})
}

// ends are the first and the last of the items that move together, which are looked at.
func (w *world) ends(a *actor) []*item {
	return []*item{w.ledger.items[a.bulk[0]], w.ledger.items[a.bulk[len(a.bulk)-1]]}
}

func (w *world) reissue(a *actor, it *item) *request {
	r := &request{key: w.key(a), path: "/api/v1/codes/" + it.code + "/reissue", body: map[string]any{"reason": "faults"}}
	r.done = func(answer harness.Answer) {
		var made struct {
			Version int `json:"version"`
		}
		if !w.ok(r, answer, &made) {
			return
		}
		if made.Version != it.version+1 {
			w.ledger.findf(doubled, "%s was reissued from version %d to %d", it.code, it.version, made.Version)
		}
		w.ledger.locked(func() { it.version = made.Version })
		w.ledger.fact(reissueName(it.code, made.Version))
	}
	return r
}

func reissueName(code string, version int) string {
	return fmt.Sprintf("version %d of %s", version, code)
}

func (w *world) generate(a *actor) *request {
	no := w.key(a)
	r := &request{key: no, path: "/api/v1/codes/generate", body: map[string]any{
		"brand_id": a.brand, "product_id": a.product, "batch_no": no, "quantity": 1 + a.rng.IntN(generateMax),
	}}
	r.done = func(answer harness.Answer) {
		var made struct {
			Task string `json:"task_id"`
		}
		if w.ok(r, answer, &made) {
			w.ledger.fact("batch " + no)
			w.ledger.promised("file " + made.Task)
			a.tasks = append(a.tasks, made.Task)
		}
	}
	return r
}

// verification is the part of a verify answer that is looked at.
type verification struct {
	Valid   *bool  `json:"valid"`
	Verdict string `json:"verdict"`
	Version int    `json:"version"`
	Count   int64  `json:"scan_count"`
	Counted bool   `json:"counted"`
	Partial bool   `json:"partial"`
}

func verifyPath(code string) string { return "/api/v1/codes/" + code + "/verify" }

// verdictOf is what a scan of an item in a state says, without what it says of scans before.
func verdictOf(state string) string {
	if state == "retail_sold" {
		return "sold"
	}
	return "authentic"
}

// scan asks an edge, and reports whether the answer had all: counted with what every
// process knows, and confirmed.
func (w *world) scan(ctx context.Context, client *http.Client, edge *process, code string) bool {
	// The client asks again on its own when a connection breaks that it had used before, and
	// finds nobody when there is none: it counts how often it may have been heard.
	var heard atomic.Int64
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { heard.Add(1) }})
	answer, err := edge.now().Call(traced, client, http.MethodGet, verifyPath(code), "", nil)
	for n := heard.Load(); err != nil && n > 0 || n > 1; n-- {
		w.ledger.scanned(code, false)
	}
	if err != nil {
		return false
	}
	var v verification
	switch err := json.Unmarshal(answer.Data, &v); {
	case answer.Status == http.StatusServiceUnavailable:
		w.ledger.scanned(code, false)
		return false
	case err != nil || answer.Status != http.StatusOK || !v.Counted || !slices.Contains([]string{"authentic", "authentic_again", "sold", "unconfirmed"}, v.Verdict):
		w.ledger.scanned(code, false)
		w.ledger.findf(lost, "%s says of %s: %d %s %+v", edge.name, code, answer.Status, answer.Error, v)
		return false
	}
	w.ledger.scanned(code, true)
	return !v.Partial && v.Valid != nil && *v.Valid
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
