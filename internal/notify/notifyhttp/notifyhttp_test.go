package notifyhttp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/notify/notifysql"
	"github.com/chopmark/chopmark/internal/notify/notifytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// world is an installation with webhooks whose clock the test sets.
type world struct {
	*testing.T

	db      *sqldb.DB
	store   *notifysql.Store
	service *notify.Service
	courier *notify.Courier
	rt      *httpx.Router
	now     atomic.Int64 // after notifytest.Start
	tries   atomic.Int64
}

type anyone struct{}

func (anyone) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") == "" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "key_1", Name: "alice", Access: httpx.Everything{}}, nil
}

type unwatched struct{}

func (unwatched) Request(string, string, int, time.Time, time.Duration) {}

type twoBrands struct{}

func (twoBrands) HasBrand(_ context.Context, id ids.BrandID) error {
	if id < 1 || id > 2 {
		return fault.New(fault.NotFound, "brand.unknown", "there is no such brand")
	}
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t}
	var err error
	if w.db, err = sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	if err := errors.Join(w.db.Migrate(t.Context(), "outbox", outbox.Schema()), w.db.Migrate(t.Context(), "idem", idem.Schema()),
		w.db.Migrate(t.Context(), "lease", lease.Schema()), w.db.Migrate(t.Context(), "notify", notifysql.Schema())); err != nil {
		t.Fatal(err)
	}
	c := clock.Func(func() time.Time { return notifytest.Start().Add(time.Duration(w.now.Load())) })
	told := outbox.New(sqldb.One(w.db))
	w.store = notifysql.New(w.db, told, c)
	w.service = notify.NewService(w.store, twoBrands{}, NewSender(egress.New(true)), [32]byte{7}, c)
	log := slog.New(slog.DiscardHandler)
	w.courier = notify.NewCourier(w.service, log, func(bool) { w.tries.Add(1) })
	w.rt = httpx.NewRouter(anyone{}, unwatched{}, log)
	Mount(w.rt, w.service)
	f := notifysql.NewFollower(w.store, lease.New(w.db, "test", c), "https://codes.example", log, func() {})
	told.OnCommit(func(ids.Shard, int64) { f.Wake() })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

func (w *world) clock() time.Time { return notifytest.Start().Add(time.Duration(w.now.Load())) }

func (w *world) ask(method, target, body string, headers ...string) (int, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "k")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.rt.ServeHTTP(rec, r)
	w.check(r, rec)
	return rec.Code, rec.Body.String()
}

// check holds an answer to the document.
func (w *world) check(r *http.Request, rec *httptest.ResponseRecorder) {
	w.Helper()
	doc, err := loadDocument()
	if err != nil {
		w.Fatal(err)
	}
	method, path, _ := strings.Cut(r.Pattern, " ")
	answer := doc.Paths.Value(path).GetOperation(method).Responses.Status(rec.Code)
	if answer == nil {
		w.Errorf("%s: the document knows no answer %d", r.Pattern, rec.Code)
		return
	}
	var body any
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		w.Fatal(err)
	}
	if err := answer.Value.Content.Get("application/json").Schema.Value.VisitJSON(body, openapi3.EnableJSONSchema2020()); err != nil {
		w.Errorf("%s answers %s: %v", r.Pattern, rec.Body, err)
	}
}

var loadDocument = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml") })

func (w *world) want(status int, says string) func(int, string) string {
	return func(got int, body string) string {
		w.Helper()
		if got != status || !strings.Contains(body, says) {
			w.Errorf("%d %s; want %d and %q", got, body, status, says)
		}
		return body
	}
}

type made struct {
	Data struct {
		ID     string `json:"webhook_id"`
		Secret string `json:"secret"`
	} `json:"data"`
}

func (w *world) register(brand int, url string) made {
	w.Helper()
	body := w.want(200, "whsec_")(w.ask("POST", "/api/v1/webhooks", fmt.Sprintf(`{"brand_id":%d,"url":%q}`, brand, url)))
	var m made
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		w.Fatal(err)
	}
	return m
}

func (w *world) tell(brand ids.BrandID) (event string) {
	w.Helper()
	event = ids.New("evt")
	err := w.db.Write(w.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		s, err := outbox.Commit(ctx, tx, ids.ShardOf(brand), notifytest.Start())
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, s, outbox.Event{ID: event, Type: "code.generated", BrandID: brand, Subject: "bat_1", Data: json.RawMessage(`{"quantity":5}`)})
	})
	if err != nil {
		w.Fatal(err)
	}
	return event
}

// look sends what is due.
func (w *world) look() {
	w.Helper()
	if _, err := w.courier.Look(w.Context()); err != nil {
		w.Fatal(err)
	}
}

func (w *world) onTheWay(n int) {
	w.Helper()
	for until := time.Now().Add(30 * time.Second); ; {
		all, err := w.store.Due(w.Context(), notifytest.Start().Add(1000*time.Hour), 1000)
		if err != nil {
			w.Fatal(err)
		}
		if len(all) == n {
			return
		}
		if time.Now().After(until) {
			w.Fatalf("%d are on their way, want %d", len(all), n)
		}
	}
}

// receiver is another's program. It knows its secret and checks what it gets as the
// specification says, with no code of ours.
type receiver struct {
	*httptest.Server

	w      *world
	mu     sync.Mutex
	secret string         // guarded by mu
	got    map[string]int // guarded by mu: events that it took
	tries  int            // guarded by mu
	answer atomic.Int64
}

func newReceiver(w *world) *receiver {
	r := &receiver{w: w, got: map[string]int{}}
	r.answer.Store(200)
	r.Server = httptest.NewServer(r)
	w.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender has gone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.secret, "whsec_"))
	if err != nil {
		r.w.Error(err)
	}
	id := q.Header.Get("webhook-id")
	m := hmac.New(sha256.New, key)
	io.WriteString(m, id+"."+q.Header.Get("webhook-timestamp")+"."+string(body))
	if want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil)); q.Header.Get("webhook-signature") != want || len(key) != 32 {
		r.w.Errorf("signature %q, want %q", q.Header.Get("webhook-signature"), want)
	}
	var e map[string]any
	if err := json.Unmarshal(body, &e); err != nil || e["id"] != id || e["specversion"] != "1.0" || e["source"] != "https://codes.example" ||
		q.Header.Get("Content-Type") != "application/cloudevents+json" {
		r.w.Errorf("body %s, %v", body, err)
	}
	status := int(r.answer.Load())
	if status == 200 {
		r.got[id]++
	}
	if status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

func (r *receiver) has(events ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if r.got[e] != 1 {
			return false
		}
	}
	return len(r.got) == len(events)
}

func (r *receiver) register(brand int) made {
	m := r.w.register(brand, r.URL+"/hook?word=sesame")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = m.Data.Secret
	return m
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const list = "/api/v1/webhooks"
	w.want(401, "auth.required")(w.ask("GET", list, "", "Authorization: "))
	w.want(200, `"webhooks":[],"cursor":null`)(w.ask("GET", list, ""))
	for body, says := range map[string]string{
		`{"brand_id":1,"url":"http://erp.example/"}`:                                                "webhook.bad_url",
		`{"brand_id":1,"url":"https://"}`:                                                           "webhook.bad_url",
		`{"brand_id":1,"url":"https://u:p@erp.example/"}`:                                           "webhook.bad_url",
		`{"brand_id":1,"url":"https://erp.example/#x"}`:                                             "webhook.bad_url",
		`{"brand_id":1,"url":"file:///etc/passwd"}`:                                                 "webhook.bad_url",
		`{"brand_id":1,"url":"https:` + strings.Repeat("x", 3000) + `"}`:                            "webhook.bad_url",
		`{"brand_id":1,"url":"https://e.example/","types":["a b"]}`:                                 "webhook.bad_types",
		`{"brand_id":1,"url":"https://e.example/","types":["a","a"]}`:                               "webhook.bad_types",
		`{"brand_id":1,"url":"https://e.example/","types":["` + strings.Repeat(`a","`, 30) + `b"]}`: "webhook.bad_types",
	} {
		w.want(400, says)(w.ask("POST", list, body))
	}
	w.want(404, "brand.unknown")(w.ask("POST", list, `{"brand_id":3,"url":"https://e.example/"}`))
	const ask = `{"brand_id":1,"url":"https://erp.example/hook","types":["code.generated"]}`
	first := w.want(200, `"created_by":"alice"`)(w.ask("POST", list, ask, "Idempotency-Key: 1"))
	if again := w.want(200, "whsec_")(w.ask("POST", list, ask, "Idempotency-Key: 1")); again != first {
		t.Errorf("the same request again: %s, first %s", again, first)
	}
	var m made
	if err := json.Unmarshal([]byte(first), &m); err != nil {
		t.Fatal(err)
	}
	other := w.register(2, "https://other.example/")
	if other.Data.Secret == m.Data.Secret {
		t.Error("two webhooks have one secret")
	}
	body := w.want(200, m.Data.ID)(w.ask("GET", list+"?brand_id=1", ""))
	if strings.Contains(body, "whsec_") || strings.Contains(body, other.Data.ID) {
		t.Errorf("the list says %s", body)
	}
	page := w.want(200, `"cursor":"whk_`)(w.ask("GET", list+"?limit=1", ""))
	_, cursor, _ := strings.Cut(page, `"cursor":"`)
	w.want(200, `"webhook_id"`)(w.ask("GET", list+"?limit=5&cursor="+cursor[:strings.IndexByte(cursor, '"')], ""))
	w.want(400, "webhook.bad_cursor")(w.ask("GET", list+"?cursor=x", ""))
	w.want(400, "input.bad_number")(w.ask("GET", list+"?brand_id=x", ""))
	w.want(404, "webhook.unknown")(w.ask("DELETE", list+"/x", ""))
	for range 2 {
		w.want(200, m.Data.ID)(w.ask("DELETE", list+"/"+m.Data.ID, ""))
	}
	w.want(200, `"webhooks":[],"cursor":null`)(w.ask("GET", list+"?brand_id=1", ""))
}

// TestDeliveries has a receiver that fails for a while, then takes all; and one that
// fails until its deliveries are dead letters, which are replayed and discarded.
func TestDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newReceiver(w)
	w.tell(1) // before anybody asked
	r.register(1)
	first, second := w.tell(1), w.tell(1)
	w.tell(2) // another brand's
	w.onTheWay(2)
	r.answer.Store(503)
	w.look()
	r.answer.Store(200)
	w.look() // too early to try again
	if r.has(first, second) || w.tries.Load() != 2 {
		t.Errorf("after %d tries", w.tries.Load())
	}
	w.now.Add(int64(time.Minute))
	w.look()
	if !r.has(first, second) {
		t.Errorf("it has %v, want %s and %s once", r.got, first, second)
	}
	w.onTheWay(0)

	third := w.tell(1)
	w.onTheWay(1)
	r.answer.Store(302) // what is signed goes nowhere else
	for n := 0; ; n++ {
		dead, err := w.service.Dead(t.Context(), "", 10)
		if err != nil || n > notify.TriesMax {
			t.Fatal(n, err)
		}
		if len(dead) == 1 {
			if d := dead[0]; d.Event != third || d.Tries != n || d.Reason != "it answers 302" {
				t.Errorf("dead after %d tries: %+v", n, d)
			}
			break
		}
		w.look()
		w.now.Add(int64(time.Hour))
	}
	if done, kept, err := w.service.Replay(t.Context()); done != 0 || kept != 1 || err != nil {
		t.Errorf("replayed: %d, %d, %v", done, kept, err)
	}
	r.answer.Store(200)
	if done, kept, err := w.service.Replay(t.Context()); done != 1 || kept != 0 || err != nil || !r.has(first, second, third) {
		t.Errorf("replayed: %d, %d, %v, and it has %v", done, kept, err, r.got)
	}

	r.Close() // it is away for three days
	w.tell(1)
	w.onTheWay(1)
	w.now.Add(int64(notify.LifeMax))
	w.look()
	dead, err := w.service.Dead(t.Context(), "", 10)
	if err != nil || len(dead) != 1 || !strings.HasPrefix(dead[0].Reason, "it does not answer: ") || strings.Contains(dead[0].Reason, "sesame") {
		t.Fatalf("dead: %+v, %v", dead, err)
	}
	for _, bad := range []string{"", "x", notify.Group + ":e:x", "other:" + dead[0].Event + ":" + string(dead[0].Endpoint)} {
		if err := w.service.Discard(t.Context(), bad); !errors.Is(err, notify.ErrBadLetter) {
			t.Errorf("discard %q: %v", bad, err)
		}
	}
	if err := w.service.Discard(t.Context(), dead[0].LetterID()); err != nil {
		t.Error(err)
	}
	if dead, err := w.service.Dead(t.Context(), "", 10); err != nil || len(dead) != 0 {
		t.Errorf("after it was discarded: %v, %v", dead, err)
	}
}

// TestOneIsAway: an endpoint that does not take events holds up no other one.
func TestOneIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	away, well := newReceiver(w), newReceiver(w)
	away.register(1)
	well.register(2)
	away.answer.Store(500)
	for range 250 { // more than one look takes
		w.tell(1)
	}
	event := w.tell(2)
	w.onTheWay(251)
	for range 3 {
		w.look()
	}
	if !well.has(event) {
		t.Error("it waits for another one")
	}
	if away.tries != 3 {
		t.Errorf("who is away was asked %d times", away.tries)
	}
}

// TestSignature signs what the specification signs: id, seconds and body with dots between.
func TestSignature(t *testing.T) {
	t.Parallel()
	raw, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA=")
	if err != nil {
		t.Fatal(err)
	}
	s := notify.Secret(raw)
	m := hmac.New(sha256.New, raw)
	io.WriteString(m, `msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}`)
	want := "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
	if got := s.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 500), []byte(`{"test": 2432232314}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if s.String() != "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAAAAAAAAAAA=" {
		t.Error(s.String())
	}
}
