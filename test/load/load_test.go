package load

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPeakEstimate(t *testing.T) {
	t.Parallel()
	for mean, want := range map[float64]int64{5000: 5212, 0: 0, 1: 4, 100: 130, 800: 885} {
		if got := PeakEstimate(mean); got != want {
			t.Errorf("PeakEstimate(%v) = %d, want %d", mean, got, want)
		}
	}
}

// TestHistogram compares quantiles with those of the sorted values.
func TestHistogram(t *testing.T) {
	t.Parallel()
	for _, scale := range []float64{50, 1e4, 1e6, 1e8} {
		var a, b Histogram
		values := make([]time.Duration, 20_000)
		for i := range values {
			values[i] = time.Duration(scale * math.Exp(rand.NormFloat64()))
			if i%2 == 0 {
				a.Record(values[i])
			} else {
				b.Record(values[i])
			}
		}
		a.Add(&b)
		slices.Sort(values)
		for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 0.999, 1} {
			exact := values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
			if got := a.Quantile(q); got < exact || float64(got) > float64(exact)*1.01 {
				t.Errorf("scale %g: quantile %v = %v, exact %v", scale, q, got, exact)
			}
		}
		if a.Count() != int64(len(values)) || a.Max() != values[len(values)-1] {
			t.Errorf("scale %g: count %d, max %v, want %d, %v", scale, a.Count(), a.Max(), len(values), values[len(values)-1])
		}
	}
	var none, huge Histogram
	huge.Record(time.Hour)
	if none.Quantile(0.5) != 0 || huge.Quantile(0.5) != time.Hour {
		t.Errorf("empty %v, beyond the last bucket %v", none.Quantile(0.5), huge.Quantile(0.5))
	}
}

// TestBuckets: every value lies in its bucket and above the one before.
func TestBuckets(t *testing.T) {
	t.Parallel()
	for b := 1; b < buckets-1; b++ {
		low, high := highest(b-1)+1, highest(b)
		if bucketOf(low) != b || bucketOf(high) != b {
			t.Fatalf("bucket %d is %d..%d, but they lie in %d and %d", b, low, high, bucketOf(low), bucketOf(high))
		}
	}
}

func TestParseMix(t *testing.T) {
	t.Parallel()
	got, err := ParseMix("fresh=70, repeat=20,stale=5,forged=5")
	if want := (Mix{70, 20, 5, 5}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = ParseMix("forged=1"); err != nil || got != (Mix{0, 0, 0, 1}) || got.pick() != Forged {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "fresh", "fresh=-1", "fresh=x", "old=1", "fresh=0", "fresh=1,fresh=2", "fresh=1,,", "fresh=1000001"} {
		if m, err := ParseMix(bad); err == nil {
			t.Errorf("%q was read as %v", bad, m)
		}
	}
	counts := [kinds]int{}
	mix := Mix{70, 20, 5, 5}
	for range 100_000 {
		counts[mix.pick()]++
	}
	for k, share := range mix {
		if got := float64(counts[k]) / 1000; math.Abs(got-float64(share)) > 1 {
			t.Errorf("%s: %.1f %%, want %d", Kind(k), got, share)
		}
	}
}

func TestStages(t *testing.T) {
	t.Parallel()
	ramp := Stage{For: 60 * time.Second, ConnsFrom: 1, ConnsTo: 50, RateFrom: 10, RateTo: 200}
	if ramp.total() != 6300 {
		t.Errorf("10 to 200 a second in 60 s makes %d, want 6300", ramp.total())
	}
	last := time.Duration(-1)
	perSecond := [60]int{}
	for n := range ramp.total() {
		at := ramp.due(n)
		if at <= last || at >= ramp.For {
			t.Fatalf("request %d is due at %v, the one before at %v", n, at, last)
		}
		last = at
		perSecond[at/time.Second]++
	}
	if perSecond[0] > 13 || perSecond[59] < 196 || perSecond[59] > 200 {
		t.Errorf("first second %d, last %d", perSecond[0], perSecond[59])
	}
	if flat := Steady(time.Second, 1, 100); flat.due(50) != 500*time.Millisecond {
		t.Errorf("request 50 of 100 a second is due at %v", flat.due(50))
	}
	if ramp.joins(0) != 0 || ramp.joins(25) < 28*time.Second || ramp.joins(25) > 32*time.Second || ramp.joins(49) >= ramp.For {
		t.Errorf("connections join at %v, %v, %v", ramp.joins(0), ramp.joins(25), ramp.joins(49))
	}
	if err := Check(Seed(1)); err != nil {
		t.Error(err)
	}
	for _, bad := range []Stage{
		{}, Steady(time.Second, 0, 0), Steady(time.Second, 1, -1), Steady(time.Second, 1, math.NaN()), Steady(time.Second, 1, math.Inf(1)),
		Steady(-1, 1, 0), Steady(0, 1, 10), Steady(time.Second, ConnsMax+1, 0), {For: time.Second, ConnsFrom: 2, ConnsTo: 1},
		{For: time.Second, ConnsFrom: 1, ConnsTo: 1, RateFrom: 5},
	} {
		if err := Check([]Stage{bad}); err == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}

// fixed asks for one path and takes every answer.
type fixed struct{ limit, asked atomic.Int64 }

func (f *fixed) Next(q *Query) bool {
	q.Path = append(q.Path[:0], "/x"...)
	return f.asked.Add(1) <= f.limit.Load()
}

func (*fixed) Judge(*Query, *Answer) error { return nil }

func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.Config.Protocols = &protocols
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func runAgainst(t *testing.T, url string, useHTTP2 bool, w Work, stages ...Stage) []*Result {
	t.Helper()
	transport, err := NewTransport(url, useHTTP2)
	if err != nil {
		t.Fatal(err)
	}
	results, err := Run(t.Context(), transport, w, stages, nil)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// TestRateCountsWaiting: a server that takes 50 ms, one connection, 100 requests a
// second: the last ones waited long, and that is in their latency.
func TestRateCountsWaiting(t *testing.T) {
	t.Parallel()
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * time.Millisecond)
		_, _ = w.Write([]byte("ok"))
	})
	var w fixed
	w.limit.Store(math.MaxInt64)
	r := runAgainst(t, url, false, &w, Steady(400*time.Millisecond, 1, 100))[0]
	if r.Answers() != 40 || r.Unsent != 0 {
		t.Fatalf("%d answers, %d unsent, want 40, 0", r.Answers(), r.Unsent)
	}
	if p99 := r.All().Quantile(0.99); p99 < 1500*time.Millisecond {
		t.Errorf("p99 %v hides the wait for the connection", p99)
	}
	if p50 := runAgainst(t, url, false, &w, Steady(400*time.Millisecond, 1, 0))[0].All().Quantile(0.5); p50 > 200*time.Millisecond {
		t.Errorf("without a rate: p50 %v", p50)
	}
}

// TestUnsent: what finds no connection before the drain is over is told, and fails.
func TestUnsent(t *testing.T) {
	t.Parallel()
	url := server(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
	var w fixed
	w.limit.Store(math.MaxInt64)
	r := runAgainst(t, url, false, &w, Steady(100*time.Millisecond, 1, 1000))[0]
	if r.Answers()+r.Unsent != 100 || r.Unsent < 80 {
		t.Errorf("%d answers, %d unsent of 100", r.Answers(), r.Unsent)
	}
	var out strings.Builder
	if met, err := Summary(&out, []*Result{r}, Goals{}); met || err != nil || !strings.Contains(out.String(), "never sent") {
		t.Errorf("%v, %v: %s", met, err, out.String())
	}
}

// TestTransports: both carry requests of many connections and notice their loss.
func TestTransports(t *testing.T) {
	t.Parallel()
	for _, useHTTP2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", useHTTP2), func(t *testing.T) {
			t.Parallel()
			var asked, wrongProtocol atomic.Int64
			url := server(t, func(w http.ResponseWriter, r *http.Request) {
				if (r.ProtoMajor == 2) != useHTTP2 || r.Header.Get("Accept") != "application/json" || r.URL.Path != "/x" {
					wrongProtocol.Add(1)
				}
				switch n := asked.Add(1); {
				case n == 500:
					panic(http.ErrAbortHandler) // no answer
				case n%100 == 0:
					w.Header().Set("Connection", "close") // an answer, then the end
				}
				_, _ = w.Write([]byte("ok"))
			})
			var w fixed
			w.limit.Store(1000)
			r := runAgainst(t, url, useHTTP2, &w, Steady(0, 40, 0))[0]
			if r.Answers() != 999 || r.Unanswered() != 1 || wrongProtocol.Load() != 0 {
				t.Errorf("%d answers, %d unanswered, %d of another protocol: %q", r.Answers(), r.Unanswered(), wrongProtocol.Load(), r.First())
			}
		})
	}
}

func TestBadAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "localhost:8080", "ftp://x", "http://", "http://x/path", "http://x?y=1", "http://x:y"} {
		if _, err := NewTransport(bad, false); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

// TestCancelled: the end of the context ends a run that waits for an answer.
func TestCancelled(t *testing.T) {
	t.Parallel()
	for _, useHTTP2 := range []bool{false, true} {
		release := make(chan struct{})
		url := server(t, func(http.ResponseWriter, *http.Request) { <-release })
		transport, err := NewTransport(url, useHTTP2)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		var w fixed
		w.limit.Store(10)
		begun := time.Now()
		results, err := Run(ctx, transport, &w, []Stage{Steady(time.Minute, 4, 0)}, nil)
		if err == nil || len(results) != 1 || time.Since(begun) > 5*time.Second {
			t.Errorf("http2=%v: %d results, %v after %v", useHTTP2, len(results), err, time.Since(begun))
		}
		cancel()
		close(release)
	}
}

// TestProfile: the seed's stages, shortened, each with its own line.
func TestProfile(t *testing.T) {
	t.Parallel()
	url := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	var w fixed
	w.limit.Store(math.MaxInt64)
	results := runAgainst(t, url, false, &w, Seed(0.02)...)
	var out strings.Builder
	if _, err := Summary(&out, results, Goals{}); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"preheat", "ramp", "burst", "steady"} {
		r := results[i]
		if r.Stage.Name != name || r.Answers() != r.Stage.total()-r.Unsent || !strings.Contains(out.String(), "\n"+name+"  ") {
			t.Errorf("stage %s: %d answers, %d unsent of %d", r.Stage.Name, r.Answers(), r.Unsent, r.Stage.total())
		}
	}
	slow := Result{Stage: results[2].Stage, Took: time.Second}
	if missed := slow.missed(Goals{}); !slices.ContainsFunc(missed, func(s string) bool { return strings.Contains(s, "goal is 800") }) {
		t.Errorf("a burst without answers missed %q", missed)
	}
}
