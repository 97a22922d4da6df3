package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

const (
	claimRounds  = 4     // in turns, so that a noisy machine hits both
	claimsAlone  = 5_000 // in each
	changesShown = 1_000
)

// benchClaims claims from 512 clients in one MariaDB, through the store, and as one
// transaction for each claim.
func benchClaims(ctx context.Context, b *bench) error {
	var together, alone claimRate
	for range claimRounds {
		err := alone.add(ctx, "single", claimsAlone)
		if err == nil {
			err = together.add(ctx, "combined", max(1, b.claims/claimRounds))
		}
		if err != nil {
			return err
		}
	}
	b.rowf("durable claims in MariaDB, 512 clients, 64 batches: together / one transaction each", "≥ 5", "%.1f (%.0f/s / %.0f/s)",
		together.perSecond()/alone.perSecond(), together.perSecond(), alone.perSecond())
	b.rowf(fmt.Sprintf("  deadlocks in those %d claims", together.n), "0", "%.0f; %.0f claims failed", together.deadlocks, together.failed)
	return nil
}

// claimRate is what runs of the benchmark have shown.
type claimRate struct {
	n                          int64
	seconds, deadlocks, failed float64
}

func (c *claimRate) perSecond() float64 { return float64(c.n) / c.seconds }

func (c *claimRate) add(ctx context.Context, name string, n int64) error {
	out, err := goTestOutput(ctx, "./internal/batch/batchsql", "-run", "^$", "-bench", "^BenchmarkClaims$/^"+name+"$", "-benchtime", strconv.FormatInt(n, 10)+"x")
	if err != nil {
		return err
	}
	rate, err1 := metric(out, "claims/s")
	deadlocks, err2 := metric(out, "deadlocks")
	failed, err3 := metric(out, "failed")
	c.n, c.seconds, c.deadlocks, c.failed = c.n+n, c.seconds+float64(n)/rate, c.deadlocks+deadlocks, c.failed+failed
	return errors.Join(err1, err2, err3)
}

// benchVisible changes states at one process and looks when all edges say so.
func benchVisible(ctx context.Context, b *bench) error {
	out, err := goTestOutput(ctx, "./test/scripts", "-run", "^$", "-bench", "^BenchmarkVisible$", "-benchtime", strconv.Itoa(changesShown)+"x")
	if err != nil {
		return err
	}
	p50, err1 := metric(out, "p50-ms")
	p99, err2 := metric(out, "p99-ms")
	worst, err3 := metric(out, "worst-ms")
	b.rowf(fmt.Sprintf("from asking for a change to the last of 4 edges that says so, %d changes, MariaDB and Redis", changesShown), "p99 < 1 s",
		"p50 %.0f ms, p99 %.0f ms, worst %.0f ms", p50, p99, worst)
	return errors.Join(err1, err2, err3)
}

// metric reads what a benchmark reported.
func metric(out, unit string) (float64, error) {
	m := regexp.MustCompile(`\s(\S+) ` + regexp.QuoteMeta(unit) + `\s`).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("the benchmark printed no %s; is MariaDB missing?", unit)
	}
	return strconv.ParseFloat(m[1], 64)
}
