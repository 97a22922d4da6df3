// Package streamtest is the suite that holds every engine of stream to its contract.
// Each must of stream.Group and stream.Letters has a test here, named after it.
package streamtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

// Log is an engine under test.
type Log interface {
	// Append adds a record; it is durable on return.
	Append(value string) (stream.Position, error)
	// Stall lets nothing become durable until release is called.
	Stall() (release func())
	Group(name string) (stream.Group, error)
	Letters() stream.Letters
	// Reopen ends the log in an orderly way and opens it again; groups and letters
	// must be asked for again.
	Reopen() error
	Close() error
}

// Timed is a Log that measures how long records are held by a clock of its own.
type Timed interface {
	// Pass lets time pass for what is held.
	Pass(d time.Duration) error
}

// Clock is a clock that a test moves.
type Clock struct{ micros atomic.Int64 }

// NewClock starts at some day.
func NewClock() *Clock {
	c := &Clock{}
	c.micros.Store(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

// Now implements clock.Clock.
func (c *Clock) Now() time.Time { return time.UnixMicro(c.micros.Load()).UTC() }

// Add moves the clock.
func (c *Clock) Add(d time.Duration) { c.micros.Add(d.Microseconds()) }

// Open opens a new, empty engine. The suite closes it.
type Open func(t *testing.T, c clock.Clock) Log

// Groups holds an engine to the contract.
func Groups(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, *env){
		"OldestFirst":                          oldestFirst,
		"OnlyWhatIsDurable":                    onlyWhatIsDurable,
		"HeldByOne":                            heldByOne,
		"FetchWaits":                           fetchWaits,
		"FetchEndsWithItsContext":              fetchEndsWithItsContext,
		"FetchEndsWithTheLog":                  fetchEndsWithTheLog,
		"PrevJoinsRecords":                     prevJoinsRecords,
		"AckMayBeRepeated":                     ackMayBeRepeated,
		"AckOfWhatWasNotGivenOutDoesNothing":   ackOfWhatWasNotGivenOutDoesNothing,
		"ClaimTakesOverAfterIdle":              claimTakesOverAfterIdle,
		"AckCountsWhoeverHolds":                ackCountsWhoeverHolds,
		"LagCounts":                            lagCounts,
		"ThroughFollowsTheEnd":                 throughFollowsTheEnd,
		"ReopeningGivesWhatWasNotAcknowledged": reopeningGivesWhatWasNotAcknowledged,
		"NewGroupBeginsAtTheEarliest":          newGroupBeginsAtTheEarliest,
		"GroupsAreIndependent":                 groupsAreIndependent,
		"ManyConsumers":                        manyConsumers,
		"LettersStay":                          lettersStay,
		"LettersInOrderOfTheLog":               lettersInOrderOfTheLog,
		"TriedMoreOftenReplaces":               triedMoreOftenReplaces,
		"DiscardMayBeRepeated":                 discardMayBeRepeated,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewClock()
			e := &env{T: t, clock: c, log: open(t, c)}
			t.Cleanup(func() { e.must(e.log.Close()) })
			test(t, e)
		})
	}
}

const patience = 30 * time.Second // of a test that would otherwise wait for ever

// env is a log with the words of the tests.
type env struct {
	*testing.T

	clock *Clock
	log   Log
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) group(name string) stream.Group {
	e.Helper()
	g, err := e.log.Group(name)
	e.must(err)
	return g
}

// append adds records "from".."to".
func (e *env) append(from, to int) (all []stream.Position) {
	e.Helper()
	for i := from; i <= to; i++ {
		at, err := e.log.Append(strconv.Itoa(i))
		e.must(err)
		all = append(all, at)
	}
	return all
}

func (e *env) fetch(g stream.Group, consumer string, most int) []stream.Record {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	records, err := g.Fetch(ctx, consumer, most)
	e.must(err)
	return records
}

// drain fetches until there is nothing; nothing is told by the lag.
func (e *env) drain(g stream.Group, consumer string) (all []stream.Record) {
	e.Helper()
	for {
		lag := e.lag(g)
		if lag.Records == lag.Held {
			return all
		}
		all = append(all, e.fetch(g, consumer, 3)...)
	}
}

func (e *env) lag(g stream.Group) stream.Lag {
	e.Helper()
	lag, err := g.Lag(e.Context())
	e.must(err)
	return lag
}

func (e *env) ack(g stream.Group, records ...stream.Record) {
	e.Helper()
	e.must(g.Ack(e.Context(), positions(records)...))
}

// pass lets time pass.
func (e *env) pass(d time.Duration) {
	e.Helper()
	e.clock.Add(d)
	if timed, ok := e.log.(Timed); ok {
		e.must(timed.Pass(d))
	}
}

func (e *env) same(what string, want, got any) {
	e.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		e.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func positions(records []stream.Record) (all []stream.Position) {
	for _, r := range records {
		all = append(all, r.At)
	}
	return all
}

func values(records []stream.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

func numbers(from, to int) (all []string) {
	for i := from; i <= to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func oldestFirst(_ *testing.T, e *env) {
	at := e.append(1, 200)
	g := e.group("a")
	got := e.fetch(g, "c", 7)
	if len(got) == 0 || len(got) > 7 {
		e.Fatalf("fetching 7 gives %d", len(got))
	}
	got = append(got, e.drain(g, "c")...)
	e.same("values", numbers(1, 200), values(got))
	e.same("positions", at, positions(got))
}

func onlyWhatIsDurable(_ *testing.T, e *env) {
	e.append(1, 1)
	g := e.group("a")
	e.same("before", numbers(1, 1), values(e.fetch(g, "c", 10)))
	release := e.log.Stall()
	appended := make(chan error, 1)
	go func() {
		_, err := e.log.Append("2")
		appended <- err
	}()
	for range 50 {
		ctx, cancel := context.WithTimeout(e.Context(), time.Millisecond)
		records, err := g.Fetch(ctx, "c", 10)
		cancel()
		if len(records) > 0 || err == nil {
			e.Errorf("a record is given that is not durable: %v, %v", values(records), err)
		}
		if lag := e.lag(g); lag.Records != 1 {
			e.Errorf("the lag counts %d records", lag.Records)
		}
	}
	release()
	e.must(<-appended)
	e.same("after", numbers(2, 2), values(e.fetch(g, "c", 10)))
}

func heldByOne(_ *testing.T, e *env) {
	e.append(1, 40)
	g := e.group("a")
	seen := map[stream.Position]string{}
	for i := range 40 {
		consumer := []string{"a", "b", "c"}[i%3]
		for _, r := range e.fetch(g, consumer, 1) {
			if by, twice := seen[r.At]; twice {
				e.Errorf("%s is given to %s, and %s holds it", r.At, consumer, by)
			}
			seen[r.At] = consumer
		}
	}
	if len(seen) != 40 {
		e.Errorf("%d records were given, want 40", len(seen))
	}
}

func fetchWaits(_ *testing.T, e *env) {
	g := e.group("a")
	const waiting = 3
	got := make(chan []stream.Record, waiting)
	for i := range waiting {
		go func() { got <- e.fetch(g, strconv.Itoa(i), 1) }()
	}
	e.append(1, waiting)
	seen := map[string]bool{}
	for range waiting {
		for _, v := range values(<-got) {
			seen[v] = true
		}
	}
	e.same("each of those who wait is given one", map[string]bool{"1": true, "2": true, "3": true}, seen)
}

func fetchEndsWithItsContext(_ *testing.T, e *env) {
	g := e.group("a")
	ctx, cancel := context.WithCancel(e.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := g.Fetch(ctx, "c", 1)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		e.Errorf("ends with %v", err)
	}
	e.append(1, 1)
	e.same("what comes later is not lost", numbers(1, 1), values(e.fetch(g, "c", 1)))
}

func fetchEndsWithTheLog(_ *testing.T, e *env) {
	g := e.group("a")
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := g.Fetch(context.Background(), "c", 1)
			ended <- err
		}()
	}
	e.must(e.log.Close())
	for range 2 {
		if err := <-ended; !errors.Is(err, stream.ErrClosed) {
			e.Errorf("ends with %v", err)
		}
	}
}

func prevJoinsRecords(_ *testing.T, e *env) {
	e.append(1, 5)
	e.must(e.log.Reopen())
	e.append(6, 9)
	before := stream.Position(0)
	for _, r := range e.drain(e.group("a"), "c") {
		begins := r.At.Generation() != before.Generation()
		if r.Prev != before && (!begins || r.Prev != stream.At(r.At.Generation(), 0)) {
			e.Errorf("before %s comes %s, and it names %s", r.At, before, r.Prev)
		}
		before = r.At
	}
	if before == 0 {
		e.Error("nothing was given")
	}
}

func ackMayBeRepeated(_ *testing.T, e *env) {
	e.append(1, 10)
	g := e.group("a")
	all := e.drain(g, "c")
	for range 3 {
		e.ack(g, all[2], all[2], all[0])
		e.same("lag", int64(8), e.lag(g).Records)
	}
	e.ack(g, all...)
	e.ack(g, all...)
	e.same("lag", stream.Lag{}, e.lag(g))
}

func ackOfWhatWasNotGivenOutDoesNothing(_ *testing.T, e *env) {
	at := e.append(1, 3)
	g := e.group("a")
	e.must(g.Ack(e.Context(), at[0], at[2]+100, 0))
	e.same("lag", int64(3), e.lag(g).Records)
	e.same("all are given", numbers(1, 3), values(e.drain(g, "c")))
}

// claim takes over what was idle for longer than a minute.
func (e *env) claim(g stream.Group, consumer string, most int) []stream.Record {
	e.Helper()
	records, err := g.Claim(e.Context(), consumer, time.Minute, most)
	e.must(err)
	return records
}

func claimTakesOverAfterIdle(_ *testing.T, e *env) {
	e.append(1, 6)
	g := e.group("a")
	first := e.fetch(g, "dead", 1)
	for len(first) < 3 {
		first = append(first, e.fetch(g, "dead", 1)...)
	}
	e.pass(30 * time.Second)
	later := e.drain(g, "slow")
	e.same("not idle for long enough", []string(nil), values(e.claim(g, "new", 10)))
	e.pass(31 * time.Second)
	e.same("own records are not claimed", []string(nil), values(e.claim(g, "dead", 10)))
	e.ack(g, first[1])
	e.same("the oldest, and not what was acknowledged", numbers(1, 1), values(e.claim(g, "new", 1)))
	e.same("the rest", numbers(3, 3), values(e.claim(g, "new", 10)))
	e.same("only once", []string(nil), values(e.claim(g, "other", 10)))
	e.pass(time.Hour)
	got := e.claim(g, "other", 10)
	e.same("from everybody", []string{"1", "3", "4", "5", "6"}, values(got))
	if len(got) > 2 && len(later) == 3 {
		e.same("as they were given first", later, got[2:])
	}
}

func ackCountsWhoeverHolds(_ *testing.T, e *env) {
	e.append(1, 2)
	g := e.group("a")
	all := e.drain(g, "dead")
	e.pass(time.Hour)
	e.claim(g, "new", 10)
	e.ack(g, all...) // the one that seemed dead ends its work after all
	e.same("lag", stream.Lag{}, e.lag(g))
	e.ack(g, all...)
	e.same("lag", stream.Lag{}, e.lag(g))
}

func lagCounts(_ *testing.T, e *env) {
	g := e.group("a")
	e.same("of an empty log", stream.Lag{}, e.lag(g))
	e.append(1, 2)
	e.pass(10 * time.Second)
	e.append(3, 5)
	e.pass(5 * time.Second)
	e.same("nothing held", stream.Lag{Records: 5, Age: 15 * time.Second}, e.lag(g))
	all := e.drain(g, "c")
	e.same("all held", stream.Lag{Records: 5, Held: 5, Age: 15 * time.Second}, e.lag(g))
	e.ack(g, all[0], all[4])
	e.same("gaps", stream.Lag{Records: 3, Held: 3, Age: 15 * time.Second}, e.lag(g))
	e.ack(g, all[1], all[3])
	e.same("one", stream.Lag{Records: 1, Held: 1, Age: 5 * time.Second}, e.lag(g))
	e.must(e.log.Reopen())
	g = e.group("a")
	e.same("holds are gone", stream.Lag{Records: 1, Age: 5 * time.Second}, e.lag(g))
	e.append(6, 6)
	e.ack(g, e.drain(g, "c")...)
	e.same("all acknowledged", stream.Lag{}, e.lag(g))
}

// throughFollowsTheEnd: nothing that was durable by that time is unacknowledged, and it gets
// on while the group never catches up, and after the log was opened again.
func throughFollowsTheEnd(_ *testing.T, e *env) {
	g := e.group("a")
	waits := e.clock.Now() // the oldest unacknowledged record came at this time or later
	through := func() time.Time {
		e.Helper()
		at, err := g.Through(e.Context())
		e.must(err)
		if at.After(waits) {
			e.Fatalf("a record waits since %v, it is through %v", waits, at)
		}
		return at
	}
	// An engine may look at its logs now and then only.
	reaches := func(want time.Time, meanwhile func()) {
		e.Helper()
		ctx, cancel := context.WithTimeout(e.Context(), patience)
		defer cancel()
		for ; through().Before(want); meanwhile() {
			if ctx.Err() != nil {
				e.Fatalf("it is through %v, want %v", through(), want)
			}
		}
	}
	pause := func() { time.Sleep(time.Millisecond) }
	reaches(waits, pause)
	e.pass(time.Second)
	waits = e.clock.Now()
	e.append(1, 3)
	e.pass(time.Second)
	all := e.drain(g, "c")
	e.ack(g, all[1], all[2])
	through()
	reaches(waits.Add(10*time.Second), func() {
		next := e.clock.Now()
		e.append(4, 4)
		e.pass(time.Second)
		through()
		e.ack(g, all[0])
		all, waits = e.drain(g, "c"), next
	})
	e.must(e.log.Reopen())
	g = e.group("a")
	through()
	e.ack(g, e.drain(g, "c")...)
	waits = e.clock.Now()
	reaches(waits, pause)
}

func reopeningGivesWhatWasNotAcknowledged(_ *testing.T, e *env) {
	e.append(1, 400)
	g := e.group("a")
	all := e.drain(g, "c")
	var left []string
	for i, r := range all {
		if i < 10 || i%7 > 2 {
			e.ack(g, r)
			continue
		}
		left = append(left, string(r.Value))
	}
	for range 2 { // an engine may have read ahead, or not
		e.must(e.log.Reopen())
		g = e.group("a")
		e.same("lag", int64(len(left)), e.lag(g).Records)
	}
	e.append(401, 403)
	again := e.drain(g, "other")
	e.same("what was not acknowledged, and what is new", append(left, numbers(401, 403)...), values(again))
	e.ack(g, again...)
	e.must(e.log.Reopen())
	e.same("lag", stream.Lag{}, e.lag(e.group("a")))
}

func newGroupBeginsAtTheEarliest(_ *testing.T, e *env) {
	e.append(1, 3)
	e.must(e.log.Reopen())
	e.append(4, 5)
	e.same("values", numbers(1, 5), values(e.drain(e.group("late"), "c")))
}

func groupsAreIndependent(_ *testing.T, e *env) {
	e.append(1, 10)
	a, b := e.group("a"), e.group("b")
	e.same("names", []string{"a", "b"}, []string{a.Name(), b.Name()})
	e.ack(a, e.drain(a, "c")...)
	e.same("lag of the one", int64(0), e.lag(a).Records)
	e.same("lag of the other", int64(10), e.lag(b).Records)
	e.same("values", numbers(1, 10), values(e.drain(b, "c")))
	e.pass(time.Hour)
	e.same("claims", 10, len(e.claim(b, "d", 100)))
	e.same("claims of the other", 0, len(e.claim(a, "d", 100)))
}

func manyConsumers(_ *testing.T, e *env) {
	const records, consumers, groups = 400, 4, 2
	var all sync.WaitGroup
	all.Go(func() { e.append(1, records) })
	var crowds []*crowd
	for g := range groups {
		ctx, cancel := context.WithTimeout(e.Context(), patience)
		w := &crowd{env: e, group: e.group(fmt.Sprint("g", g)), records: records, enough: cancel, seen: map[stream.Position]int{}}
		crowds = append(crowds, w)
		for c := range consumers {
			all.Go(func() { w.consume(ctx, strconv.Itoa(c), 1+c) })
		}
	}
	all.Wait()
	for _, w := range crowds {
		w.judge()
	}
}

// crowd is a group whose consumers share all records.
type crowd struct {
	*env

	group   stream.Group
	records int
	enough  context.CancelFunc // ends all of its consumers

	mu   sync.Mutex
	seen map[stream.Position]int
}

// consume goes on until somebody has met the last record, or ctx ends.
func (w *crowd) consume(ctx context.Context, consumer string, most int) {
	before := stream.Position(0)
	for {
		got, err := w.group.Fetch(ctx, consumer, most)
		if err != nil {
			return
		}
		w.mu.Lock()
		for _, r := range got {
			if r.At <= before {
				w.Errorf("%s is given after %s", r.At, before)
			}
			before = r.At
			w.seen[r.At]++
		}
		n := len(w.seen)
		w.mu.Unlock()
		w.must(w.group.Ack(ctx, positions(got)...))
		if n == w.records {
			w.enough()
		}
	}
}

// judge is for when all consumers have ended.
func (w *crowd) judge() {
	w.enough()
	if len(w.seen) != w.records {
		w.Errorf("%d of %d records were given", len(w.seen), w.records)
	}
	for at, n := range w.seen {
		if n != 1 {
			w.Errorf("%s was given %d times", at, n)
		}
	}
	w.same("lag", stream.Lag{}, w.lag(w.group))
}
