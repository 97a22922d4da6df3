package streamkv

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/platform/kvdb/kvdbtest"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

const (
	crashRounds = 120 // of every run; a nightly one gives -rounds=10000
	crashChain  = 20  // crashes that one log lives through
	crashPath   = "data/log"
)

var rounds = flag.Int("rounds", crashRounds, "crashes that TestCrash makes")

// TestCrash lets the power fail at any moment of appends, acknowledgements, burials
// and retention. What was promised before must hold after.
func TestCrash(t *testing.T) {
	t.Parallel()
	const chains = 2
	for chain := range chains {
		t.Run(fmt.Sprint(chain), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(chain)))
			for done := 0; done < *rounds/chains; done += crashChain {
				w := newWorld(rng)
				for round := range crashChain {
					if err := w.round(); err != nil {
						t.Fatalf("crash %d of this log: %v", round+1, err)
					}
				}
			}
		})
	}
}

// The checker must see the losses of logs that promise too much.
func TestCrashCheckSeesLoss(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]struct {
		plant func(*world)
		want  string
	}{
		"appends are told too early":   {func(w *world) { w.early = true }, "is lost"},
		"more is acknowledged":         {func(w *world) { w.greedy = true }, "not acknowledged"},
		"letters are told too early":   {func(w *world) { w.hasty = true }, "letter"},
		"retention takes what is held": {func(w *world) { w.rash = true }, "is lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(rand.New(rand.NewPCG(1, 2)))
			plant.plant(w)
			for range 300 {
				if err := w.round(); err != nil {
					if !strings.Contains(err.Error(), plant.want) {
						t.Errorf("it shows as: %v", err)
					}
					return
				}
			}
			t.Error("nothing was noticed in 300 crashes")
		})
	}
}

var crashGroups = []string{"a", "b"}

// world is one log's life through many crashes, and what was promised meanwhile.
type world struct {
	rng *rand.Rand
	fs  *kvdbtest.FS
	gen uint32 // the last one

	// planted bugs
	early, greedy, hasty, rash bool

	mu       sync.Mutex
	appended []stream.Position                   // guarded by mu: Append returned
	ending   map[string]map[stream.Position]bool // guarded by mu: by group: Ack was called
	buried   map[string]bool                     // guarded by mu: Bury returned
	gone     map[string]bool                     // guarded by mu: Discard was called
}

func newWorld(rng *rand.Rand) *world {
	w := &world{
		rng: rng, fs: kvdbtest.New(crashPath), ending: map[string]map[stream.Position]bool{},
		buried: map[string]bool{}, gone: map[string]bool{},
	}
	for _, g := range crashGroups {
		w.ending[g] = map[stream.Position]bool{}
	}
	return w
}

func crashValue(at stream.Position) []byte {
	size := 20 + int(at*7919)%500
	if at%40 == 0 {
		size = 100 << 10 // so that write buffers are flushed
	}
	return bytes.Repeat([]byte(at.String()+" "), size/5)
}

func (w *world) open(fs vfs.FS) (*Log, error) {
	return Open(crashPath, Options{
		FS: fs, Key: testKey(), Log: quiet(), MemTableBytes: 1 << 20, TrimEvery: -1, SaveEvery: 1, Gather: -1,
	})
}

// round works until the power fails, and goes on with what is left.
func (w *world) round() error {
	l, err := w.open(w.fs)
	if err != nil {
		return err
	}
	if l.Generation() <= w.gen {
		return fmt.Errorf("generation %d comes after %d", l.Generation(), w.gen)
	}
	w.gen = l.Generation()
	if err := w.check(l); err != nil {
		return err
	}
	if err := l.Close(); err != nil { // the check holds every record: begin anew
		return err
	}
	if l, err = w.open(w.fs); err != nil {
		return err
	}
	w.gen = l.Generation()
	crashed := w.workUntilCrash(l)
	amid := make(chan *kvdbtest.FS, 1)
	go func() { amid <- crashed.Crash(w.loss()) }()
	again, err := w.open(crashed)
	second := <-amid
	if err != nil {
		return fmt.Errorf("open after a crash: %w", err)
	}
	w.gen = max(w.gen, again.Generation())
	if err := w.check(again); err != nil {
		return err
	}
	if err := again.Close(); err != nil {
		return err
	}
	if w.rng.IntN(2) == 0 {
		w.fs = crashed
		return nil
	}
	w.fs, w.gen = second, w.gen-1 // the power failed while it was opening
	return nil
}

// loss is what a disk may keep of what it was not told to keep.
func (w *world) loss() vfs.CrashCloneCfg {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.early || w.hasty {
		return vfs.CrashCloneCfg{}
	}
	seed := w.rng.Uint64()
	return vfs.CrashCloneCfg{RNG: rand.New(rand.NewPCG(seed, 0)), UnsyncedDataPercent: []int{0, 0, 10, 50, 90}[w.rng.IntN(5)]}
}

// workUntilCrash uses the log from all sides and gives the disk of some moment. What
// is promised after that moment is taken back; what was asked for is not.
func (w *world) workUntilCrash(l *Log) *kvdbtest.FS {
	var groups []*Group
	for _, name := range crashGroups {
		g, err := l.Group(name)
		if err != nil {
			panic(err)
		}
		groups = append(groups, g)
	}
	l.Start()
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	reached := make(chan struct{})
	target := 1 + w.rng.IntN(120)
	work.Go(func() { w.appendTo(ctx, l, target, reached) })
	for _, g := range groups {
		seed := w.rng.Uint64()
		work.Go(func() { w.consume(ctx, l, g, rand.New(rand.NewPCG(seed, 1))) })
	}
	work.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := l.Trim(); err != nil {
				panic(err)
			}
			<-tick.C
		}
	})
	<-reached
	for range w.rng.IntN(20) {
		runtime.Gosched()
	}
	cfg := w.loss()
	w.mu.Lock()
	appended, buried := slices.Clone(w.appended), maps.Clone(w.buried)
	w.mu.Unlock()
	crashed := w.fs.Crash(cfg)
	cancel()
	work.Wait()
	if err := l.Close(); err != nil { // of a machine that is no more: nothing reaches crashed
		panic(err)
	}
	w.mu.Lock()
	w.appended, w.buried = appended, buried
	w.mu.Unlock()
	return crashed
}

func (w *world) appendTo(ctx context.Context, l *Log, target int, reached chan struct{}) {
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		at := stream.At(l.Generation(), seq)
		note := func() {
			w.mu.Lock()
			w.appended = append(w.appended, at)
			w.mu.Unlock()
		}
		if w.early {
			note()
			if int(seq) == target {
				close(reached)
			}
		}
		if err := l.Append(at, crashValue(at)); err != nil {
			panic(err)
		}
		if !w.early {
			note()
			if int(seq) == target {
				close(reached)
			}
		}
		if w.rash && seq%10 == 9 { // a retention that asks nobody
			trimmed, end := l.bounds()
			if err := l.deleteUpTo(trimmed, end, nil); err != nil {
				panic(err)
			}
		}
	}
}

// consume acknowledges most of what it is given, and makes some letters.
func (w *world) consume(ctx context.Context, l *Log, g *Group, rng *rand.Rand) {
	for {
		records, err := g.Fetch(ctx, "c", 1+rng.IntN(5))
		if err != nil {
			return
		}
		for _, r := range records {
			if rng.IntN(8) == 0 {
				w.letter(l, g.name, r.At, rng)
			}
			if rng.IntN(10) == 0 {
				continue // held for ever
			}
			w.mu.Lock()
			w.ending[g.name][r.At] = true
			w.mu.Unlock()
			more := r.At
			if w.greedy {
				more++
			}
			if err := g.Ack(ctx, r.At, more); err != nil {
				panic(err)
			}
		}
	}
}

func (w *world) letter(l *Log, group string, at stream.Position, rng *rand.Rand) {
	m := stream.Letter{Group: group, At: at, N: 1, Value: []byte(at.String()), Reason: "r", Tries: 1}
	id := stream.LetterID(group, at, 1)
	note := func() {
		w.mu.Lock()
		w.buried[id] = true
		w.mu.Unlock()
	}
	if w.hasty {
		note()
	}
	if err := l.Bury(context.Background(), m); err != nil {
		panic(err)
	}
	note()
	if rng.IntN(3) == 0 {
		w.mu.Lock()
		w.gone[id] = true
		w.mu.Unlock()
		if err := l.Discard(context.Background(), id); err != nil {
			panic(err)
		}
	}
}

// check holds a log to what was promised.
func (w *world) check(l *Log) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := map[stream.Position]bool{}
	before := stream.Position(0)
	err := l.Read(0, 0, func(r stream.Record) error {
		if r.At <= before || !bytes.Equal(r.Value, crashValue(r.At)) {
			return fmt.Errorf("record %s comes after %s with %d bytes", r.At, before, len(r.Value))
		}
		before, there[r.At] = r.At, true
		return nil
	})
	if err != nil {
		return err
	}
	for _, at := range w.appended {
		for _, name := range crashGroups {
			if !there[at] && !w.ending[name][at] {
				return fmt.Errorf("record %s was appended, was not acknowledged by %s and is lost", at, name)
			}
		}
	}
	for _, name := range crashGroups {
		if err := w.checkGroup(l, name, there); err != nil {
			return err
		}
	}
	return w.checkLetters(l)
}

func (w *world) checkGroup(l *Log, name string, there map[stream.Position]bool) error {
	g, err := l.Group(name)
	if err != nil {
		return err
	}
	lag, err := g.Lag(context.Background())
	if err != nil {
		return err
	}
	given := map[stream.Position]bool{}
	for range lag.Records {
		records, err := g.Fetch(context.Background(), "check", 1)
		if err != nil {
			return err
		}
		given[records[0].At] = true
	}
	if more, err := g.next("check", 1); err != nil || len(more) > 0 {
		return fmt.Errorf("the lag of %s is %d and there is more: %v %w", name, lag.Records, more, err)
	}
	for at := range there {
		if !given[at] && !w.ending[name][at] {
			return fmt.Errorf("record %s was not acknowledged by %s and is not given", at, name)
		}
	}
	if lag.Lost > 0 {
		return fmt.Errorf("%d records are lost to %s, says its lag", lag.Lost, name)
	}
	return nil
}

func (w *world) checkLetters(l *Log) error {
	dead := map[string]bool{}
	for _, name := range crashGroups {
		letters, err := l.Dead(context.Background(), name, "", 1<<20)
		if err != nil {
			return err
		}
		for _, m := range letters {
			dead[m.ID] = true
			if string(m.Value) != m.At.String() {
				return fmt.Errorf("letter %s says %q", m.ID, m.Value)
			}
		}
	}
	for id := range w.buried {
		if !dead[id] && !w.gone[id] {
			return fmt.Errorf("letter %s was buried and is lost", id)
		}
	}
	return nil
}
