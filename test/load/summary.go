package load

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Goals are what a run must reach.
type Goals struct {
	P99     time.Duration // of every stage, since requests were due; 0 = none
	SentP99 time.Duration // the same, since they were sent
	Errors  int64         // requests without an answer, over all stages
}

// Live is the stage in one line: now is what came since the line before.
func Live(w io.Writer) func(*Result) {
	var stage string
	var before int64
	var at time.Time
	return func(r *Result) {
		all := r.All()
		n, now := all.Count(), time.Now()
		if stage != r.Stage.Name {
			stage, before, at = r.Stage.Name, 0, now.Add(-time.Second)
		}
		_, _ = fmt.Fprintf(w, "\r\x1b[K%s  %.0f/s  p99 %v  wrong %d  shed %d  unanswered %d",
			r.Stage.Name, float64(n-before)/now.Sub(at).Seconds(), short(all.Quantile(0.99)), r.Wrong(), r.Shed(), r.Unanswered())
		before, at = n, now
	}
}

// Summary writes what became of every stage and reports whether everything was right
// and every goal was met.
func Summary(w io.Writer, results []*Result, goals Goals) (met bool, _ error) {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "STAGE\tKIND\tANSWERS\tRATE\tGOODPUT\tP50\tP95\tP99\tP99.9\tMAX\tSENT P50\tSENT P99\tSENT MAX\tWRONG\tSHED\tUNANSWERED\tUNSENT")
	for _, r := range results {
		r.row(tab, "all", r.All(), r.AllSent(), r.Wrong(), r.Shed(), r.Unanswered(), r.Unsent)
		for k := range kinds {
			wrong, shed, unanswered := r.wrong[k].Load(), r.shed[k].Load(), r.unanswered[k].Load()
			if h := &r.Latency[k]; h.Count()+shed+unanswered > 0 {
				r.row(tab, k.String(), h, &r.Sent[k], wrong, shed, unanswered, 0)
			}
		}
	}
	if err := tab.Flush(); err != nil {
		return false, err
	}
	var missed []string
	var unanswered int64
	for _, r := range results {
		_, _ = fmt.Fprintf(w, "%s: mean %.0f/s, so a peak second of %d is to be expected (λ+3√λ); the highest had %d\n",
			r.Stage.Name, r.Rate(), PeakEstimate(r.Rate()), r.PeakSecond())
		for _, line := range r.First() {
			_, _ = fmt.Fprintf(w, "%s: %s\n", r.Stage.Name, line)
		}
		missed = append(missed, r.missed(goals)...)
		unanswered += r.Unanswered()
	}
	if unanswered > goals.Errors {
		missed = append(missed, fmt.Sprintf("%d requests had no answer; the goal is at most %d", unanswered, goals.Errors))
	}
	for _, line := range missed {
		_, _ = fmt.Fprintln(w, "MISSED", line)
	}
	if len(missed) == 0 {
		_, _ = fmt.Fprintln(w, "every answer was right and every goal was met")
	}
	return len(missed) == 0, nil
}

// row is of one kind: due and sent are its latencies since those moments.
func (r *Result) row(w io.Writer, kind string, due, sent *Histogram, wrong, shed, unanswered, unsent int64) {
	n := due.Count()
	_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%.0f/s\t%.0f/s\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%d\t%d\t%d\t%d\n",
		r.Stage.Name, kind, n, r.perTime(n), r.perTime(n-wrong),
		short(due.Quantile(0.5)), short(due.Quantile(0.95)), short(due.Quantile(0.99)), short(due.Quantile(0.999)), short(due.Max()),
		short(sent.Quantile(0.5)), short(sent.Quantile(0.99)), short(sent.Max()), wrong, shed, unanswered, unsent)
}

// missed says what a stage did not reach.
func (r *Result) missed(goals Goals) (missed []string) {
	add := func(format string, args ...any) {
		missed = append(missed, r.Stage.Name+": "+fmt.Sprintf(format, args...))
	}
	if n := r.Wrong(); n > 0 {
		add("%d wrong answers", n)
	}
	if r.Unsent > 0 {
		add("%d requests were due and never sent: the server, the client or --conns is too small for the rate", r.Unsent)
	}
	if r.Answers() == 0 {
		add("no answer at all")
	}
	if p99 := r.All().Quantile(0.99); goals.P99 > 0 && p99 > goals.P99 {
		add("p99 %v; the goal is %v", short(p99), goals.P99)
	}
	if p99 := r.AllSent().Quantile(0.99); goals.SentP99 > 0 && p99 > goals.SentP99 {
		add("p99 since sending %v; the goal is %v", short(p99), goals.SentP99)
	}
	if rate := r.Rate(); rate < r.Stage.RateMin {
		add("%.0f answers a second; the goal is %.0f", rate, r.Stage.RateMin)
	}
	return missed
}

func short(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}
