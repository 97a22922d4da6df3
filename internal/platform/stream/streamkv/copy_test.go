package streamkv

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// TestCopyUnderLoad copies a log while it is appended to, consumed and trimmed, with
// the effects of its consumer copied in the middle. Whoever opens the copies has each
// effect there, or is given its record.
func TestCopyUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := b.group("g")
	b.Start()
	var mu sync.Mutex
	effects := map[stream.Position]bool{} // guarded by mu
	const before, records = 300, 2000
	var all sync.WaitGroup
	all.Go(func() {
		for range records {
			b.seq++
			if err := b.Append(stream.At(b.Generation(), b.seq), []byte("v")); err != nil {
				t.Error(err)
			}
		}
	})
	enough := make(chan struct{})
	all.Go(func() {
		for acked := 0; acked < records; {
			got, err := g.Fetch(t.Context(), "c", 7)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range got { // out of order, and effects before their acknowledgement
				at := got[len(got)-1-i].At
				mu.Lock()
				effects[at] = true
				mu.Unlock()
				if err := g.Ack(t.Context(), at); err != nil {
					t.Error(err)
				}
				if acked++; acked == before {
					close(enough)
				}
			}
			if err := b.Trim(); err != nil {
				t.Error(err)
			}
		}
	})
	<-enough
	c, err := b.BeginCopy()
	b.must(err)
	runtime.Gosched()
	mu.Lock()
	copied := maps.Clone(effects)
	mu.Unlock()
	b.must(c.Write("copied"))
	c.End()
	all.Wait()
	b.must(b.Trim())
	if len(b.read(0)) != 0 {
		t.Error("retention does not go on after the copy")
	}

	o := b.o
	log, err := Open("copied", o)
	b.must(err)
	defer func() { b.must(log.Close()) }()
	again, err := log.Group("g")
	b.must(err)
	lag, err := again.Lag(t.Context())
	b.must(err)
	if lag.Lost != 0 {
		t.Errorf("%d records are lost to the copy's group", lag.Lost)
	}
	end, had := log.Durable(), len(copied)
	for at := range copied {
		if at > end {
			t.Errorf("the effect of %s is there and its record is not", at)
		}
	}
	for left := lag.Records; left > 0; {
		got, err := again.next("c", int(left)) // Fetch would wait for what is not there
		if b.must(err); len(got) == 0 {
			t.Fatalf("%d records are neither acknowledged nor given", left)
		}
		for _, r := range got {
			copied[r.At] = true
		}
		left -= int64(len(got))
	}
	want := int(end.Seq())
	if len(copied) != want || had < before {
		t.Errorf("%d of %d records have their effect, %d had it before", len(copied), want, had)
	}
	t.Logf("copied %d records with %d effects; %d were given again", want, had, lag.Records)
}

// TestCopyHoldsRetention: what the copy needs stays, also over the cap, and what was
// acknowledged after its beginning is not acknowledged in it.
func TestCopyHoldsRetention(t *testing.T) {
	t.Parallel()
	b := newBench(t, bigRecords(1000))
	g := b.group("g")
	b.Start()
	b.append(3, "v")
	b.consume(g, 2)
	b.must(b.Trim())
	c, err := b.BeginCopy()
	b.must(err)
	kept := b.read(0)
	b.append(40, "a value that is long enough to be over the cap soon")
	b.consume(g, 41)
	b.must(b.Trim())
	b.same("kept while the copy is under way", len(kept)+40, len(b.read(0)))
	b.must(c.Write("copied"))
	c.End()
	b.must(b.Trim())
	b.same("kept afterwards", 0, len(b.read(0)))
	if err := c.Write("copied"); err == nil {
		t.Error("a copy took the place of another")
	}
	log, err := Open("copied", b.o)
	b.must(err)
	defer func() { b.must(log.Close()) }()
	again, err := log.Group("g")
	b.must(err)
	lag, err := again.Lag(t.Context())
	b.must(err)
	b.same("records that the copy's group lacks", int64(41), lag.Records)
	b.same("lost to it", int64(0), lag.Lost)
	if got, err := again.next("c", 1); err != nil || len(got) == 0 || !slices.Contains(kept, got[0].At) {
		t.Errorf("the first one given is %v, %v", got, err)
	}
}
