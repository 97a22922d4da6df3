package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	before      = 300 * time.Millisecond // of load, at least
	beforeMost  = 900 * time.Millisecond
	recoverTime = 2 * time.Minute
)

// Run plays the rounds, one fault each in turn, and ends after the first in which something
// was lost or doubled. An error means that the run could not go on.
func Run(ctx context.Context, o Options) (*Report, error) {
	report := newReport(o.Seed)
	chosen := kinds()
	if o.Only != nil {
		chosen = slices.DeleteFunc(chosen, func(k kind) bool { return !slices.Contains(o.Only, k.name) })
	}
	if len(chosen) == 0 {
		return report, errors.New("no fault of these names")
	}
	w, err := newWorld(ctx, o)
	if err != nil {
		return report, err
	}
	defer w.close()
	if w.noDisk != nil {
		chosen = slices.DeleteFunc(chosen, func(k kind) bool { return k.name == diskFull })
		report.Notes = append(report.Notes, fmt.Sprintf("left out: %s (%v)", diskFull, w.noDisk))
	}
	if len(chosen) == 0 {
		return report, errors.New("there is no fault left to bring about")
	}
	return report, w.play(ctx, chosen, report)
}

func (w *world) play(ctx context.Context, chosen []kind, report *Report) error {
	working, stop := context.WithCancel(ctx)
	idle := w.load(working)
	defer func() {
		stop()
		idle()
	}()
	for round := range w.Rounds {
		select {
		case <-w.Enough:
			return w.end(ctx, report)
		default:
		}
		k := chosen[round%len(chosen)]
		err := w.round(ctx, k, report)
		if err != nil {
			return fmt.Errorf("round %d, %s: %w", round+1, k.name, err)
		}
		if w.Progress != nil {
			w.Progress(report)
		}
		if report.Harmed() {
			return nil
		}
	}
	return w.end(ctx, report)
}

// end looks at everything.
func (w *world) end(ctx context.Context, report *Report) error {
	w.pause.Lock()
	defer w.pause.Unlock()
	err := w.checkAll(ctx)
	report.end(w.ledger.taken(), w.ledger.sums())
	return err
}

// round is load, a fault, recovery, load, and a check while nothing is under way.
func (w *world) round(ctx context.Context, k kind, report *Report) error {
	was := w.ledger.sums()
	wait(ctx, before+time.Duration(w.rng.Int64N(int64(beforeMost-before))))
	since, err := k.do(ctx, w)
	if err != nil {
		return err
	}
	took, err := w.recovered(ctx, since)
	if err != nil {
		return err
	}
	if err := w.redis.whole(ctx); err != nil {
		return err
	}
	if err := w.alive(); err != nil {
		return err
	}
	w.pause.Lock()
	defer w.pause.Unlock()
	if err := w.check(ctx); err != nil {
		return err
	}
	if (report.Rounds+1)%max(w.Scans, 1) == 0 {
		if err := w.checkScans(ctx); err != nil {
			return err
		}
	}
	report.add(k.name, was, w.ledger.sums(), took, w.ledger.taken())
	return ctx.Err()
}

// alive finds processes that have ended without having been killed.
func (w *world) alive() error {
	for _, p := range append([]*process{w.issue, w.worker}, w.edges...) {
		select {
		case <-p.now().Ended():
			return fmt.Errorf("%s has ended on its own:\n%s", p.name, tail(p.now().Log()))
		default:
		}
	}
	return nil
}

func tail(log string) string { return log[max(0, len(log)-4000):] }

// recovery is how long it took until everything worked again.
type recovery struct {
	answers  time.Duration // scans, confirmed and counted with all others', and facts
	consumed time.Duration // a scan made after the fault has its record
}

// recovered asks every process until it does its work.
func (w *world) recovered(ctx context.Context, since time.Time) (took recovery, _ error) {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	results := make(chan error, len(w.edges)+1)
	client := newClient(nil)
	for i, edge := range w.edges {
		go func() { // ends with ctx; read below
			for !w.scan(ctx, client, edge, w.probes[i]) {
				if ctx.Err() != nil {
					results <- fmt.Errorf("%s does not confirm scans again:\n%s", edge.name, tail(edge.now().Log()))
					return
				}
				wait(ctx, lookAgain)
			}
			results <- nil
		}()
	}
	go func() { // as above
		w.pause.RLock()
		defer w.pause.RUnlock()
		a := w.actors[0]
		w.probed++
		r := w.claim(a)
		r.key = fmt.Sprintf("probe-%d-%d", w.Seed, w.probed)
		w.settle(ctx, client, r)
		if ctx.Err() != nil {
			results <- fmt.Errorf("%s takes no fact again:\n%s", w.issue.name, tail(w.issue.now().Log()))
			return
		}
		results <- nil
	}()
	for range cap(results) {
		if err := <-results; err != nil {
			return took, err
		}
	}
	took.answers = time.Since(since)
	err := within(ctx, "the worker makes no records of scans again", recoverTime, func() error {
		const query = `SELECT COUNT(DISTINCT code) FROM scan_records WHERE code IN (?,?) AND scan_time >= ?`
		var n int
		err := w.admin.QueryRowContext(ctx, query, w.probes[0], w.probes[1], since.UnixMicro()).Scan(&n)
		if err == nil && n < len(w.probes) {
			err = fmt.Errorf("%d of %d", n, len(w.probes))
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, tail(w.worker.now().Log()))
		for _, edge := range w.edges {
			err = fmt.Errorf("%w\n%s:\n%s", err, edge.name, tail(edge.now().Log()))
		}
	}
	took.consumed = time.Since(since)
	return took, err
}
