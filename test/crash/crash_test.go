// Package crash kills the real server with -9 under load, again and again, and
// holds it to its one promise: what it acknowledged is there, once.
//
// A round: workers issue batches, claim numbers, move items, reissue and scan; the
// process is killed at a random moment, sometimes again while it recovers; then
// every acknowledged fact is looked up, and every request whose answer never came
// is asked again under its own key, which must give it exactly one effect.
package crash

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

var (
	rounds = flag.Int("rounds", 50, "how often the server is killed")
	seed   = flag.Uint64("seed", 0, "of the random choices; 0 = by the clock")
)

const (
	workers     = 8
	itemsEach   = 30
	batchSize   = 1_000_000
	roundMinMs  = 60
	roundMaxMs  = 400
	doubleKills = 5 // one in so many rounds is killed again while it recovers
)

func TestKill(t *testing.T) {
	w := newWorld(t)
	t.Logf("%d rounds with seed %d (-seed %d repeats them)", *rounds, *seed, *seed)
	for round := range *rounds {
		w.load(time.Duration(roundMinMs+w.rng.IntN(roundMaxMs-roundMinMs)) * time.Millisecond)
		if round%doubleKills == doubleKills-1 {
			w.killWhileRecovering()
		}
		w.start()
		w.settle()
		w.check()
		if len(w.wrong) > 0 {
			t.Fatalf("round %d of seed %d:\n%s", round, *seed, strings.Join(w.wrong, "\n"))
		}
	}
	t.Logf("%d rounds: %d batches, %d claims, %d state changes, %d reissues, %d scans acknowledged; %d answers never came; recovery %v at most",
		*rounds, w.acked.batches.Load(), w.acked.claims.Load(), w.acked.changes.Load(), w.acked.reissues.Load(), w.acked.scans.Load(), w.unknown, w.recovery)
}

// TestCheckerSeesLoss plants what must never happen: after a kill the data of an
// earlier moment comes back. If the checks let that pass, TestKill proves nothing.
func TestCheckerSeesLoss(t *testing.T) {
	for _, lost := range []struct{ what, says string }{
		{"chopmark.db", "the pool says"}, {"sightings", "acknowledged scans"},
	} {
		t.Run(lost.what, func(t *testing.T) {
			w := newWorld(t)
			w.load(300 * time.Millisecond)
			before := t.TempDir()
			if err := os.CopyFS(before, os.DirFS(w.data)); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.settle()
			w.check()
			w.load(300 * time.Millisecond)
			w.loseSince(before, lost.what)
			w.start()
			w.settle()
			w.check()
			if all := strings.Join(w.wrong, "\n"); !strings.Contains(all, lost.says) {
				t.Errorf("the checks did not see that %s went back in time:\n%s", lost.what, all)
			}
		})
	}
}

// loseSince brings one part of the data directory back to what it was.
func (w *world) loseSince(before, part string) {
	w.t.Helper()
	parts, err := filepath.Glob(filepath.Join(w.data, part+"*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range parts {
		if err := os.RemoveAll(p); err != nil {
			w.t.Fatal(err)
		}
		old := filepath.Join(before, filepath.Base(p))
		st, err := os.Stat(old)
		switch {
		case err != nil: // it was not there then
			continue
		case st.IsDir():
			err = os.CopyFS(p, os.DirFS(old))
		default:
			var raw []byte
			if raw, err = os.ReadFile(old); err == nil {
				err = os.WriteFile(p, raw, 0o600)
			}
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, bin: bin, data: t.TempDir(), rng: rand.New(rand.NewPCG(*seed, 0))}
	w.start()
	t.Cleanup(func() { w.server.Kill() })
	w.found()
	return w
}

// reportf notes what is not as it must be.
func (w *world) reportf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// world is what the test knows of the server.
type world struct {
	t        *testing.T
	bin      string
	data     string
	rng      *rand.Rand
	server   *harness.Server
	product  int32
	pool     string // the batch that everyone claims from
	actors   []*actor
	unknown  int
	recovery time.Duration
	mu       sync.Mutex
	wrong    []string // guarded by mu: what the checks found
	acked    struct{ batches, claims, changes, reissues, scans atomic.Int64 }
}

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
	scans   int64 // acknowledged
	maybe   int64 // scans whose answer never came
	highest int64 // the highest count that was answered
	first   string
}

// request is a mutation under its key.
type request struct {
	key, path string
	body      any
	done      func(harness.Answer)
}

func (w *world) start() {
	w.t.Helper()
	begun := time.Now()
	s, err := harness.Start(w.t.Context(), w.bin, w.data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server, w.recovery = s, max(w.recovery, time.Since(begun))
}

// killWhileRecovering starts and kills, at a moment when it may still be reading.
func (w *world) killWhileRecovering() {
	for range 2 {
		half, err := harness.Launch(w.t.Context(), w.bin, w.data)
		if err != nil {
			w.t.Fatal(err)
		}
		pause := time.NewTimer(time.Duration(w.rng.IntN(150)) * time.Millisecond) // the kill's moment is the point
		<-pause.C
		half.Kill()
	}
}

// found makes the brand, the product and the pool.
func (w *world) found() {
	w.t.Helper()
	ctx := w.t.Context()
	var brand struct {
		ID int32 `json:"brand_id"`
	}
	var product struct {
		ID int32 `json:"product_id"`
	}
	var batch struct {
		ID string `json:"batch_id"`
	}
	var got struct {
		Codes []string `json:"codes"`
	}
	w.must(w.server.Must(ctx, http.MethodPost, "/api/v1/brands", map[string]any{"name": "Crash"}, &brand))
	w.must(w.server.Must(ctx, http.MethodPost, "/api/v1/products", map[string]any{"brand_id": brand.ID, "name": "Crash"}, &product))
	w.product = product.ID
	w.must(w.server.Must(ctx, http.MethodPost, "/api/v1/batches", w.batch("pool", batchSize), &batch))
	w.pool = batch.ID
	w.must(w.server.Must(ctx, http.MethodPost, "/api/v1/batches/"+w.pool+"/claims", map[string]any{"quantity": itemsEach * workers, "claimant": "items"}, &got))
	w.must(w.server.Must(ctx, http.MethodPost, "/api/v1/codes/state", map[string]any{
		"select": map[string]any{"batch_id": w.pool}, "to": "active", "reason": "packed"}, nil))
	for i := range workers {
		a := &actor{id: i, rng: rand.New(rand.NewPCG(*seed, uint64(i)+1))}
		for _, code := range got.Codes[i*itemsEach : (i+1)*itemsEach] {
			a.items = append(a.items, &item{code: code, state: "active", version: 1})
		}
		w.actors = append(w.actors, a)
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.server.Log())
	}
}

func (w *world) batch(no string, quantity int64) map[string]any {
	return map[string]any{"product_id": w.product, "batch_no": no, "quantity": quantity, "rotate_every": "1h"}
}

// load lets all actors work until the process is killed.
func (w *world) load(during time.Duration) {
	var wg sync.WaitGroup
	var dead atomic.Bool
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * workers}}
	defer client.CloseIdleConnections()
	for _, a := range w.actors {
		wg.Go(func() {
			for !dead.Load() && w.step(client, a) {
				continue
			}
		})
	}
	kill := time.NewTimer(during)
	<-kill.C
	dead.Store(true)
	w.server.Kill()
	wg.Wait()
}

// step does one thing; false when no answer came.
func (w *world) step(client *http.Client, a *actor) bool {
	a.n++
	it := a.items[a.rng.IntN(len(a.items))]
	switch p := a.rng.IntN(100); {
	case p < 60:
		return w.scan(client, it)
	case p < 75:
		return w.send(client, a, w.change(a, it))
	case p < 90:
		return w.send(client, a, w.claim(a))
	case p < 95:
		return w.send(client, a, w.reissue(a, it))
	default:
		return w.send(client, a, w.newBatch(a))
	}
}

func (a *actor) key() string { return fmt.Sprintf("crash-%d-%d-%d", *seed, a.id, a.n) }

func (w *world) send(client *http.Client, a *actor, r *request) bool {
	answer, err := w.server.Call(w.t.Context(), client, http.MethodPost, r.path, r.key, r.body)
	if err != nil {
		a.open = r
		return false
	}
	r.done(answer)
	return true
}

// next is a state that the transition table allows from each.
var next = map[string][]string{
	"active":              {"in_transit", "sellable_accessible", "retail_sold"},
	"in_transit":          {"sellable_accessible", "active", "returned"},
	"sellable_accessible": {"retail_sold", "in_transit"},
	"retail_sold":         {"returned"},
	"returned":            {"active"},
}

func (w *world) change(a *actor, it *item) *request {
	to := next[it.state][a.rng.IntN(len(next[it.state]))]
	return &request{a.key(), "/api/v1/codes/state", map[string]any{
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
	return &request{a.key(), "/api/v1/batches/" + w.pool + "/claims",
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
	return &request{a.key(), "/api/v1/codes/" + it.code + "/reissue", map[string]any{"reason": "crash test"}, func(r harness.Answer) {
		if r.Status != http.StatusOK {
			w.reportf("reissue answered %d %s", r.Status, r.Error)
		}
		it.version++
		w.acked.reissues.Add(1)
	}}
}

func (w *world) newBatch(a *actor) *request {
	return &request{a.key(), "/api/v1/batches", w.batch(a.key(), 1+a.rng.Int64N(1_000_000)), func(r harness.Answer) {
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

// verification is the part of a verify answer that is checked.
type verification struct {
	Verdict   string `json:"verdict"`
	Version   int    `json:"version"`
	ScanCount int64  `json:"scan_count"`
	FirstScan struct {
		At string `json:"at"`
	} `json:"first_scan"`
}

func (w *world) scan(client *http.Client, it *item) bool {
	answer, err := w.server.Call(w.t.Context(), client, http.MethodGet, "/api/v1/codes/"+it.code+"/verify", "", nil)
	if err != nil {
		it.maybe++
		return false
	}
	it.scans++
	w.acked.scans.Add(1)
	w.judge(it, answer)
	return true
}

// judge holds an answer that counted a scan to what is known.
func (w *world) judge(it *item, answer harness.Answer) {
	var v verification
	if err := json.Unmarshal(answer.Data, &v); err != nil {
		w.reportf("verify of %s: %v", it.code, err)
	}
	want := map[bool]string{true: "sold", false: "authentic"}[it.state == "retail_sold"]
	if v.Verdict == "authentic_again" {
		v.Verdict = "authentic"
	}
	if v.Verdict != want || v.Version != it.version {
		w.reportf("%s: verdict %s version %d, want %s (%s) version %d", it.code, v.Verdict, v.Version, want, it.state, it.version)
	}
	if v.ScanCount < it.scans || v.ScanCount > it.scans+it.maybe || v.ScanCount <= it.highest {
		w.reportf("%s: count %d after %d acknowledged scans, %d unknown, highest answer %d", it.code, v.ScanCount, it.scans, it.maybe, it.highest)
	}
	if it.first == "" {
		it.first = v.FirstScan.At
	}
	if it.scans > 1 && v.FirstScan.At != it.first {
		w.reportf("%s: first scan moved from %s to %s", it.code, it.first, v.FirstScan.At)
	}
	it.highest = v.ScanCount
}

// settle asks again for every answer that never came: one effect, whichever way it
// went before.
func (w *world) settle() {
	for _, a := range w.actors {
		if a.open == nil {
			continue
		}
		r := a.open
		a.open = nil
		w.unknown++
		first, err := w.server.Call(w.t.Context(), http.DefaultClient, http.MethodPost, r.path, r.key, r.body)
		w.must(err)
		again, err := w.server.Call(w.t.Context(), http.DefaultClient, http.MethodPost, r.path, r.key, r.body)
		w.must(err)
		if !again.Replayed || string(again.Data) != string(first.Data) {
			w.reportf("%s %s: the second answer differs (replayed %v):\n%s\n%s", r.path, r.key, again.Replayed, first.Data, again.Data)
		}
		r.done(first)
	}
}

// check looks up every acknowledged fact.
func (w *world) check() {
	ctx := w.t.Context()
	owner := map[int64]string{}
	for _, a := range w.actors {
		for _, id := range a.batches {
			got, err := w.server.Call(ctx, http.DefaultClient, http.MethodGet, "/api/v1/batches/"+id, "", nil)
			w.must(err)
			if got.Status != http.StatusOK {
				w.reportf("batch %s is lost: %d %s", id, got.Status, got.Error)
			}
		}
		a.batches = a.batches[max(0, len(a.batches)-5):] // the newest are at risk; the older ones were seen
		for _, c := range a.claims {
			for no := c.From; no <= c.To; no++ {
				if other, taken := owner[no]; taken {
					w.reportf("number %d was handed out twice: %s and %s", no, other, c.ID)
				}
				owner[no] = c.ID
			}
		}
	}
	var view struct {
		Claimed int64 `json:"claimed"`
	}
	w.must(w.server.Must(ctx, http.MethodGet, "/api/v1/batches/"+w.pool, nil, &view))
	if want := int64(len(owner) + itemsEach*workers); view.Claimed != want {
		w.reportf("the pool says %d numbers are claimed, the answers add up to %d", view.Claimed, want)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for _, a := range w.actors {
		wg.Go(func() {
			for _, it := range a.items {
				w.scan(client, it)
			}
		})
	}
	wg.Wait()
}
