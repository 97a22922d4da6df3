package verifyhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// The items of the world, by serial.
const (
	printed   ids.Serial = iota + 1 // rotates hourly
	fixed                           // does not rotate
	displayed                       // needs its token
	scratched                       // has an inner code
	sold
	recalled
	broken  // its text cannot be read
	unknown // was never issued
)

const theGTIN = "09506000134352"

var (
	made    = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	present = made.Add(10*time.Hour + 30*time.Minute)
	soldAt  = made.Add(time.Hour)
	book    = codebook.NewItems([32]byte{1})
	links   = codebook.NewLinks([32]byte{2})
	aliens  = codebook.NewLinks([32]byte{3})
	inner   = codebook.NewInner([32]byte{4})
)

func code(s ids.Serial) string { return book.Code(s).String() }

// token is an item's token of an epoch; the present one is 10.
func token(key *codebook.Links, s ids.Serial, epoch uint64) string {
	t, err := key.Token(s, 1, 3600, epoch)
	if err != nil {
		panic(err)
	}
	return t.String()
}

// world is everything behind the handler, and what it saw.
type world struct {
	items map[ids.Serial]verify.Item
	h     http.Handler

	mu       sync.Mutex
	counts   map[ids.Serial]int64   // guarded by mu
	sources  []verify.Source        // guarded by mu
	verdicts map[verify.Verdict]int // guarded by mu
	tries    int                    // guarded by mu
	log      bytes.Buffer           // guarded by mu
}

func newWorld() *world {
	w := &world{items: map[ids.Serial]verify.Item{}, counts: map[ids.Serial]int64{}, verdicts: map[verify.Verdict]int{}}
	for s := printed; s < unknown; s++ {
		item := verify.Item{
			Serial: s, BrandID: 7, ProductID: ids.ProductID(s), BatchNo: "LOT-1", State: gs1.Active,
			RotateEvery: time.Hour, CreatedAt: made, ProductionDate: "2026-10-31",
		}
		switch s {
		case fixed:
			item.RotateEvery, item.ProductionDate = 0, ""
		case displayed:
			item.Display = true
		case scratched:
			item.InnerKeyID = "inner"
		case sold:
			item.State = gs1.RetailSold
		case recalled:
			item.State = gs1.Recalled
		}
		w.items[s] = item
	}
	log := slog.New(slog.NewJSONHandler(w, nil))
	svc := verify.NewService(verify.Config{Grace: verify.DefaultGrace}, book, w, w, w, w, w, clock.Func(func() time.Time { return present }))
	rt := httpx.NewRouter(nil, noMetrics{}, log)
	h := New(Deps{Service: svc, Links: w, Pages: plainPages{}, Observer: w, BrandOf: brandOf, Gate: httpx.NewGate(), Log: log})
	mount(rt, h)
	w.h = rt
	return w
}

// mount adds the routes, and items' Digital Links as the resolver does.
func mount(rt *httpx.Router, h *Handler) {
	h.Mount(rt)
	rt.Hot("GET /01/", "/01/{gtin}", func(w http.ResponseWriter, r *http.Request) int {
		id, err := gs1.ParsePath(r.URL.EscapedPath())
		if err != nil {
			return h.fail(w, r, err)
		}
		return h.Item(w, r, &id)
	})
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) Lookup(s ids.Serial) (verify.Item, bool)      { i, ok := w.items[s]; return i, ok }
func (w *world) Extra(ids.Serial) (verify.Extra, error)       { return verify.Extra{Version: 1}, nil }
func (w *world) Links() []*codebook.Links                     { return []*codebook.Links{links} }
func (w *world) Label(codebook.LabelKeyID) *codebook.LabelKey { return nil }
func (w *world) Inner(string) (*codebook.Inner, error)        { return inner, nil }
func (w *world) Note(ids.Serial) (verify.Note, bool, error) {
	return verify.Note{At: soldAt, Place: `Shop "5"`}, true, nil
}

func (w *world) Text(_ context.Context, item *verify.Item) (verify.Text, error) {
	if item.Serial == broken {
		return verify.Text{}, errors.New("secret: the disk is on fire")
	}
	return verify.Text{Name: "Green tea 绿茶", Brand: "Brand & Sons", GTIN: theGTIN}, nil
}

func (w *world) Record(g *verify.Sighting) (verify.Seen, error) {
	w.mu.Lock()
	w.counts[g.Item.Serial]++
	w.sources = append(w.sources, g.Source)
	w.mu.Unlock()
	seen, err := w.Seen(g.Item.Serial)
	seen.What = verifyevent.NewSession
	return seen, err
}

func (w *world) Seen(s ids.Serial) (verify.Seen, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts[s] == 0 {
		return verify.Seen{}, nil
	}
	return verify.Seen{Count: w.counts[s], FirstAt: present, LastAt: present}, nil
}

func (w *world) TryInner(_ context.Context, _ *verify.Item, right bool) (verify.Tried, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if right {
		return verify.Tried{FirstAt: present}, nil
	}
	return verify.Tried{Tries: w.tries}, nil
}

func (w *world) TokenPath(item *verify.Item) (string, error) {
	return "/" + code(item.Serial) + "/" + token(links, item.Serial, 10), nil
}

func (w *world) Verified(_ ids.BrandID, v verify.Verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verdicts[v]++
}

// scans is how often anything was counted.
func (w *world) scans() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range maps.Values(w.counts) {
		n += c
	}
	return n
}

// plainPages shows what it was given.
type plainPages struct{}

func (plainPages) Verdict(w io.Writer, v *View) error {
	_, err := fmt.Fprintf(w, "<html lang=%s>%s %s scans=%d token=%s zone=%v", v.Lang, v.Code, v.Answer.Verdict, v.Answer.Seen.Count, v.TokenPath, v.Zone)
	return err
}

func (plainPages) Refused(w io.Writer, lang string) error {
	_, err := fmt.Fprintf(w, "<html lang=%s>refused", lang)
	return err
}

func (plainPages) Malformed(w io.Writer, lang, reason string) error {
	_, err := fmt.Fprintf(w, "<html lang=%s>malformed: %s", lang, reason)
	return err
}

func (plainPages) Unavailable(w io.Writer, lang string) error {
	_, err := fmt.Fprintf(w, "<html lang=%s>unavailable", lang)
	return err
}

func (plainPages) Limited(w io.Writer, lang string, again time.Duration, challenge string) (string, error) {
	_, err := fmt.Fprintf(w, "<html lang=%s>limited for %s challenge=%q", lang, again, challenge)
	return "default-src 'none'", err
}

func (plainPages) Front(w io.Writer, lang string) error {
	_, err := fmt.Fprintf(w, "<html lang=%s>front", lang)
	return err
}

func (plainPages) ContentSecurityPolicy() string { return "default-src 'none'" }

// ask sends one request; header is "Name: value" lines.
func (w *world) ask(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return rec
}

const (
	asJSON = "Accept: application/json"
	asPage = "Accept: text/html"
)

// want holds an answer to its status, to what it must contain and, after "!", to
// what it must not.
func want(t *testing.T, got *httptest.ResponseRecorder, status int, contains ...string) {
	t.Helper()
	if got.Code != status {
		t.Errorf("status %d, want %d: %s", got.Code, status, got.Body)
	}
	for _, text := range contains {
		if absent, not := strings.CutPrefix(text, "!"); not == strings.Contains(got.Body.String(), strings.TrimPrefix(text, "!")) {
			t.Errorf("contains %q is %v: %s", absent, not, got.Body)
		}
	}
}

func wantHeaders(t *testing.T, got http.Header, headers map[string]string) {
	t.Helper()
	for name, value := range headers {
		if got.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Get(name), value)
		}
	}
}

// whole is all of an answer that a stranger can compare.
func whole(rec *httptest.ResponseRecorder) string {
	head := rec.Header().Clone()
	head.Del("X-Request-Id")
	head.Del("Date")
	var b strings.Builder
	fmt.Fprintln(&b, rec.Code)
	_ = head.Write(&b)
	return b.String() + "\r\n" + rec.Body.String()
}

func wantSame(t *testing.T, name, first, other string) {
	t.Helper()
	if diff := cmp.Diff(first, other); diff != "" {
		t.Errorf("%s tells itself apart (-first +this):\n%s", name, diff)
	}
}
