package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// Report is what a run has done and found.
type Report struct {
	Rounds int
	Seed   uint64
	Notes  []string // what was left out, and why
	Texts  []string // of everything that is not as it was acknowledged

	rows   []*row // in the order of their first round
	total  row
	newest string
}

// row is what the rounds of one fault came to.
type row struct {
	name          string
	rounds        int
	totals        totals
	lost, doubled int
	took          []recovery
}

func newReport(seed uint64) *Report { return &Report{Seed: seed, total: row{name: "all"}} }

// Harmed reports that something was lost or doubled.
func (r *Report) Harmed() bool { return len(r.Texts) > 0 }

func (r *Report) add(name string, was, is totals, took recovery, found []finding) {
	i := slices.IndexFunc(r.rows, func(o *row) bool { return o.name == name })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, &row{name: name})
	}
	r.Rounds++
	r.newest = name
	for _, o := range []*row{r.rows[i], &r.total} {
		o.rounds++
		o.totals.facts += is.facts - was.facts
		o.totals.scans += is.scans - was.scans
		o.totals.unknown += is.unknown - was.unknown
		o.took = append(o.took, took)
		o.harm(found)
	}
	r.tell(name, found)
}

// last is the newest round in a line.
func (r *Report) last() string {
	if len(r.total.took) == 0 {
		return ""
	}
	t := r.total.took[len(r.total.took)-1]
	return fmt.Sprintf("%s: recovery %s, consumed %s; so far %d facts, %d scans, %d unknown", r.newest, seconds(t.answers), seconds(t.consumed),
		r.total.totals.facts, r.total.totals.scans, r.total.totals.unknown)
}

// end takes what the last look at everything has found.
func (r *Report) end(found []finding, all totals) {
	r.total.totals = all
	r.total.harm(found)
	r.tell("at the end", found)
}

func (r *Report) tell(when string, found []finding) {
	for _, f := range found {
		r.Texts = append(r.Texts, fmt.Sprintf("%s after round %d (%s): %s", f.harm, r.Rounds, when, f.text))
	}
}

func (o *row) harm(found []finding) {
	for _, f := range found {
		if f.harm == lost {
			o.lost++
		} else {
			o.doubled++
		}
	}
}

// Print writes the table, and what was found below it.
func (r *Report) Print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FAULT\tROUNDS\tFACTS\tSCANS\tUNKNOWN\tLOST\tDOUBLED\tRECOVERY MEDIAN\tMAX\tCONSUMED MEDIAN\tMAX")
	for _, o := range append(slices.Clone(r.rows), &r.total) {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d", o.name, o.rounds, o.totals.facts, o.totals.scans, o.totals.unknown, o.lost, o.doubled)
		for _, of := range []func(recovery) time.Duration{
			func(t recovery) time.Duration { return t.answers }, func(t recovery) time.Duration { return t.consumed },
		} {
			times := make([]time.Duration, len(o.took))
			for i := range o.took {
				times[i] = of(o.took[i])
			}
			slices.Sort(times)
			if len(times) == 0 {
				_, _ = fmt.Fprint(t, "\t-\t-")
				continue
			}
			_, _ = fmt.Fprintf(t, "\t%s\t%s", seconds(times[len(times)/2]), seconds(times[len(times)-1]))
		}
		_, _ = fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, text := range slices.Concat(r.Notes, r.Texts) {
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	return nil
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s" }
