package batchhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchfile"
	"github.com/chopmark/chopmark/internal/batch/batchhttp"
	"github.com/chopmark/chopmark/internal/batch/batchkv"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

const (
	publicURL = "https://code.example.com"
	aliceKey  = "key-of-alice-0123456789abcdef0123456789"
	bobKey    = "key-of-bob-0123456789abcdef0123456789ab"
)

// credentials is the httpx.Authenticator of the tests.
type credentials struct{}

func (credentials) Authenticate(r *http.Request) (httpx.Principal, error) {
	switch r.Header.Get("Authorization") {
	case "Bearer " + aliceKey:
		return httpx.Principal{ID: "key_alice", Name: "Alice of the line", Access: httpx.Everything{}}, nil
	case "Bearer " + bobKey:
		return httpx.Principal{ID: "key_bob", Name: "Bob of the line", Access: httpx.Everything{}}, nil
	}
	return httpx.Principal{}, httpx.ErrNoAuth
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// world is the domain over real SQL, a real projection and real files, behind its
// routes. Every answer that it gives is held against the document.
type world struct {
	t     *testing.T
	rt    *httpx.Router
	svc   *batch.Service
	db    *sqldb.DB
	tasks *task.Runner
	scans *batchtest.Scans
	doc   *document
	stop  context.CancelFunc
	now   atomic.Int64 // microseconds since 1970

	mu     sync.Mutex
	issued []string // guarded by mu; what the metrics were told
}

// held is a task handler that waits until it may go on.
type held struct {
	task.Handler
	gate chan struct{}
}

func (h held) Run(ctx context.Context, p *task.Progress) error {
	select {
	case <-h.gate:
		return h.Handler.Run(ctx, p)
	case <-ctx.Done():
		return ctx.Err()
	}
}

type setting func(*batchhttp.Deps, *held)

func newWorld(t *testing.T, settings ...setting) *world {
	t.Helper()
	w := &world{t: t, scans: &batchtest.Scans{}, doc: openDocument(t)}
	w.now.Store(time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC).UnixMicro())
	dir, ctx := t.TempDir(), t.Context()
	var err error
	if w.db, err = sqldb.OpenSQLite(ctx, filepath.Join(dir, "chopmark.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	for domain, schema := range map[string]fs.FS{
		"outbox": outbox.Schema(), "idem": idem.Schema(), "task": task.Schema(), "batch": batchsql.Schema(),
	} {
		if err := w.db.Migrate(ctx, domain, schema); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	files, err := blob.OpenDir(filepath.Join(dir, "files"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	local, err := batchkv.Open(filepath.Join(dir, "projection"), "key_test", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	c := clock.Func(func() time.Time { return time.UnixMicro(w.now.Load()) })
	store := batchsql.New(w.db, c)
	proj := batch.NewProjection(store, local, 0)
	if err := proj.Start(ctx); err != nil {
		t.Fatal(err)
	}
	w.tasks = task.NewRunner(sqldb.One(w.db), c, log, 2)
	t.Cleanup(w.tasks.Stop)
	w.svc = batch.NewService(batch.Config{PublicURL: publicURL}, store, codebook.NewItems([32]byte{7}), proj, batchtest.NewKeys(), w.tasks, w.scans, c)
	handler := &held{Handler: batchfile.New(batchfile.Config{}, w.svc, store, files, c, log), gate: make(chan struct{})}
	stopping, stop := context.WithCancel(context.Background())
	w.stop = stop
	t.Cleanup(stop)
	told := outbox.New(sqldb.One(w.db))
	tail := outbox.NewTail(told, log)
	told.OnCommit(func(ids.Shard, int64) { tail.Wake() })
	var tailing sync.WaitGroup
	tailing.Go(func() { tail.Run(stopping) })
	t.Cleanup(func() { stop(); tailing.Wait() })
	deps := batchhttp.Deps{
		Service: w.svc, Claims: store, Tasks: w.tasks, Files: files, Outbox: told, Tail: tail, Auth: credentials{},
		DownloadKey: [32]byte{9}, Clock: c, Log: log, Stopping: stopping,
		BeatEvery: 20 * time.Millisecond, Generated: w.generated,
	}
	gate := handler.gate
	for _, s := range settings {
		s(&deps, handler)
	}
	if handler.gate == gate { // nobody wants to hold it
		close(gate)
	}
	w.tasks.Handle(batch.TaskGenerate, handler)
	w.tasks.Handle(batch.TaskExport, handler)
	w.rt = httpx.NewRouter(credentials{}, noMetrics{}, log)
	batchhttp.Mount(w.rt, deps)
	return w
}

func (w *world) generated(b ids.BrandID, codes int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.issued = append(w.issued, fmt.Sprint(b, " ", codes, " ", err != nil))
}

// reply is one answer.
type reply struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
	data   map[string]any
	code   string // the stable code of an error
}

// send asks as Alice. headers are "Name: value"; "Authorization: " alone takes the
// key away.
func (w *world) send(method, target string, body any, headers ...string) *reply {
	w.t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case string:
		raw = []byte(b)
	case []byte:
		raw = b
	default:
		var err error
		if raw, err = json.Marshal(b); err != nil {
			w.t.Fatal(err)
		}
	}
	r := httptest.NewRequest(method, target, bytes.NewReader(raw))
	if body == nil {
		r = httptest.NewRequest(method, target, nil)
	}
	r.Header.Set("Authorization", "Bearer "+aliceKey)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	w.doc.check(w.t, r, raw, rec)
	out := &reply{t: w.t, what: method + " " + target, status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	if strings.HasPrefix(rec.Header().Get("Content-Type"), "application/json") && rec.Body.Len() > 0 {
		var e struct {
			Error string         `json:"error"`
			Data  map[string]any `json:"data"`
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil {
			w.t.Fatalf("%s: answer is not JSON: %v", out.what, err)
		}
		out.data, out.code = e.Data, e.Error
	}
	return out
}

func (w *world) get(target string, headers ...string) *reply {
	w.t.Helper()
	return w.send(http.MethodGet, target, nil, headers...)
}

func (w *world) post(target string, body any, headers ...string) *reply {
	w.t.Helper()
	return w.send(http.MethodPost, target, body, headers...)
}

// mutate is post, or what the target's first word says.
func (w *world) mutate(target string, body any, headers ...string) *reply {
	w.t.Helper()
	if method, path, ok := strings.Cut(target, " "); ok {
		return w.send(method, path, body, headers...)
	}
	return w.post(target, body, headers...)
}

// ok wants the request to succeed; what follows builds on it.
func (r *reply) ok() *reply {
	r.t.Helper()
	if r.status != http.StatusOK {
		r.t.Fatalf("%s: status %d: %.500s", r.what, r.status, r.body)
	}
	return r
}

// fails wants the request refused in just this way.
func (r *reply) fails(status int, code string) *reply {
	r.t.Helper()
	if r.status != status || r.code != code {
		r.t.Errorf("%s: %d %s, want %d %s: %.300s", r.what, r.status, r.code, status, code, r.body)
	}
	return r
}

// has wants all of these in the body.
func (r *reply) has(parts ...string) *reply {
	r.t.Helper()
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			r.t.Errorf("%s: no %q in %.600s", r.what, p, r.body)
		}
	}
	return r
}

// lacks wants none of these in the body.
func (r *reply) lacks(parts ...string) *reply {
	r.t.Helper()
	for _, p := range parts {
		if strings.Contains(r.body, p) {
			r.t.Errorf("%s: %q is in %.600s", r.what, p, r.body)
		}
	}
	return r
}

// head wants the value in the header.
func (r *reply) head(name, want string) *reply {
	r.t.Helper()
	if got := r.header.Get(name); got != want {
		r.t.Errorf("%s: %s: %q, want %q", r.what, name, got, want)
	}
	return r
}

func (r *reply) text(field string) string {
	r.t.Helper()
	s, ok := r.data[field].(string)
	if !ok {
		r.t.Fatalf("%s: no text %s in %.300s", r.what, field, r.body)
	}
	return s
}

func (r *reply) number(field string) int64 {
	r.t.Helper()
	n, ok := r.data[field].(float64)
	if !ok {
		r.t.Fatalf("%s: no number %s in %.300s", r.what, field, r.body)
	}
	return int64(n)
}

func (r *reply) list(field string) []any {
	r.t.Helper()
	l, ok := r.data[field].([]any)
	if !ok {
		r.t.Fatalf("%s: no list %s in %.300s", r.what, field, r.body)
	}
	return l
}

func (r *reply) texts(field string) []string {
	r.t.Helper()
	var out []string
	for _, v := range r.list(field) {
		out = append(out, v.(string))
	}
	return out
}

type object = map[string]any

// lay puts b over a; what is nil in it is taken out.
func lay(a, b object) object {
	for k, v := range b {
		a[k] = v
		if v == nil {
			delete(a, k)
		}
	}
	return a
}

// brand makes a brand and a product of it.
func (w *world) brand(name string) (brand, product int64) {
	w.t.Helper()
	brand = w.post("/api/v1/brands", object{"name": name}).ok().number("brand_id")
	product = w.post("/api/v1/products", object{"brand_id": brand, "name": name + " 53", "gtin": "06901234567892"}).ok().number("product_id")
	return brand, product
}

// batch makes a batch; with is laid over what is usual.
func (w *world) batch(product int64, no string, quantity int64, with object) string {
	w.t.Helper()
	usual := object{"product_id": product, "batch_no": no, "quantity": quantity, "rotate_every": "off"}
	return w.post("/api/v1/batches", lay(usual, with)).ok().text("batch_id")
}

// codes claims numbers of a batch and gives their codes.
func (w *world) codes(batchID string, quantity int64) []string {
	w.t.Helper()
	return w.post("/api/v1/batches/"+batchID+"/claims", object{"quantity": quantity, "claimant": "line 1"}).ok().texts("codes")
}

func (w *world) state(to string, codes ...string) *reply {
	w.t.Helper()
	return w.post("/api/v1/codes/state", object{"select": object{"codes": codes}, "to": to, "reason": "because"})
}

// finish waits for the end of a task.
func (w *world) finish(taskID string) *reply {
	w.t.Helper()
	for range 2000 {
		r := w.get("/api/v1/tasks/" + taskID).ok()
		if s := r.text("state"); s == "done" || s == "failed" {
			return r
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("task %s does not end", taskID)
	return nil
}

func (w *world) pass(d time.Duration) { w.now.Add(d.Microseconds()) }

// events lists what was told so far, as "type kind".
func (w *world) events() []string {
	w.t.Helper()
	var out []string
	for _, e := range w.get("/api/v1/events?limit=1000").ok().list("events") {
		e := e.(object)
		out = append(out, fmt.Sprint(e["type"], " ", e["data"].(object)["kind"]))
	}
	return out
}

// serve puts the routes on a real listener.
func (w *world) serve() *httptest.Server {
	s := httptest.NewServer(w.rt)
	w.t.Cleanup(s.Close)
	return s
}
