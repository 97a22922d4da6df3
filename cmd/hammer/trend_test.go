package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestTrends: a server that warms up, breathes and stays passes; one that leaks what
// the rule must see fails, in the right line, whatever else is steady.
func TestTrends(t *testing.T) {
	t.Parallel()
	const n = 120
	rng := rand.New(rand.NewPCG(1, 2))
	make120 := func(memory, goroutines, files func(i int) float64) []sample {
		all := make([]sample, n)
		for i := range all {
			all[i] = sample{time.Duration(i) * 5 * time.Second, memory(i), goroutines(i), files(i)}
		}
		return all
	}
	steady := func(level, noise float64) func(int) float64 {
		return func(int) float64 { return level + noise*(rng.Float64()-0.5) }
	}
	leak := func(level, each float64) func(int) float64 {
		return func(i int) float64 { return level + each*float64(i) + rng.Float64() }
	}
	warm := func(i int) float64 { return 40 + 60*min(1, float64(i)/(n/3)) + 5*rng.Float64() }
	spike := func(i int) float64 {
		if i%10 == 9 {
			return 300
		}
		return 100
	}
	late := func(i int) float64 { // begins when half of the time is over
		return 100 + 1.0*float64(max(0, i-n/2))
	}
	for name, tt := range map[string]struct {
		samples []sample
		grows   string // "" = flat
	}{
		"steady":                 {make120(steady(100, 20), steady(50, 10), steady(60, 10)), ""},
		"warms up":               {make120(warm, steady(50, 10), steady(60, 10)), ""},
		"spikes":                 {make120(spike, steady(50, 10), steady(60, 10)), ""},
		"falls":                  {make120(leak(300, -1), steady(50, 10), steady(60, 10)), ""},
		"memory leaks":           {make120(leak(100, 1), steady(50, 10), steady(60, 10)), "resident memory"},
		"memory leaks from half": {make120(late, steady(50, 10), steady(60, 10)), "resident memory"},
		"goroutines leak":        {make120(steady(100, 20), leak(50, 1), steady(60, 10)), "goroutines"},
		"files leak":             {make120(steady(100, 20), steady(50, 10), leak(60, 1)), "open files"},
	} {
		var out strings.Builder
		flat, err := writeTrends(&out, tt.samples)
		if err != nil || flat != (tt.grows == "") || strings.Count(out.String(), "GROWS") != map[bool]int{true: 0, false: 1}[flat] ||
			!strings.Contains(out.String(), "GROWS "+tt.grows) && !flat {
			t.Errorf("%s: flat %v, %v:\n%s", name, flat, err, out.String())
		}
		if rows := strings.Count(out.String(), "\n"); rows > rowsMax+5 {
			t.Errorf("%s: %d lines", name, rows)
		}
	}
}

// TestLeakMin: a leak a little above the one that is told fails, a little below passes.
func TestLeakMin(t *testing.T) {
	t.Parallel()
	leaking := func(anHour float64, count int) []sample {
		all := make([]sample, count)
		for i := range all {
			at := time.Duration(i) * 5 * time.Second
			all[i] = sample{at, 100 + anHour*at.Hours(), 1, 1}
		}
		return all
	}
	for _, count := range []int{samplesMin, 10, 11, 120, 721} {
		flat := trends(leaking(0, count))[0]
		// The middle third has grown too, by then, and 15 % of that is allowed as well.
		if sees := trends(leaking(flat.leakMin*1.5, count))[0]; sees.flat() {
			t.Errorf("%d samples: a leak of %.0f MB an hour passed", count, flat.leakMin*1.5)
		}
		if passes := trends(leaking(flat.leakMin*0.9, count))[0]; !passes.flat() {
			t.Errorf("%d samples: a leak of %.0f MB an hour failed, and %.0f is the limit", count, flat.leakMin*0.9, flat.leakMin)
		}
	}
}
