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
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
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
func sighting(s ids.Serial, n int64) *verify.Sighting {
	return verifytest.Sighting(s, time.UnixMicro(n))
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
			got = verify.Seen{Count: got.Count, FirstAt: got.FirstAt}
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

// tamper changes a closed log that has one scan of item 1 and whose count is stored:
// it adds records to the stream and writes keys into the store of counts.
func tamper(t *testing.T, path string, records [][]byte, keys map[string][]byte) {
	t.Helper()
	l := mustOpen(t, path, Options{}, usual)
	if _, err := l.Record(sighting(1, 1)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	tamperFS(t, nil, path, records, keys)
}

func TestDamagedIsRefusedWithItsName(t *testing.T) {
	t.Parallel()
	whole := verifyevent.Append(nil, &verifyevent.Sighting{Serial: 1, At: 2, No: 1})
	for name, c := range map[string]struct {
		record []byte
		keys   map[string][]byte
	}{
		"record without a format": {[]byte{}, nil},
		"record of another form":  {append([]byte{verifyevent.Format + 1}, whole[1:]...), nil},
		"record cut short":        {whole[:len(whole)-1], nil},
		"record too long":         {append(slices.Clip(whole), 0), nil},
		"watermark":               {whole, map[string][]byte{string(rune(keyWatermark)): {1}}},
		"place":                   {whole, map[string][]byte{string(placeKey(1)): {9}}},
		"place of no number":      {whole, map[string][]byte{string(placeKey(7)): encodePlace(verify.Place{})}},
		"count, read again":       {whole, map[string][]byte{string(countKey(1)): {0x80}}},
		"count of nothing":        {whole, map[string][]byte{string(countKey(1)): appendTally(nil, &tally{})}},
		"count and more":          {whole, map[string][]byte{string(countKey(1)): append(appendTally(nil, oneTally()), 9)}},
		"count, empty":            {whole, map[string][]byte{string(countKey(1)): {}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "sightings")
			tamper(t, path, [][]byte{c.record}, c.keys)
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

func oneTally() *tally {
	t := &tally{}
	t.Add(1, 1, 0, nil, nil)
	return t
}

func TestTalliesAreReadBack(t *testing.T) {
	t.Parallel()
	var want tally
	for i := range int64(40) {
		want.Add(1_700_000_000_000_000+i*i*7_919_000_000*(i%3-1), uint64(i)<<32, uint32(i), nil, nil)
		want.last = verifyevent.Ref{At: uint64(stream.At(3, uint64(i))), N: uint16(i)}
		raw := appendTally(nil, &want)
		if got, ok := decodeTally(raw); !ok || got != want || len(raw) > tallyBytesMax {
			t.Fatalf("%+v comes back as %+v, %v from %d bytes", want, got, ok, len(raw))
		}
		for cut := range raw {
			if _, ok := decodeTally(raw[:cut]); ok {
				t.Fatalf("%d of %d bytes are taken for a tally", cut, len(raw))
			}
		}
	}
	for _, want := range []verify.Place{{}, {Place: verifyevent.Place{Country: "中国", City: "遵义"}, Lat: -27.5, Lon: 106.25, Located: true}} {
		if got, ok := decodePlace(encodePlace(want)); !ok || got != want {
			t.Errorf("%+v comes back as %+v", want, got)
		}
	}
}

// TestTrail: every sighting names the one before it, over generations, so an item's
// scans can be read without an index.
func TestTrail(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	const scans = 30
	var l *Log
	for n := range int64(scans) {
		if l != nil {
			mustClose(t, l)
		}
		l = mustOpen(t, "sightings", Options{FS: fs, Key: make([]byte, 32)}, hasty)
		for s := range ids.Serial(3) {
			if _, err := l.Record(sighting(s, 1+n*10+int64(s))); err != nil {
				t.Fatal(err)
			}
		}
	}
	defer mustClose(t, l)
	for s := range ids.Serial(3) {
		ref, err := l.Last(s)
		var times []int64
		for ref != (verifyevent.Ref{}) && err == nil {
			var raw []byte
			raw, _, err = l.Stream().Get(stream.Position(ref.At))
			if err == nil {
				err = verifyevent.Each(raw, func(n uint16, e *verifyevent.Sighting) error {
					if n == ref.N {
						times, ref = append(times, e.At), e.Prev
						if e.Serial != s {
							t.Errorf("the trail of %d leads to %d", s, e.Serial)
						}
						return errFound
					}
					return nil
				})
				if errors.Is(err, errFound) {
					err = nil
				}
			}
		}
		if err != nil || len(times) != scans || times[0] != 1+(scans-1)*10+int64(s) || times[scans-1] != 1+int64(s) {
			t.Errorf("item %d: %v, %v", s, times, err)
		}
	}
}

var errFound = errors.New("found")

func TestDamagedCountIsNotGuessed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sightings")
	tamper(t, path, nil, map[string][]byte{string(countKey(1)): {1, 0x80}})
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
	records, err := streamkv.Open(filepath.Join(path, dirStream), streamkv.Options{MemTableBytes: 64 << 10, FS: fs, Log: quiet()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	tallies, err := openTallies(fs, path)
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
		upTo := stream.Position(binary.BigEndian.Uint64(mark))
		if err := eachSighting(records, upTo, func(s *verifyevent.Sighting) { sums[s.Serial]++ }); err != nil {
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
		stored[ids.Serial(binary.BigEndian.Uint64(it.Key()[1:]))] = t.Count
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	if diff := cmp.Diff(sums, stored); diff != "" {
		return fmt.Errorf("stored counts are not the sum of the records up to the watermark (-sum +stored):\n%s", diff)
	}
	return nil
}

// openTallies opens the store of counts by itself.
func openTallies(fs vfs.FS, path string) (*pebble.DB, error) {
	return kvdb.Open(filepath.Join(path, dirTallies), kvdb.Options{
		CacheBytes: 1 << 20, MemTableBytes: 64 << 10, NoWAL: true, FS: fs, Log: quiet(),
	})
}

// tamperFS is tamper on a file system.
func tamperFS(t *testing.T, fs vfs.FS, path string, records [][]byte, keys map[string][]byte) {
	t.Helper()
	s, err := streamkv.Open(filepath.Join(path, dirStream), streamkv.Options{MemTableBytes: 64 << 10, FS: fs, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if err := s.Append(stream.At(s.Generation(), uint64(i+1)), r); err != nil {
			t.Fatal(err)
		}
	}
	db, err := openTallies(fs, path)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range keys {
		if err := db.Set([]byte(key), value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Close(), db.Flush(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// eachSighting reads the log's sightings up to a position, in their order.
func eachSighting(log *streamkv.Log, upTo stream.Position, fn func(s *verifyevent.Sighting)) error {
	return log.Read(0, 0, func(r stream.Record) error {
		if r.At > upTo {
			return nil
		}
		return verifyevent.Each(r.Value, func(_ uint16, s *verifyevent.Sighting) error { fn(s); return nil })
	})
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

// slow is a Shared that counts, and whose answer to the first scan never comes.
type slow struct {
	mu      sync.Mutex
	sum     verify.Sum // guarded by mu
	counted chan struct{}
	give    chan struct{}
}

func (s *slow) Count(scan *verify.Sighting, own verify.Sum) (verify.Sum, verifyevent.What, error) {
	s.mu.Lock()
	if s.sum.Count < own.Count {
		s.sum.Raise(&own)
	}
	s.sum.Raise(&verify.Sum{Count: s.sum.Count + 1, FirstAt: scan.At.UnixMicro(), LastAt: scan.At.UnixMicro()})
	sum := s.sum
	s.mu.Unlock()
	if sum.Count > 1 {
		return sum, 0, nil
	}
	close(s.counted)
	<-s.give
	return verify.Sum{}, 0, errors.New("the answer did not come")
}

func (s *slow) Look(_ ids.Serial, own verify.Sum) (verify.Sum, error) { return own, nil }

// A scan whose count nobody confirmed is not added to an answer that has it in it already, which would
// bring the scan that nobody made to all processes.
func TestDoubtfulIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	all := &slow{counted: make(chan struct{}), give: make(chan struct{})}
	fs := vfs.NewMem()
	l := mustOpen(t, "sightings", Options{FS: fs, Shared: all}, idle)
	var wg sync.WaitGroup
	wg.Go(func() {
		if seen, err := l.Record(sighting(1, 1)); err != nil || !seen.Partial || seen.Count != 2 {
			t.Errorf("the doubtful one: %+v, %v; want 2, partial", seen, err)
		}
	})
	<-all.counted
	if seen, err := l.Record(sighting(1, 2)); err != nil || seen.Partial || seen.Count != 2 {
		t.Errorf("the one that was told: %+v, %v; want 2", seen, err)
	}
	close(all.give)
	wg.Wait()
	if seen, err := l.Record(sighting(1, 3)); err != nil || seen.Count != 3 {
		t.Errorf("after both: %+v, %v; want 3", seen, err)
	}
	mustClose(t, l)
	l = mustOpen(t, "sightings", Options{FS: fs}, idle)
	defer mustClose(t, l)
	if seen, err := l.Seen(1); err != nil || seen.Count != 3 {
		t.Errorf("read back: %+v, %v; want 3", seen, err)
	}
}
