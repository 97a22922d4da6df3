package complainthttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/complaint"
	"github.com/chopmark/chopmark/internal/complaint/complaintsql"
	"github.com/chopmark/chopmark/internal/complaint/complainttest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

const ours, nobodys = "123456789012345678", "999999999999999999"

// world is the routes over a real store, with one code of brand 7.
type world struct {
	url    string
	mu     sync.Mutex
	files  map[string][]byte // guarded by mu
	denied error             // of the limit

	service *complaint.Service
	store   *complaintsql.Store
	later   time.Duration // what the clock is ahead
}

func (w *world) Find(code string) (ids.BrandID, ids.BatchID, bool) {
	if code == ours {
		return 7, "bat_1", true
	}
	return 0, "", false
}

func (w *world) Put(_ context.Context, name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[name] = data
	return nil
}

func (w *world) Get(_ context.Context, name string) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return io.NopCloser(bytes.NewReader(w.files[name])), nil
}

func (w *world) Remove(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.files, name)
	return nil
}

func (w *world) Complaint(out io.Writer, f *Form) error {
	_, err := fmt.Fprintf(out, "%s thanks=%v wrong=%q code=%q text=%q", f.Lang, f.Thanks, f.Wrong, f.Code, f.Text)
	return err
}
func (w *world) ComplaintCSP() string { return "default-src 'none'" }

// some may read and close what is said of one brand; "all" of all.
type some struct{ scope ids.Scope }

func (some) May(httpx.Permission) bool { return true }
func (s some) Scope() ids.Scope        { return s.scope }

func (w *world) Authenticate(r *http.Request) (httpx.Principal, error) {
	switch name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); name {
	case "all":
		return httpx.Principal{ID: name, Name: name, Access: some{ids.AllBrands()}}, nil
	case "seven":
		return httpx.Principal{ID: name, Name: name, Access: some{ids.OnlyBrands(7)}}, nil
	case "eight":
		return httpx.Principal{ID: name, Name: name, Access: some{ids.OnlyBrands(8)}}, nil
	}
	return httpx.Principal{}, httpx.ErrNoAuth
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db := sqldbtest.SQLite(t)()
	for name, schema := range map[string]func() error{
		"outbox": func() error { return db.Migrate(t.Context(), "outbox", outbox.Schema()) },
		"idem":   func() error { return db.Migrate(t.Context(), "idem", idem.Schema()) },
		"own":    func() error { return db.Migrate(t.Context(), "complaint", complaintsql.Schema()) },
	} {
		if err := schema(); err != nil {
			t.Fatal(name, err)
		}
	}
	w := &world{files: map[string][]byte{}}
	now := clock.Func(func() time.Time { return complainttest.Start().Add(w.later) })
	w.store = complaintsql.New(sqldb.One(db), now)
	w.service = complaint.NewService(w.store, w, w, func(netip.Addr) error { return w.denied }, now)
	log := slog.New(slog.DiscardHandler)
	rt := httpx.NewRouter(w, obs.NewMetrics(), log)
	Mount(rt, w.service)
	MountForm(rt, Deps{Desk: w.service, Pages: w, Client: func(*http.Request) netip.Addr { return netip.IPv4Unspecified() }, Clock: clock.System{}})
	s := httptest.NewServer(rt)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

type answer struct {
	status int
	header http.Header
	body   string
}

// send posts fields; a field called photo is a file.
func (w *world) send(t *testing.T, accept, key string, fields ...string) answer {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i < len(fields); i += 2 {
		part, err := form.CreateFormField(fields[i])
		if fields[i] == "photo" {
			part, err = form.CreateFormFile("photo", "../../x.php")
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(part, fields[i+1])
	}
	_ = form.Close()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/complaints", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Accept", accept)
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) answer {
	t.Helper()
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

func (w *world) get(t *testing.T, as, path string) answer {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+path, http.NoBody)
	r.Header.Set("Authorization", "Bearer "+as)
	return do(t, r)
}

type listed struct {
	Data struct {
		Complaints []view  `json:"complaints"`
		Cursor     *string `json:"cursor"`
	} `json:"data"`
}

func (w *world) list(t *testing.T, as, query string) []view {
	t.Helper()
	a := w.get(t, as, "/api/v1/complaints"+query)
	var l listed
	if err := json.Unmarshal([]byte(a.body), &l); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return l.Data.Complaints
}

func photoFile(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, 9, 9))); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestThanksTellNothing: a code of ours, one of nobody and none at all are thanked alike, and
// all of them are kept: nobody's for who sees all brands.
func TestThanksTellNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for accept, status := range map[string]int{"text/html,*/*": http.StatusSeeOther, "application/json": http.StatusOK, "": http.StatusOK} {
		var first *answer
		for _, code := range []string{ours, "123456 789012-345678", nobodys, ""} {
			a := w.send(t, accept, "", "code", code, "text", "the seal is broken", "lang", "zh")
			a.header.Del("X-Request-Id")
			a.header.Del("Date")
			if a.status != status {
				t.Fatalf("%q: %d %s", code, a.status, a.body)
			}
			if first == nil {
				first = &a
			}
			if fmt.Sprint(a) != fmt.Sprint(*first) {
				t.Errorf("%q is answered %v, the first one %v", code, a, *first)
			}
		}
	}
	if got := len(w.list(t, "seven", "?brand_id=7")); got != 6 {
		t.Errorf("the brand has %d, want 6", got)
	}
	if got := len(w.list(t, "all", "")); got != 6 {
		t.Errorf("nobody's are %d, want 6", got)
	}
	if a := w.get(t, "eight", "/api/v1/complaints?brand_id=7"); a.status != http.StatusNotFound {
		t.Errorf("another brand reads: %d", a.status)
	}
	if a := w.get(t, "seven", "/api/v1/complaints"); a.status != http.StatusNotFound {
		t.Errorf("a brand reads nobody's: %d", a.status)
	}
	if a := w.get(t, "", "/api/v1/complaints?brand_id=7"); a.status != http.StatusUnauthorized {
		t.Errorf("a stranger reads: %d", a.status)
	}
}

// TestPhotoIsHarmless: a photo comes back as what it is, under a name of ours.
func TestPhotoIsHarmless(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.send(t, "", "", "code", ours, "photo", photoFile(t)); a.status != http.StatusOK {
		t.Fatal(a)
	}
	c := w.list(t, "seven", "?brand_id=7")[0]
	if c.Photo == nil {
		t.Fatal("has no photo")
	}
	a := w.get(t, "seven", *c.Photo)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "image/png" || a.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") || strings.Contains(a.header.Get("Content-Disposition"), "php") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := w.get(t, "eight", *c.Photo); a.status != http.StatusNotFound {
		t.Errorf("another brand sees it: %d", a.status)
	}
	if a := w.send(t, "", "", "code", ours, "photo", "<script>"); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("a script for a photo: %v", a)
	}
	if a := w.send(t, "", "", "photo", strings.Repeat("x", complaint.PhotoBytesMax+1)); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large one: %v", a)
	}
	if a := w.send(t, "", "", "text", strings.Repeat("x", 4<<20)); a.status != http.StatusBadRequest && a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large text: %v", a)
	}
	if len(w.files) != 1 {
		t.Errorf("%d files are kept, want 1", len(w.files))
	}
}

// TestOnce: what was sent twice is one complaint, with one photo.
func TestOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		if a := w.send(t, "text/html", "", "request", "req_1", "code", ours, "photo", photoFile(t)); a.status != http.StatusSeeOther {
			t.Fatal(a)
		}
		if a := w.send(t, "", "key-1", "code", ours, "text", "x"); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	if a := w.send(t, "", "key-1", "code", ours, "text", "y"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("another text under the same key: %v", a)
	}
	if got := len(w.list(t, "seven", "?brand_id=7")); got != 2 || len(w.files) != 1 {
		t.Errorf("%d complaints and %d files, want 2 and 1", got, len(w.files))
	}
}

// TestSweep: a photo whose process ended before its complaint was filed goes after a day, and
// no other does.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := w.send(t, "", "", "code", ours, "photo", photoFile(t)); a.status != http.StatusOK {
		t.Fatal(a)
	}
	died := complainttest.Some(7, 0)
	if err := errors.Join(w.store.Expect(t.Context(), died.ID, died.Photo, died.CreatedAt), w.Put(t.Context(), died.PhotoFile(), []byte("x"))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after         time.Duration
		removed, left int
	}{{23 * time.Hour, 0, 2}, {25 * time.Hour, 1, 1}, {50 * time.Hour, 0, 1}} {
		w.later = step.after
		if n, err := w.service.Sweep(t.Context()); err != nil || n != step.removed || len(w.files) != step.left {
			t.Errorf("%v later: removed %d of %d files, %v", step.after, n, len(w.files)+n, err)
		}
	}
	if c := w.list(t, "seven", "?brand_id=7"); len(c) != 1 || c[0].Photo == nil || w.get(t, "seven", *c[0].Photo).status != http.StatusOK {
		t.Errorf("what was filed: %+v", c)
	}
}

// TestRefusals: what is wrong is said, to a browser on the page with what was typed.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, fields := range map[string][]string{
		"nothing": {"code", ours}, "a long text": {"text", strings.Repeat("字", 1001)}, "a bad code": {"code", "12", "text", "x"},
		"control characters": {"text", "a\x00b"}, "a long place": {"text", "x", "place", strings.Repeat("p", 101)}, "an unknown field": {"text", "x", "admin", "1"},
	} {
		if a := w.send(t, "application/json", "", fields...); a.status != http.StatusBadRequest || !strings.Contains(a.body, `"error":`) {
			t.Errorf("%s: %v", name, a)
		}
		if a := w.send(t, "text/html", "", append([]string{"lang", "en"}, fields...)...); a.status != http.StatusBadRequest || !strings.HasPrefix(a.body, `en thanks=false wrong="`) {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := w.send(t, "text/html", "", "text", strings.Repeat("字", 1000)); a.status != http.StatusSeeOther {
		t.Errorf("the longest text: %v", a)
	}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/complaints", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	if a := do(t, r); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON: %v", a)
	}
	w.denied = complaint.ErrLimited
	if a := w.send(t, "", "", "text", "x"); a.status != http.StatusTooManyRequests {
		t.Errorf("beyond the limit: %v", a)
	}
}

// TestClose: a brand closes what was said of its items, once.
func TestClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(t, "", "", "code", ours, "text", "x")
	id := string(w.list(t, "seven", "?brand_id=7&state=open")[0].ID)
	shut := func(as, key string) answer {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/api/v1/complaints/"+id+"/close", strings.NewReader(`{"outcome":"a misprint"}`))
		r.Header.Set("Authorization", "Bearer "+as)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		return do(t, r)
	}
	if a := shut("eight", "k"); a.status != http.StatusNotFound {
		t.Errorf("another brand closes: %v", a)
	}
	first, again := shut("seven", "k"), shut("seven", "k")
	if first.status != http.StatusOK || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%v, again %v", first, again)
	}
	if a := shut("seven", "l"); a.status != fault.Conflict.HTTPStatus() {
		t.Errorf("closed again: %v", a)
	}
	if got := w.list(t, "seven", "?brand_id=7&state=open"); len(got) != 0 {
		t.Errorf("still open: %+v", got)
	}
	if a := w.get(t, "seven", "/api/v1/complaints/"+id); !strings.Contains(a.body, `"closed_by":"seven"`) || !strings.Contains(a.body, "a misprint") {
		t.Errorf("%v", a)
	}
}
