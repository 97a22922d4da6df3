package verifyhttp

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/verify"
)

// guarded is a world whose strangers may miss twice, of whom all together may miss as
// often as budget says.
func guarded(budget int64) *world {
	w := newWorld()
	now := clock.Func(func() time.Time { return present })
	svc := verify.NewService(verify.Config{Grace: verify.DefaultGrace}, book, w, w, w, w, w, now)
	g := limit.NewGuard(limit.Options{
		Limits: limit.Limits{Requests: limit.Steady(100, time.Second), Misses: limit.Within(4, time.Hour), Budget: limit.Steady(budget, time.Hour)},
		Clock:  now, ProofKey: func() [32]byte { return [32]byte{5} },
	})
	rt := httpx.NewRouter(nil, noMetrics{}, slog.New(slog.DiscardHandler))
	mount(rt, New(Deps{Service: svc, Links: w, Pages: plainPages{}, Observer: w, Limits: httpx.NewLimits(g, httpx.Proxies{}), BrandOf: brandOf, Gate: httpx.NewGate(), Log: slog.New(slog.DiscardHandler)}))
	w.h = rt
	return w
}

// TestMissesAreLimited: what is refused counts, by each door, and then nothing is
// answered, nor counted; in both languages, as a page or as JSON.
func TestMissesAreLimited(t *testing.T) {
	t.Parallel()
	for name, miss := range map[string]struct{ method, path string }{
		"verify": {"GET", "/api/v1/codes/" + code(unknown) + "/verify"}, "page": {"GET", "/" + code(unknown)}, "a look": {"HEAD", "/" + code(unknown)},
		"a token that was never ours": {"GET", "/" + code(printed) + "/" + token(aliens, printed, 10)}, "without its token": {"GET", "/" + code(displayed)},
		"a Digital Link": {"GET", "/01/09506000134369/21/" + code(printed)},
	} {
		w := guarded(1000)
		for range 2 {
			want(t, w.ask(miss.method, miss.path), http.StatusNotFound)
		}
		page := w.ask("GET", "/"+code(printed), asPage, "Accept-Language: zh-CN")
		want(t, page, http.StatusTooManyRequests, "<html lang=zh>limited for 30m0s", `challenge=""`)
		wantHeaders(t, page.Header(), map[string]string{"Retry-After": "1800", "Cache-Control": "no-store"})
		want(t, w.ask("GET", "/", "Accept-Language: en"), http.StatusTooManyRequests, "<html lang=en>limited")
		want(t, w.ask("GET", "/01/"+theGTIN+"/21/"+code(printed)), http.StatusTooManyRequests)
		answer := w.ask("GET", "/api/v1/codes/"+code(printed)+"/verify", asPage)
		want(t, answer, http.StatusTooManyRequests, `"code":429`, `"error":"limit.misses"`)
		wantHeaders(t, answer.Header(), map[string]string{"Retry-After": "1800", "Content-Type": "application/json; charset=utf-8"})
		if n := w.scans(); n != 0 {
			t.Errorf("%s: %d scans were counted", name, n)
		}
	}
}

// TestGTINNamesBrand: a serial that does not verify, beside a GTIN of a brand, is a guess
// about that brand.
func TestGTINNamesBrand(t *testing.T) {
	t.Parallel()
	for gtin, known := range map[string]bool{theGTIN: true, "09506000134369": false} {
		w := newWorld()
		now := clock.Func(func() time.Time { return present })
		g := limit.NewGuard(limit.Options{
			Limits: limit.Limits{Misses: limit.Within(100, time.Hour), Budget: limit.Steady(1000, time.Hour)}, Clock: now, ProofKey: func() [32]byte { return [32]byte{5} },
			Realm: func(int32) (limit.Rate, bool) { return limit.Within(2, time.Hour), true },
		})
		rt := httpx.NewRouter(nil, noMetrics{}, slog.New(slog.DiscardHandler))
		mount(rt, New(Deps{
			Service: verify.NewService(verify.Config{Grace: verify.DefaultGrace}, book, w, w, w, w, w, now), Links: w, Pages: plainPages{}, Observer: w,
			Limits: httpx.NewLimits(g, httpx.Proxies{}), BrandOf: brandOf, Gate: httpx.NewGate(), Log: slog.New(slog.DiscardHandler),
		}))
		w.h = rt
		want(t, w.ask("GET", "/01/"+gtin+"/21/"+code(unknown)), http.StatusTemporaryRedirect)
		if full := g.Realm(netip.MustParseAddr("192.0.2.1"), 1001) != nil; full != known || (g.Counts().BudgetLeft == 1) != known {
			t.Errorf("%s: the brand's account is drawn on %v, of what all share %v is left", gtin, full, g.Counts().BudgetLeft)
		}
	}
}

func brandOf(_ context.Context, gtin gs1.GTIN) ids.BrandID {
	if gtin.String() == theGTIN {
		return 1001
	}
	return 0
}

// TestProof: once too many missed, who has a miss is let in by a proof, shown in a header
// or the page's cookie.
func TestProof(t *testing.T) {
	t.Parallel()
	w := guarded(1)
	good := "/api/v1/codes/" + code(printed) + "/verify"
	want(t, w.ask("GET", good), http.StatusOK)
	want(t, w.ask("GET", "/"+code(unknown)), http.StatusNotFound)
	asked := w.ask("GET", good)
	want(t, asked, http.StatusTooManyRequests, `"error":"limit.proof"`, `"field":"X-Proof","reason":"1.`)
	_, challenge, _ := strings.Cut(asked.Body.String(), `"reason":"`)
	challenge, _, _ = strings.Cut(challenge, `"`)
	proof := limit.Solve(challenge)
	want(t, w.ask("GET", good, "X-Proof: "+proof), http.StatusOK)
	want(t, w.ask("GET", "/"+code(printed), "Cookie: a=b; proof="+proof), http.StatusOK)
	want(t, w.ask("GET", good, "X-Proof: "+challenge+".x"), http.StatusTooManyRequests)
	want(t, w.ask("GET", "/"+code(printed), asPage), http.StatusTooManyRequests, `challenge="1.`)
}

// TestMalformedIsNoMiss: what cannot be a code guesses nothing.
func TestMalformedIsNoMiss(t *testing.T) {
	t.Parallel()
	w := guarded(1)
	for range 20 {
		want(t, w.ask("GET", "/12345"), http.StatusBadRequest)
	}
	want(t, w.ask("GET", "/"+code(printed)), http.StatusOK)
}
