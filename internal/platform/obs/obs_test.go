package obs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoggerKeys(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelInfo)
	log.Debug("not this")
	log.Warn("disk is slow", "error", errors.New("late"), slog.Group("disk", "msg", "inside", "time", "noon"))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	at, _ := line["timestamp"].(string)
	if when, err := time.Parse(time.RFC3339Nano, at); err != nil || !strings.HasSuffix(at, "Z") || time.Since(when).Abs() > time.Minute {
		t.Errorf("timestamp %q: %v", at, err)
	}
	delete(line, "timestamp")
	if diff := cmp.Diff(map[string]any{
		"level": "WARN", "message": "disk is slow", "error": "late", "disk": map[string]any{"msg": "inside", "time": "noon"},
	}, line); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

func TestErrorRateWindow(t *testing.T) {
	t.Parallel()
	var e errorRate
	start := time.Unix(1_800_000_000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	want := func(seconds int, percent float64) {
		t.Helper()
		if got := e.percent(at(seconds)); got != percent {
			t.Errorf("after %d s: %v %%, want %v %%", seconds, got, percent)
		}
	}
	want(0, 0)
	e.add(at(0), true)
	want(0, 100)
	for range 3 {
		e.add(at(1), false)
	}
	want(1, 25)
	want(59, 25)
	want(60, 0) // the failure is a minute old
	want(61, 0)
	e.add(at(60), true) // takes the place of second 0
	want(60, 25)
	e.add(at(600), false)
	want(600, 0)
	want(1200, 0)
}

func TestErrorRateTogether(t *testing.T) {
	t.Parallel()
	var e errorRate
	now := time.Unix(1_800_000_000, 0)
	e.add(now, true) // the second has begun, so that nobody resets it
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				e.add(now, i%4 == 0)
			}
		})
	}
	wg.Wait()
	if got, want := e.percent(now), 100*2001.0/8001; got != want {
		t.Errorf("%v %%, want %v %%", got, want)
	}
}

// scrape is what a Prometheus server reads.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestRequestMetrics(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.Request("GET", "/{code}", 200, time.Now(), 70*time.Millisecond)
	m.Request("GET", "/{code}", 200, time.Now(), time.Millisecond)
	m.Request("POST", "/api/v1/batches", 500, time.Now(), time.Second)
	text := scrape(t, m)
	for _, line := range []string{
		`http_request_duration_seconds_count{endpoint="/{code}",method="GET",status="200"} 2`,
		`http_request_duration_seconds_bucket{endpoint="/{code}",method="GET",status="200",le="0.05"} 1`,
		`http_request_duration_seconds_bucket{endpoint="/{code}",method="GET",status="200",le="0.1"} 2`,
		`http_request_duration_seconds_count{endpoint="/api/v1/batches",method="POST",status="500"} 1`,
		"active_connections 0", "go_goroutines ", "process_start_time_seconds ", "error_rate 33.3",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s", line)
		}
	}
	for _, bucket := range []string{"0.05", "0.1", "0.2", "0.5"} { // the seed's
		if !strings.Contains(text, `le="`+bucket+`"`) {
			t.Errorf("no bucket %s", bucket)
		}
	}
}

// Strangers choose methods; series must not grow with them.
func TestMethodLabelIsBounded(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for i := range 1000 {
		m.Request(fmt.Sprintf("BREW%d", i), "/", 405, time.Now(), time.Millisecond)
	}
	m.Request("get", "/", 405, time.Now(), time.Millisecond)
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		m.Request(method, "/", 200, time.Now(), time.Millisecond)
	}
	text := scrape(t, m)
	if n := strings.Count(text, "http_request_duration_seconds_count{"); n != 8 {
		t.Errorf("%d series, want 8", n)
	}
	if !strings.Contains(text, `http_request_duration_seconds_count{endpoint="/",method="other",status="405"} 1001`) {
		t.Error("methods of strangers are not counted together")
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for _, s := range []http.ConnState{
		http.StateNew, http.StateActive, http.StateIdle, http.StateNew, http.StateActive, http.StateNew, http.StateClosed, http.StateHijacked,
	} {
		m.ConnState(nil, s)
	}
	if !strings.Contains(scrape(t, m), "active_connections 1\n") {
		t.Error("of three connections, one closed and one hijacked, one should be open")
	}
}
