package linetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Engine is what keeps containers.
type Engine interface {
	line.Store
	line.Numbers
	line.Upkeep
}

// World is a service over an engine, with its fakes.
type World struct {
	*line.Service

	Engine Engine
	Events *Events
	Items  *Items

	mu   sync.Mutex
	now  time.Time      // guarded by mu
	said map[string]int // guarded by mu
}

// NewWorld makes the world of an empty engine.
func NewWorld(engine Engine) *World {
	w := &World{Engine: engine, Events: NewEvents(), Items: &Items{}, now: Start(), said: map[string]int{}}
	w.Service = line.NewService(line.Deps{
		Store: engine, Numbers: engine, Upkeep: engine, Items: w.Items, Events: w.Events, Clock: clock.Func(w.tick),
		Observe: w.say, Refused: w.say,
	})
	return w
}

// say counts what a service tells.
func (w *World) say(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said[what]++
}

// Said is how often a service has told something.
func (w *World) Said(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said[what]
}

// tick is a clock that goes on by a second each time that it is looked at.
func (w *World) tick() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Second)
	return w.now
}

// wait lets time pass.
func (w *World) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Request is a request of the suite.
func Request(n int) ids.Request {
	return ids.Request{Key: sha256.Sum256(fmt.Append(nil, "key", n)), Body: sha256.Sum256(fmt.Append(nil, "body", n))}
}

// RunStore runs the contract of line.Store and line.Numbers. open gives an empty engine.
func RunStore(t *testing.T, open func(t *testing.T) Engine) {
	for name, run := range map[string]func(t *testing.T, w *World){
		"KeepsEveryField": keeps, "OneRequestIsOneEffect": once, "LifeOfAContainer": life, "RefusesChildren": refuses, "AllOrNothing": allOrNothing,
		"LateRetries": retries, "CutOffCloses": cutOff, "Pallets": pallets, "Lists": lists, "MakesNumbers": numbers, "BrandsAreApart": apart,
		"SeesWhatWasClosedMeanwhile": meanwhile, "ForgetsOldLists": forgets,
	} {
		t.Run(name, func(t *testing.T) { run(t, NewWorld(open(t))) })
	}
}

func (w *World) open(t *testing.T, brand ids.BrandID, sscc string) line.Container {
	t.Helper()
	c, _, err := w.Open(t.Context(), ids.Request{}, line.Opening{Brand: brand, Kind: line.Case, EPC: sscc, Actor: "line 1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// add is Add without what a test does not look at.
func (w *World) add(ctx context.Context, sscc string, children ...string) error {
	_, _, _, err := w.Add(ctx, ids.Request{}, 0, sscc, children) //nolint:dogsled // that is what it is for
	return err
}

func (w *World) put(t *testing.T, sscc string, children ...string) line.Change {
	t.Helper()
	_, done, _, err := w.Add(t.Context(), ids.Request{}, 0, sscc, children)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func (w *World) shut(t *testing.T, sscc string) line.Container {
	t.Helper()
	c, err := w.Close(t.Context(), 0, sscc)
	if err != nil || c.State != line.Closed || c.EventID == "" {
		t.Fatalf("close %s: %+v, %v", sscc, c, err)
	}
	return c
}

// refused asks to add, and wants to be told why not.
func (w *World) refused(t *testing.T, want error, sscc string, children ...string) {
	t.Helper()
	err := w.add(t.Context(), sscc, children...)
	if !errors.Is(err, want) {
		t.Errorf("add %.60v: %v, want %v", children, err, want)
	}
	f, ok := fault.From(err)
	if wanted, _ := fault.From(want); !ok || strings.HasPrefix(wanted.Code, "line.child") && (len(f.Details) == 0 || !slices.Contains(children, f.Details[0].Field)) {
		t.Errorf("add %.60v: %v names no child", children, err)
	}
}

func keeps(t *testing.T, w *World) {
	urn := "urn:epc:id:sscc:4012345.0000000001"
	want := line.Container{
		Brand: 17, SSCC: SSCC(1), EPC: urn, Kind: line.Pallet, State: line.Open, Capacity: 24, Location: "urn:epc:id:sgln:4012345.00001.0", ReadPoint: "https://example.com/包装线/3",
		OpenedBy: "线 №3", OpenedAt: Start().Add(2 * time.Second),
	}
	c, replayed, err := w.Open(t.Context(), ids.Request{}, line.Opening{
		Brand: 17, Kind: line.Pallet, EPC: urn, Capacity: 24, Location: want.Location, ReadPoint: want.ReadPoint, Actor: want.OpenedBy,
	})
	if diff := cmp.Diff(want, c); diff != "" || err != nil || replayed {
		t.Fatalf("opened: %v, %v (-want +got):\n%s", replayed, err, diff)
	}
	for _, name := range []string{SSCC(1), urn, "https://id.gs1.org/00/" + SSCC(1), "https://shop.example/x/00/" + SSCC(1)} {
		got, err := w.Find(t.Context(), 0, name)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	w.put(t, urn, Code(17, 2), "https://id.gs1.org/01/04012345111118/21/"+Code(17, 1))
	children, err := w.Children(t.Context(), &want)
	var all []line.Child
	for n := 1; n <= 2; n++ {
		all = append(all, line.Child{Key: Code(17, n), EPC: "https://id.gs1.org/01/04012345111118/21/" + Code(17, n), Serial: ids.Serial(n)})
	}
	if diff := cmp.Diff(all, children); diff != "" || err != nil {
		t.Errorf("children: %v (-want +got):\n%s", err, diff)
	}
	closed := w.shut(t, SSCC(1))
	want.State, want.Children, want.ClosedAt, want.EventID = line.Closed, 2, closed.ClosedAt, closed.EventID
	if diff := cmp.Diff(want, closed); diff != "" || !closed.ClosedAt.Equal(closed.ClosedAt.Truncate(time.Millisecond)) || closed.ClosedAt.Before(want.OpenedAt) {
		t.Errorf("closed (-want +got):\n%s", diff)
	}
	if children, err := w.Children(t.Context(), &want); err != nil || !cmp.Equal(all, children) {
		t.Errorf("a closed container forgets: %v, %v", children, err)
	}
	for _, bad := range []string{"", SSCC(1)[:17] + "x", "040123450000000019", "urn:epc:id:sgtin:4012345.011111.1", "https://id.gs1.org/01/04012345111118"} {
		if _, err := w.Find(t.Context(), 0, bad); !errors.Is(err, line.ErrBadEPC) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func once(t *testing.T, w *World) {
	ask := line.Opening{Brand: 1, Kind: line.Case, EPC: SSCC(1)}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if c, _, err := w.Open(t.Context(), Request(1), ask); err == nil && c.SSCC != SSCC(1) || err != nil && fault.KindOf(err) != fault.Conflict {
				t.Error(c, err)
			}
		})
	}
	all.Wait()
	for range 6 {
		all.Go(func() {
			_, done, _, err := w.Add(t.Context(), Request(2), 1, SSCC(1), []string{Code(1, 1), Code(1, 2)})
			if err == nil && done != (line.Change{Changed: 2, Children: 2}) || err != nil && fault.KindOf(err) != fault.Conflict {
				t.Error(done, err)
			}
		})
	}
	all.Wait()
	other := Request(2)
	other.Body[0] ^= 1
	if _, _, _, err := w.Add(t.Context(), other, 1, SSCC(1), []string{Code(1, 3)}); fault.KindOf(err) != fault.Mismatch {
		t.Errorf("another body under the same key: %v", err)
	}
	for range 6 {
		all.Go(func() {
			if c, err := w.Close(t.Context(), 1, SSCC(1)); err != nil || c.State != line.Closed {
				t.Error(c, err)
			}
		})
	}
	all.Wait()
	if w.Events.Count() != 1 || w.said["opened"] != 1 || w.said["closed"] != 1 {
		t.Errorf("%d events, observed %v", w.Events.Count(), w.said)
	}
	if c, replayed, err := w.Open(t.Context(), Request(1), ask); err != nil || !replayed || c.State != line.Closed {
		t.Errorf("the first request again: %+v, %v, %v", c, replayed, err)
	}
}

func life(t *testing.T, w *World) {
	ask := line.Opening{Brand: 1, Kind: line.Case, EPC: SSCC(1), Capacity: 3}
	opens := func(want error) {
		t.Helper()
		if _, _, err := w.Open(t.Context(), ids.Request{}, ask); !errors.Is(err, want) {
			t.Errorf("open: %v, want %v", err, want)
		}
	}
	if _, err := w.Close(t.Context(), 0, SSCC(1)); !errors.Is(err, line.ErrUnknown) {
		t.Errorf("close what there is not: %v", err)
	}
	opens(nil)
	opens(line.ErrOpen)
	if _, err := w.Close(t.Context(), 0, SSCC(1)); !errors.Is(err, line.ErrEmpty) {
		t.Errorf("close an empty one: %v", err)
	}
	w.put(t, SSCC(1), Code(1, 1), Code(1, 2))
	if done := w.put(t, SSCC(1), Code(1, 1), Code(1, 2)); done != (line.Change{Changed: 0, Children: 2}) {
		t.Errorf("the same again: %+v", done)
	}
	w.refused(t, line.ErrCapacity, SSCC(1), Code(1, 3), Code(1, 4))
	if _, done, _, err := w.Remove(t.Context(), ids.Request{}, 0, SSCC(1), []string{Code(1, 2), Code(1, 9)}); err != nil || done != (line.Change{Changed: 1, Children: 1}) {
		t.Errorf("take one out: %+v, %v", done, err)
	}
	if c, _, err := w.Discard(t.Context(), ids.Request{}, 0, SSCC(1)); err != nil || c.State != line.Discarded || c.Children != 0 {
		t.Errorf("discard: %+v, %v", c, err)
	}
	if c, _, err := w.Discard(t.Context(), ids.Request{}, 0, SSCC(1)); err != nil || c.State != line.Discarded {
		t.Errorf("discard again: %+v, %v", c, err)
	}
	if _, err := w.Close(t.Context(), 0, SSCC(1)); !errors.Is(err, line.ErrNotOpen) {
		t.Errorf("close a discarded one: %v", err)
	}
	opens(nil)
	if c, err := w.Find(t.Context(), 0, SSCC(1)); err != nil || c.Children != 0 {
		t.Errorf("opened again: %+v, %v", c, err)
	}
	w.put(t, SSCC(1), Code(1, 1), Code(1, 3))
	closed := w.shut(t, SSCC(1))
	if again := w.shut(t, SSCC(1)); !cmp.Equal(again, closed) {
		t.Errorf("closed again: %+v", again)
	}
	opens(line.ErrClosed)
	w.refused(t, line.ErrNotOpen, SSCC(1), Code(1, 4))
	if _, _, _, err := w.Remove(t.Context(), ids.Request{}, 0, SSCC(1), []string{Code(1, 1)}); !errors.Is(err, line.ErrNotOpen) {
		t.Errorf("take out of a closed one: %v", err)
	}
	if _, _, err := w.Discard(t.Context(), ids.Request{}, 0, SSCC(1)); !errors.Is(err, line.ErrNotOpen) {
		t.Errorf("discard a closed one: %v", err)
	}
	if diff := cmp.Diff(map[string]int{"opened": 2, "closed": 1, "discarded": 1}, w.said); diff != "" || w.Events.Count() != 1 {
		t.Errorf("%d events, observed (-want +got):\n%s", w.Events.Count(), diff)
	}
	ask.EPC, ask.Location = SSCC(2), "bad"
	opens(ErrBadPlace)
	w.Events.Put(1, Code(1, 80), "https://id.gs1.org/00/"+SSCC(3))
	ask.EPC, ask.Location = SSCC(3), ""
	opens(line.ErrPacked) // others have packed it
}

func refuses(t *testing.T, w *World) {
	w.open(t, 1, SSCC(1))
	w.open(t, 1, SSCC(2))
	w.open(t, 1, SSCC(3))
	w.put(t, SSCC(2), Code(1, 2))
	w.put(t, SSCC(3), Code(1, 3))
	w.shut(t, SSCC(3))
	w.put(t, SSCC(1), Code(1, 1))
	for d, bad := range map[gs1.Disposition]bool{gs1.Recalled: true, gs1.Void: true, gs1.Encoded: false, gs1.Returned: false} {
		w.Items.Move(Code(1, 10+int(d)), d)
		if bad {
			w.refused(t, line.ErrChildState, SSCC(1), Code(1, 10+int(d)))
		} else {
			w.put(t, SSCC(1), Code(1, 10+int(d)))
		}
	}
	w.refused(t, line.ErrChildInOpen, SSCC(1), Code(1, 2))
	w.refused(t, line.ErrChildPacked, SSCC(1), Code(1, 3))
	w.refused(t, line.ErrChildForeign, SSCC(1), Code(2, 1))
	w.refused(t, line.ErrChildUnknown, SSCC(1), "https://example.com/other/1")
	w.refused(t, line.ErrChildUnknown, SSCC(1), "800000000000000001")
	w.refused(t, line.ErrChildUnknown, SSCC(1), SSCC(9))
	w.refused(t, line.ErrChildRepeated, SSCC(1), Code(1, 4), "https://id.gs1.org/01/04012345111118/21/"+Code(1, 4))
	w.refused(t, line.ErrChildRepeated, SSCC(1), Code(1, 1), Code(1, 1))
	w.refused(t, line.ErrChildItself, SSCC(1), SSCC(1))
	w.refused(t, line.ErrChildOpen, SSCC(1), "urn:epc:id:sscc:4012345.0000000002")
	w.refused(t, line.ErrChildName, SSCC(1), "12")
	w.refused(t, line.ErrChildName, SSCC(1), strings.Repeat("9", 300)[:256]+"x")
	w.Items.Move(Code(1, 1), gs1.Recalled) // it is in there: that is told to the recall, not to the line
	w.put(t, SSCC(1), Code(1, 1))
	w.Events.Unpack(1, "https://id.gs1.org/01/04012345111118/21/"+Code(1, 3))
	w.put(t, SSCC(1), Code(1, 3))
	for _, n := range []int{0, line.ChildrenMax + 1} {
		if _, _, _, err := w.Add(t.Context(), ids.Request{}, 0, SSCC(1), make([]string, n)); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%d children: %v", n, err)
		}
	}
	if events := w.Events.Count(); events != 1 {
		t.Errorf("%d events", events)
	}
}

func allOrNothing(t *testing.T, w *World) {
	w.open(t, 1, SSCC(1))
	w.open(t, 1, SSCC(2))
	w.put(t, SSCC(2), Code(1, 999))
	var many []string
	for n := range line.ChildrenMax {
		many = append(many, Code(1, n))
	}
	err := w.add(t.Context(), SSCC(1), many...)
	if f, ok := fault.From(err); !ok || !errors.Is(err, line.ErrChildInOpen) || len(f.Details) != 1 || f.Details[0].Field != Code(1, 999) {
		t.Fatalf("one of %d is elsewhere: %v", len(many), err)
	}
	if c, err := w.Find(t.Context(), 1, SSCC(1)); err != nil || c.Children != 0 {
		t.Errorf("what was refused is in it: %+v, %v", c, err)
	}
	if _, _, _, err := w.Remove(t.Context(), ids.Request{}, 0, SSCC(2), many); err != nil {
		t.Fatal(err)
	}
	if done := w.put(t, SSCC(1), many...); done != (line.Change{Changed: len(many), Children: len(many)}) {
		t.Errorf("all of them: %+v", done)
	}
	w.shut(t, SSCC(1))
	if children, _ := w.Events.Of(1, SSCC(1)); len(children) != len(many) {
		t.Errorf("the event names %d", len(children))
	}
}

// retries come when the world has gone on.
func retries(t *testing.T, w *World) {
	w.open(t, 1, SSCC(1))
	add := func(r ids.Request, children ...string) (line.Change, bool) {
		t.Helper()
		_, done, replayed, err := w.Add(t.Context(), r, 1, SSCC(1), children)
		if err != nil {
			t.Fatal(err)
		}
		return done, replayed
	}
	add(Request(1), Code(1, 1))
	if _, _, _, err := w.Remove(t.Context(), Request(2), 1, SSCC(1), []string{Code(1, 1)}); err != nil {
		t.Fatal(err)
	}
	if done, replayed := add(Request(1), Code(1, 1)); !replayed || done != (line.Change{Changed: 1, Children: 1}) {
		t.Errorf("the same request again: %+v, %v", done, replayed)
	}
	add(Request(3), Code(1, 2))
	w.shut(t, SSCC(1))
	if done, replayed := add(Request(3), Code(1, 2)); !replayed || done != (line.Change{Changed: 1, Children: 1}) {
		t.Errorf("after the close: %+v, %v", done, replayed)
	}
	if _, done, replayed, err := w.Remove(t.Context(), Request(2), 1, SSCC(1), []string{Code(1, 1)}); err != nil || !replayed || done != (line.Change{Changed: 1}) {
		t.Errorf("a removal after the close: %+v, %v, %v", done, replayed, err)
	}
	// a discard whose answer was lost drops nothing that was opened since
	w.open(t, 1, SSCC(2))
	for range 2 {
		if _, _, err := w.Discard(t.Context(), Request(4), 1, SSCC(2)); err != nil {
			t.Fatal(err)
		}
		if c, err := w.Find(t.Context(), 1, SSCC(2)); err != nil || c.State == line.Discarded {
			w.open(t, 1, SSCC(2))
		}
	}
	if c, err := w.Find(t.Context(), 1, SSCC(2)); err != nil || c.State != line.Open {
		t.Errorf("a late discard dropped what was opened since: %+v, %v", c, err)
	}
}

func cutOff(t *testing.T, w *World) {
	for i, how := range []Failure{Before, After, Before, After} {
		sscc := SSCC(i)
		w.open(t, 1, sscc)
		w.put(t, sscc, Code(1, i))
		w.Events.Fail(how)
		if _, err := w.Close(t.Context(), 0, sscc); !errors.Is(err, errLost) {
			t.Fatalf("the repository fails: %v", err)
		}
		c, err := w.Find(t.Context(), 0, sscc)
		if err != nil || c.State != line.Closing || c.ClosedAt.IsZero() {
			t.Fatalf("cut off: %+v, %v", c, err)
		}
		w.refused(t, line.ErrNotOpen, sscc, Code(1, 50))
		if _, _, err := w.Discard(t.Context(), ids.Request{}, 0, sscc); !errors.Is(err, line.ErrNotOpen) {
			t.Errorf("discard a closing one: %v", err)
		}
		w.open(t, 1, SSCC(100+i))
		w.refused(t, line.ErrChildInOpen, SSCC(100+i), Code(1, i))
		w.refused(t, line.ErrChildOpen, SSCC(100+i), sscc)
		if i < 2 {
			w.shut(t, sscc)
		} else {
			w.tick() // who asked is at it for a while
			w.tick()
			if more, err := w.Finish(t.Context()); err != nil || more {
				t.Fatal(more, err)
			}
		}
		done, err := w.Find(t.Context(), 0, sscc)
		if err != nil || done.State != line.Closed || !done.ClosedAt.Equal(c.ClosedAt) {
			t.Errorf("finished: %+v, %v", done, err)
		}
		if w.Events.Count() != i+1 || len(w.Events.Twice()) > 0 {
			t.Errorf("%d events of %d containers; %v", w.Events.Count(), i+1, w.Events.Twice())
		}
		w.refused(t, line.ErrChildPacked, SSCC(100+i), Code(1, i))
	}
	if w.said["closed"] != 2 || w.said["finished"] != 2 {
		t.Errorf("observed %v", w.said)
	}
	// one that cannot be finished keeps up no other
	for i := 10; i < 12; i++ {
		w.open(t, 1, SSCC(i))
		w.put(t, SSCC(i), Code(1, i))
		w.Events.Fail(Before)
		if _, err := w.Close(t.Context(), 0, SSCC(i)); err == nil {
			t.Fatal("it did not fail")
		}
	}
	for range 3 {
		w.tick()
	}
	w.Events.Fail(Before)
	if _, err := w.Finish(t.Context()); !errors.Is(err, errLost) {
		t.Errorf("%v, want that the first failed", err)
	}
	if c, err := w.Find(t.Context(), 0, SSCC(11)); err != nil || c.State != line.Closed {
		t.Errorf("the second: %+v, %v", c, err)
	}
}
