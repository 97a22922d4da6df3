package app

import (
	"context"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/verify"
)

// LimitConfig is what strangers may ask, as "100/s", "60/m", "60/h" or "off"; "" is the
// usual.
type LimitConfig struct {
	Address    string // requests of one address
	Misses     string // of one address, for what does not exist
	Keys       string // of one address, with a key that is not valid
	MissBudget string // misses of all addresses; beyond it those with a miss prove work
}

// limits reads what was chosen.
func (c *LimitConfig) limits() (limit.Limits, error) {
	l := limit.Usual()
	for _, one := range []struct {
		flag, text string
		as         func(int64, time.Duration) limit.Rate
		rate       *limit.Rate
	}{
		{"limit-address", c.Address, limit.Steady, &l.Requests}, {"limit-misses", c.Misses, limit.Within, &l.Misses},
		{"limit-keys", c.Keys, limit.Within, &l.Keys}, {"miss-budget", c.MissBudget, limit.Steady, &l.Budget},
	} {
		if one.text == "" {
			continue
		}
		r, err := limit.Parse(one.text, one.as)
		if err != nil {
			return l, usage(one.flag, "%v", err)
		}
		*one.rate = r
	}
	return l, nil
}

// openGuard makes the limits of this process; peers come with Redis.
func (a *App) openGuard() error {
	l, err := a.Limits.limits()
	if err != nil {
		return err
	}
	if a.proxies, err = httpx.ParseProxies(a.TrustedProxies); err != nil {
		return usage("trusted-proxy", "%v", err)
	}
	a.guard = limit.NewGuard(limit.Options{Limits: l, Clock: a.clock, ProofKey: a.proofKey, Realm: a.brandMisses})
	a.metrics.Registry.MustRegister(limitMetrics{a.guard})
	return nil
}

// proofKey is of the present link key, which all processes that answer scans have: an
// edge has no session key. After a rotation a proof is asked for once more.
func (a *App) proofKey() [32]byte {
	return keyset.Derive(a.keys.present().Current(keyset.Link), "proof/1")
}

// brandMisses is the limit that a brand chose.
func (a *App) brandMisses(brand int32) (limit.Rate, bool) {
	n := a.proj.Settings(ids.BrandID(brand)).MissesPerHour
	if n == 0 {
		return limit.Rate{}, false
	}
	return limit.Within(int64(n), time.Hour), true
}

// gtinWait bounds how long a miss waits to hear whose it is.
const gtinWait = 100 * time.Millisecond

// brandOf is the brand that a GTIN names, for whom a miss counts. An edge knows it from
// what it holds of products. Where it cannot be known now the miss names nobody.
func (a *App) brandOf(ctx context.Context, gtin gs1.GTIN) ids.BrandID {
	var brand ids.BrandID
	var err error
	if a.edge != nil {
		brand, _, err = a.local.BrandOf(gtin)
	} else {
		ctx, cancel := context.WithTimeout(ctx, gtinWait)
		defer cancel()
		brand, _, err = a.store.BrandOf(ctx, gtin)
	}
	if err != nil {
		a.log.DebugContext(ctx, "whose a GTIN is cannot be told; the miss counts for no brand", "error", err)
	}
	return brand
}

// tellSettings says which settings of a brand are in force.
func (a *App) tellSettings() {
	version := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "chopmark_brand_settings_version", Help: "The version of a brand's settings that is in force here.",
	}, []string{"brand_id"})
	a.metrics.Registry.MustRegister(version)
	say := func(s batch.Settings) {
		version.WithLabelValues(a.product.brandLabel(s.BrandID)).Set(float64(s.Version))
	}
	for _, s := range a.proj.AllSettings() {
		say(s)
	}
	a.proj.OnSettings(func(s batch.Settings) {
		say(s)
		a.log.Info("settings of a brand in force", "brand_id", s.BrandID, "version", s.Version, "misses_per_hour", s.MissesPerHour, "hide_places", s.HidePlaces)
	})
}

// httpLimits holds requests to the limits.
func (a *App) httpLimits() *httpx.Limits { return httpx.NewLimits(a.guard, a.proxies) }

// brandLimits holds scans to the limits of their brand.
type brandLimits struct{ guard *limit.Guard }

var _ verify.Limits = brandLimits{}

// Brand implements verify.Limits.
func (b brandLimits) Brand(ip netip.Addr, brand ids.BrandID) error {
	return b.guard.Realm(ip, int32(brand))
}

// limitMetrics shows who was refused, and what is left of the budget of misses.
type limitMetrics struct{ guard *limit.Guard }

// Describe implements prometheus.Collector.
func (m limitMetrics) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, out) }

// Collect implements prometheus.Collector.
func (m limitMetrics) Collect(out chan<- prometheus.Metric) {
	refused := prometheus.NewDesc("chopmark_limited_total", "Requests refused, by limit; proof: asked to prove work; connections: not taken.", []string{"limit"}, nil)
	c := m.guard.Counts()
	for name, n := range map[string]int64{"address": c.Requests, "misses": c.Misses, "brand": c.Realm, "keys": c.Keys, "proof": c.Proof, "tenant": c.Holders, "complaint": c.Left, "connections": c.Unwelcome} {
		out <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(n), name)
	}
	one := func(name, help string, kind prometheus.ValueType, value float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), kind, value)
	}
	one("chopmark_proofs_total", "Requests let in by a proof of work.", prometheus.CounterValue, float64(c.Proven))
	one("chopmark_connections_calmed_total", "HTTP/2 connections ended since they kept the server busy for nobody.", prometheus.CounterValue, float64(c.Ended))
	one("chopmark_misses_total", "Requests of strangers for what does not exist.", prometheus.CounterValue, float64(c.Missed))
	one("chopmark_miss_budget_left", "Share of the budget of misses of all addresses that is left.", prometheus.GaugeValue, c.BudgetLeft)
}
