// Package crash kills the real server with -9 under load, again and again, and
// holds it to its one promise: what it acknowledged is there, once. hammer crash and
// TestKill run it; TestCheckerSeesLoss and TestJudge plant what its checks must see.
//
// A round: workers issue batches, claim numbers, move items, reissue and scan; the
// process is killed at a random moment, sometimes again while it recovers; then
// every acknowledged fact is looked up, and every request whose answer never came
// is asked again under its own key, which must give it exactly one effect.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

const (
	roundMin    = 60 * time.Millisecond
	roundMax    = 400 * time.Millisecond
	doubleKills = 5                      // one in so many rounds is killed again while it recovers
	recoverMax  = 150 * time.Millisecond // by then it may have recovered
)

// Options of a run.
type Options struct {
	Server   string // the path of the server's binary
	Data     string // its data directory: empty, or not there yet
	Rounds   int
	Seed     uint64             // of the random choices
	Progress func(done *Report) // after each round; may be nil
}

// Report is what a run has done and found.
type Report struct {
	Rounds   int // that were played, the last one with what was lost
	Seed     uint64
	Batches  int64 // acknowledged, as are the next four
	Claims   int64
	Changes  int64
	Reissues int64
	Scans    int64
	Consumed int64           // scans that each consumer has exactly once
	Unknown  int             // answers that never came
	Recovery []time.Duration // from each start after a kill until ready, sorted
	Lost     []string        // what is not as it was acknowledged
}

// RecoveryMax is the longest recovery.
func (r *Report) RecoveryMax() time.Duration { return r.recovery(len(r.Recovery) - 1) }

// RecoveryMedian is the recovery in the middle.
func (r *Report) RecoveryMedian() time.Duration { return r.recovery(len(r.Recovery) / 2) }

func (r *Report) recovery(i int) time.Duration {
	if len(r.Recovery) == 0 {
		return 0
	}
	return r.Recovery[i]
}

// String is the run in a few lines.
func (r *Report) String() string {
	return fmt.Sprintf("%d rounds with seed %d\nacknowledged: %d batches, %d claims, %d state changes, %d reissues, %d scans\n"+
		"in the log, the records and the statistics at the end: %d scans\nanswers that never came: %d\nrecovery: max %v, median %v\n", r.Rounds, r.Seed, r.Batches, r.Claims, r.Changes, r.Reissues, r.Scans,
		r.Consumed, r.Unknown, r.RecoveryMax().Round(time.Millisecond), r.RecoveryMedian().Round(time.Millisecond))
}

// Run plays the rounds and ends at the first that lost something, which the report
// tells. An error means that the run could not go on: the server did not start again,
// or ended without a kill. The report holds what was done before.
func Run(ctx context.Context, o Options) (*Report, error) {
	w, err := newWorld(ctx, o)
	if err != nil {
		return &Report{Seed: o.Seed}, err
	}
	defer func() { w.server.Kill() }() // the server of the last round
	for round := range o.Rounds {
		err := w.round(ctx, round%doubleKills == doubleKills-1)
		report := w.report(round + 1)
		if err != nil {
			return report, fmt.Errorf("round %d: %w", round+1, err)
		}
		if len(report.Lost) > 0 {
			return report, nil
		}
		if o.Progress != nil {
			o.Progress(report)
		}
	}
	if err := w.checkEffects(ctx); err != nil {
		return w.report(o.Rounds), fmt.Errorf("after the last round: %w", err)
	}
	return w.report(o.Rounds), nil
}

// world is what the run knows of the server.
type world struct {
	Options
	rng      *rand.Rand
	server   *harness.Server
	product  int32
	pool     string // the batch that everyone claims from
	actors   []*actor
	unknown  int
	consumed int64
	recovery []time.Duration
	mu       sync.Mutex
	lost     []string // guarded by mu: what the checks found
	acked    struct{ batches, claims, changes, reissues, scans atomic.Int64 }
}

// newWorld starts the server and gives it what the actors work on.
func newWorld(ctx context.Context, o Options) (*world, error) {
	w := &world{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 0))}
	s, err := harness.Start(ctx, w.Server, w.Data)
	if err != nil {
		return nil, err
	}
	w.server = s
	if err := w.found(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%w\n%s", err, s.Log())
	}
	return w, nil
}

// round is load, kill, recovery and check.
func (w *world) round(ctx context.Context, twice bool) error {
	w.load(ctx, roundMin+w.moment(roundMax-roundMin))
	if twice {
		if err := w.killWhileRecovering(ctx); err != nil {
			return err
		}
	}
	return w.recover(ctx)
}

// recover starts the server again and looks whether everything is there.
func (w *world) recover(ctx context.Context) error {
	if err := w.start(ctx); err != nil {
		return err
	}
	err := w.settle(ctx)
	if err == nil {
		err = w.check(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, w.server.Log())
	}
	return nil
}

func (w *world) moment(below time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(int64(below)))
}

func (w *world) start(ctx context.Context) error {
	begun := time.Now()
	s, err := harness.Start(ctx, w.Server, w.Data)
	if err != nil {
		return fmt.Errorf("the server did not start again: %w", err)
	}
	w.server, w.recovery = s, append(w.recovery, time.Since(begun))
	return nil
}

// killWhileRecovering starts and kills, at a moment when it may still be reading.
func (w *world) killWhileRecovering(ctx context.Context) error {
	for range 2 {
		half, err := harness.Launch(ctx, w.Server, w.Data)
		if err != nil {
			return err
		}
		wait(ctx, w.moment(recoverMax)) // the kill's moment is the point
		half.Kill()
	}
	return nil
}

// load lets all actors work until the process is killed.
func (w *world) load(ctx context.Context, during time.Duration) {
	var wg sync.WaitGroup
	var dead atomic.Bool
	client := newClient(nil)
	defer client.CloseIdleConnections()
	for _, a := range w.actors {
		wg.Go(func() {
			for !dead.Load() && w.step(ctx, client, a) {
				continue
			}
		})
	}
	wait(ctx, during)
	dead.Store(true)
	w.server.Kill()
	wg.Wait()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// reportf notes what is not as it must be.
func (w *world) reportf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = append(w.lost, fmt.Sprintf(format, args...))
}

func (w *world) findings() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.lost, "\n")
}

func (w *world) report(rounds int) *Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &Report{
		Rounds: rounds, Seed: w.Seed, Batches: w.acked.batches.Load(), Claims: w.acked.claims.Load(), Changes: w.acked.changes.Load(),
		Reissues: w.acked.reissues.Load(), Scans: w.acked.scans.Load(), Consumed: w.consumed, Unknown: w.unknown,
		Recovery: slices.Sorted(slices.Values(w.recovery)), Lost: slices.Clone(w.lost),
	}
}
