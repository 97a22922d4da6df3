package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

const ours = "123456789012345678"

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// world is a service whose systems and clock the test has in its hand.
type world struct {
	*testing.T
	*Service

	now     atomic.Int64 // after start
	results chan string  // what Observe was told

	mu      sync.Mutex
	systems []System                                              // guarded by mu
	rows    []Row                                                 // guarded by mu
	down    error                                                 // guarded by mu: of the store
	answer  func(ctx context.Context, url string) (Answer, error) // guarded by mu
	asked   map[string]int                                        // guarded by mu: by address
	pushes  []Push                                                // guarded by mu
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, results: make(chan string, 10_000), asked: map[string]int{}}
	w.answers(func(context.Context, string) (Answer, error) {
		return Answer{Code: ours, Parts: []Part{says("here")}}, nil
	})
	var err error
	w.Service, err = NewService(Config{
		Clock: clock.Func(func() time.Time { return start().Add(time.Duration(w.now.Load())) }), Log: slog.New(slog.DiscardHandler),
		Secrets: Secrets{Seal: [32]byte{1}, Push: [32]byte{2}}, Observe: func(kind, result string) { w.results <- kind + " " + result },
	}, Deps{Store: kept{w: w}, HTTP: asker{w}, RPC: asker{w}, Catalog: oneBrand{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func says(location string) Part {
	return Part{Stage: "production", Time: start().Add(-time.Hour), Location: location, Details: map[string]any{"inspector": "王敏"}}
}

func (w *world) answers(f func(ctx context.Context, url string) (Answer, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func (w *world) has(kinds ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for n, kind := range kinds {
		w.systems = append(w.systems, System{ID: SystemID(ids.New("src")), Brand: 1, Kind: kind, URL: fmt.Sprintf("https://%s.example/%d", strings.ToLower(kind), n), Enabled: true, Version: 1})
	}
}

// kept is the store. It panics for what is not below.
type kept struct {
	Store
	w *world
}

func (k kept) System(_ context.Context, id SystemID) (System, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	for _, s := range k.w.systems {
		if s.ID == id {
			return s, k.w.down
		}
	}
	return System{}, ErrUnknown
}

func (k kept) Asked(context.Context, ids.BrandID) ([]System, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return slices.Clone(k.w.systems), k.w.down
}

func (k kept) Rows(context.Context, Ask, int) ([]Row, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	return k.w.rows, k.w.down
}

func (k kept) AddRows(_ context.Context, _ ids.Request, p Push) (string, bool, error) {
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	k.w.pushes = append(k.w.pushes, p)
	return p.ID, false, nil
}

type asker struct{ w *world }

func (a asker) Ask(ctx context.Context, url, _ string, _ Ask) (Answer, error) {
	a.w.mu.Lock()
	a.w.asked[url]++
	f := a.w.answer
	a.w.mu.Unlock()
	return f(ctx, url)
}

func (w *world) askedTimes() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.asked {
		n += one
	}
	return n
}

type oneBrand struct{}

func (oneBrand) HasBrand(ctx context.Context, id ids.BrandID) error {
	if id < 1 || id > 2 || !ids.ScopeOf(ctx).Has(id) {
		return fault.New(fault.NotFound, "brand.unknown", "there is no such brand")
	}
	return nil
}

func (oneBrand) Find(code string) (Ask, bool) {
	if len(code) != 18 || !strings.HasPrefix(code, "1234567890") {
		return Ask{}, false
	}
	return Ask{Code: code, Brand: 1, BatchNo: "B-1", Product: 7}, true
}

func (w *world) parts() []Part { return w.Parts(w.T.Context(), 1, "B-1", ours) }

// want takes what Observe was told, in any order.
func (w *world) want(results ...string) {
	w.T.Helper()
	for range results {
		select {
		case got := <-w.results:
			i := slices.Index(results, got)
			if i < 0 {
				w.T.Fatalf("observed %q, want one of %q", got, results)
			}
			results[i] = ""
		case <-time.After(time.Minute):
			w.T.Fatalf("nobody observed %q", results)
		}
	}
}

func shown(parts []Part) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%s %s %s%s; ", p.Stage, p.Source, p.Status, p.Location)
	}
	return b.String()
}

func (w *world) shows(want string) {
	w.T.Helper()
	if got := shown(w.parts()); got != want {
		w.T.Fatalf("shows %q, want %q", got, want)
	}
}

// TestPartsInTime: whatever systems and store do, a look comes back, and says what is not
// here.
func TestPartsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES, WMS, ERP)
	w.rows = []Row{{Stage: "logistics", Source: WMS, Time: start(), Location: "pushed"}}
	w.answers(func(ctx context.Context, url string) (Answer, error) {
		switch {
		case strings.Contains(url, "mes"):
			<-ctx.Done()
			return Answer{}, ErrNoAnswer.Because(ctx.Err())
		case strings.Contains(url, "wms"):
			return Answer{}, ErrNoAnswer
		}
		return Answer{Code: ours, Parts: []Part{says("sold")}}, nil
	})
	w.shows("production ERP sold; production MES loading; logistics WMS pushed; logistics WMS unavailable; ")
	w.want("MES late", "WMS failed", "ERP answered")
	w.mu.Lock()
	w.down = errors.New("no database")
	w.mu.Unlock()
	w.shows("production MES unavailable; production MES unavailable; logistics WMS unavailable; logistics WMS unavailable; sales ERP unavailable; sales ERP unavailable; ")
}

func TestForeignCodesHaveNoParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES)
	if p := w.Parts(t.Context(), 2, "B-1", ours); p != nil {
		t.Errorf("another brand is shown %v", p)
	}
	if p := w.Parts(t.Context(), 1, "B-1", "999999999999999999"); p != nil {
		t.Errorf("a code of nobody's has %v", p)
	}
	if p := (*Service)(nil).Parts(t.Context(), 1, "B-1", ours); p != nil {
		t.Errorf("no service shows %v", p)
	}
	_, err := w.Known(ids.WithScope(t.Context(), ids.OnlyBrands(2)), ours)
	if !errors.Is(err, ErrUnknownCode) || w.askedTimes() != 0 {
		t.Errorf("a foreign code: %v, asked %d times", err, w.askedTimes())
	}
}

// TestLateIsThereNext: the question goes on when nobody waits any more; many looks
// meanwhile ask no second one.
func TestLateIsThereNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES)
	release := make(chan struct{})
	w.answers(func(ctx context.Context, _ string) (Answer, error) {
		<-release
		return Answer{Code: ours, Parts: []Part{says("late")}}, ctx.Err()
	})
	var looks sync.WaitGroup
	for range 20 {
		looks.Go(func() { w.shows("production MES loading; ") })
	}
	looks.Wait()
	w.want(slices.Repeat([]string{"MES late"}, 20)...)
	close(release)
	w.want("MES answered")
	w.shows("production MES late; ")
	if n := w.askedTimes(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestOldIsShownWhileItIsAskedAgain: an answer that is old is shown at once, and a system
// that fails then takes nothing away.
func TestOldIsShownWhileItIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES)
	w.shows("production MES here; ")
	w.want("MES answered")
	w.shows("production MES here; ")
	if n := w.askedTimes(); n != 1 {
		t.Errorf("a fresh answer was asked for again: %d", n)
	}
	w.answers(func(context.Context, string) (Answer, error) { return Answer{}, ErrNoAnswer })
	w.now.Store(int64(2 * freshFor))
	w.shows("production MES here; ")
	w.want("MES failed")
	w.shows("production MES here; ")
	w.answers(func(context.Context, string) (Answer, error) {
		return Answer{Code: ours, Parts: []Part{says("new")}}, nil
	})
	w.now.Store(int64(4 * freshFor))
	w.shows("production MES here; ")
	w.want("MES answered")
	w.shows("production MES new; ")
	w.mu.Lock()
	w.systems[0].Version++ // what was said before is another's
	w.mu.Unlock()
	w.answers(func(context.Context, string) (Answer, error) { return Answer{Code: ours}, nil })
	w.shows("")
}

// TestBreaker: a system that fails is left alone, and holds up no other one.
func TestBreaker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(WMS, MES)
	w.answers(func(_ context.Context, url string) (Answer, error) {
		if strings.Contains(url, "wms") {
			return Answer{}, ErrNoAnswer
		}
		return Answer{Code: ours, Parts: []Part{says("here")}}, nil
	})
	for n := range 2 * breakAfter {
		w.now.Store(int64(time.Duration(n) * 2 * failedFor)) // what failed is remembered for a while
		w.shows("production MES here; logistics WMS unavailable; ")
	}
	if n := w.asked["https://wms.example/0"]; n != breakAfter {
		t.Errorf("asked %d times, want %d", n, breakAfter)
	}
}

// TestFailuresAreRemembered: who looks at once again does not ask at once again.
func TestFailuresAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(WMS)
	w.answers(func(context.Context, string) (Answer, error) { return Answer{}, ErrNoAnswer })
	for range 3 {
		w.shows("logistics WMS unavailable; ")
	}
	if n := w.askedTimes(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestQuestionsAreBounded: a system that does not answer has so many open questions and no
// more, whatever is looked at.
func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES)
	release := make(chan struct{})
	w.answers(func(context.Context, string) (Answer, error) { <-release; return Answer{}, ErrNoAnswer })
	var looks sync.WaitGroup
	for n := range 3 * fetchesMax {
		looks.Go(func() {
			if got := shown(w.Parts(t.Context(), 1, "B-1", fmt.Sprintf("12345678901234%04d", n))); got != "production MES loading; " {
				t.Errorf("shows %q", got)
			}
		})
	}
	looks.Wait()
	if n := w.askedTimes(); n != fetchesMax {
		t.Errorf("%d questions are open, want %d", n, fetchesMax)
	}
	close(release)
}

// TestCloseEndsQuestions: nothing is asked any more when Close has returned.
func TestCloseEndsQuestions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES)
	ended := atomic.Bool{}
	w.answers(func(ctx context.Context, _ string) (Answer, error) {
		<-ctx.Done()
		ended.Store(true)
		return Answer{}, ErrNoAnswer
	})
	w.shows("production MES loading; ")
	if err := w.Close(); err != nil || !ended.Load() {
		t.Errorf("closed with %v while a question was open: %v", err, !ended.Load())
	}
	w.shows("production MES unavailable; ")
}

// TestFacts: what is wrong in an answer makes all of it wrong, and pushed it is refused.
func TestFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.has(MES)
	sys := w.systems[0]
	for what, change := range map[string]func(p *Part){
		"stage":           func(p *Part) { p.Stage = "teleportation" },
		"no time":         func(p *Part) { p.Time = time.Time{} },
		"too early":       func(p *Part) { p.Time = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC) },
		"future":          func(p *Part) { p.Time = start().Add(48 * time.Hour) },
		"long":            func(p *Part) { p.Location = strings.Repeat("x", TextMax+1) },
		"NUL":             func(p *Part) { p.Location = "a\x00b" },
		"newline":         func(p *Part) { p.Location = "a\nb" },
		"turned":          func(p *Part) { p.Location = "\u202ecba" },
		"bad UTF-8":       func(p *Part) { p.Location = "\xff" },
		"detail's key":    func(p *Part) { p.Details = map[string]any{"<script>": "x"} },
		"no key":          func(p *Part) { p.Details = map[string]any{"": "x"} },
		"long key":        func(p *Part) { p.Details = map[string]any{strings.Repeat("k", keyBytesMax+1): "x"} },
		"detail's value":  func(p *Part) { p.Details = map[string]any{"a": []any{1}} },
		"object":          func(p *Part) { p.Details = map[string]any{"a": map[string]any{}} },
		"detail's length": func(p *Part) { p.Details = map[string]any{"a": strings.Repeat("x", TextMax+1)} },
		"too many details": func(p *Part) {
			p.Details = map[string]any{}
			for n := range DetailsMax + 1 {
				p.Details[fmt.Sprint("k", n)] = "x"
			}
		},
	} {
		p := says("here")
		change(&p)
		a := Answer{Code: ours, Parts: []Part{says("here"), p}}
		if _, err := w.judge(MES, Ask{Code: ours}, a); !errors.Is(err, ErrWrong) {
			t.Errorf("%s: %v", what, err)
		}
		row := Row{Code: ours, Stage: p.Stage, Time: p.Time, Location: p.Location, Details: p.Details}
		if _, _, err := w.AddSigned(t.Context(), &sys, ids.Request{}, 0, []Row{row}); !errors.Is(err, ErrBadRows) {
			t.Errorf("%s, pushed: %v", what, err)
		}
	}
	good := Answer{Code: ours, Parts: []Part{says("here")}}
	good.Parts[0].Details = map[string]any{"temperature": "15-25°C", "n": 1.5, "ok": true, "none": nil}
	if got, err := w.judge(MES, Ask{Code: ours}, good); err != nil || got[0].Source != MES {
		t.Errorf("a good answer: %v %v", got, err)
	}
	if _, err := w.judge(MES, Ask{Code: ours}, Answer{Code: "123456789012345679"}); !errors.Is(err, ErrWrong) {
		t.Errorf("about another code: %v", err)
	}
	if _, err := w.judge(MES, Ask{Code: ours}, Answer{Code: ours, Parts: slices.Repeat(good.Parts, PartsMax+1)}); !errors.Is(err, ErrWrong) {
		t.Errorf("too many parts: %v", err)
	}
}
