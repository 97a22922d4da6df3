package kafka

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a client tells of itself, its relay and its consumers.
type metrics struct {
	up       prometheus.Gauge
	failed   prometheus.Counter
	produced *prometheus.CounterVec
	consumed *prometheus.CounterVec
	dead     *prometheus.CounterVec
	lag      *prometheus.GaugeVec
	backlog  *prometheus.GaugeVec
	age      *prometheus.GaugeVec
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chopmark_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chopmark_" + name, Help: help}, labels)
	}
	return &metrics{
		up:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "chopmark_kafka_up", Help: "1 when Kafka answered the last time that it was needed."}),
		failed:   prometheus.NewCounter(prometheus.CounterOpts{Name: "chopmark_kafka_publish_failures_total", Help: "Batches that have to be published again."}),
		produced: counter("kafka_published_total", "Events that Kafka acknowledged.", "topic"),
		consumed: counter("kafka_consumed_total", "Events whose effect a group has made.", "group", "topic"),
		dead:     counter("kafka_dead_letters_total", "Events that a group could not consume.", "group", "topic"),
		lag:      gauge("kafka_lag_records", "Events that a group has not committed.", "group", "topic"),
		backlog:  gauge("outbox_backlog_events", "Events of the outbox that a relay has not delivered.", "relay"),
		age:      gauge("outbox_backlog_seconds", "Age of the oldest of them.", "relay"),
	}
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.up, m.failed, m.produced, m.consumed, m.dead, m.lag, m.backlog, m.age}
}

// Describe implements prometheus.Collector.
func (c *Client) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics.all() {
		m.Describe(out)
	}
}

// Collect implements prometheus.Collector. It shows what was seen last and asks nobody:
// the page must not wait for Kafka.
func (c *Client) Collect(out chan<- prometheus.Metric) {
	for _, m := range c.metrics.all() {
		m.Collect(out)
	}
}
