package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Reloadable reports whether a flag is a policy: what may change while the process runs.
func Reloadable(flag string) bool {
	return slices.Contains([]string{
		"limit-address", "limit-misses", "limit-keys", "miss-budget", "log-level", "stale-after", "scan-days", "scan-log-max",
		"expire-rule", "trusted-proxy",
	}, flag)
}

// policyVersion names what is in force, the same in every process with the same policies.
func (c *Config) policyVersion() string {
	text := fmt.Sprintf("%+v %s %s %d %d %q %q", c.Limits, c.LogLevel, c.StaleAfter, c.ScanDays, c.ScanLogMax, c.ExpireRule, c.TrustedProxies)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}

// Reload puts the policies of a configuration in force, all of them or, with an error,
// none. The rest of it is not looked at: it needs a restart.
func (a *App) Reload(next Config) error {
	if err := next.check(); err != nil {
		a.reloads.refused()
		return err
	}
	l, err := next.Limits.limits()
	if err != nil {
		return err // cannot be: check has read them
	}
	proxies, err := httpx.ParseProxies(next.TrustedProxies)
	if err != nil {
		a.reloads.refused()
		return usage("trusted-proxy", "%v", err)
	}
	rule, err := ParseExpireRule(next.ExpireRule)
	if err != nil {
		return err // likewise
	}
	a.guard.Set(l)
	a.proxies.Set(proxies)
	a.Verify.SetStaleAfter(next.StaleAfter)
	a.sightings.Stream().SetCap(next.ScanLogMax)
	if a.Batches != nil { // an edge issues nothing
		a.Batches.SetExpireRule(rule)
	}
	if a.scans != nil { // an edge keeps no records
		a.scans.KeepRecords(next.ScanDays)
	}
	a.reloads.done(next.policyVersion())
	a.log.Info("policies in force", "version", next.policyVersion(), "limits", fmt.Sprintf("%+v", next.Limits),
		"log_level", next.LogLevel, "stale_after", next.StaleAfter.String(), "scan_days", next.ScanDays, "scan_log_max", next.ScanLogMax,
		"expire_rule", next.ExpireRule, "trusted_proxies", next.TrustedProxies)
	return nil
}

// ReloadRefused counts a configuration that could not be read.
func (a *App) ReloadRefused() { a.reloads.refused() }

// reloads tells which policies are in force, and since when.
type reloads struct {
	clock clock.Clock

	mu      sync.Mutex
	version string    // guarded by mu
	since   time.Time // guarded by mu
	good    int       // guarded by mu
	bad     int       // guarded by mu
}

func (r *reloads) done(version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version, r.since, r.good = version, r.clock.Now(), r.good+1
}

func (r *reloads) refused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad++
}

// Describe implements prometheus.Collector.
func (r *reloads) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(r, out) }

// Collect implements prometheus.Collector.
func (r *reloads) Collect(out chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gauge := func(name, help string, value float64, labels ...string) {
		desc := prometheus.NewDesc(name, help, []string{"version"}[:len(labels)], nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	gauge("chopmark_policies_info", "The policies in force, by version.", 1, r.version)
	gauge("chopmark_policies_since_seconds", "When they were put in force, in seconds since 1970.", float64(r.since.UnixMilli())/1e3)
	read := prometheus.NewDesc("chopmark_policies_reloads_total", "Configurations that were read while the process ran.", []string{"result"}, nil)
	out <- prometheus.MustNewConstMetric(read, prometheus.CounterValue, float64(r.good), "ok")
	out <- prometheus.MustNewConstMetric(read, prometheus.CounterValue, float64(r.bad), "refused")
}
