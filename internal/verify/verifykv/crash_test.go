package verifykv

import (
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kvdb/kvdbtest"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

const (
	crashRounds = 300 // of every run; a nightly one gives -rounds=10000
	crashChain  = 20  // crashes that one log lives through
	crashItems  = 9
	crashPath   = "data/sightings"
)

var rounds = flag.Int("rounds", crashRounds, "crashes that TestCrash makes")

// TestCrash lets the power fail at any moment of scans and of recoveries. Whatever
// was answered before must be there after.
func TestCrash(t *testing.T) {
	t.Parallel()
	const chains = 4
	for chain := range chains {
		t.Run(fmt.Sprint(chain), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(chain)))
			for done := 0; done < *rounds/chains; done += crashChain {
				w := newWorld(rng, false)
				for round := range crashChain {
					if err := w.round(); err != nil {
						t.Fatalf("crash %d of this log: %v", round+1, err)
					}
				}
			}
		})
	}
}

// The checker must see the losses of a log that answers before the group is durable.
func TestCrashCheckSeesLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(rand.New(rand.NewPCG(1, 2)), true)
	for range 200 {
		if err := w.round(); err != nil {
			if !strings.Contains(err.Error(), "is lost") {
				t.Errorf("the loss shows as: %v", err)
			}
			return
		}
	}
	t.Error("a log that answers too early lost nothing in 200 crashes")
}

// The checker must see a log that is read twice, or not to its end.
func TestCrashCheckSeesWrongWatermark(t *testing.T) {
	t.Parallel()
	for name, mark := range map[string]stream.Position{"twice": 0, "not": stream.At(stream.GenerationMax, 0)} {
		w := newWorld(rand.New(rand.NewPCG(3, 4)), false)
		for range 3 {
			if err := w.round(); err != nil {
				t.Fatal(err)
			}
		}
		l := mustOpen(t, crashPath, Options{FS: w.fs}, idle)
		if _, err := l.Record(sighting(1, w.clock.Add(1))); err != nil {
			t.Fatal(err)
		}
		fs := w.fs.Crash(vfs.CrashCloneCfg{}) // the last scan is in the groups, and not counted yet
		mustClose(t, l)
		if name == "twice" {
			fs = w.fs.Crash(vfs.CrashCloneCfg{}) // all of them are counted
		}
		tamperFS(t, fs, crashPath, nil, map[string][]byte{string(rune(keyWatermark)): binary.BigEndian.AppendUint64(nil, uint64(mark))})
		if err := countsMatchWatermark(fs.Crash(vfs.CrashCloneCfg{}), crashPath); err == nil {
			t.Errorf("%s: the invariant holds with a wrong watermark", name)
		}
		l = mustOpen(t, crashPath, Options{FS: fs}, idle)
		if err := w.all().check(l); err == nil {
			t.Errorf("%s: wrong counts were not noticed", name)
		}
		mustClose(t, l)
	}
}

// world is one log's life through many crashes, and what was answered meanwhile.
type world struct {
	rng   *rand.Rand
	async bool
	fs    *kvdbtest.FS
	clock atomic.Int64 // microseconds; every sighting has its own

	mu      sync.Mutex
	acked   []entry             // guarded by mu
	told    map[ids.Serial]told // guarded by mu
	target  int                 // guarded by mu: the crash comes after so many acks
	reached chan struct{}
}

type entry struct {
	serial ids.Serial
	at     int64
}

// told is the most that anybody was told of an item.
type told struct{ count, firstAt int64 }

// promises is what a log has answered up to some moment.
type promises struct {
	acked []entry
	told  map[ids.Serial]told
}

func newWorld(rng *rand.Rand, async bool) *world {
	return &world{rng: rng, async: async, fs: kvdbtest.New(crashPath+"/"+dirStream, crashPath+"/"+dirTallies), told: map[ids.Serial]told{}}
}

func (w *world) all() promises {
	w.mu.Lock()
	defer w.mu.Unlock()
	return promises{slices.Clip(w.acked), maps.Clone(w.told)}
}

// answered notes an answer; at is 0 for a look.
func (w *world) answered(s ids.Serial, at int64, seen verify.Seen) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seen.Count > w.told[s].count {
		w.told[s] = told{seen.Count, seen.FirstAt.UnixMicro()}
	}
	if at == 0 {
		return
	}
	w.acked = append(w.acked, entry{s, at})
	if len(w.acked) == w.target {
		close(w.reached)
	}
}

// crash is the file system as a power failure at this moment leaves it.
func (w *world) crash(fs *kvdbtest.FS) *kvdbtest.FS {
	for range w.rng.IntN(6) {
		runtime.Gosched()
	}
	cfg := vfs.CrashCloneCfg{RNG: w.rng}
	if !w.async { // the disk may keep some of what it was not told to keep
		cfg.UnsyncedDataPercent = []int{0, 0, 10, 50, 90}[w.rng.IntN(5)]
	}
	return fs.Crash(cfg)
}

func (w *world) open(fs vfs.FS) (*Log, error) {
	tune := hasty
	tune.writeBehind = 1 + w.rng.IntN(2*crashItems)
	tune.recentMax = 1 + w.rng.IntN(crashItems)
	return open(crashPath, Options{FS: fs, Async: w.async, Log: quiet()}, tune)
}

// round scans until the power fails, lets it fail again while the log recovers, and
// goes on with what is left.
func (w *world) round() error {
	l, err := w.open(w.fs)
	if err != nil {
		return err
	}
	if err := w.all().check(l); err != nil {
		return err
	}
	crashed, before := w.scanUntilCrash(l)
	if err := l.Close(); err != nil { // of a machine that is no more: nothing reaches crashed
		return err
	}
	// What nobody was told before the crash may be lost. Forget the rest.
	w.mu.Lock()
	w.acked, w.told = before.acked, before.told
	w.mu.Unlock()
	if err := countsMatchWatermark(crashed.Crash(vfs.CrashCloneCfg{}), crashPath); err != nil {
		return err
	}
	during := make(chan *kvdbtest.FS, 1)
	go func() { during <- w.crash(crashed) }()
	again, err := open(crashPath, Options{FS: crashed, Async: w.async, Log: quiet()}, hasty)
	amid := <-during
	if err != nil {
		return fmt.Errorf("open after a crash: %w", err)
	}
	atOnce := crashed.Crash(vfs.CrashCloneCfg{})
	if err := before.check(again); err != nil {
		return fmt.Errorf("after a crash: %w", err)
	}
	if err := again.Close(); err != nil {
		return err
	}
	w.fs = []*kvdbtest.FS{amid, atOnce, crashed}[w.rng.IntN(3)]
	return nil
}

// scanUntilCrash runs scans and gives the disk of some moment, with what had been
// answered before that moment.
func (w *world) scanUntilCrash(l *Log) (*kvdbtest.FS, promises) {
	w.mu.Lock()
	w.reached, w.target = make(chan struct{}), len(w.acked)+1+w.rng.IntN(120)
	w.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 5 {
		seed := w.rng.Uint64()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 0))
			for {
				s := ids.Serial(rng.IntN(crashItems))
				if rng.IntN(5) == 0 {
					seen, err := l.Seen(s)
					if err != nil {
						return
					}
					w.answered(s, 0, seen)
					continue
				}
				at := w.clock.Add(1)
				seen, err := l.Record(sighting(s, at))
				if err != nil {
					return // ErrEnded; other errors show as what is missing
				}
				w.answered(s, at, seen)
			}
		})
	}
	<-w.reached
	for range w.rng.IntN(20) {
		runtime.Gosched()
	}
	before := w.all()
	crashed := w.crash(w.fs)
	if err := l.Close(); err != nil {
		panic(err)
	}
	return crashed, before
}

// check holds a recovered log to what was promised.
func (p promises) check(l *Log) error {
	logged, sessions := map[ids.Serial][]int64{}, map[ids.Serial]int64{}
	err := eachSighting(l.stream, stream.At(stream.GenerationMax, 0), func(s *verifyevent.Sighting) {
		logged[s.Serial] = append(logged[s.Serial], s.At)
		if s.What.Has(verifyevent.NewSession) {
			sessions[s.Serial]++
		}
	})
	if err != nil {
		return err
	}
	there := map[entry]bool{}
	for s, times := range logged {
		for _, at := range times {
			if there[entry{s, at}] {
				return fmt.Errorf("the sighting of item %d at %d is there twice", s, at)
			}
			there[entry{s, at}] = true
		}
	}
	for _, e := range p.acked {
		if !there[e] {
			return fmt.Errorf("the sighting of item %d at %d was acknowledged and is lost", e.serial, e.at)
		}
	}
	for s := range ids.Serial(crashItems) {
		want := verify.Seen{}
		if times := logged[s]; times != nil {
			want = verify.Seen{
				Count: int64(len(times)), FirstAt: time.UnixMicro(times[0]).UTC(), LastAt: time.UnixMicro(slices.Max(times)).UTC(),
			}
		}
		got, err := l.Seen(s)
		if err != nil {
			return err
		}
		want.Sessions = sessions[s]
		got.FirstIn, got.LastIn, got.What = "", "", 0
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("item %d is not what the log says (-log +seen):\n%s", s, diff)
		}
		if most := p.told[s]; got.Count < most.count || most.count > 0 && got.FirstAt.UnixMicro() != most.firstAt {
			return fmt.Errorf("item %d has %d since %d, but %d since %d was told, so a sighting is lost",
				s, got.Count, got.FirstAt.UnixMicro(), most.count, most.firstAt)
		}
	}
	return nil
}
