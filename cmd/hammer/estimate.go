package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/test/load"
)

type estimateCmd struct {
	Mean       float64       `required:"" placeholder:"RATE" help:"Mean rate, requests a second."`
	For        time.Duration `default:"1s" help:"How long it lasts: the longer, the higher its highest second."`
	Confidence float64       `default:"0.999" help:"That no second of --for is above the bound."`
	People     float64       `default:"0" help:"Who make the requests; 0 = say how many it takes."`
	CDNHits    float64       `name:"cdn-hits" default:"0.95" help:"Share that a CDN answers."`
	Operations float64       `default:"1" help:"Redis operations for each request that reaches the server."`
}

// The bounds of the seed's model: within them its estimate holds.
const (
	refreshMax = 2.0 // page views a second by one person
	cdnHitsMin = 0.95
	redisMax   = 80_000.0 // operations a second of one Redis
)

var errBroken = errors.New("the load is beyond the bounds of the model")

// Run prints the peak to plan for, and what the model's bounds say of it.
func (c *estimateCmd) Run(s *session) error {
	if !(c.Mean > 0 && c.Mean <= load.RateMax) || c.For < time.Second || c.For > load.ForMax || !(c.Confidence > 0 && c.Confidence < 1) ||
		!(c.People >= 0) || !(c.CDNHits >= 0 && c.CDNHits <= 1) || !(c.Operations >= 0) {
		return usageError{errors.New("--mean is above 0 and at most 1000000, --for between 1s and 24h, --confidence between 0 and 1, --cdn-hits from 0 to 1, --people and --operations not below 0")}
	}
	peak := load.PeakEstimate(c.Mean)
	_, _ = fmt.Fprintf(s.out, "mean %.0f/s: a peak second of %d (λ+3√λ)\n", c.Mean, peak)
	_, _ = fmt.Fprintf(s.out, "no second of %v is above %d, with confidence %v (Poisson)\n", c.For, load.PeakWithin(c.Mean, c.For, c.Confidence), c.Confidence)
	var broken int
	bound := func(ok bool, format string, args ...any) {
		verdict := "ok    "
		if !ok {
			verdict = "BROKEN"
			broken++
		}
		_, _ = fmt.Fprintln(s.out, verdict, fmt.Sprintf(format, args...))
	}
	top := float64(peak)
	if c.People > 0 {
		bound(top/c.People <= refreshMax, "page refresh: %.2f a second per person at the peak; the bound is %.0f", top/c.People, refreshMax)
	} else {
		_, _ = fmt.Fprintf(s.out, "page refresh: the peak takes at least %.0f people at %.0f a second each\n", top/refreshMax, refreshMax)
	}
	bound(c.CDNHits >= cdnHitsMin, "CDN hits: %.1f %%; the bound is %.0f %%, and the rest is %.0f/s at the peak", 100*c.CDNHits, 100*cdnHitsMin, top*(1-c.CDNHits))
	operations := top * (1 - c.CDNHits) * c.Operations
	bound(operations <= redisMax, "one Redis: %.0f operations a second at the peak; the bound is %.0f", operations, redisMax)
	if broken > 0 {
		return errBroken
	}
	return nil
}
