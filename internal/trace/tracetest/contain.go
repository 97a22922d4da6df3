package tracetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/trace"
)

// Contain holds containment over a store to its rules, for random packings in random order
// of arrival: the end state is that of a small model, whatever the order.
func Contain(t *testing.T, fresh func(t *testing.T) World) {
	s := Service(fresh(t).Open())
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++ // each run has a brand of its own, so that they need no store of their own
		brand := ids.BrandID(1 + n%9)
		base := 1000 * (n / 9)
		containOnce(t, rt, s, brand, base)
	})
}

// op is one packing of the model.
type op struct {
	at       int // seconds
	add      bool
	parent   string
	children []int // items, by number
	cases    []string
	void     bool // declared an error, before or after
}

func caseEPC(base, i int) string { return fmt.Sprintf("urn:epc:id:sscc:4012345.%010d", base*10+i) }

func drawOp(rt *rapid.T, brand ids.BrandID, base int) op {
	const items, cases = 12, 4
	o := op{
		at:  rapid.IntRange(0, 20).Draw(rt, "at"),
		add: rapid.IntRange(0, 2).Draw(rt, "add") > 0, void: rapid.IntRange(0, 9).Draw(rt, "void") == 0,
	}
	parent := rapid.IntRange(0, cases).Draw(rt, "parent")
	o.parent = caseEPC(base, parent)
	if parent == cases { // an item that is a box
		o.parent = EPC(brand, base+items)
	}
	from := rapid.IntRange(0, items-1).Draw(rt, "from")
	for i := from; i <= min(items-1, from+rapid.IntRange(0, 5).Draw(rt, "length")); i++ {
		o.children = append(o.children, i)
	}
	if rapid.Bool().Draw(rt, "cases too") {
		o.cases = append(o.cases, caseEPC(base, rapid.IntRange(0, cases-1).Draw(rt, "case")))
	}
	if !o.add && rapid.IntRange(0, 3).Draw(rt, "all") == 0 {
		o.children, o.cases = nil, nil
	}
	return o
}

func (o *op) events(brand ids.BrandID, base int) (plain, declared map[string]any) {
	children := []string{}
	for i, n := range o.children {
		epc := EPC(brand, base+n)
		if i%2 == 1 {
			epc = URN(brand, base+n)
		}
		children = append(children, epc)
	}
	with := map[string]any{
		"type": "AggregationEvent", "epcList": nil, "parentID": o.parent, "childEPCs": append(children, o.cases...), "bizStep": nil,
		"eventTime": Start().Add(time.Duration(o.at-100) * time.Second).Format(time.RFC3339), "action": "DELETE",
	}
	if o.add {
		with["action"] = "ADD"
	}
	plain = Event(with)
	with["errorDeclaration"] = map[string]any{"declarationTime": "2026-02-28T00:00:00Z"}
	return plain, Event(with)
}

func containOnce(t *testing.T, rt *rapid.T, s *trace.Service, brand ids.BrandID, base int) {
	type one struct {
		op
		hash trace.Hash
	}
	var ops []one
	var documents []string
	void := map[trace.Hash]bool{}
	for range rapid.IntRange(1, 12).Draw(rt, "packings") {
		o := drawOp(rt, brand, base)
		plain, declared := o.events(brand, base)
		d, err := s.ReadJSON(Document(plain))
		if err != nil || len(d.Events[0].Problems) > 0 {
			rt.Fatal(err, d.Events[0].Problems)
		}
		h := s.Hash(d.Events[0].Event)
		ops = append(ops, one{o, h})
		documents = append(documents, Document(plain))
		if o.void {
			void[h] = true
			documents = append(documents, Document(declared))
		}
	}
	for _, i := range rapid.Permutation(slices.Collect(rangeOf(len(documents)))).Draw(rt, "arrival") {
		if _, err := s.Capture(t.Context(), trace.CaptureSpec{Brand: brand}, documents[i]); err != nil {
			rt.Fatal(err)
		}
	}
	slices.SortFunc(ops, func(a, b one) int {
		if a.at != b.at {
			return a.at - b.at
		}
		return slices.Compare(a.hash[:], b.hash[:])
	})
	asOf := rapid.IntRange(0, 21).Draw(rt, "as of")
	at := Start().Add(time.Duration(asOf-100) * time.Second)
	parents := map[string]string{} // child → parent, both canonical
	for _, o := range ops {
		if o.at > asOf || void[o.hash] {
			continue
		}
		var named []string
		for _, n := range o.children {
			named = append(named, trace.Canonical(EPC(brand, base+n)))
		}
		for _, c := range o.cases {
			named = append(named, trace.Canonical(c))
		}
		parent := trace.Canonical(o.parent)
		if !o.add && named == nil {
			for child, p := range parents {
				if p == parent {
					delete(parents, child)
				}
			}
		}
		for _, child := range named {
			if o.add {
				parents[child] = parent
			} else if parents[child] == parent {
				delete(parents, child)
			}
		}
	}
	compare(t, rt, s, brand, base, at, parents)
	if asOf >= 20 { // after all of them
		stays(t, rt, s, brand, base, parents)
	}
	var told []telling
	for _, o := range ops {
		var named []string
		for _, n := range o.children {
			named = append(named, trace.Canonical(EPC(brand, base+n)))
		}
		for _, c := range o.cases {
			named = append(named, trace.Canonical(c))
		}
		told = append(told, telling{o.hash, o.at, trace.Canonical(o.parent), named, o.add && !void[o.hash]})
	}
	bearings(t, rt, s, brand, told)
	lives(t, rt, s, brand, base)
}

// telling is a packing of the model, as those after it are told of.
type telling struct {
	hash     trace.Hash
	at       int
	parent   string
	children []string
	fills    bool
}

// bearings asks what packings make other events say: those that name the parent, or what that was
// ever packed in, and are not before them. It is the same for one event and for many at once.
func bearings(t *testing.T, rt *rapid.T, s *trace.Service, brand ids.BrandID, all []telling) {
	ask := func(hashes ...trace.Hash) map[trace.Hash][]trace.Bearing {
		out := map[trace.Hash][]trace.Bearing{}
		err := s.Bearings(t.Context(), brand, hashes, func(h trace.Hash, b []trace.Bearing, err error) error {
			out[h] = b
			return err
		})
		if err != nil {
			rt.Fatal(err)
		}
		return out
	}
	var hashes []trace.Hash
	for i := range all {
		hashes = append(hashes, all[i].hash)
	}
	together := ask(hashes...)
	for i := range all {
		above := map[string]bool{all[i].parent: true}
		for range all { // so deep at most
			for j := range all {
				if all[j].fills && slices.ContainsFunc(all[j].children, func(c string) bool { return above[c] }) {
					above[all[j].parent] = true
				}
			}
		}
		var want, got []string
		for j := range all {
			one := &all[j]
			if one.hash == all[i].hash || one.at >= all[i].at && (above[one.parent] || slices.ContainsFunc(one.children, func(c string) bool { return above[c] })) {
				want = append(want, one.hash.String())
			}
		}
		alone := ask(all[i].hash)[all[i].hash]
		for j := range alone {
			got = append(got, alone[j].Event.String())
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
			rt.Fatalf("told after %s (-want +got):\n%s", all[i].hash, diff)
		}
		byHash := func(a, b trace.Bearing) int { return slices.Compare(a.Event[:], b.Event[:]) }
		many := together[all[i].hash]
		slices.SortFunc(alone, byHash)
		slices.SortFunc(many, byHash)
		if diff := cmp.Diff(alone, many); diff != "" {
			rt.Fatalf("told of many at once (-alone +together):\n%s", diff)
		}
	}
}

// crowded holds that a container of which there is more than is looked up with others loses none
// of its events.
func crowded(t *testing.T, w World) {
	s := Service(w.Open())
	pallet := caseEPC(1, 1)
	at := func(n int) string { return Start().Add(time.Duration(n-10_000) * time.Second).Format(time.RFC3339) }
	packing := func(n int, child string) map[string]any {
		return Event(map[string]any{"type": "AggregationEvent", "action": "ADD", "epcList": nil, "bizStep": "packing", "parentID": pallet, "childEPCs": []string{child}, "eventTime": at(n)})
	}
	const looks = 1100
	var seen []map[string]any
	for n := range looks {
		seen = append(seen, Event(map[string]any{"epcList": []string{pallet}, "eventTime": at(n)}))
	}
	first := []map[string]any{packing(0, EPC(1, 1)), packing(looks-10, EPC(1, 2))}
	capture(t, s, trace.CaptureSpec{}, Document(append(seen, first...)...))
	d, err := s.ReadJSON(Document(first...))
	if err != nil {
		t.Fatal(err)
	}
	want := map[trace.Hash]int{s.Hash(d.Events[0].Event): looks + 2, s.Hash(d.Events[1].Event): 11}
	got := map[trace.Hash]int{}
	err = s.Bearings(t.Context(), 1, slices.Collect(maps.Keys(want)), func(h trace.Hash, all []trace.Bearing, err error) error {
		got[h] = len(all)
		return err
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// stays asks where all items are at last.
func stays(t *testing.T, rt *rapid.T, s *trace.Service, brand ids.BrandID, base int, parents map[string]string) {
	const items = 12
	found, err := s.Stays(t.Context(), brand, []trace.Run{{From: Serial(brand, base), To: Serial(brand, base+items-1)}})
	if err != nil {
		rt.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	for _, stay := range found {
		for serial := stay.From; serial <= stay.To; serial++ {
			got[trace.Canonical(EPC(brand, int(serial-Serial(brand, 0))))] = stay.Parent
		}
	}
	for n := range items {
		if thing := trace.Canonical(EPC(brand, base+n)); parents[thing] != "" {
			want[thing] = parents[thing]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("items stay in (-want +got):\n%s", diff)
	}
}

// lives observes every thing at some time: an observation is in the life of an item exactly
// when the item was the thing, or within it, then.
func lives(t *testing.T, rt *rapid.T, s *trace.Service, brand ids.BrandID, base int) {
	type seen struct {
		thing string
		at    time.Time
	}
	looks := map[string]seen{}
	var events []map[string]any
	for i := range 17 {
		epc := EPC(brand, base+i)
		if i >= 13 {
			epc = caseEPC(base, i-13)
		}
		at := Start().Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "look")-100) * time.Second)
		id := fmt.Sprintf("urn:look:%d:%d:%d", brand, base, i)
		looks[id] = seen{trace.Canonical(epc), at}
		events = append(events, Event(map[string]any{"eventID": id, "epcList": []string{epc}, "eventTime": at.Format(time.RFC3339)}))
	}
	if _, err := s.Capture(t.Context(), trace.CaptureSpec{Brand: brand}, Document(events...)); err != nil {
		rt.Fatal(err)
	}
	for n := range 12 {
		self := trace.Child{Serial: Serial(brand, base+n)}
		lived, err := s.Life(t.Context(), brand, self, Start())
		if err != nil {
			rt.Fatal(err)
		}
		got := map[string]string{}
		for i, l := range lived {
			got[l.ID] = l.Via
			if i > 0 && l.Time.Before(lived[i-1].Time) {
				rt.Fatal("a life is not in the order of time")
			}
		}
		for id, look := range looks {
			steps, err := s.Within(t.Context(), brand, self, look.at)
			if err != nil {
				rt.Fatal(err)
			}
			want := look.thing == trace.Canonical(EPC(brand, base+n)) || slices.ContainsFunc(steps, func(s trace.Step) bool { return s.Parent == look.thing })
			if _, has := got[id]; has != want {
				rt.Fatalf("item %d: an observation of %s at %v is in its life: %v, want %v", n, look.thing, look.at, has, want)
			}
		}
	}
}

func rangeOf(n int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// compare asks where everything is, and what is in everything.
func compare(t *testing.T, rt *rapid.T, s *trace.Service, brand ids.BrandID, base int, at time.Time, parents map[string]string) {
	var things []string
	for n := range 13 {
		things = append(things, trace.Canonical(EPC(brand, base+n)))
	}
	for i := range 4 {
		things = append(things, trace.Canonical(caseEPC(base, i)))
	}
	for _, thing := range things {
		child, err := s.Child(t.Context(), thing)
		if err != nil {
			rt.Fatal(err)
		}
		steps, err := s.Within(t.Context(), brand, child, at)
		if err != nil {
			rt.Fatal(err)
		}
		var got, want []string
		for _, step := range steps {
			got = append(got, step.Parent)
		}
		seen := map[string]bool{thing: true}
		for p := parents[thing]; p != ""; p = parents[p] {
			want = append(want, p)
			if seen[p] {
				break // a loop ends the way
			}
			seen[p] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s is within (-want +got):\n%s", thing, diff)
		}
		inside, err := s.Contents(t.Context(), brand, thing, at, false)
		if err != nil {
			rt.Fatal(err)
		}
		got, want = inside.EPCs, nil
		for _, r := range inside.Runs {
			for serial := r.From; serial <= r.To; serial++ {
				got = append(got, trace.Canonical(EPC(brand, int(serial-Serial(brand, 0)))))
			}
		}
		for child, p := range parents {
			if p == thing {
				want = append(want, child)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("in %s are (-want +got):\n%s", thing, diff)
		}
	}
}

// counting counts the rows that were read.
type counting struct {
	Store

	rows *int
}

func (c counting) Scan(ctx context.Context, s trace.Stretch, limit int) ([]trace.Stored, error) {
	found, err := c.Store.Scan(ctx, s, limit)
	*c.rows += len(found)
	return found, err
}

// crates fills and empties one crate over and over: where an item was is told without reading all
// that the crate was ever used for.
func crates(t *testing.T, w World) {
	const crate, often = "urn:epc:id:grai:4012345.55555.987", 200
	var events []map[string]any
	at := func(n, minute int) string {
		return Start().AddDate(0, 0, -often+n).Add(time.Duration(minute) * time.Minute).Format(time.RFC3339)
	}
	for n := range often {
		packed := Event(map[string]any{"type": "AggregationEvent", "action": "ADD", "epcList": nil, "parentID": crate, "childEPCs": []string{EPC(1, n), EPC(1, 1000+n%3)}, "eventTime": at(n, 0)})
		emptied := Event(map[string]any{"type": "AggregationEvent", "action": "DELETE", "epcList": nil, "parentID": crate, "eventTime": at(n, 30)})
		events = append(events, packed, emptied)
	}
	rows := 0
	s := Service(counting{w.Open(), &rows})
	capture(t, s, trace.CaptureSpec{Brand: 1}, Document(events...))
	for _, n := range []int{0, often / 2, often - 1} {
		for minute, want := range map[int]bool{10: true, 40: false} {
			when, err := time.Parse(time.RFC3339, at(n, minute))
			if err != nil {
				t.Fatal(err)
			}
			rows = 0
			in, err := s.Within(t.Context(), 1, trace.Child{Serial: Serial(1, n)}, when)
			if err != nil || (len(in) == 1) != want {
				t.Errorf("item %d after %d minutes: %v, %v", n, minute, in, err)
			}
			if rows > 50 {
				t.Errorf("item %d: %d events were read", n, rows)
			}
			in, err = s.Within(t.Context(), 1, trace.Child{Serial: Serial(1, 1000+n%3)}, when)
			if err != nil || (len(in) == 1) != want {
				t.Errorf("item %d, which came often, after %d minutes: %v, %v", 1000+n%3, minute, in, err)
			}
		}
	}
}
