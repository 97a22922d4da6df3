package app

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/verify"
)

// brandLabelsMax is how many brands get a label of their own; the rest share
// "other", so that series stay bounded.
const brandLabelsMax = 200

// productMetrics are the metrics that the seeds name.
type productMetrics struct {
	registry   *prometheus.Registry
	generation *prometheus.CounterVec
	verified   *prometheus.CounterVec
	generated  prometheus.Counter
	scanned    prometheus.Counter
	traced     prometheus.Histogram

	mu       sync.RWMutex
	labels   map[ids.BrandID]string            // guarded by mu
	verdicts map[verdictKey]prometheus.Counter // guarded by mu
}

type verdictKey struct {
	brand   ids.BrandID
	verdict verify.Verdict
}

func newProductMetrics(r *prometheus.Registry) *productMetrics {
	m := &productMetrics{
		registry: r,
		generation: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qrcode_generation_total", Help: "Requests that issue codes, by what became of them.",
		}, []string{"brand_id", "status"}),
		verified: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "qrcode_verification_total", Help: "Scans answered, by verdict.",
		}, []string{"brand_id", "result"}),
		generated: prometheus.NewCounter(prometheus.CounterOpts{Name: "qrcode_generated_total", Help: "Codes issued."}),
		scanned:   prometheus.NewCounter(prometheus.CounterOpts{Name: "qrcode_scanned_total", Help: "Scans of known codes."}),
		traced: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "trace_query_duration_seconds", Help: "Time to answer a trace query.",
			Buckets: []float64{0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5},
		}),
		labels: map[ids.BrandID]string{}, verdicts: map[verdictKey]prometheus.Counter{},
	}
	r.MustRegister(m.generation, m.verified, m.generated, m.scanned, m.traced)
	return m
}

// label is the brand's label value. The caller holds mu.
func (m *productMetrics) label(b ids.BrandID) string {
	if l, ok := m.labels[b]; ok {
		return l
	}
	l := strconv.Itoa(int(b))
	if b == 0 {
		l = "unknown"
	} else if len(m.labels) >= brandLabelsMax {
		return "other"
	}
	m.labels[b] = l
	return l
}

// brandLabel is the brand's label value.
func (m *productMetrics) brandLabel(b ids.BrandID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.label(b)
}

// Verified implements verifyhttp.Observer.
func (m *productMetrics) Verified(b ids.BrandID, v verify.Verdict) {
	key := verdictKey{b, v}
	m.mu.RLock()
	c, ok := m.verdicts[key]
	m.mu.RUnlock()
	if !ok {
		m.mu.Lock()
		c = m.verified.WithLabelValues(m.label(b), v.String())
		if len(m.verdicts) < brandLabelsMax*len(verify.Verdicts()) {
			m.verdicts[key] = c
		}
		m.mu.Unlock()
	}
	c.Inc()
	if b != 0 {
		m.scanned.Inc()
	}
}

// Generated counts a request for codes, and the codes that it issued. Were successes
// counted in codes, no share of failures could be told.
func (m *productMetrics) Generated(b ids.BrandID, codes int64, err error) {
	label := m.brandLabel(b)
	if err != nil {
		m.generation.WithLabelValues(label, "error").Inc()
		return
	}
	m.generation.WithLabelValues(label, "success").Inc()
	m.generated.Add(float64(codes))
}

// Traced times a trace query.
func (m *productMetrics) Traced(took time.Duration) { m.traced.Observe(took.Seconds()) }

// watch adds the gauges of what others hold; dbs is nil in a process without SQL.
func (m *productMetrics) watch(dbs *sqldb.Shards, texts *verify.TextCache) {
	gauge := func(name, help, database string, value func() float64) {
		o := prometheus.GaugeOpts{Name: name, Help: help}
		if database != "" {
			o.ConstLabels = prometheus.Labels{"database": database}
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(o, value))
	}
	gauge("cache_hit_rate", "Share of product texts that memory answered.", "", texts.HitRate)
	if dbs == nil {
		return
	}
	const active, most = "SQL connections in use.", "SQL connections that may be open."
	for _, p := range dbs.Pools() {
		gauge("db_connections_active", active, p.Name, func() float64 { return float64(p.Stats().InUse) })
		gauge("db_connections_max", most, p.Name, func() float64 { return float64(p.Stats().MaxOpenConnections) })
		if p.Behind == nil {
			continue
		}
		gauge("chopmark_sql_replica_lag_seconds", "How far a replica is behind, at most; 0 while nobody can tell.", p.Name, func() float64 {
			behind, _ := p.Behind()
			return behind.Seconds()
		})
		gauge("chopmark_sql_replica_read", "1 while a replica is read, 0 while it is left out.", p.Name, func() float64 {
			if _, ok := p.Behind(); ok {
				return 1
			}
			return 0
		})
	}
}
