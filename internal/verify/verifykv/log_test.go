package verifykv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifytest"
)

// hasty writes counts behind all the time and forgets them as soon as it may.
var hasty = tuning{writeBehind: 5, writeEvery: 200 * time.Microsecond, recentMax: 4, flushAfterWrites: 3, memTableBytes: 64 << 10}

// idle never writes counts behind before Close.
var idle = tuning{writeBehind: 1 << 30, writeEvery: time.Hour, recentMax: 1 << 30, flushAfterWrites: 1, memTableBytes: 64 << 10}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func mustOpen(t testing.TB, path string, o Options, tune tuning) *Log {
	t.Helper()
	o.Log = quiet()
	l, err := open(path, o, tune)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// sighting is the n-th microsecond's.
func sighting(s ids.Serial, n int64) verify.Sighting {
	return verify.Sighting{Serial: s, At: time.UnixMicro(n), Verdict: verify.Authentic, Source: verify.FromAPI}
}

func TestSightings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		onDisk bool
		async  bool
		tune   tuning
	}{
		{"disk", true, false, usual},
		{"memory", false, false, usual},
		{"hasty", false, false, hasty},
		{"idle", false, false, idle},
		{"async", false, true, hasty},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			verifytest.Sightings(t, func(t *testing.T) verifytest.Reopen {
				path, o := "sightings", Options{Async: c.async, FS: vfs.NewMem()}
				if c.onDisk {
					path, o.FS = filepath.Join(t.TempDir(), "sightings"), nil
				}
				var l *Log
				t.Cleanup(func() { mustClose(t, l) })
				return func(t *testing.T) verify.Sightings {
					if l != nil {
						mustClose(t, l)
					}
					l = mustOpen(t, path, o, c.tune)
					return l
				}
			})
		})
	}
}

// TestTurnover lets counts be written behind, forgotten and loaded again while they
// grow, beside a model that is nothing but "each scan of an item adds one".
func TestTurnover(t *testing.T) {
	t.Parallel()
	const workers, items, scansEach = 16, 40, 800
	fs := vfs.NewMem()
	l := mustOpen(t, "sightings", Options{FS: fs}, hasty)
	var told [items][workers*scansEach + 1]atomic.Bool
	var scans, first [items]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range scansEach {
				s := (w*7 + n*n*3 + n) % items
				seen, err := l.Record(sighting(ids.Serial(s), int64(w*scansEach+n+1)))
				if err != nil {
					t.Errorf("Record: %v", err)
					return
				}
				scans[s].Add(1)
				if told[s][seen.Count].Swap(true) {
					t.Errorf("two scans of item %d were told %d", s, seen.Count)
				}
				if at := seen.FirstAt.UnixMicro(); !first[s].CompareAndSwap(0, at) && first[s].Load() != at {
					t.Errorf("item %d was first seen at %d and at %d", s, first[s].Load(), at)
				}
				if look, err := l.Seen(ids.Serial(s)); err != nil || look.Count < seen.Count {
					t.Errorf("Seen(%d) = %d, %v after a scan was told %d", s, look.Count, err, seen.Count)
				}
				if found, err := l.AnyIn(ids.Serial(s), ids.Serial(s)); !found || err != nil {
					t.Errorf("AnyIn(%d) = %v, %v after a scan", s, found, err)
				}
			}
		})
	}
	wg.Wait()
	l.mu.Lock()
	turns := l.epoch
	l.mu.Unlock()
	if turns < 10 {
		t.Errorf("the memory turned only %d times: this tests nothing", turns)
	}
	for range 2 {
		for s := range items {
			want := verify.Seen{Count: scans[s].Load(), FirstAt: time.UnixMicro(first[s].Load()).UTC()}
			got, err := l.Seen(ids.Serial(s))
			got.LastAt = time.Time{}
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("item %d: %v (-want +got):\n%s", s, err, diff)
			}
		}
		mustClose(t, l)
		if err := countsMatchWatermark(fs, "sightings"); err != nil {
			t.Error(err)
		}
		l = mustOpen(t, "sightings", Options{FS: fs}, hasty)
	}
	mustClose(t, l)
}

// Looks at items that nobody scans must not fill the memory: only what is counted
// is written behind, and only then is anything forgotten.
func TestLooksAreNotKept(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, "sightings", Options{FS: vfs.NewMem()}, usual)
	defer mustClose(t, l)
	for s := range ids.Serial(1000) {
		if seen, err := l.Seen(s); seen.Count != 0 || err != nil {
			t.Fatalf("Seen(%d) = %+v, %v", s, seen, err)
		}
	}
	if n := len(l.counts.young) + len(l.counts.aged); n != 0 {
		t.Errorf("%d counts are kept of items that were never scanned", n)
	}
}

func TestAnyIn(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	for _, step := range []string{"in memory", "reopened"} {
		l := mustOpen(t, "sightings", Options{FS: fs}, idle)
		if step == "in memory" {
			for _, s := range []ids.Serial{0, 50, ids.SerialCount - 1} {
				if _, err := l.Record(sighting(s, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := l.Seen(45); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			first, last ids.Serial
			want        bool
		}{
			{0, 0, true}, {1, 49, false}, {1, 50, true}, {50, 50, true}, {50, 60, true}, {51, ids.SerialCount - 2, false},
			{45, 45, false}, {51, ids.SerialCount - 1, true}, {0, ids.SerialCount - 1, true},
		} {
			if got, err := l.AnyIn(c.first, c.last); got != c.want || err != nil {
				t.Errorf("%s: AnyIn(%d, %d) = %v, %v", step, c.first, c.last, got, err)
			}
		}
		mustClose(t, l)
	}
}

// tamper writes raw keys into a closed log that has one scan of item 1 and whose
// count is stored.
func tamper(t *testing.T, path string, keys map[string][]byte) {
	t.Helper()
	l := mustOpen(t, path, Options{}, usual)
	if _, err := l.Record(sighting(1, 1)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	tamperFS(t, nil, path, keys)
}

func TestDamagedIsRefusedWithItsName(t *testing.T) {
	t.Parallel()
	later := string(groupKey(7, 1))
	whole := appendEntry(nil, 1, 2, verify.Authentic, verify.FromAPI)
	for name, keys := range map[string]map[string][]byte{
		"group without a format": {later: {}},
		"group of another form":  {later: append([]byte{entryFormat + 1}, whole[1:]...)},
		"group cut short":        {later: whole[:len(whole)-1]},
		"group too long":         {later: append(slices.Clip(whole), 0)},
		"generation":             {string(rune(keyGeneration)): {1}},
		"count, read again":      {string(countKey(1)): {0x80}, later: whole},
		"count of nothing":       {string(countKey(1)): {0, 1, 0}, later: whole},
		"count and more":         {string(countKey(1)): {1, 1, 0, 9}, later: whole},
		"count, empty":           {string(countKey(1)): {}, later: whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "sightings")
			tamper(t, path, keys)
			l, err := Open(path, Options{Log: quiet()})
			if err == nil {
				t.Fatal("a damaged log was opened", l.Close())
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%v: does not name %s", err, path)
			}
		})
	}
}

func TestDamagedCountIsNotGuessed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sightings")
	tamper(t, path, map[string][]byte{string(countKey(1)): {1, 0x80}})
	l := mustOpen(t, path, Options{}, usual)
	defer mustClose(t, l)
	_, err := l.Record(sighting(1, 2))
	_, lookErr := l.Seen(1)
	for _, err := range []error{err, lookErr} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: does not name %s", err, path)
		}
	}
	if seen, err := l.Record(sighting(2, 2)); seen.Count != 1 || err != nil {
		t.Errorf("another item: %+v, %v", seen, err)
	}
}

func TestNoDirectoryIsRefusedWithItsName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sightings")
	l := mustOpen(t, path, Options{}, usual)
	defer mustClose(t, l)
	if _, err := Open(path, Options{Log: quiet()}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v", err)
	}
}

// TestCloseWhileRecording ends the log under load: whoever was told a count finds
// it again, all others are told that the log has ended, and nobody hangs.
func TestCloseWhileRecording(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		t.Run(fmt.Sprint(round), func(t *testing.T) { closeWhileRecording(t, int64(1+round*20)) })
	}
}

func closeWhileRecording(t *testing.T, after int64) {
	const workers, items = 24, 30
	fs := vfs.NewMem()
	l := mustOpen(t, "sightings", Options{FS: fs}, hasty)
	var acked [items]atomic.Int64
	var all atomic.Int64
	enough := make(chan struct{})
	ended := func(err error) bool {
		if err != nil && !errors.Is(err, ErrEnded) {
			t.Errorf("while closing: %v", err)
		}
		return err != nil
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := 0; ; n++ {
				s := ids.Serial((w + n*7) % items)
				if w%8 == 7 { // some only look
					_, err := l.Seen(s)
					_, anyErr := l.AnyIn(s, s+3)
					if ended(err) || ended(anyErr) {
						return
					}
					continue
				}
				if _, err := l.Record(sighting(s, 1)); ended(err) {
					return
				}
				acked[s].Add(1)
				if all.Add(1) == after {
					close(enough)
				}
			}
		})
	}
	<-enough
	for range 2 { // one of them, or both, end it
		wg.Go(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, fn := range []func() error{
		func() error { _, err := l.Record(sighting(1_000_000, 1)); return err },
		func() error { _, err := l.Record(sighting(1, 1)); return err },
		func() error { _, err := l.Seen(1_000_000); return err },
		func() error { _, err := l.AnyIn(0, 1); return err },
	} {
		if err := fn(); !errors.Is(err, ErrEnded) {
			t.Errorf("after Close: %v", err)
		}
	}
	l = mustOpen(t, "sightings", Options{FS: fs}, hasty)
	defer mustClose(t, l)
	for s := range items {
		if seen, err := l.Seen(ids.Serial(s)); seen.Count != acked[s].Load() || err != nil {
			t.Errorf("item %d: %d sightings, %v; %d were acknowledged", s, seen.Count, err, acked[s].Load())
		}
	}
}

// countsMatchWatermark holds a closed log to the package's invariant.
func countsMatchWatermark(fs vfs.FS, path string) (err error) {
	groups, err := openPart(fs, path, dirGroups)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, groups.Close()) }()
	tallies, err := openPart(fs, path, dirTallies)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tallies.Close()) }()
	mark, _, err := kvdb.Get(tallies, []byte{keyWatermark})
	if err != nil {
		return err
	}
	sums := map[ids.Serial]int64{}
	if mark != nil {
		if err := eachGroup(groups, append(mark, 0), func(s ids.Serial, _ int64) error { sums[s]++; return nil }); err != nil {
			return err
		}
	}
	it, err := tallies.NewIter(&pebble.IterOptions{LowerBound: []byte{keyCount}, UpperBound: []byte{keyCount + 1}})
	if err != nil {
		return err
	}
	stored := map[ids.Serial]int64{}
	for ok := it.First(); ok; ok = it.Next() {
		t, _ := decodeTally(it.Value())
		stored[ids.Serial(binary.BigEndian.Uint64(it.Key()[1:]))] = t.count
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	if diff := cmp.Diff(sums, stored); diff != "" {
		return fmt.Errorf("stored counts are not the sum of the groups up to the watermark (-sum +stored):\n%s", diff)
	}
	return nil
}

// openPart opens one of the log's two stores by itself.
func openPart(fs vfs.FS, path, part string) (*pebble.DB, error) {
	return kvdb.Open(filepath.Join(path, part), kvdb.Options{
		CacheBytes: 1 << 20, MemTableBytes: 64 << 10, NoWAL: part == dirTallies, FS: fs, Log: quiet(),
	})
}

// tamperFS writes keys into the store where each belongs.
func tamperFS(t *testing.T, fs vfs.FS, path string, keys map[string][]byte) {
	t.Helper()
	for _, part := range []string{dirGroups, dirTallies} {
		db, err := openPart(fs, path, part)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range keys {
			if counted := key[0] == keyCount || key[0] == keyWatermark; counted != (part == dirTallies) {
				continue
			}
			if err := db.Set([]byte(key), value, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(db.Flush(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// eachGroup reads the log's entries below a key, in their order.
func eachGroup(db *pebble.DB, below []byte, fn func(s ids.Serial, at int64) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: groupKey(0, 0), UpperBound: below})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = entries(it.Value(), fn)
	}
	return errors.Join(err, it.Error(), it.Close())
}

func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name  string
		async bool
		items uint64
	}{{"durable", false, 1 << 40}, {"durable/again", false, 10_000}, {"async", true, 1 << 40}} {
		b.Run(c.name, func(b *testing.B) {
			l := mustOpen(b, filepath.Join(b.TempDir(), "sightings"), Options{Async: c.async}, usual)
			defer mustClose(b, l)
			var n atomic.Uint64
			b.SetParallelism(128)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					if _, err := l.Record(sighting(ids.Serial(i*0x9E3779B97F4A7C15%c.items), int64(i))); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// A scan whose count is being written is in neither of the two other places.
func TestAnyInWhileCountsAreWritten(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, "sightings", Options{FS: vfs.NewMem()}, idle)
	defer mustClose(t, l)
	if _, err := l.Record(sighting(50, 1)); err != nil {
		t.Fatal(err)
	}
	snap := l.snapshot()
	if found, err := l.AnyIn(50, 50); !found || err != nil {
		t.Errorf("while its count is written: %v, %v", found, err)
	}
	l.writeCounts(snap)
	if found, err := l.AnyIn(50, 50); !found || err != nil {
		t.Errorf("after its count was written: %v, %v", found, err)
	}
}
