package load

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
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

// TestPeakWithin compares with the distribution summed from below, and wants a longer
// time and more confidence to cost more.
func TestPeakWithin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mean       float64
		whole      time.Duration
		confidence float64
		want       int64
	}{
		{5000, time.Second, 0.999, 5220}, {5000, time.Minute, 0.999, 5296}, {5000, time.Hour, 0.999, 5358}, {0, time.Second, 0.999, 0}, {0.001, time.Second, 0.99, 0},
	} {
		if got := PeakWithin(tt.mean, tt.whole, tt.confidence); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
	for _, mean := range []float64{0.5, 1, 7, 100, 1000} {
		for _, confidence := range []float64{0.1, 0.5, 0.9, 0.999, 0.999999} {
			for _, seconds := range []float64{1, 60, 3600} {
				var below float64
				k := int64(-1)
				for math.Pow(below, seconds) < confidence {
					k++
					below += poisson(mean, k)
				}
				if got := PeakWithin(mean, time.Duration(seconds)*time.Second, confidence); got != k {
					t.Errorf("mean %v, %v s, confidence %v: %d, want %d", mean, seconds, confidence, got, k)
				}
			}
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
	if want := (Mix{70, 20, 5, 5, 0}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = ParseMix("malformed=1"); err != nil || got != (Mix{Malformed: 1}) || got.pick() != Malformed {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = ParseMix("forged=1"); err != nil || got != (Mix{Forged: 1}) || got.pick() != Forged {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "fresh", "fresh=-1", "fresh=x", "old=1", "fresh=0", "fresh=1,fresh=2", "fresh=1,,", "fresh=1000001"} {
		if m, err := ParseMix(bad); err == nil {
			t.Errorf("%q was read as %v", bad, m)
		}
	}
	counts := [kinds]int{}
	mix := Mix{60, 20, 5, 5, 10}
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

func server(t *testing.T, h http.HandlerFunc) string { return serverWith(t, h, 0) }

// limited ends a Work after n requests.
type limited struct {
	Work
	n     int64
	asked atomic.Int64
}

func (l *limited) Next(q *Query) bool { return l.asked.Add(1) <= l.n && l.Work.Next(q) }

func serverWith(t *testing.T, h http.Handler, headerBytesMax int) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.MaxHeaderBytes = headerBytesMax
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
		time.Sleep(50 * time.Millisecond) // the slow server is the point
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
	if sent := r.AllSent(); sent.Count() != 40 || sent.Quantile(0.5) < 50*time.Millisecond || sent.Quantile(0.5) > 500*time.Millisecond {
		t.Errorf("since sending: %d answers, p50 %v; the server takes 50 ms, and nothing of the wait is to be in it", sent.Count(), sent.Quantile(0.5))
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

// TestShed: a 503 that says when to come again is counted apart where that is
// allowed; without the header, with another status, or where it is not, it is judged.
func TestShed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		allow, useHTTP2     bool
		status              int
		after               string
		answers, shed, most int64
	}{
		{"allowed", true, false, 503, "1", 75, 25, 0},
		{"allowed over HTTP/2", true, true, 503, "1", 75, 25, 0},
		{"not allowed", false, false, 503, "1", 100, 0, 25},
		{"without Retry-After", true, false, 503, "", 100, 0, 25},
		{"without Retry-After over HTTP/2", true, true, 503, "", 100, 0, 25},
		{"another status", true, false, 500, "1", 100, 0, 25},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			url := server(t, func(w http.ResponseWriter, _ *http.Request) {
				if n.Add(1)%4 == 0 {
					if tt.after != "" {
						w.Header().Set("Retry-After", tt.after)
					}
					w.WriteHeader(tt.status)
				}
				_, _ = w.Write([]byte("ok"))
			})
			w := only200{}
			w.limit.Store(100)
			stage := Steady(0, 4, 0)
			stage.AllowShed = tt.allow
			r := runAgainst(t, url, tt.useHTTP2, &w, stage)[0]
			if r.Answers() != tt.answers || r.AllSent().Count() != tt.answers || r.Shed() != tt.shed || r.Wrong() != tt.most {
				t.Errorf("%d answers, %d shed, %d wrong; want %d, %d, %d: %q", r.Answers(), r.Shed(), r.Wrong(), tt.answers, tt.shed, tt.most, r.First())
			}
			right := float64(tt.answers-tt.most) / r.Took.Seconds()
			if math.Abs(r.Goodput()-right) > right/1e6 {
				t.Errorf("goodput %.1f, want %.1f", r.Goodput(), right)
			}
			var out strings.Builder
			met, err := Summary(&out, []*Result{r}, Goals{})
			if met != (tt.most == 0) || err != nil || tt.shed > 0 && !strings.Contains(out.String(), "  25    0") {
				t.Errorf("met %v, %v: %s", met, err, out.String())
			}
		})
	}
}

// TestShedByItself: an answer's Retry-After does not excuse the next one on its
// connection.
func TestShedByItself(t *testing.T) {
	t.Parallel()
	for _, useHTTP2 := range []bool{false, true} {
		var n atomic.Int64
		url := server(t, func(w http.ResponseWriter, _ *http.Request) {
			if n.Add(1)%2 == 1 {
				w.Header().Set("Retry-After", "1")
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte("busy"))
		})
		w := only200{}
		w.limit.Store(20)
		stage := Steady(0, 1, 0)
		stage.AllowShed = true
		if r := runAgainst(t, url, useHTTP2, &w, stage)[0]; r.Shed() != 10 || r.Wrong() != 10 {
			t.Errorf("http2=%v: %d shed, %d wrong, want 10 of each", useHTTP2, r.Shed(), r.Wrong())
		}
	}
}

// only200 is fixed, but holds every answer to 200.
type only200 struct{ fixed }

func (*only200) Judge(_ *Query, a *Answer) error {
	if a.Status != http.StatusOK {
		return fmt.Errorf("answered %d", a.Status)
	}
	return nil
}

// TestSentGoal: the goal since sending is its own.
func TestSentGoal(t *testing.T) {
	t.Parallel()
	r := Result{Stage: Steady(time.Second, 1, 1), Took: time.Second}
	r.Latency[Fresh].Record(time.Second)
	r.Sent[Fresh].Record(time.Millisecond)
	for _, tt := range []struct {
		goals Goals
		n     int
	}{{Goals{}, 0}, {Goals{P99: 10 * time.Millisecond}, 1}, {Goals{SentP99: 10 * time.Millisecond}, 0}, {Goals{SentP99: time.Microsecond}, 1}} {
		if missed := r.missed(tt.goals); len(missed) != tt.n {
			t.Errorf("%+v: %q", tt.goals, missed)
		}
	}
}

// TestForwarded: every request carries addresses of its own in each of the headers,
// and without the option none does.
func TestForwarded(t *testing.T) {
	t.Parallel()
	for _, useHTTP2 := range []bool{false, true} {
		var mu sync.Mutex
		seen := map[string]int{} // guarded by mu
		var bad []string         // guarded by mu
		url := server(t, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			own, list, node := r.Header.Get("X-Real-Ip"), r.Header.Get("X-Forwarded-For"), r.Header.Get("Forwarded")
			first, second, _ := strings.Cut(list, ", ")
			a, err1 := netip.ParseAddr(first)
			_, err2 := netip.ParseAddr(second)
			if err1 != nil || err2 != nil || own != first || !strings.Contains(node, a.String()) || a.Is6() != strings.Contains(node, `="[`) {
				bad = append(bad, fmt.Sprintf("%q %q %q", own, list, node))
			}
			seen[own]++
			_, _ = w.Write([]byte("ok"))
		})
		var w fixed
		ask := func(open func(string, bool) (Transport, error)) *Result {
			w.limit.Store(200)
			w.asked.Store(0)
			transport, err := open(url, useHTTP2)
			if err != nil {
				t.Fatal(err)
			}
			results, err := Run(t.Context(), transport, &w, []Stage{Steady(0, 4, 0)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return results[0]
		}
		if r := ask(NewForwarded); r.Answers() != 200 || len(bad) > 0 || len(seen) < 199 {
			t.Errorf("http2=%v: %d answers, %d addresses: %q %q", useHTTP2, r.Answers(), len(seen), bad, r.First())
		}
		clear(seen)
		if ask(NewTransport); seen[""] != 200 {
			t.Errorf("http2=%v: without the option: %v", useHTTP2, seen)
		}
	}
}

// TestPick: Zipf's law over any number of places, also when fewer are open than the
// generator was made for.
func TestPick(t *testing.T) {
	t.Parallel()
	const draws = 200_000
	z := newZipf(1000)
	for _, n := range []int{1, 2, 10, 1000} {
		var all float64
		for k := range n {
			all += math.Pow(float64(k+1), -zipfExponent)
		}
		counts := make([]int, n)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 4 {
			wg.Go(func() {
				own := make([]int, n)
				for range draws / 4 {
					own[z.draw(n)]++
				}
				mu.Lock()
				defer mu.Unlock()
				for k := range own {
					counts[k] += own[k]
				}
			})
		}
		wg.Wait()
		for k := range n {
			want := draws * math.Pow(float64(k+1), -zipfExponent) / all
			if math.Abs(float64(counts[k])-want) > 6*math.Sqrt(want)+1 {
				t.Errorf("%d places: place %d was drawn %d times, want %.0f", n, k+1, counts[k], want)
			}
		}
	}
}
