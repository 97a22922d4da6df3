package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// sample is what a server holds at a moment.
type sample struct {
	at         time.Duration // since the load began
	residentMB float64
	goroutines float64
	files      float64
}

// holding is one of the things that must not grow under a steady load.
type holding struct {
	name  string
	slack float64 // what may come on top of growthMax: no reading is quite steady
	of    func(sample) float64
}

func holdings() []holding {
	return []holding{
		{"resident memory, MB", 4, func(s sample) float64 { return s.residentMB }},
		{"goroutines", 10, func(s sample) float64 { return s.goroutines }},
		{"open files", 10, func(s sample) float64 { return s.files }},
	}
}

const (
	// growthMax is the rule: the first third of the time is for warming up, and the
	// median of the last third is at most growthMax times that of the middle one, and
	// the holding's slack. Medians, since one late collection or flush is no trend.
	growthMax = 1.15
	// samplesMin leaves three samples to each third.
	samplesMin = 9
	// rowsMax is about how many samples the table shows.
	rowsMax = 30
)

// trend is what became of a holding.
type trend struct {
	holding
	middle, last, limit float64 // medians of two thirds, and what the last may be
	leakMin             float64 // a steady growth an hour that fails
}

func (t *trend) flat() bool { return t.last <= t.limit }

// trends judges samples that were taken at even times, at least samplesMin.
func trends(samples []sample) []trend {
	third := len(samples) / 3
	middle, last := samples[len(samples)-2*third:len(samples)-third], samples[len(samples)-third:]
	apart := last[third/2].at - middle[third/2].at
	var all []trend
	for _, h := range holdings() {
		t := trend{holding: h, middle: median(middle, h.of), last: median(last, h.of)}
		t.limit = growthMax*t.middle + h.slack
		t.leakMin = (t.limit - t.middle) / apart.Hours()
		all = append(all, t)
	}
	return all
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// writeTrends prints the samples and what they come to; flat = nothing has grown.
func writeTrends(w io.Writer, samples []sample) (flat bool, _ error) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(tab, "AFTER\tRESIDENT MB\tGOROUTINES\tOPEN FILES\t")
	step := (len(samples) + rowsMax - 1) / rowsMax
	for i := 0; i < len(samples); i += step {
		s := samples[i]
		_, _ = fmt.Fprintf(tab, "%v\t%.1f\t%.0f\t%.0f\t\n", s.at.Round(time.Second), s.residentMB, s.goroutines, s.files)
	}
	if err := tab.Flush(); err != nil {
		return false, err
	}
	flat = true
	for _, t := range trends(samples) {
		verdict := "flat "
		if !t.flat() {
			verdict, flat = "GROWS", false
		}
		if _, err := fmt.Fprintf(w, "%s %s: median %.1f in the middle third, %.1f in the last; the limit is %.1f, a steady growth of %.0f an hour\n",
			verdict, t.name, t.middle, t.last, t.limit, t.leakMin); err != nil {
			return false, err
		}
	}
	return flat, nil
}
