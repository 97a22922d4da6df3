package app

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

const (
	lagsEvery   = 5 * time.Second
	lagsTimeout = 2 * time.Second
)

// sharedLags shows how far groups are behind the logs of all processes. It looks every
// few seconds, so that the page of metrics never waits for Redis.
type sharedLags struct {
	mu   sync.Mutex
	last map[string]stream.Lag // guarded by mu
}

// watchLags looks after the groups of the shared streams. One that cannot be asked keeps
// what it showed last.
func (a *App) watchLags() {
	if a.shared == nil {
		return
	}
	m := &sharedLags{last: map[string]stream.Lag{}}
	a.metrics.Registry.MustRegister(m)
	a.work.Go(func() {
		t := time.NewTicker(lagsEvery)
		defer t.Stop()
		for {
			for _, c := range a.consumers {
				m.look(a.background, c.group)
			}
			select {
			case <-t.C:
			case <-a.background.Done():
				return
			}
		}
	})
}

func (m *sharedLags) look(ctx context.Context, g stream.Group) {
	ctx, cancel := context.WithTimeout(ctx, lagsTimeout)
	defer cancel()
	lag, err := g.Lag(ctx)
	if err != nil {
		return // the connection's own metric tells
	}
	m.mu.Lock()
	m.last[g.Name()] = lag
	m.mu.Unlock()
}

// Describe implements prometheus.Collector: what it collects is described there.
func (*sharedLags) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *sharedLags) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for group, lag := range m.last {
		showLag(out, group, lag)
	}
}

// showLag tells of one group, whichever log it reads.
func showLag(out chan<- prometheus.Metric, group string, lag stream.Lag) {
	records := describe("lag_records", "Commit groups that a group of consumers has not dealt with.", "group")
	out <- prometheus.MustNewConstMetric(records, prometheus.GaugeValue, float64(lag.Records), group)
	age := describe("lag_seconds", "Age of the oldest of them.", "group")
	out <- prometheus.MustNewConstMetric(age, prometheus.GaugeValue, lag.Age.Seconds(), group)
	lost := describe("lost_total", "Commit groups that were given up for want of room.", "group")
	out <- prometheus.MustNewConstMetric(lost, prometheus.CounterValue, float64(lag.Lost), group)
}
