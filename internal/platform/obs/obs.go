// Package obs is how the process tells what it does: JSON log lines with the
// seed's keys, and Prometheus metrics of what every server has.
package obs

import (
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewLogger writes JSON lines with the keys timestamp, level, message. The level may
// change.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.TimeKey:
				return slog.String("timestamp", a.Value.Time().UTC().Format(time.RFC3339Nano))
			case slog.MessageKey:
				a.Key = "message"
			}
			return a
		},
	}))
}

// Metrics holds the process's registry and the metrics of its HTTP side.
type Metrics struct {
	Registry *prometheus.Registry
	duration *prometheus.HistogramVec
	conns    prometheus.Gauge
	errors   errorRate

	mu       sync.Mutex                                    // one at a time makes a child
	children atomic.Pointer[map[route]prometheus.Observer] // replaced under mu
}

type route struct {
	method, endpoint string
	status           int
}

// NewMetrics makes a registry with the process's own metrics and those of HTTP.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to answer a request, by route.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10},
		}, []string{"method", "endpoint", "status"}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{Name: "active_connections", Help: "Open HTTP connections."}),
	}
	m.children.Store(&map[route]prometheus.Observer{})
	m.Registry.MustRegister(m.duration, m.conns,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "error_rate", Help: "Share of requests of the last minute that answered 5xx, in percent.",
		}, func() float64 { return m.errors.percent(time.Now()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request records one answered request. endpoint is the route's pattern. Asking the
// clock costs as much as the rest of it, so the caller says when it ended.
func (m *Metrics) Request(method, endpoint string, status int, ended time.Time, took time.Duration) {
	m.child(route{knownMethod(method), endpoint, status}).Observe(took.Seconds())
	m.errors.add(ended, status >= http.StatusInternalServerError)
}

// child finds the histogram of a route; there are few, so they are kept.
func (m *Metrics) child(r route) prometheus.Observer {
	if c, ok := (*m.children.Load())[r]; ok {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(*m.children.Load())
	next[r] = m.duration.WithLabelValues(r.method, r.endpoint, strconv.Itoa(r.status))
	m.children.Store(&next)
	return next[r]
}

// knownMethod keeps strangers from making series.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// ConnState is http.Server's hook that counts open connections.
func (m *Metrics) ConnState(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		m.conns.Inc()
	case http.StateClosed, http.StateHijacked:
		m.conns.Dec()
	case http.StateActive, http.StateIdle:
	}
}

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{})
}

// errorRate counts requests and failures by second over the last minute.
type errorRate struct {
	slots [60]struct{ second, all, failed atomic.Int64 }
}

func (e *errorRate) add(now time.Time, failed bool) {
	s := &e.slots[now.Unix()%60]
	if old := s.second.Load(); old != now.Unix() && s.second.CompareAndSwap(old, now.Unix()) {
		s.all.Store(0)
		s.failed.Store(0)
	}
	s.all.Add(1)
	if failed {
		s.failed.Add(1)
	}
}

func (e *errorRate) percent(now time.Time) float64 {
	var all, failed int64
	for i := range e.slots {
		s := &e.slots[i]
		if now.Unix()-s.second.Load() < 60 {
			all += s.all.Load()
			failed += s.failed.Load()
		}
	}
	if all == 0 {
		return 0
	}
	return 100 * float64(failed) / float64(all)
}
