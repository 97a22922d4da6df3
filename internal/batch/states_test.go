package batch

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/gs1"
)

// plain is the model of states: one record for every number.
type plain struct {
	state gs1.Disposition
	seq   int64
	own   bool
	extra bool
}

type plainStates []plain // index 0 is not used

// set puts numbers into a state that were asked for by themselves.
func (s *states) set(numbers Runs, to gs1.Disposition, seq int64) {
	long, short := numbers.split(nil)
	s.lay(long, short, to, seq)
}

func newPlain(quantity int64) plainStates {
	m := make(plainStates, quantity+1)
	for i := range m {
		m[i].state = FirstState
	}
	return m
}

func (m plainStates) set(runs []Run, to gs1.Disposition, seq int64) {
	for _, r := range runs {
		for no := r.From; no <= r.To; no++ {
			m[no].state, m[no].seq, m[no].own = to, seq, r.To-r.From+1 < longRun
		}
	}
}

// classify lists the maximal runs of each state.
func (m plainStates) classify(numbers Runs) (out [gs1.DispositionCount + 1][]Run) {
	for _, r := range numbers {
		for no := r.From; no <= r.To; no++ {
			list := &out[m[no].state]
			if n := len(*list); n > 0 && (*list)[n-1].To == no-1 {
				(*list)[n-1].To = no
			} else {
				*list = append(*list, Run{no, no})
			}
		}
	}
	return out
}

// drawSpread draws a set of runs whose lengths and ends lie where the code makes
// a difference: at the pages' edges, around longRun, and at the ends of earlier runs.
func drawSpread(t *rapid.T, quantity int64, ends []int64) Runs {
	edges := append([]int64{1, longRun, pageSize - 1, pageSize, pageSize + 1, 2*pageSize - 1, 2 * pageSize, 2*pageSize + 1, quantity}, ends...)
	length := rapid.SampledFrom([]int64{1, 1, 2, 3, 20, longRun - 1, longRun, longRun + 1, 5000, pageSize - 1, pageSize, pageSize + 1, quantity})
	atEdge := func(label string) int64 {
		no := rapid.SampledFrom(edges).Draw(t, label) + rapid.Int64Range(-1, 1).Draw(t, label+" beside")
		return min(max(no, 1), quantity)
	}
	var numbers []Run
	for range rapid.IntRange(1, 5).Draw(t, "runs") {
		r := Run{From: rapid.Int64Range(1, quantity).Draw(t, "from")}
		if rapid.Bool().Draw(t, "from an edge") {
			r.From = atEdge("from edge")
		}
		r.To = min(quantity, r.From+length.Draw(t, "length")-1)
		if rapid.Bool().Draw(t, "to an edge") {
			r.To = max(r.From, atEdge("to edge"))
		}
		numbers = append(numbers, r)
	}
	slices.SortFunc(numbers, func(a, b Run) int { return int(a.From - b.From) })
	var rs Runs
	for _, r := range numbers {
		if n := len(rs); n > 0 && r.From <= rs[n-1].To+1 {
			rs[n-1].To = max(rs[n-1].To, r.To)
		} else {
			rs = append(rs, r)
		}
	}
	return rs
}

// drawBridge draws singles and long runs on both sides of them, or almost so.
func drawBridge(t *rapid.T, quantity int64) (singles, long Runs) {
	gap := rapid.SampledFrom([]int64{1, 2, 30, longRun - 1}).Draw(t, "gap")
	room := quantity - 2*longRun - gap
	if room < 1 {
		return nil, nil
	}
	from := rapid.Int64Range(1, room).Draw(t, "bridge from")
	first := Run{from, from + longRun - 1}
	second := Run{first.To + gap + 1, first.To + gap + longRun}
	singles = Runs{{first.To + 1, second.From - 1}}
	if rapid.Bool().Draw(t, "with a hole") { // then there must be no bridge
		hole := rapid.Int64Range(singles[0].From, singles[0].To).Draw(t, "hole")
		singles = singles.Minus(Runs{{hole, hole}})
	}
	return singles, Runs{first, second}
}

var drawState = rapid.SampledFrom(gs1.Dispositions())

// TestStatesAgreeWithAPlainArray holds segments and pages to one record for each
// number, under everything that can happen to them.
func TestStatesAgreeWithAPlainArray(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		quantity := rapid.SampledFrom([]int64{1, 2, 1500, pageSize - 1, pageSize, pageSize + 1, 2*pageSize + 5, 140_000}).Draw(t, "quantity")
		s, m := newStates(quantity), newPlain(quantity)
		seq, ends := int64(0), []int64{}
		set := func(rs Runs, to gs1.Disposition) {
			if len(rs) == 0 {
				return
			}
			seq++
			kept := slices.Clone(rs)
			for _, r := range rs {
				ends = append(ends, r.From, r.To)
			}
			s.set(rs, to, seq)
			m.set(rs, to, seq)
			if !slices.Equal(rs, kept) {
				t.Fatalf("set changed the runs that it was given: %v to %v", kept, rs)
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				no := rapid.Int64Range(1, quantity).Draw(t, "extra")
				s.markExtra(no)
				m[no].extra = true
			case 1, 2:
				singles, long := drawBridge(t, quantity)
				set(singles, drawState.Draw(t, "singles to"))
				set(long, drawState.Draw(t, "long to"))
			case 3:
				s = storedAndLoaded(t, s)
			default:
				set(drawSpread(t, quantity, ends), drawState.Draw(t, "to"))
			}
			wantClassified(t, s, m, drawSpread(t, quantity, ends))
		}
		wantSame(t, s, m)
	})
}

// storedAndLoaded is the states after a snapshot of everything and a restart.
func storedAndLoaded(t *rapid.T, s *states) *states {
	e := &entry{Batch{Quantity: s.quantity}, s}
	pages := map[int64]bool{}
	for i := range s.quantity>>pageBits + 1 {
		pages[i] = true
	}
	snap := e.snapshot(pages)
	segs, err := DecodeSegments(EncodeSegments(snap.Segments))
	if err != nil || !slices.Equal(segs, snap.Segments) {
		t.Fatalf("segments %v come back as %v, %v", snap.Segments, segs, err)
	}
	next := newStates(s.quantity)
	if err := next.restore(snap); err != nil {
		t.Fatal(err)
	}
	return next
}

func wantClassified(t *rapid.T, s *states, m plainStates, numbers Runs) {
	got, want := s.classify(numbers), m.classify(numbers)
	for state := range want {
		if !slices.Equal([]Run(got[state]), want[state]) {
			t.Fatalf("classify(%v): %v in %s, want %v", numbers, got[state], gs1.Disposition(state), want[state])
		}
	}
	for _, r := range numbers {
		untouched := true
		for no := r.From; no <= r.To; no++ {
			untouched = untouched && m[no].state == FirstState && !m[no].extra
		}
		if got := s.allUntouched(r, FirstState); got != untouched {
			t.Fatalf("allUntouched(%v) = %v, want %v", r, got, untouched)
		}
	}
}

func wantSame(t *rapid.T, s *states, m plainStates) {
	var counts Counts
	for no := int64(1); no <= s.quantity; no++ {
		want := m[no]
		counts[want.state]++
		got := s.lookup(no)
		if got.state != want.state || got.own != want.own || got.extra != want.extra || !want.own && got.seq != want.seq {
			t.Fatalf("number %d: %+v, want %+v", no, got, want)
		}
	}
	if got := s.counts(); got != counts {
		t.Fatalf("counts %v, want %v", got, counts)
	}
	segs := *s.segments.Load()
	for i, seg := range segs {
		if i == 0 && seg.From != 1 || seg.From > s.quantity || i > 0 && (seg.From <= segs[i-1].From ||
			seg.State == segs[i-1].State && seg.Seq == segs[i-1].Seq) {
			t.Fatalf("segments %v: number %d is out of place or says nothing new", segs, i)
		}
	}
}

// TestLongRunPassesOverSingles pins what keeps a recall of a whole batch one
// segment: singles between two long runs are bridged, and only when all of the
// gap is singles.
func TestLongRunPassesOverSingles(t *testing.T) {
	t.Parallel()
	const quantity = 654_000 // ten pages, almost
	s := newStates(quantity)
	for no := int64(5000); no < quantity; no += 5000 {
		s.set(Runs{{no, no}}, gs1.RetailSold, no)
	}
	market := s.classify(Runs{{1, s.quantity}})[FirstState]
	s.set(market, gs1.Recalled, 99)
	if segs := *s.segments.Load(); len(segs) != 1 {
		t.Errorf("%d segments, want 1", len(segs))
	}
	if c := s.counts(); c[gs1.RetailSold] != 130 || c[gs1.Recalled] != quantity-130 {
		t.Errorf("counts %v", c)
	}
	s.set(Runs{{1, 2000}, {2011, 4000}}, gs1.Void, 100) // 2001..2010 are no singles
	if segs := *s.segments.Load(); len(segs) != 4 {
		t.Errorf("segments %v, want 4", segs)
	}
	if got := s.lookup(2005).state; got != gs1.Recalled {
		t.Errorf("number 2005 is %s", got)
	}
}

// TestLookupNeverTears reads numbers while others change: a reader must see a
// state that the number had, never that of a segment which only passes over it.
func TestLookupNeverTears(t *testing.T) {
	t.Parallel()
	const gap, rounds = 1030, 50_000
	s := newStates(3 * pageSize)
	whole := Runs{{1, 3 * pageSize}}
	s.set(whole, gs1.Recalled, 1)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if at := s.lookup(gap); at.state != gs1.Active && at.state != gs1.Recalled {
					t.Errorf("number %d was seen as %s, which it never was", gap, at.state)
					return
				}
			}
		})
	}
	for i := range int64(rounds) {
		s.set(Runs{{1025, 1035}}, gs1.Active, 3*i)
		s.set(Runs{{1, 1024}, {1036, 9000}}, gs1.Void, 3*i+1) // passes over 1025..1035
		s.set(whole, gs1.Recalled, 3*i+2)
	}
	close(stop)
	readers.Wait()
}

// TestPagesDoNotComeBack pins what lookup relies on: a reader who finds the page that he
// found before knows that nothing was changed in between.
func TestPagesDoNotComeBack(t *testing.T) {
	t.Parallel()
	s := newStates(3 * pageSize)
	seen := map[*page]bool{s.page(0): true}
	for i := range int64(10) {
		for _, change := range []func(){
			func() { s.set(Runs{{1025, 1035}}, gs1.Active, 3*i) },
			func() { s.set(Runs{{1, 3 * pageSize}}, gs1.Recalled, 3*i+1) },
		} {
			change()
			if seen[s.page(0)] {
				t.Fatalf("round %d: the page is one that was there before", i)
			}
			seen[s.page(0)] = true
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	s := newStates(3 * pageSize)
	s.set(Runs{{5, 9}, {100, 5000}}, gs1.Active, 1)
	s.markExtra(7)
	no := int64(0)
	if n := testing.AllocsPerRun(1000, func() { no = no%6000 + 1; s.lookup(no) }); n != 0 {
		t.Errorf("%v allocations a look-up, want none", n)
	}
}

// TestSizeFollowsChanges pins that states cost what changed, not what exists.
func TestSizeFollowsChanges(t *testing.T) {
	t.Parallel()
	s := newStates(BatchMax)
	for i := range int64(100) {
		s.set(Runs{{i*1_000_000 + 1, (i + 1) * 1_000_000}}, gs1.Active, i+1)
	}
	if s.pages.Load() != nil {
		t.Error("long runs alone made pages")
	}
	s.set(Runs{{1, BatchMax}}, gs1.Recalled, 1000)
	if segs := *s.segments.Load(); len(segs) != 1 {
		t.Errorf("a recall of everything left %d segments", len(segs))
	}
	if c := s.counts(); c[gs1.Recalled] != BatchMax {
		t.Errorf("counts %v", c)
	}
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	s := newStates(3 * pageSize)
	s.set(Runs{{5, 9}, {100, 5000}, {pageSize + 5, pageSize + 5}}, gs1.Active, 1)
	s.markExtra(7)
	page := s.page(0).encode()
	for cut := 1; cut < len(page); cut++ {
		if p, err := decodePage(page[:cut]); err == nil && bytes.Equal(p.encode(), page) {
			t.Errorf("a page cut to %d of %d bytes was read as whole", cut, len(page))
		}
	}
	for name, raw := range map[string][]byte{"state": append([]byte{99}, page[1:]...), "length": {1, 200, 1}, "bitmap": {1, 3, 1, 2, 3}} {
		if _, err := decodePage(raw); err == nil {
			t.Errorf("a page with a bad %s was read", name)
		}
	}
	for _, i := range []int64{-1, 4} {
		if err := newStates(3 * pageSize).restore(Snapshot{Pages: map[int64][]byte{i: page}}); err == nil {
			t.Errorf("page %d of a batch with pages 0..3 was restored", i)
		}
	}
}

func FuzzDecodeSegments(f *testing.F) {
	f.Add(EncodeSegments([]Segment{{1, gs1.Encoded, 0}, {70_000, gs1.Void, 1 << 40}}))
	f.Add([]byte{1, 1})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		segs, err := DecodeSegments(raw)
		if err != nil {
			return
		}
		again, err := DecodeSegments(EncodeSegments(segs))
		if diff := cmp.Diff(segs, again); diff != "" || err != nil {
			t.Error(fmt.Sprint(err), diff)
		}
	})
}
