package verifykv

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// TestCopyWhileRecording copies a log that is scanned, written behind and trimmed all
// the time: the copy has every scan that was answered before it began, its counts are
// those of its records, and an item's trail leads on.
func TestCopyWhileRecording(t *testing.T) {
	t.Parallel()
	for range 20 {
		copyWhileRecording(t)
	}
}

func copyWhileRecording(t *testing.T) {
	t.Helper()
	fs := vfs.NewMem()
	l := mustOpen(t, "sightings", Options{FS: fs}, hasty)
	l.Stream().Start() // the counts' own pin is all that holds records
	const items, before = 8, 200
	var counted [items]atomic.Int64
	var done atomic.Bool
	var all sync.WaitGroup
	enough := make(chan struct{})
	total := atomic.Int64{}
	for i := range items {
		all.Go(func() {
			for n := int64(1); !done.Load(); n++ {
				seen, err := l.Record(sighting(ids.Serial(i), n))
				if err != nil {
					t.Error(err)
					return
				}
				counted[i].Store(seen.Count)
				if total.Add(1) == before {
					close(enough)
				}
			}
		})
	}
	all.Go(func() {
		for !done.Load() {
			if err := l.Stream().Trim(); err != nil {
				t.Error(err)
			}
		}
	})
	<-enough
	want := map[ids.Serial]int64{}
	for i := range items {
		want[ids.Serial(i)] = counted[i].Load()
	}
	c, err := l.BeginCopy()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write("copied"); err != nil {
		t.Fatal(err)
	}
	c.End()
	done.Store(true)
	all.Wait()
	mustClose(t, l)
	if _, err := l.BeginCopy(); err == nil {
		t.Error("a copy of a closed log was begun")
	}

	copied := mustOpen(t, "copied", Options{FS: fs}, hasty)
	defer mustClose(t, copied)
	highest := map[ids.Serial]int64{}
	err = copied.Stream().Read(0, 0, func(r stream.Record) error {
		return verifyevent.Each(r.Value, func(_ uint16, s *verifyevent.Sighting) error {
			highest[s.Serial] = max(highest[s.Serial], s.Count)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for s := range want {
		seen, err := copied.Seen(s)
		if err != nil || seen.Count < want[s] {
			t.Errorf("item %d: %d scans, %v; %d were answered before the copy", s, seen.Count, err, want[s])
		}
		if h, ok := highest[s]; ok && h != seen.Count {
			t.Errorf("item %d: %d scans are counted, its last record says %d", s, seen.Count, h)
		}
	}
}
