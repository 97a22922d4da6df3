package batch_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// brittle is a Local whose Puts fail after some more of them: the process dies in
// the middle of an entry.
type brittle struct {
	batch.Local
	mu   sync.Mutex
	left int // guarded by mu; below 0 = it holds
}

var errDied = errors.New("the process died")

func (b *brittle) put() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return errDied
	}
	b.left--
	return nil
}

func (b *brittle) breakAfter(puts int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = puts
}

func (b *brittle) PutNote(shard ids.Shard, seq int64, n batch.Note) error {
	return errors.Join(b.put(), b.Local.PutNote(shard, seq, n))
}

func (b *brittle) PutItems(first ids.Serial, singles batch.Runs, seq int64) error {
	if err := b.put(); err != nil {
		return err
	}
	return b.Local.PutItems(first, singles, seq)
}

func (b *brittle) PutExtra(s ids.Serial, e batch.Extra) error {
	if err := b.put(); err != nil {
		return err
	}
	return b.Local.PutExtra(s, e)
}

// history is what a life of several batches is made of, at random.
type history struct {
	rng     *rand.Rand
	batches []batch.Batch
	changes []ids.ChangeID
	names   int
}

// addBatch makes a batch of one of the products.
func (h *history) addBatch(o *office, products []batch.Product) {
	h.names++
	p := products[h.rng.IntN(len(products))]
	h.batches = append(h.batches, o.batch(p, fmt.Sprint("lot ", h.names), []int64{1, 65_535, 65_537, 150_000}[h.rng.IntN(4)]))
}

// step does one thing; whether the process survives it is another matter.
func (h *history) step(o *office, products []batch.Product) error {
	ctx := o.t.Context()
	b := h.batches[h.rng.IntN(len(h.batches))]
	no := 1 + h.rng.Int64N(b.Quantity)
	states := []gs1.Disposition{gs1.Active, gs1.Active, gs1.InTransit, gs1.Inactive, gs1.Returned, gs1.RetailSold, gs1.Stolen}
	spec := batch.StateSpec{To: states[h.rng.IntN(len(states))].String(), Reason: "life", Place: "Yiwu"}
	switch n := h.rng.IntN(20); {
	case n < 2:
		_, _, err := o.Reissue(ctx, anon(), o.code(b, no), "worn")
		return err
	case n < 4:
		i := batch.ItemChange{ID: ids.ChangeID(ids.New("chg")), Batch: b.First, Serial: b.Serial(no)}
		if _, err := o.store.TryInner(ctx, ids.Request{}, i, b.BrandID, true, 5); err != nil {
			return err
		}
		return o.proj.CatchUp(ctx, b.Shard())
	case n < 5:
		h.addBatch(o, products)
		return nil
	case n < 7 && len(h.changes) > 0:
		spec.To, spec.Reverts = "", h.changes[h.rng.IntN(len(h.changes))]
	case n < 14:
		spec.Select = batch.Selection{BatchID: b.ID, From: no, To: min(b.Quantity, no+[]int64{0, 5, 1022, 1023, 5000, 70_000}[h.rng.IntN(6)])}
	default:
		list := make([]int64, 1+h.rng.IntN(50))
		for i := range list {
			list[i] = 1 + h.rng.Int64N(b.Quantity)
		}
		spec.Select.Codes = o.codes(b, list...)
	}
	c, _, err := o.ChangeState(ctx, anon(), spec)
	if codeOf(err) == "change.empty" {
		return nil
	}
	if err == nil {
		h.changes = append(h.changes, c.ID)
	}
	return err
}

// known is everything that a projection says of an item.
type known struct {
	State gs1.Disposition
	Extra batch.Extra
	Note  batch.Note
}

func (o *office) known(b batch.Batch, no int64) known {
	o.t.Helper()
	item, ok := o.proj.Lookup(b.Serial(no))
	if !ok {
		o.t.Fatalf("number %d of batch %s is not known", no, b.No)
	}
	extra, err := o.proj.Extra(b.Serial(no), item)
	o.must(err)
	note, _, err := o.proj.Note(b.Serial(no), item)
	o.must(err)
	return known{item.State, extra, note}
}

// wantSameAs compares everything that two processes say of all items. Records of
// their own and notes are read for a part of those that have none.
func (o *office) wantSameAs(other *office, batches []batch.Batch) {
	o.t.Helper()
	for shard := range ids.Shard(ids.Shards) {
		if a, b := o.proj.Position(shard), other.proj.Position(shard); a != b {
			o.t.Errorf("shard %d is at %d and at %d", shard, a, b)
		}
	}
	for _, b := range batches {
		mine, ok := o.proj.Counts(b.First)
		theirs, okToo := other.proj.Counts(b.First)
		if mine != theirs || !ok || !okToo {
			o.t.Errorf("counts of batch %s: %v and %v", b.No, mine, theirs)
		}
		for no := int64(1); no <= b.Quantity; no++ {
			a, _ := o.proj.Lookup(b.Serial(no))
			c, _ := other.proj.Lookup(b.Serial(no))
			if a.State != c.State || a.HasExtra() != c.HasExtra() {
				o.t.Fatalf("number %d of batch %s is %s (%v) and %s (%v)", no, b.No, a.State, a.HasExtra(), c.State, c.HasExtra())
			}
			if !a.HasExtra() && no%37 != 0 {
				continue
			}
			if diff := cmp.Diff(other.known(b, no), o.known(b, no)); diff != "" {
				o.t.Fatalf("number %d of batch %s (-rebuilt +kept):\n%s", no, b.No, diff)
			}
		}
	}
}

// TestProjectionRebuilt lives through deaths and checkpoints at random moments: in
// the end it must say what a projection says that was made from SQL alone.
func TestProjectionRebuilt(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test ./internal/batch -run TestProjectionRebuilt -args -seed=%d", seed)
	h := &history{rng: rand.New(rand.NewPCG(seed, 1))}
	at := newSetting(t)
	var local *brittle
	at.wrap = func(l batch.Local) batch.Local {
		local = &brittle{Local: l, left: -1}
		return local
	}
	o := at.open(t)
	products := []batch.Product{o.product(batch.Pool{}), o.product(batch.Pool{})}
	h.addBatch(o, products)
	deaths, steps := 12, 40
	if raceEnabled {
		deaths, steps = 5, 25
	}
	for death := range deaths {
		local.breakAfter(h.rng.IntN(2 * steps))
		for range steps {
			err := h.step(o, products)
			if errors.Is(err, errDied) {
				break
			}
			o.must(err)
			if h.rng.IntN(15) == 0 {
				o.must(o.proj.Checkpoint())
			}
		}
		o.close() // without a checkpoint
		o = at.open(t)
		fresh := setting{db: at.db, local: t.TempDir(), config: at.config}.open(t)
		o.wantSameAs(fresh, h.batches)
		fresh.close()
		if t.Failed() {
			t.Fatalf("after death %d", death)
		}
	}
	o.close()
}

// TestProjectionOfAnOlderBackup puts an older SQL file back under a projection that
// knows more: what did not happen must be forgotten.
func TestProjectionOfAnOlderBackup(t *testing.T) {
	t.Parallel()
	at := newSetting(t)
	o := at.open(t)
	b := o.batch(o.product(batch.Pool{}), "lot", 100_000)
	o.move(b, 1, 50_000, "active")
	o.close()
	file := filepath.Join(at.db, "chopmark.db")
	backup, err := os.ReadFile(file)
	o.must(err)

	o = at.open(t)
	o.move(b, 1, 10, "retail_sold")
	o.move(b, 60_000, 100_000, "void")
	_, _, err = o.Reissue(t.Context(), anon(), o.code(b, 7), "")
	o.must(err)
	o.must(o.proj.Checkpoint())
	o.close()

	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	o.must(os.WriteFile(file, backup, 0o600))
	o = at.open(t)
	defer o.close()
	o.wantStates(b, map[int64]string{1: "active", 50_000: "active", 50_001: "encoded", 70_000: "encoded"})
	if v := o.known(b, 7).Extra.Version; v != 1 {
		t.Errorf("number 7 is at version %d, want 1", v)
	}
	_, _, err = o.Reissue(t.Context(), anon(), o.code(b, 7), "")
	o.must(err)
	if got := o.known(b, 7).Extra; got.Version != 2 || len(got.Superseded) != 1 {
		t.Errorf("after a reissue: %+v", got)
	}
}

// TestSupersededKeepsTheLastEight pins what a link's "superseded" can go back to.
func TestSupersededKeepsTheLastEight(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.batch(o.product(batch.Pool{}), "lot", 10)
	var ended []time.Time
	for i := range 11 {
		now := batchtest.Start().Add(time.Duration(i+1) * time.Hour)
		o.setClock(now)
		version, _, err := o.Reissue(t.Context(), anon(), o.code(b, 3), "")
		o.must(err)
		if version != uint16(i+2) {
			t.Errorf("reissue %d gave version %d", i, version)
		}
		ended = append(ended, now)
	}
	got := o.known(b, 3).Extra
	if diff := cmp.Diff(batch.Extra{Version: 12, Superseded: ended[3:]}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTwoProcessesSeeOneAnother runs two processes and a follower on one database:
// an item is moved once, whoever asks, and no one misses an entry.
func TestTwoProcessesSeeOneAnother(t *testing.T) {
	t.Parallel()
	at := newSetting(t)
	offices := []*office{at.open(t), setting{db: at.db, local: t.TempDir(), config: at.config}.open(t)}
	follower := setting{db: at.db, local: t.TempDir(), config: at.config}.open(t)
	for _, o := range append(offices, follower) {
		defer o.close() //nolint:gocritic // they live as long as the test
	}
	const quantity, workers, rounds = 20_000, 2, 25
	b := offices[0].batch(offices[0].product(batch.Pool{}), "lot", quantity)
	offices[1].must(offices[1].proj.CatchUp(t.Context(), b.Shard()))

	var mu sync.Mutex
	var moved int64
	var all, following sync.WaitGroup
	stop := make(chan struct{})
	var seen []batch.Entry
	following.Go(func() {
		for after, last := int64(0), false; ; {
			select {
			case <-stop:
				last = true
			default:
			}
			page, err := follower.store.Feed(t.Context(), b.Shard(), after, 3)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range page {
				if e.Seq <= after {
					t.Errorf("entry %d was given after %d", e.Seq, after)
				}
				after = e.Seq
			}
			if seen = append(seen, page...); last && len(page) == 0 {
				return
			}
		}
	})
	for i, o := range offices {
		for w := range workers {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(i), uint64(w)))
				for range rounds {
					from := 1 + rng.Int64N(quantity)
					c, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{
						Select: batch.Selection{BatchID: b.ID, From: from, To: min(quantity, from+rng.Int64N(1500))}, To: "active", Reason: "two",
					})
					if errors.Is(err, batch.ErrRaced) {
						continue // eight times in a row: it says so and changes nothing
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					moved += c.Items
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	close(stop)
	following.Wait()
	for _, o := range append(offices, follower) {
		o.must(o.proj.CatchUp(t.Context(), b.Shard()))
		if counts, _ := o.proj.Counts(b.First); counts[gs1.Active] != moved {
			t.Errorf("%d items are active, %d were moved", counts[gs1.Active], moved)
		}
	}
	offices[0].wantSameAs(offices[1], []batch.Batch{b})
	there, err := follower.store.Feed(t.Context(), b.Shard(), 0, 10_000)
	follower.must(err)
	if diff := cmp.Diff(there, seen); diff != "" {
		t.Errorf("the follower missed (-there +seen):\n%s", diff)
	}
}
