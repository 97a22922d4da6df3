package streamkv

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// TestRetention keeps what a group or a pin wants, and nothing else.
func TestRetention(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, c := b.group("a"), b.group("c")
	b.append(100, "x")
	at := func(seq uint64) stream.Position { return stream.At(b.Generation(), seq) }
	b.consume(a, 60)
	b.consume(c, 80)
	b.must(b.Trim())
	b.same("before Start nothing goes", at(1), b.earliest())
	b.Start()
	b.Pin("may", at(31), PinMay)
	b.Pin("must", at(21), PinMust)
	for _, step := range []struct {
		do   func()
		want stream.Position
	}{
		{func() {}, at(21)},
		{func() { b.Pin("must", at(41), PinMust) }, at(31)},
		{func() { b.Unpin("may") }, at(41)},
		{func() { b.Unpin("must") }, at(61)},
		{func() { b.consume(a, 30) }, at(81)},
		{func() { held := b.hold(c, 3); b.must(c.Ack(t.Context(), held[1], held[2])) }, at(81)},
		{func() { b.must(c.Ack(t.Context(), at(81))) }, at(84)},
	} {
		step.do()
		b.must(b.Trim())
		b.same("earliest", step.want, b.earliest())
		b.same("all behind it", int(101-step.want.Seq()), len(b.read(0)))
	}
	if lag := b.lag(a); lag.Records != 10 || lag.Lost != 0 {
		t.Errorf("lag %+v", lag)
	}
	b.consume(a, 10)
	b.consume(c, 17)
	b.must(b.Trim())
	b.same("nothing is left", []stream.Position(nil), b.read(0))
	last := at(100)
	b.reopen()
	b.same("durable", last, b.Durable())
	b.append(1, "y")
	got, err := b.group("a").next("c", 10)
	b.must(err)
	if len(got) != 1 || got[0].Prev != last {
		t.Errorf("after an empty log: %v", got)
	}
	b.same("nothing was lost", "", b.said.take())
}

func TestRetentionWithNobodyKeepsAll(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.append(3, "x")
	b.Start()
	b.must(b.Trim())
	b.same("records", 3, len(b.read(0)))
}

func TestTrimLoop(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.TrimEvery = time.Millisecond })
	g := b.group("a")
	b.Start()
	b.append(5, "x")
	b.consume(g, 4)
	for deadline := time.Now().Add(10 * time.Second); len(b.read(0)) != 1; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was trimmed in 10 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// Seals of generations go with their records, and only then.
func TestSealsGoWithTheirGeneration(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 4 {
		b.append(2, "x")
		b.reopen()
	}
	g := b.group("a")
	b.Start()
	b.consume(g, 5)
	b.must(b.Trim())
	b.reopen()
	b.same("seals", []uint32{0, 3, 4, 5, 6}, seals(b))
	b.same("records", 3, len(b.read(0)))
}

func seals(b *bench) (all []uint32) {
	for gen := range uint32(20) {
		if b.seals[gen] != nil {
			all = append(all, gen)
		}
	}
	return all
}

// A group that is not asked for any more holds nothing, and is told when it returns.
func TestGroupThatWasAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.append(20, "x")
	g := b.group("gone")
	held := b.hold(g, 10)
	b.must(g.Ack(t.Context(), held[0], held[1], held[4], held[5], held[7]))
	b.reopen()
	b.consume(b.group("stays"), 6)
	b.Start()
	b.must(b.Trim())
	b.same("what is left", 14, len(b.read(0)))
	g = b.group("gone")
	b.same("lag", stream.Lag{Records: 13, Lost: 2}, b.lag(g))
	if said := b.said.take(); !strings.Contains(said, "records=2") || !strings.Contains(said, "first=1-3 last=1-6") {
		t.Errorf("it was said: %s", said)
	}
	b.consume(g, 13)
	b.reopen()
	b.same("lag after all", stream.Lag{Lost: 2}, b.lag(b.group("gone")))
}

func bigRecords(limit int64) func(*Options) { return func(o *Options) { o.CapBytes = limit } }

const bigValue = 1000 - recordKeyBytes - headBytesMax // counts 1,000 bytes

// TestCap takes the oldest records from the slowest group, counts them durably and
// says so; a group that is ahead and a pin that must hold lose nothing.
func TestCap(t *testing.T) {
	t.Parallel()
	b := newBench(t, bigRecords(100_000))
	slow, fast := b.group("slow"), b.group("fast")
	b.Start()
	big := strings.Repeat("x", bigValue)
	at := func(seq uint64) stream.Position { return stream.At(b.Generation(), seq) }

	b.append(79, big)
	b.consume(fast, 79)
	b.must(b.Trim())
	b.same("below 80 % nothing is said", "", b.said.take())
	b.append(10, big)
	b.must(b.Trim())
	if said := b.said.take(); !strings.Contains(said, "level=WARN") || strings.Contains(said, "level=ERROR") {
		t.Errorf("near the cap it is said: %s", said)
	}
	b.same("lag", stream.Lag{Records: 89}, b.lag(slow))

	held := b.hold(slow, 30)
	b.must(slow.Ack(t.Context(), held[1], held[2], held[19], held[20], held[21], held[22], held[24]))
	b.append(26, big) // 115: down to 95, so 20 go
	b.must(b.Trim())
	b.same("earliest", at(21), b.earliest())
	b.same("taken", stream.Lag{Records: 91, Held: 6, Lost: 17}, b.lag(slow))
	b.same("the other one", stream.Lag{Records: 36}, b.lag(fast))
	said := b.said.take()
	for _, want := range []string{"level=ERROR", "group=slow", "records=17", "first=1-1", "last=1-20", "over its cap"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what is said:\n%s", want, said)
		}
	}
	b.must(slow.Ack(t.Context(), held...)) // also what is gone
	b.same("acknowledged", stream.Lag{Records: 85, Lost: 17}, b.lag(slow))
	b.same("goes on", held[29]+1, b.hold(slow, 1)[0])

	b.Pin("counts", at(25), PinMust)
	b.Pin("day", at(22), PinMay)
	b.append(50, big)
	b.must(b.Trim())
	b.same("a must-pin holds, a may-pin does not", at(25), b.earliest())
	b.reopen()
	b.same("lost is remembered", int64(17), b.lag(b.group("slow")).Lost)
	stats, err := b.Stats()
	b.must(err)
	b.same("statistics", []int64{141, 141_000, 17}, []int64{stats.Records, stats.Bytes, stats.Lost})
}

// A must-pin over the cap is said each minute and not more often.
func TestCapIsSaidEachMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t, bigRecords(10_000))
	b.group("slow")
	b.Pin("all", 1, PinMust)
	b.Start()
	b.append(30, strings.Repeat("x", bigValue))
	for minute := range 3 {
		for range 5 {
			b.must(b.Trim())
			b.clock.Add(10 * time.Second)
		}
		if n := strings.Count(b.said.take(), "over its cap"); n != 2 {
			t.Errorf("in minute %d it is said %d times", minute+1, n)
		}
		b.clock.Add(11 * time.Second)
	}
	b.same("records", 30, len(b.read(0)))
}

// What was read ahead, acknowledged in gaps or not read yet: a cut at any place must
// count exactly what was not acknowledged below it.
func TestTakingAwayCountsExactly(t *testing.T) {
	t.Parallel()
	const records = 12
	acked := []int{1, 2, 4, 5, 6, 9}
	for cut := 1; cut <= records; cut++ {
		for fetched := 10; fetched <= records; fetched++ {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprint(cut, fetched, again), func(t *testing.T) {
					b := newBench(t)
					b.append(records, "x")
					g := b.group("a")
					held := b.hold(g, fetched)
					want := cut
					for _, i := range acked {
						b.must(g.Ack(t.Context(), held[i]))
						if i < cut {
							want--
						}
					}
					if again {
						b.reopen()
						g = b.group("a")
					}
					m, err := b.markAt(stream.At(1, uint64(cut)))
					b.must(err)
					g.mu.Lock()
					err = g.take(m, "test")
					if len(g.window) > 0 && g.window[0].acked {
						t.Error("the floor stays behind what is acknowledged")
					}
					g.mu.Unlock()
					b.must(err)
					lag := b.lag(g)
					b.same("lost", int64(want), lag.Lost)
					b.same("left", int64(records-len(acked)-want), lag.Records)
					for range 2 {
						left := lag.Records - lag.Held
						b.hold(g, int(left))
						if more, err := g.next("c", 1); err != nil || len(more) > 0 {
							t.Errorf("there is more: %v, %v", more, err)
						}
						b.reopen()
						g = b.group("a")
						lag = b.lag(g)
						b.same("lost after opening again", int64(want), lag.Lost)
					}
				})
			}
		}
	}
}
