package tracetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/traceevent"
)

// World is an empty store, with what it tells others. Each call of Open is another
// process's.
type World struct {
	Open   func() Store
	At     func(c *Moving) Store // the same with another clock
	Outbox *outbox.Outbox
}

// Store is all that an engine keeps.
type Store interface {
	trace.Store
	trace.Queries
	trace.Subscriptions
	trace.MasterData
}

// Clock is a clock that stands still.
type Clock struct{ At time.Time }

// Now implements clock.Clock.
func (c Clock) Now() time.Time { return c.At }

var _ clock.Clock = Clock{}

// Start is when the suite's clocks stand.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// Service makes the use cases over a store.
func Service(s Store) *trace.Service {
	return trace.NewService(trace.UsualLimits(), s, s, s, Items{}, Clock{Start()})
}

// Run holds a store to the contract.
func Run(t *testing.T, fresh func(t *testing.T) World) {
	for name, test := range map[string]func(t *testing.T, w World){
		"Duplicates": duplicates, "ErrorDeclarations": errorDeclarations, "Jobs": jobs, "Retries": retries,
		"ItemsAreRuns": itemsAreRuns, "ItemsInPart": itemsInPart, "Stretches": stretches, "Words": words, "AtOnce": atOnce,
		"Queries": queries, "InOrder": inOrder, "Masters": masters, "CompanyPrefixes": companyPrefixes, "NamedQueries": namedQueries, "Pages": pages, "BrandsAreApart": brandsAreApart, "Scopes": scopes, "Told": told,
		"Subscriptions": subscriptions, "Numbered": numbered, "Streams": streams, "Scheduled": scheduled, "NothingIsLost": lost, "Crates": crates, "Crowded": crowded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

// Event is JSON of an event that is valid but for what is put in its place: by name, nil
// takes a field away.
func Event(with map[string]any) map[string]any {
	e := map[string]any{
		"type": "ObjectEvent", "eventTime": "2026-02-01T10:00:00.000Z", "eventTimeZoneOffset": "+08:00", "action": "OBSERVE",
		"bizStep": "shipping", "epcList": []string{EPC(1, 1)},
	}
	for k, v := range with {
		if v == nil {
			delete(e, k)
		} else {
			e[k] = v
		}
	}
	return e
}

// Document puts events into a document.
func Document(events ...map[string]any) string {
	if events == nil {
		events = []map[string]any{}
	}
	raw, err := json.Marshal(map[string]any{
		"@context": []any{trace.StandardContext, map[string]string{"ex": "https://example.com/ns/"}}, "type": "EPCISDocument",
		"schemaVersion": "2.0", "creationDate": "2026-03-01T00:00:00Z", "epcisBody": map[string]any{"eventList": events},
	})
	if err != nil {
		panic(err) // cannot be: it is made of texts
	}
	return string(raw)
}

func capture(t *testing.T, s *trace.Service, spec trace.CaptureSpec, raw string) trace.Job {
	t.Helper()
	done, err := s.Capture(t.Context(), spec, raw)
	if err != nil {
		t.Fatal(err)
	}
	return done.Job
}

// asked answers a query whole.
func asked(t *testing.T, s *trace.Service, brand ids.BrandID, params trace.Parameters) []*trace.Event {
	t.Helper()
	q, err := s.NewQuery(t.Context(), brand, params)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Events(t.Context(), q, "", "", 1000)
	if err != nil || p.Next != "" {
		t.Fatalf("%v, next %q", err, p.Next)
	}
	return whole(t, &p)
}

// whole are a page's events with all their EPCs.
func whole(t *testing.T, p *trace.Page) (all []*trace.Event) {
	t.Helper()
	err := p.Entries(t.Context())(func(e *trace.Entry) error {
		one := *e.Event
		one.EPCs, one.Outputs = slices.Collect(e.Names(0)), slices.Collect(e.Names(1))
		all = append(all, &one)
		return nil
	})
	if err != nil || len(all) != p.Len() {
		t.Fatalf("%d of %d events of a page: %v", len(all), p.Len(), err)
	}
	return all
}

func statuses(j trace.Job) (out []trace.Status) {
	for _, r := range j.Results {
		out = append(out, r.Status)
	}
	return out
}

func duplicates(t *testing.T, w World) {
	s := Service(w.Open())
	a, b := Event(nil), Event(map[string]any{"bizStep": "receiving"})
	if got := statuses(capture(t, s, trace.CaptureSpec{}, Document(a, b, a))); !slices.Equal(got, []trace.Status{trace.Duplicate}) {
		t.Errorf("twice in one document: %v", got)
	}
	// written otherwise it is the same event
	other := Event(map[string]any{"epcList": []string{URN(1, 1)}, "eventTime": "2026-02-01T18:00:00+08:00", "bizStep": "https://ref.gs1.org/cbv/BizStep-shipping"})
	if got := statuses(capture(t, Service(w.Open()), trace.CaptureSpec{}, Document(other, b))); !slices.Equal(got, []trace.Status{trace.Duplicate, trace.Duplicate}) {
		t.Errorf("again, by another process: %v", got)
	}
	if n := len(asked(t, s, 0, nil)); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	// for another brand it is another's
	if got := statuses(capture(t, s, trace.CaptureSpec{Brand: 5}, Document(a))); len(got) != 0 {
		t.Errorf("of another brand: %v", got)
	}
}

// errorDeclarations come before or after what they speak of, with its hash.
func errorDeclarations(t *testing.T, w World) {
	s := Service(w.Open())
	declared := func(step string) map[string]any {
		return Event(map[string]any{"bizStep": step, "errorDeclaration": map[string]any{"declarationTime": "2026-02-02T00:00:00Z", "reason": "incorrect_data"}})
	}
	plain := func(step string) map[string]any { return Event(map[string]any{"bizStep": step}) }
	capture(t, s, trace.CaptureSpec{}, Document(plain("packing"), declared("packing"), declared("loading")))
	capture(t, s, trace.CaptureSpec{}, Document(plain("loading"), plain("storing")))
	if got := statuses(capture(t, s, trace.CaptureSpec{}, Document(declared("packing")))); !slices.Equal(got, []trace.Status{trace.Duplicate}) {
		t.Errorf("a declaration again: %v", got)
	}
	if n := len(asked(t, s, 1, trace.Parameters{"EXISTS_errorDeclaration": {"true"}})); n != 2 {
		t.Errorf("%d declarations, want 2", n)
	}
	store := w.Open()
	for step, want := range map[string]bool{"packing": true, "loading": true, "storing": false} {
		e := asked(t, s, 1, trace.Parameters{"EQ_bizStep": {step}, "EXISTS_errorDeclaration": {"false"}})[0]
		found, err := store.OfHashes(t.Context(), 1, []trace.Hash{s.Hash(e)})
		if err != nil || len(found) == 0 || found[0].Withdrawn != want || found[0].Declared {
			t.Errorf("%s: %d found, %v; withdrawn must be %v", step, len(found), err, want)
		}
	}
}

func jobs(t *testing.T, w World) {
	s := Service(w.Open())
	bad := Event(map[string]any{"action": "EAT"})
	all := capture(t, s, trace.CaptureSpec{}, Document(Event(nil), bad))
	if got := statuses(all); !slices.Equal(got, []trace.Status{trace.NotStored, trace.Rejected}) || all.Success() {
		t.Errorf("rollback: %v", got)
	}
	if n := len(asked(t, s, 0, nil)); n != 0 {
		t.Errorf("of a document that was rolled back %d events are there", n)
	}
	some := capture(t, s, trace.CaptureSpec{Proceed: true}, Document(Event(nil), bad, Event(map[string]any{"eventTime": "2027-01-01T00:00:00Z"})))
	if got := statuses(some); !slices.Equal(got, []trace.Status{trace.Rejected, trace.Accepted}) || some.Results[1].Warnings == nil {
		t.Errorf("proceed: %+v", some.Results)
	}
	if r := some.Results[0]; r.Index != 1 || len(r.Problems) != 1 || r.Problems[0].Path != "$.epcisBody.eventList[1].action" {
		t.Errorf("the rejected event: %+v", r)
	}
	again, err := Service(w.Open()).Job(t.Context(), some.ID)
	if diff := cmp.Diff(some, again); err != nil || diff != "" {
		t.Errorf("%v (-answered +kept):\n%s", err, diff)
	}
	if _, err := s.Job(t.Context(), ids.New("cap")); !errors.Is(err, trace.ErrUnknownJob) {
		t.Errorf("another job: %v", err)
	}
	list, err := s.Jobs(t.Context(), 0, time.Time{}, "", 10)
	if err != nil || len(list) != 2 {
		t.Errorf("%d jobs, %v", len(list), err)
	}
	rest, err := s.Jobs(t.Context(), 0, list[0].CreatedAt, list[0].ID, 10)
	if err != nil || len(rest) != 1 || rest[0].ID != list[1].ID {
		t.Errorf("behind the first: %v, %v", rest, err)
	}
}

// retries of one request are one capture.
func retries(t *testing.T, w World) {
	s := Service(w.Open())
	spec := trace.CaptureSpec{Request: ids.Request{Key: [32]byte{1}, Body: [32]byte{2}}}
	first := capture(t, s, spec, Document(Event(nil)))
	again, err := Service(w.Open()).Capture(t.Context(), spec, Document(Event(nil)))
	if diff := cmp.Diff(first, again.Job); err != nil || !again.Replayed || diff != "" {
		t.Errorf("replayed %v, %v (-first +again):\n%s", again.Replayed, err, diff)
	}
	spec.Request.Body[0]++
	if _, err := s.Capture(t.Context(), spec, Document()); err == nil {
		t.Error("another body under the same key was taken")
	}
}

// itemsAreRuns: however an event lists its items, they are kept as runs and come back
// written as they were.
func itemsAreRuns(t *testing.T, w World) {
	store := w.Open()
	s := Service(store)
	const items = 20_000
	epcs := []string{URN(2, 3), "urn:epc:id:sscc:4012345.0000000111", "https://shop.example.com/x"}
	for i := range items {
		epcs = append(epcs, EPC(2, i*7%items+5)) // in no order: 7 and 20,000 have no common divisor
	}
	capture(t, s, trace.CaptureSpec{}, Document(Event(map[string]any{"epcList": epcs})))
	got := asked(t, s, 2, nil)[0].EPCs
	slices.Sort(epcs)
	slices.Sort(got)
	if diff := cmp.Diff(epcs, got); diff != "" {
		t.Errorf("(-sent +back):\n%.2000s", diff)
	}
	refs, err := store.OfItem(t.Context(), Serial(2, 12345))
	if err != nil || len(refs) != 1 {
		t.Fatalf("%v, %v", refs, err)
	}
	found, err := store.Events(t.Context(), []int64{refs[0].No})
	if err != nil || len(found) != 1 || len(found[0].Body)+len(found[0].Ours) > 2000 {
		t.Errorf("%d events, %v, of %d and %d bytes", len(found), err, len(found[0].Body), len(found[0].Ours))
	}
}

// itemsInPart asks for every item at the edges of runs of every size.
func itemsInPart(t *testing.T, w World) {
	store := w.Open()
	s := Service(store)
	type run struct{ from, to int }
	runs := []run{{1, 1}, {16, 31}, {17, 32}, {15, 16}, {100, 1100}, {255, 256}, {0, 4095}, {4000, 70_000}, {65_535, 65_536}, {300, 300}}
	for i, r := range runs {
		var epcs []string
		for n := r.from; n <= r.to; n++ {
			epcs = append(epcs, EPC(3, n))
		}
		kind := map[string]any{"epcList": epcs, "eventTime": fmt.Sprintf("2026-02-01T10:00:%02d.000Z", i)}
		if i%2 == 1 {
			kind = map[string]any{"type": "AggregationEvent", "action": "ADD", "parentID": "urn:epc:id:sscc:4012345.0000000111", "epcList": nil,
				"childEPCs": epcs, "eventTime": kind["eventTime"]}
		}
		capture(t, s, trace.CaptureSpec{}, Document(Event(kind)))
	}
	for _, n := range []int{0, 1, 2, 15, 16, 17, 31, 32, 33, 99, 100, 255, 256, 257, 300, 1100, 1101, 3999, 4000, 4095, 4096, 65_535, 65_536, 70_000, 70_001} {
		want := 0
		for _, r := range runs {
			if r.from <= n && n <= r.to {
				want++
			}
		}
		refs, err := store.OfItem(t.Context(), Serial(3, n))
		if err != nil || len(refs) != want || !slices.IsSortedFunc(refs, func(a, b trace.Ref) int { return a.Time.Compare(b.Time) }) {
			t.Errorf("item %d: %d events, %v; want %d in order", n, len(refs), err, want)
		}
	}
	for _, ask := range []run{{0, 0}, {16, 20}, {31, 40}, {256, 299}, {2000, 3000}, {3000, 80_000}, {0, 99_999}} {
		want := 0
		for i, r := range runs {
			if i%2 == 1 && r.from <= ask.to && ask.from <= r.to {
				want++
			}
		}
		refs, err := store.Packings(t.Context(), trace.Run{From: Serial(3, ask.from), To: Serial(3, ask.to)})
		if err != nil || len(refs) != want {
			t.Errorf("items %v: %d packings, %v; want %d", ask, len(refs), err, want)
		}
	}
}

// stretches reads every order, both ways, in pages of every size.
func stretches(t *testing.T, w World) {
	store := w.Open()
	s := Service(store)
	var events []map[string]any
	for i := range 30 {
		step := "packing"
		if i%3 == 0 {
			step = "loading"
		}
		at := Start().Add(-time.Duration(i*i%7) * time.Hour) // out of order, and some at one time
		events = append(events, Event(map[string]any{"eventTime": at.Format(time.RFC3339), "bizStep": step, "epcList": []string{EPC(4, i)}}))
	}
	capture(t, s, trace.CaptureSpec{}, Document(events[:20]...))
	capture(t, s, trace.CaptureSpec{}, Document(events[20:]...))
	loading, packing := trace.Term{Kind: trace.StepTerm, Text: "loading"}.Key(4), trace.Term{Kind: trace.StepTerm, Text: "packing"}.Key(4)
	for _, of := range []struct {
		order trace.Order
		terms []int64
		want  int
	}{
		{trace.ByTime, nil, 30}, {trace.ByRecord, nil, 30},
		{trace.ByTerm, []int64{loading}, 10}, {trace.ByTerm, []int64{loading, packing}, 30}, {trace.ByTerm, []int64{loading, 17, loading}, 10},
	} {
		order, want := of.order, of.want
		st := trace.Stretch{Brand: 4, Order: order, Terms: of.terms}
		whole := scan(t, store, st, 1000)
		if len(whole) != want {
			t.Errorf("order %d: %d events, want %d", order, len(whole), want)
		}
		for _, size := range []int{1, 3, 7, 30} {
			if got := scan(t, store, st, size); !slices.Equal(got, whole) {
				t.Errorf("order %d in pages of %d: %v, want %v", order, size, got, whole)
			}
		}
		down := st
		down.Desc = true
		got := scan(t, store, down, 4)
		if slices.Reverse(got); !slices.Equal(got, whole) {
			t.Errorf("order %d backwards: %v, want %v", order, got, whole)
		}
	}
	part := trace.Stretch{Brand: 4, From: Start().Add(-4 * time.Hour), To: Start()}
	n := 0
	for i := range 30 {
		if h := i * i % 7; h >= 1 && h <= 4 {
			n++
		}
	}
	for _, part.Desc = range []bool{false, true} {
		if got := scan(t, store, part, 5); len(got) != n {
			t.Errorf("of some hours: %d events, want %d", len(got), n)
		}
	}
}

func scan(t *testing.T, store trace.Store, st trace.Stretch, size int) (numbers []int64) {
	t.Helper()
	for {
		page, err := store.Scan(t.Context(), st, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			numbers = append(numbers, e.No)
		}
		if len(page) < size {
			return numbers
		}
		last := page[len(page)-1]
		st.After = trace.Ref{No: last.No, Time: last.Time}
		if st.Order == trace.ByRecord {
			st.After.Time = last.RecordTime
		}
	}
}

func words(t *testing.T, w World) {
	store := w.Open()
	s := Service(store)
	var events []map[string]any
	var want []string
	for i := range 25 {
		epc := fmt.Sprintf("urn:epc:id:sscc:4012345.%010d", i)
		want = append(want, trace.Canonical(epc))
		events = append(events, Event(map[string]any{"epcList": []string{epc}, "readPoint": map[string]any{"id": "https://example.com/dock"}}))
	}
	capture(t, s, trace.CaptureSpec{Brand: 6}, Document(events...))
	capture(t, Service(w.Open()), trace.CaptureSpec{Brand: 6}, Document(events[3], Event(map[string]any{"epcList": []string{"urn:epc:id:sscc:4012345.0000000003"}})))
	var got []string
	for cursor := ""; ; {
		page, next, err := s.Words(t.Context(), 0, []trace.TermKind{trace.EPCTerm, trace.ParentTerm}, cursor, 4)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if cursor = next; next == "" {
			break
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for text, want := range map[string]bool{"shipping": true, "packing": false} {
		if ok, err := s.Known(t.Context(), 0, []trace.TermKind{trace.StepTerm}, text); ok != want || err != nil {
			t.Errorf("%s known: %v, %v", text, ok, err)
		}
	}
}

// atOnce sends the same and other events from several processes at the same time.
func atOnce(t *testing.T, w World) {
	services := []*trace.Service{Service(w.Open()), Service(w.Open())}
	var mu sync.Mutex
	var all sync.WaitGroup
	accepted := 0
	for i := range 8 {
		all.Go(func() {
			for n := range 10 {
				brand := ids.BrandID(1 + n%3)
				e := Event(map[string]any{"epcList": []string{EPC(brand, n)}, "bizStep": "packing"})
				done, err := services[i%2].Capture(t.Context(), trace.CaptureSpec{}, Document(e, Event(map[string]any{"epcList": []string{EPC(brand, 1000+10*i+n)}})))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				accepted += 2 - len(done.Job.Results)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if n := len(asked(t, services[0], 0, nil)); n != 90 || accepted != 90 {
		t.Errorf("%d events are there, %d were accepted; want 90", n, accepted)
	}
}

func brandsAreApart(t *testing.T, w World) {
	s := Service(w.Open())
	capture(t, s, trace.CaptureSpec{}, Document(Event(nil), Event(map[string]any{"epcList": []string{EPC(2, 1)}})))
	capture(t, s, trace.CaptureSpec{Brand: 17}, Document(Event(map[string]any{"epcList": []string{EPC(2, 1), EPC(1, 1)}})))
	for _, params := range []trace.Parameters{nil, {"EQ_bizStep": {"shipping"}}, {"orderBy": {"recordTime"}}, {"MATCH_epc": {EPC(2, 1)}}} {
		for brand, want := range map[ids.BrandID]int{2: 1, 17: 1, 3: 0} {
			if n := len(asked(t, s, brand, params)); n != want {
				t.Errorf("%v of brand %d: %d events, want %d", params, brand, n, want)
			}
		}
	}
	if n := len(asked(t, s, 0, trace.Parameters{"MATCH_epc": {URN(2, 1)}})); n != 2 {
		t.Errorf("an item in the events of two brands: %d", n)
	}
}

func told(t *testing.T, w World) {
	s := Service(w.Open())
	capture(t, s, trace.CaptureSpec{}, Document(Event(nil), Event(map[string]any{"bizStep": "packing"}), Event(map[string]any{"epcList": []string{EPC(2, 1)}})))
	capture(t, s, trace.CaptureSpec{}, Document(Event(nil))) // nothing new
	events, _, err := w.Outbox.Read(context.WithoutCancel(t.Context()), outbox.Cursor{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	got := map[ids.BrandID]int{}
	for _, e := range events {
		var c traceevent.Captured
		if err := json.Unmarshal(e.Data, &c); err != nil || e.Type != traceevent.TraceCaptured || len(c.EventIDs) != c.Events {
			t.Errorf("%+v: %v", e, err)
		}
		got[e.BrandID] += c.Events
	}
	if diff := cmp.Diff(map[ids.BrandID]int{1: 2, 2: 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(events) != 2 || strings.Contains(string(events[0].Data), "partial") {
		t.Errorf("%d messages", len(events))
	}
}
