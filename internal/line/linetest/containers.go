package linetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

func pallets(t *testing.T, w *World) {
	open := func(n int, k line.Kind) {
		t.Helper()
		if _, _, err := w.Open(t.Context(), ids.Request{}, line.Opening{Brand: 1, Kind: k, EPC: SSCC(n)}); err != nil {
			t.Fatal(err)
		}
	}
	open(1, line.Case)
	w.put(t, SSCC(1), Code(1, 1))
	w.shut(t, SSCC(1))
	open(2, line.Pallet)
	w.Events.Put(1, Code(1, 70), "https://id.gs1.org/00/"+SSCC(7)) // a case of others
	w.put(t, SSCC(2), SSCC(1), Code(1, 2), "https://id.gs1.org/00/"+SSCC(7))
	w.shut(t, SSCC(2))
	want := []string{"https://id.gs1.org/00/" + SSCC(1), "https://id.gs1.org/00/" + SSCC(7), "https://id.gs1.org/01/04012345111118/21/" + Code(1, 2)}
	if got, _ := w.Events.Of(1, SSCC(2)); !cmp.Equal(want, got) {
		t.Errorf("the pallet's event names %v, want %v", got, want)
	}
	open(3, line.Pallet)
	w.refused(t, line.ErrChildKind, SSCC(3), SSCC(2))
	w.refused(t, line.ErrChildPacked, SSCC(3), SSCC(1))
}

func lists(t *testing.T, w *World) {
	for n := range 7 {
		w.open(t, 1, SSCC(n))
		w.open(t, 17, SSCC(100+n))
	}
	if _, _, err := w.Discard(t.Context(), ids.Request{}, 1, SSCC(3)); err != nil {
		t.Fatal(err)
	}
	w.put(t, SSCC(5), Code(1, 1))
	w.shut(t, SSCC(5))
	for state, want := range map[line.State][]int{"": {6, 5, 4, 3, 2, 1, 0}, line.Open: {6, 4, 2, 1, 0}, line.Closed: {5}, line.Discarded: {3}, line.Closing: nil} {
		var got, wanted []string
		for _, n := range want {
			wanted = append(wanted, SSCC(n))
		}
		for after := ""; ; after = got[len(got)-1] {
			page, err := w.List(t.Context(), 1, state, after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				got = append(got, c.SSCC)
			}
			if len(page) < 3 {
				break
			}
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", state, diff)
		}
	}
	for _, bad := range []struct {
		brand        ids.BrandID
		state, after string
	}{{1, "shut", ""}, {1, "", SSCC(100)}, {100, "", ""}} {
		if _, err := w.List(t.Context(), bad.brand, line.State(bad.state), bad.after, 3); fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func numbers(t *testing.T, w *World) {
	ask := line.Opening{Brand: 1, Kind: line.Case, Prefix: "4012345"}
	w.open(t, 1, SSCC(2)) // the second number is taken by hand
	var mu sync.Mutex
	var all sync.WaitGroup
	seen := map[string]bool{}
	for i := range 8 {
		all.Go(func() {
			mine := ask
			mine.Brand = ids.BrandID(1 + i%2*16) // numbers are of a company, not of its brands
			c, _, err := w.Open(t.Context(), Request(i), mine)
			if err != nil {
				t.Error(err)
				return
			}
			again, replayed, err := w.Open(t.Context(), Request(i), mine)
			if err != nil || !replayed || !cmp.Equal(c, again) {
				t.Errorf("again: %+v, %v, %v; want %+v", again, replayed, err, c)
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[c.SSCC] || !strings.HasPrefix(c.EPC, "urn:epc:id:sscc:4012345.") {
				t.Errorf("%s %s is no number of its own", c.SSCC, c.EPC)
			}
			seen[c.SSCC] = true
		})
	}
	all.Wait()
	if seen[SSCC(2)] && w.said["opened"] > 9 || !seen[SSCC(1)] {
		t.Errorf("made %v", seen)
	}
	for _, bad := range []line.Opening{{Prefix: "12345"}, {Prefix: "1234567890123"}, {Prefix: "40123x5"}, {}, {Prefix: "4012345", EPC: SSCC(9)}} {
		bad.Brand, bad.Kind = 1, line.Case
		if _, _, err := w.Open(t.Context(), ids.Request{}, bad); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func apart(t *testing.T, w *World) {
	seven := ids.WithScope(t.Context(), ids.OnlyBrands(7))
	w.open(t, 7, SSCC(1))
	w.open(t, 8, SSCC(1))
	if _, err := w.Find(t.Context(), 0, SSCC(1)); fault.KindOf(err) != fault.Invalid {
		t.Errorf("two brands have it: %v", err)
	}
	if c, err := w.Find(t.Context(), 8, SSCC(1)); err != nil || c.Brand != 8 {
		t.Errorf("of brand 8: %+v, %v", c, err)
	}
	if c, err := w.Find(seven, 0, SSCC(1)); err != nil || c.Brand != 7 {
		t.Errorf("for brand 7: %+v, %v", c, err)
	}
	w.open(t, 8, SSCC(2))
	for name, ask := range map[string]func(ctx context.Context) error{
		"find": func(ctx context.Context) error { _, err := w.Find(ctx, 8, SSCC(2)); return err },
		"add": func(ctx context.Context) error {
			_, _, _, err := w.Add(ctx, ids.Request{}, 0, SSCC(2), []string{Code(7, 1)})
			return err
		},
		"remove": func(ctx context.Context) error {
			_, _, _, err := w.Remove(ctx, ids.Request{}, 0, SSCC(2), []string{Code(7, 1)})
			return err
		},
		"close":   func(ctx context.Context) error { _, err := w.Close(ctx, 0, SSCC(2)); return err },
		"discard": func(ctx context.Context) error { _, _, err := w.Discard(ctx, ids.Request{}, 0, SSCC(2)); return err },
	} {
		if err := ask(seven); !errors.Is(err, line.ErrUnknown) {
			t.Errorf("%s what is foreign: %v", name, err)
		}
	}
	if _, _, err := w.Open(seven, ids.Request{}, line.Opening{Brand: 8, Kind: line.Case, EPC: SSCC(3)}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("open for another brand: %v", err)
	}
	if _, err := w.List(seven, 8, "", "", 10); fault.KindOf(err) != fault.NotFound {
		t.Errorf("list of another brand: %v", err)
	}
	err := w.add(seven, SSCC(1), Code(8, 1))
	if !errors.Is(err, line.ErrChildUnknown) { // not: of another brand
		t.Errorf("a foreign item: %v", err)
	}
}

// meanwhile: between the look at the events and the insert another line closes a container
// with the child in it, so that neither sees it; the store does.
func meanwhile(t *testing.T, w *World) {
	w.open(t, 1, SSCC(1))
	w.open(t, 1, SSCC(2))
	key := Code(1, 1)
	_, closed, err := w.Engine.Places(t.Context(), 1, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	w.put(t, SSCC(1), key)
	w.shut(t, SSCC(1))
	child := []line.Child{{Key: key, EPC: "x", Serial: 1}}
	if _, _, err := w.Engine.Add(t.Context(), ids.Request{}, 1, SSCC(2), child, closed); !errors.Is(err, line.ErrRaced) {
		t.Errorf("%v, want that it was raced", err)
	}
	w.open(t, 1, SSCC(3))
	w.put(t, SSCC(3), Code(1, 2))
	child = append(child[:0], line.Child{Key: Code(1, 2), EPC: "x", Serial: 2}, line.Child{Key: Code(1, 3), EPC: "y", Serial: 3})
	if _, _, err := w.Engine.Add(t.Context(), ids.Request{}, 1, SSCC(2), child, 0); !errors.Is(err, line.ErrRaced) {
		t.Errorf("another has it: %v, want that it was raced", err)
	}
	if children, err := w.Children(t.Context(), &line.Container{Brand: 1, SSCC: SSCC(2)}); err != nil || len(children) != 0 {
		t.Errorf("it is in there: %v, %v", children, err)
	}
}

func forgets(t *testing.T, w *World) {
	for n := range 3 {
		brand := ids.BrandID(1 + n*16)
		w.open(t, brand, SSCC(n))
		w.put(t, SSCC(n), Code(brand, 1))
	}
	w.shut(t, SSCC(0))
	w.wait(line.ChildrenKept)
	w.shut(t, SSCC(1))
	for range 2 {
		if more, err := w.Forget(t.Context()); err != nil || more {
			t.Fatal(more, err)
		}
	}
	for n := range 3 {
		c, err := w.Find(t.Context(), 0, SSCC(n))
		if err != nil {
			t.Fatal(err)
		}
		children, err := w.Children(t.Context(), &c)
		if old := n == 0; err != nil || c.Forgotten != old || (len(children) == 0) != old || c.Children != 1 {
			t.Errorf("%d: %+v has %v, %v", n, c, children, err)
		}
	}
	w.open(t, 1, SSCC(9))
	w.refused(t, line.ErrChildPacked, SSCC(9), Code(1, 1)) // the event tells
	for n := 1; n <= 2; n++ {                              // so many at most, of all databases
		w.wait(line.ChildrenKept)
		if did, err := w.Engine.Forget(t.Context(), w.tick(), 1); err != nil || did != 2-n {
			t.Errorf("forgot %d, %v", did, err)
		}
	}
}
