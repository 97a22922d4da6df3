package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// taker is a handler that keeps what it consumed, and fails when it is told to.
type taker struct {
	mu      sync.Mutex
	batches [][]string       // guarded by mu: each as its words
	byKey   map[uint64][]int // guarded by mu: numbers of the messages of a key
	active  map[int]bool     // guarded by mu: lanes in Handle
	tries   int              // guarded by mu
	fail    func(word string) error
	work    func(ctx context.Context) // what takes time
	wrong   []string                  // guarded by mu
}

func newTaker() *taker {
	return &taker{byKey: map[uint64][]int{}, active: map[int]bool{}, fail: func(string) error { return nil }}
}

func (k *taker) Handle(ctx context.Context, lane int, batch []Message) error {
	k.mu.Lock()
	k.tries++
	if k.active[lane] {
		k.wrong = append(k.wrong, fmt.Sprintf("lane %d handles two batches at once", lane))
	}
	k.active[lane] = true
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.active[lane] = false
		k.mu.Unlock()
	}()
	if k.work != nil {
		k.work(ctx)
	}
	var words []string
	for i := range batch {
		if err := k.fail(string(batch[i].Raw)); err != nil {
			return err
		}
		words = append(words, string(batch[i].Raw))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.batches = append(k.batches, words)
	return nil
}

func (k *taker) words() (all []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Concat(k.batches...)
}

func (k *taker) sizes() (all []int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.batches {
		all = append(all, len(b))
	}
	return all
}

func (k *taker) count() int { return len(k.words()) }

// running is a Run in a bubble.
type running struct {
	*testing.T

	cancel context.CancelFunc
	ended  chan error
	said   *bytes.Buffer // read after the end
}

func start(t *testing.T, c Config, g *memGroup, h Handler) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{T: t, cancel: cancel, ended: make(chan error, 1), said: &bytes.Buffer{}}
	c.Log = slog.New(slog.NewTextHandler(r.said, nil))
	go func() { r.ended <- Run(ctx, c, g, g, splitWords, h) }()
	return r
}

func (r *running) stop() error {
	r.cancel()
	return <-r.ended
}

func (r *running) same(what string, want, got any) {
	r.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		r.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func words(key, from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("%d:%d", key, i))
	}
	return all
}

func TestBatchIsHandedOverWhenFullOrOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		r := start(t, Config{Batch: 10, Wait: time.Second, Workers: 1}, g, k)
		begin := time.Now()
		g.append(words(1, 1, 4)...)
		synctest.Wait()
		r.same("too few and too young", 0, k.count())
		time.Sleep(600 * time.Millisecond)
		g.append(words(1, 5, 6)...)
		synctest.Wait()
		r.same("still too young", 0, k.count())
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		r.same("old", []int{6}, k.sizes())
		g.append(words(1, 7, 18)...)
		synctest.Wait()
		r.same("full", []int{6, 12}, k.sizes())
		g.append(words(1, 19, 19)...)
		r.same("ends", error(nil), r.stop())
		r.same("what waits is handled at the end, without waiting", time.Second, time.Since(begin))
		r.same("in order", words(1, 1, 19), k.words())
		r.same("acknowledged", []Position(nil), g.open())
	})
}

func TestLargerBatchesUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		k.work = func(context.Context) { time.Sleep(time.Second) }
		for i := range 100 {
			g.append(words(1, 10*i+1, 10*i+10)...)
		}
		r := start(t, Config{Batch: 5, Workers: 1, Queue: 200}, g, k)
		time.Sleep(20 * time.Second)
		r.same("in order", words(1, 1, 1000), k.words())
		if most := slices.Max(k.sizes()); most < 100 || most > 210 {
			t.Errorf("batches have %v", k.sizes())
		}
		r.same("ends", error(nil), r.stop())
	})
}

// TestQueueBoundsWhatIsInHand holds the messages in hand to the queue and one record.
func TestQueueBoundsWhatIsInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newMemGroup()
		const queue, each, records = 50, 30, 40
		for i := range records {
			g.append(words(i%7, 1, each)...)
		}
		var mu sync.Mutex
		admitted, done, most := 0, 0, 0
		split := func(r Record) ([]Message, error) {
			mu.Lock()
			defer mu.Unlock()
			admitted += each
			most = max(most, admitted-done)
			return splitWords(r)
		}
		h := HandlerFunc(func(_ context.Context, _ int, batch []Message) error {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			done += len(batch)
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, Config{Queue: queue, Workers: 3, Batch: 1000, Wait: time.Hour}, g, g, split, h)
		}()
		time.Sleep(5 * time.Minute)
		mu.Lock()
		if done < each*(records-2) || most < queue || most > queue+each {
			t.Errorf("%d are done, at most %d were in hand", done, most)
		}
		mu.Unlock()
		cancel()
		if err := <-ended; err != nil || len(g.open()) > 0 {
			t.Errorf("%v, not acknowledged: %v", err, g.open())
		}
	})
}

// TestPoisonIsFoundAndBuried looks for every set of bad messages among good ones.
func TestPoisonIsFoundAndBuried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(30) {
			rng := rand.New(rand.NewPCG(seed, 0))
			bad := map[string]bool{}
			g, k := newMemGroup(), newTaker()
			k.fail = func(word string) error {
				if bad[word] {
					return errors.New("cannot " + word)
				}
				return nil
			}
			var good, all []string
			for i := range 30 {
				word := fmt.Sprintf("1:%d", i)
				all = append(all, word)
				if bad[word] = rng.IntN(1+int(seed)) < 3; !bad[word] {
					good = append(good, word)
				}
			}
			for rest := all; len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(9))
				g.append(rest[:n]...)
				rest = rest[n:]
			}
			r := start(t, Config{Batch: 7, Wait: time.Second, Workers: 2, HandlerTries: 3}, g, k)
			time.Sleep(time.Hour)
			r.same("ends", error(nil), r.stop())
			r.same("the good ones, in order", good, k.words())
			r.same("acknowledged", []Position(nil), g.open())
			dead, err := g.Dead(t.Context(), "mem", "", 100)
			if err != nil || len(dead) != len(all)-len(good) {
				t.Fatalf("letters %v, %v", dead, err)
			}
			for _, m := range dead {
				if !bad[string(m.Value)] || m.Reason != "cannot "+string(m.Value) || m.Tries < 3 || m.BuriedAt.IsZero() || m.Key != 1 {
					t.Errorf("letter %+v", m)
				}
			}
		}
	})
}

func TestPassingTroubleBuriesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		until := time.Now().Add(2 * time.Second)
		k.fail = func(string) error {
			if time.Now().Before(until) {
				return errors.New("passing")
			}
			return nil
		}
		g.append(words(1, 1, 20)...)
		r := start(t, Config{Batch: 1, Workers: 1, HandlerTries: 3, Backoff: time.Second}, g, k)
		time.Sleep(time.Minute)
		r.same("all", words(1, 1, 20), k.words())
		r.same("letters", 0, len(g.letters))
		r.same("ends", error(nil), r.stop())
	})
}

func TestUnavailableWaitsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		until := time.Now().Add(24 * time.Hour)
		k.fail = func(string) error {
			if time.Now().Before(until) {
				return fmt.Errorf("write: %w", Unavailable(errors.New("database is locked")))
			}
			return nil
		}
		for i := range 5 {
			g.append(words(1, 10*i, 10*i+9)...)
		}
		r := start(t, Config{Workers: 3, HandlerTries: 2}, g, k)
		time.Sleep(25 * time.Hour)
		r.same("all, in order", words(1, 0, 49), k.words())
		r.same("letters", 0, len(g.letters))
		if k.tries < 24*60*2 || k.tries > 24*60*5 { // one in 15 to 30 s
			t.Errorf("it was tried %d times in a day", k.tries)
		}
		r.same("ends", error(nil), r.stop())
	})
}

func TestUnavailableKeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := fmt.Errorf("more: %w", Unavailable(cause))
	if !IsUnavailable(err) || !errors.Is(err, cause) || IsUnavailable(cause) || Unavailable(nil) != nil {
		t.Errorf("%v", err)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		k.fail = func(word string) error {
			if word == "1:3" {
				panic("no such item")
			}
			return nil
		}
		g.append(words(1, 1, 5)...)
		r := start(t, Config{Workers: 1, HandlerTries: 2}, g, k)
		time.Sleep(time.Hour)
		r.same("ends", error(nil), r.stop())
		r.same("the others", []string{"1:1", "1:2", "1:4", "1:5"}, k.words())
		m := g.letters[LetterID("mem", At(1, 1), 2)]
		r.same("reason", "handler panics: no such item", m.Reason)
		if !strings.Contains(r.said.String(), "runner_test.go") {
			t.Error("the log does not show where")
		}
	})
}

func TestRecordThatCannotBeSplitIsBuriedWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		g.append("1:1", "1:2")
		bad := g.append("1:3", "nonsense")
		g.append("1:4")
		g.append() // nothing in it is right, too
		var seen []Message
		h := HandlerFunc(func(ctx context.Context, lane int, batch []Message) error {
			seen = append(seen, batch...)
			return k.Handle(ctx, lane, batch)
		})
		r := start(t, Config{Workers: 1}, g, h)
		time.Sleep(time.Minute)
		r.same("the others", []string{"1:1", "1:2", "1:4"}, k.words())
		r.same("acknowledged", []Position(nil), g.open())
		m := g.letters[LetterID("mem", bad, WholeRecord)]
		r.same("letter", "1:3 nonsense", string(m.Value))
		if last := seen[len(seen)-1]; last.Since.At <= bad {
			t.Errorf("message %v claims to follow %v over a record that is buried", last.Place(), last.Since)
		}
		r.same("ends", error(nil), r.stop())
	})
}

func TestWhatCannotBeBuriedIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		k.fail = func(word string) error {
			if word == "1:1" {
				return errors.New("poison")
			}
			return nil
		}
		g.refusing(func(what string) error {
			if what == "bury" {
				return errors.New("disk full")
			}
			return nil
		})
		at := g.append("1:1", "2:1")
		g.append("1:2")
		r := start(t, Config{Workers: 2, HandlerTries: 2}, g, k)
		time.Sleep(time.Hour)
		r.same("its lane waits, others do not", []string{"2:1"}, k.words())
		r.same("nothing of it is acknowledged", []Position{at, at + 1}, g.open())
		g.refusing(func(string) error { return nil })
		time.Sleep(time.Minute)
		r.same("then it goes on", []string{"2:1", "1:2"}, k.words())
		r.same("acknowledged", []Position(nil), g.open())
		r.same("ends", error(nil), r.stop())
		if n := strings.Count(r.said.String(), "disk full"); n < 100 {
			t.Errorf("it was said %d times in an hour", n)
		}
	})
}

func TestAckAndFetchAreTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		g.append("1:1")
		g.refusing(func(string) error { return errors.New("away") })
		r := start(t, Config{Workers: 1, ClaimIdle: time.Minute}, g, k)
		time.Sleep(time.Minute)
		r.same("nothing", 0, k.count())
		g.refusing(func(what string) error {
			if what == "ack" {
				return errors.New("away")
			}
			return nil
		})
		time.Sleep(time.Minute)
		r.same("once", []string{"1:1"}, k.words())
		g.refusing(func(string) error { return nil })
		time.Sleep(time.Minute)
		r.same("acknowledged without anything new", []Position(nil), g.open())
		r.same("ends", error(nil), r.stop())
	})
}

func TestClosedLogEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		g.append("1:1")
		r := start(t, Config{}, g, k)
		synctest.Wait()
		g.close()
		if err := <-r.ended; !errors.Is(err, ErrClosed) {
			t.Errorf("ends with %v", err)
		}
		r.same("what was in hand", 1, k.count())
		r.cancel()
	})
}

func TestEndWaitsNoLongerThanItsGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		k.work = func(ctx context.Context) { <-ctx.Done(); time.Sleep(time.Hour) }
		at := g.append("1:1")
		r := start(t, Config{Batch: 1, Grace: 5 * time.Second, HandlerTimeout: time.Hour}, g, k)
		synctest.Wait()
		begin := time.Now()
		if err := r.stop(); err == nil || !strings.Contains(err.Error(), "handler") {
			t.Errorf("ends with %v", err)
		}
		r.same("after", 6*time.Second, time.Since(begin))
		r.same("not acknowledged", []Position{at}, g.open())
		time.Sleep(2 * time.Hour) // so that the bubble can end
	})
}

func TestHandlerHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		begin := time.Now()
		k.work = func(ctx context.Context) {
			if time.Since(begin) < time.Minute {
				<-ctx.Done()
			}
		}
		k.fail = func(string) error {
			if time.Since(begin) < time.Minute {
				return context.DeadlineExceeded
			}
			return nil
		}
		g.append("1:1")
		r := start(t, Config{Batch: 1, Workers: 1, HandlerTimeout: 10 * time.Second, HandlerTries: 20}, g, k)
		time.Sleep(5 * time.Minute)
		r.same("consumed at last", []string{"1:1"}, k.words())
		if k.tries < 3 || k.tries > 8 {
			t.Errorf("it was tried %d times", k.tries)
		}
		r.same("ends", error(nil), r.stop())
	})
}

func TestFailingBatchIsLeftAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		k.fail = func(word string) error {
			if word == "1:1" {
				return errors.New("fails")
			}
			return nil
		}
		at := g.append("1:1", "1:2")
		g.append("2:2")
		r := start(t, Config{Workers: 4, Wait: time.Hour}, g, k)
		synctest.Wait()
		begin := time.Now()
		r.same("ends", error(nil), r.stop())
		r.same("at once", time.Duration(0), time.Since(begin))
		r.same("left", []Position{at}, g.open())
		r.same("letters", 0, len(g.letters))
		r.same("the others", []string{"2:2"}, k.words())
	})
}

// TestStuckLaneIsTakenOver hangs one Run for ever; a second one consumes its records.
func TestStuckLaneIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, a, b := newMemGroup(), newTaker(), newTaker()
		forever := make(chan struct{})
		a.work = func(context.Context) { <-forever }
		g.append("1:1", "2:1")
		first := start(t, Config{Workers: 2, Batch: 1, Queue: 2, ClaimIdle: time.Minute, HandlerTimeout: time.Second}, g, a)
		synctest.Wait()
		g.append("1:2")
		second := start(t, Config{Workers: 2, Batch: 1, ClaimIdle: time.Minute}, g, b)
		time.Sleep(30 * time.Second)
		second.same("not yet", []string{"1:2"}, b.words())
		time.Sleep(2 * time.Minute)
		got := b.words()
		slices.Sort(got)
		second.same("taken over", []string{"1:1", "1:2", "2:1"}, got)
		second.same("acknowledged", []Position(nil), g.open())
		second.same("ends", error(nil), second.stop())
		close(forever)
		synctest.Wait()
		first.same("ends", error(nil), first.stop())
		if !strings.Contains(first.said.String(), "a lane is stuck") || !strings.Contains(second.said.String(), "takes over") {
			t.Errorf("it was said:\n%s\n%s", first.said, second.said)
		}
	})
}

func TestPaceRestsAfterEachBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		asked := 0
		r := start(t, Config{Workers: 1, Batch: 1, Pace: func() time.Duration { asked++; return time.Minute }}, g, k)
		for i := range 5 {
			g.append(words(1, i, i)...)
			synctest.Wait()
		}
		r.same("while it rests", 1, k.count())
		time.Sleep(time.Minute)
		synctest.Wait()
		r.same("after the rest", []int{1, 4}, k.sizes())
		r.same("asked", 2, asked)
		r.same("ends", error(nil), r.stop())
	})
}

// TestLanesKeepTheirOrder runs many keys with failures of all kinds: each key's
// messages are consumed in order, once, and lanes never overlap.
func TestLanesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, k := newMemGroup(), newTaker()
		rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
		var mu sync.Mutex
		k.work = func(context.Context) {
			mu.Lock()
			d := time.Duration(rng.IntN(50)) * time.Millisecond
			mu.Unlock()
			time.Sleep(d)
		}
		k.fail = func(string) error {
			mu.Lock()
			defer mu.Unlock()
			switch rng.IntN(60) {
			case 0:
				return errors.New("passing")
			case 1:
				return Unavailable(errors.New("away"))
			case 2:
				panic("oops")
			}
			return nil
		}
		const keys, records = 50, 300
		next := make([]int, keys)
		for range records {
			var all []string
			for range 10 {
				key := rng.IntN(keys)
				all = append(all, fmt.Sprintf("%d:%d", key, next[key]))
				next[key]++
			}
			g.append(all...)
		}
		r := start(t, Config{Workers: 8, Batch: 10, Queue: 200, HandlerTries: 50}, g, k)
		time.Sleep(24 * time.Hour)
		r.same("ends", error(nil), r.stop())
		r.same("acknowledged", 0, len(g.open()))
		got := make([]int, keys)
		for _, w := range k.words() {
			var key, n int
			if _, err := fmt.Sscanf(w, "%d:%d", &key, &n); err != nil || n != got[key] {
				t.Fatalf("%s is consumed, expected number %d", w, got[key])
			}
			got[key]++
		}
		r.same("all", next, got)
		r.same("wrong", []string(nil), k.wrong)
	})
}

// TestLinksAreTrue holds Since and Until to what they say: no other message of the
// lane is between them, and a single Run leaves no gap.
func TestLinksAreTrue(t *testing.T) {
	t.Parallel()
	const workers = 3
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	r := &run{Config: Config{Workers: workers}, lastOf: make([]int, workers)}
	for i := range workers {
		r.lanes = append(r.lanes, newLane(i))
	}
	all := make([][]Message, workers)
	before := At(3, 17) // what an earlier Run ended
	for i := range 200 {
		rec := Record{At: before + 1 + Position(rng.IntN(2)*int(At(1, 0))), Prev: before}
		before = rec.At
		var messages []Message
		for n := range rng.IntN(6) {
			messages = append(messages, Message{At: rec.At, N: 2 * n, Lane: uint64(rng.IntN(100))})
		}
		claimed := i%20 == 19
		r.linkLocked(rec, messages, !claimed)
		for _, m := range messages {
			lane := LaneOf(m.Lane, workers)
			all[lane] = append(all[lane], m)
		}
	}
	for lane, messages := range all {
		end := EndOf(At(3, 17))
		for i := range messages {
			m := &messages[i]
			if m.Since.Compare(m.Place()) > 0 || m.Until.Compare(m.Place()) < 0 || end.Compare(m.Since) >= 0 {
				t.Fatalf("lane %d: %v says %v to %v, and before it %v is taken", lane, m.Place(), m.Since, m.Until, end)
			}
			end = m.Until
		}
	}
}

func TestSingleRunLeavesNoGap(t *testing.T) {
	t.Parallel()
	const workers = 3
	r := &run{Config: Config{Workers: workers}, lastOf: make([]int, workers)}
	ends := make([]Place, workers)
	for i := range workers {
		r.lanes = append(r.lanes, newLane(i))
		ends[i] = EndOf(0)
	}
	before := Position(0)
	for i := range 100 {
		rec := Record{At: before + Position(1+i%3), Prev: before}
		before = rec.At
		var messages []Message
		for n := range i % 5 {
			messages = append(messages, Message{At: rec.At, N: n, Lane: uint64(i*7 + n)})
		}
		r.linkLocked(rec, messages, true)
		for _, m := range messages {
			lane := LaneOf(m.Lane, workers)
			if m.Since != ends[lane].Next() {
				t.Fatalf("%v begins at %v, and %v was the end", m.Place(), m.Since, ends[lane])
			}
			ends[lane] = m.Until
		}
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	g, k := newMemGroup(), newTaker()
	bury := func(n int, value string, tries int) string {
		id := LetterID("mem", At(1, 7), n)
		g.letters[id] = Letter{ID: id, Group: "mem", At: At(1, 7), N: n, Key: 5, Value: []byte(value), Tries: tries, Reason: "old"}
		return id
	}
	bury(0, "5:good", 5)
	bad := bury(1, "5:bad", 5)
	sealed := bury(Unreadable, "\x00\x01", 1)
	whole := bury(WholeRecord, "5:good2 5:bad 6:good3", 1)
	broken := LetterID("mem", At(1, 8), WholeRecord)
	g.letters[broken] = Letter{ID: broken, Group: "mem", At: At(1, 8), N: WholeRecord, Value: []byte("nonsense"), Tries: 1}
	k.fail = func(word string) error {
		if word == "5:bad" {
			return errors.New("still")
		}
		return nil
	}
	h := HandlerFunc(func(ctx context.Context, lane int, batch []Message) error {
		if !batch[0].Replayed || len(batch) != 1 || lane != LaneOf(batch[0].Lane, 20) {
			t.Errorf("lane %d, batch %+v", lane, batch)
		}
		return k.Handle(ctx, lane, batch)
	})
	sum, err := Replay(t.Context(), Config{}, "mem", g, splitWords, h)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"5:good2", "6:good3", "5:good"}, k.words()); diff != "" {
		t.Errorf("consumed (-want +got):\n%s", diff)
	}
	if sum.Consumed != 2 || len(g.letters) != 3 || g.letters[whole].ID != "" {
		t.Errorf("%+v, letters %v", sum, g.letters)
	}
	if m := g.letters[bad]; m.Tries != 6 || m.Reason != "still" || string(m.Value) != "5:bad" {
		t.Errorf("what failed again: %+v", m)
	}
	if g.letters[sealed].Tries != 1 || g.letters[broken].Tries != 2 {
		t.Errorf("letters %v", g.letters)
	}
	k.fail = func(string) error { return Unavailable(errors.New("away")) }
	if _, err := Replay(t.Context(), Config{}, "mem", g, splitWords, h); !IsUnavailable(err) || g.letters[bad].Tries != 6 {
		t.Errorf("Replay = %v, %+v", err, g.letters[bad])
	}
}

func TestLetterIDs(t *testing.T) {
	t.Parallel()
	for _, n := range []int{Unreadable, WholeRecord, 0, 7, MessagesMax} {
		for _, at := range []Position{0, 1, At(1, 2), At(GenerationMax, SeqMax)} {
			group, back, m, err := ParseLetterID(LetterID("scan-records", at, n))
			if group != "scan-records" || back != at || m != n || err != nil {
				t.Errorf("%s, %d: %s, %s, %d, %v", at, n, group, back, m, err)
			}
		}
	}
	for _, id := range []string{
		"", "a", "a:1-1", "a:1-1:x", "a:1:1", "a:1-1:-3", "a:01-1:1", "a:1-1:1:1", "A:1-1:1", ":1-1:1", "a:16777216-1:1", "a:1-1:2147483647",
	} {
		if _, _, _, err := ParseLetterID(id); !errors.Is(err, ErrBadLetterID) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	p := At(3, 7)
	if p.Generation() != 3 || p.Seq() != 7 || p.String() != "3-7" || At(3, 8) <= p || At(4, 1) <= At(3, SeqMax) {
		t.Errorf("%s", p)
	}
	if EndOf(p).Next() != (Place{p + 1, 0}) || (Place{p, 1}).Next() != (Place{p, 2}) {
		t.Errorf("places around %s", p)
	}
}
