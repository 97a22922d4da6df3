package timeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

// sources are all that a story is gathered from.
type sources struct {
	changes []Change
	events  []Event
	parts   []Step
	places  []Place
	proofs  map[string]string
	wait    chan struct{} // nil = nobody waits
	err     error
	told    [][]Queried
}

func (s *sources) Item(string, ids.Scope) (Item, error) { return Item{}, errors.New("not asked here") }

func (s *sources) Changes(ctx context.Context, _ string) ([]Change, error) {
	if s.wait != nil {
		select {
		case <-s.wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.changes, s.err
}
func (s *sources) Life(context.Context, *Item) ([]Event, error)                { return s.events, s.err }
func (s *sources) Parts(context.Context, *Item) []Step                         { return s.parts }
func (s *sources) Proven(context.Context, []string) (map[string]string, error) { return s.proofs, nil }
func (s *sources) Places(context.Context, ids.BrandID, string, int) ([]Place, error) {
	return s.places, nil
}
func (s *sources) ChangePlaces(_ context.Context, _ ids.BrandID, set []Place, _ []string, _ int) error {
	s.places = append(s.places, set...)
	return nil
}

func (s *sources) Named(_ context.Context, _ ids.BrandID, want []string) (out []Place, _ error) {
	for _, p := range s.places {
		if slices.Contains(want, p.ID) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *sources) TellQueried(_ context.Context, all []Queried) error {
	s.told = append(s.told, all)
	return s.err
}

func service(s *sources, r Rules) *Service {
	return NewService(Config{
		Items: s, Events: s, Sources: s, Proofs: s, Store: s, Rules: func(ids.BrandID) Rules { return r }, Clock: clock.System{},
		Canonical: func(s string) string { return s }, Log: slog.New(slog.DiscardHandler),
	})
}

func item() *Item {
	return &Item{Code: "1", Brand: 7, BatchNo: "B", ProductionDate: "2026-02-27", MadeAt: start()}
}

func full() *sources {
	at := func(h int) time.Time { return start().Add(time.Duration(h) * time.Hour) }
	return &sources{
		changes: []Change{
			{To: gs1.Active, At: at(1), Reason: "packed"}, {To: gs1.InTransit, At: at(5)},
			{To: gs1.Recalled, At: at(8), Place: "p"}, {To: gs1.InTransit, At: at(9), Undoes: gs1.Recalled},
		},
		events: []Event{
			{ID: "ni:1", Time: at(2), Type: "ObjectEvent", Step: "inspecting", Facts: map[string]string{"inspector": "王建国", "quality_grade": "A"}},
			{ID: "ni:2", Time: at(5), Step: "shipping", Disposition: "in_transit", Via: "urn:pallet", Places: []string{"https://id.gs1.org/414/4012345000115/254/7"},
				Facts: map[string]string{"carrier": "SF"}, Temperatures: []Temperature{{at(5), 15, 16}, {at(6), 24.96, 24.96}}},
		},
		parts: []Step{
			{Stage: Production, Time: at(0), Location: "MES", Details: map[string]any{"raw_materials": "rye", "cost": "12", "proof": "https://evil.example"}},
			{Stage: Sales, Status: Loading},
		},
		places: []Place{{ID: "https://id.gs1.org/414/4012345000115", Name: "Depot"}},
		proofs: map[string]string{"ni:2": "/log/verify?x"},
	}
}

func told(t *testing.T, s *Service, all bool) (lines []string) {
	t.Helper()
	story, err := s.Tell(t.Context(), item(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range story.Steps {
		lines = append(lines, fmt.Sprintf("%s %s %q %v", st.Stage, st.Status, st.Location, st.Details))
	}
	return lines
}

func TestTell(t *testing.T) {
	t.Parallel()
	want := []string{
		`production  "" map[batch_no:B production_date:2026-02-27 state:encoded]`,
		`production  "MES" map[cost:12 raw_materials:rye]`,
		`production  "" map[reason:packed state:active]`,
		`production  "" map[event_id:ni:1 inspector:王建国 quality_grade:A step:inspecting]`,
		`logistics  "Depot" map[carrier:SF event_id:ni:2 in:urn:pallet proof:/log/verify?x readings:[{2026-03-01 13:00:00 +0000 UTC 15 16} {2026-03-01 14:00:00 +0000 UTC 24.96 24.96}] state:in_transit step:shipping temperature:15-25°C]`,
		`quality  "p" map[state:recalled]`,
		`quality  "" map[state:in_transit undoes:recalled]`,
		`sales loading "" map[]`,
	}
	if diff := cmp.Diff(want, told(t, service(full(), Rules{}), true)); diff != "" {
		t.Error("(-want +got):", diff)
	}
}

func TestPublicSeesWhatItMay(t *testing.T) {
	t.Parallel()
	has := func(r Rules, wants map[string]bool) {
		t.Helper()
		all := fmt.Sprint(told(t, service(full(), r), false))
		for text, want := range wants {
			if got := strings.Contains(all, text); got != want {
				t.Errorf("rules %+v: %q is shown: %v, want %v\n%s", r, text, got, want, all)
			}
		}
	}
	has(Rules{}, map[string]bool{"王**": true, "建国": false, "cost": false, "pallet": false, "Depot": true, "rye": true, "15-25": true, "evil": false, "/log/verify": true})
	has(Rules{Show: []string{"cost"}, MaskSet: true, Mask: []string{"carrier"}}, map[string]bool{"cost:12": true, "王建国": true, "S**": true})
	has(Rules{NoPlaces: true}, map[string]bool{"Depot": false, "MES": false})
	has(Rules{Hide: []string{"logistics"}}, map[string]bool{"Depot": false, "inspecting": true})
	has(Rules{Hide: []string{"logistics.temperature", "quality_grade"}}, map[string]bool{"15-25": false, "readings": false, "quality_grade": false, "Depot": true})
}

func TestLatePartsAreLoading(t *testing.T) {
	t.Parallel()
	src := full()
	src.wait = make(chan struct{}) // never
	s := service(src, Rules{})
	s.Wait = 200 * time.Millisecond // for those that do not wait
	lines := told(t, s, true)
	if got := lines[len(lines)-2:]; got[0] != `logistics loading "" map[]` || got[1] != `sales loading "" map[]` {
		t.Errorf("%q", lines)
	}
	if lines[0] != `production  "" map[batch_no:B production_date:2026-02-27 state:encoded]` {
		t.Errorf("the batch's part waits: %q", lines[0])
	}
	src = full()
	src.err = errors.New("broken")
	if _, err := service(src, Rules{}).Tell(t.Context(), item(), true); err == nil {
		t.Error("what is broken is told as late")
	}
}

func TestTemperatures(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]Temperature{
		"4°C": {{Least: 4.02, Most: 4.04}}, "2-8°C": {{Least: 2, Most: 3}, {Least: 7, Most: 8}}, "-18 to -15°C": {{Least: -18, Most: -15}}, "0°C": {{Least: -0.01, Most: 0}},
	} {
		if got := temperatureRange(all); got != want {
			t.Errorf("%v: %s, want %s", all, got, want)
		}
	}
	var many []Temperature
	for i := range 1000 {
		v := float64(i % 10)
		if i == 777 {
			v = 99
		}
		many = append(many, Temperature{start().Add(time.Duration(i) * time.Minute), v, v})
	}
	got := readings(many)
	if len(got) > readingsMax || !slices.ContainsFunc(got, func(r Reading) bool { return r.Most == 99 }) {
		t.Errorf("%d readings, or the peak is gone", len(got))
	}
}

func TestQueriesAreCounted(t *testing.T) {
	t.Parallel()
	src := full()
	q := NewQueries(service(src, Rules{}))
	for range 3 {
		q.Asked(8, false)
	}
	q.Asked(7, true)
	q.tell(t.Context())
	q.tell(t.Context()) // nobody asked since
	if len(src.told) != 1 || len(src.told[0]) != 2 || src.told[0][0].Signed != 1 || src.told[0][1].Queries != 3 || src.told[0][1].Signed != 0 {
		t.Errorf("told %+v", src.told)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	s := service(&sources{}, Rules{})
	for id, want := range map[string]string{
		"4012345000115": "https://id.gs1.org/414/4012345000115", "4012345000116": "", "no uri": "", "urn:x:a b": "", "urn:depot": "urn:depot",
		"https://id.gs1.org/414/4012345000116": "",
	} {
		if got, err := s.PlaceID("id", id); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", id, got, err)
		}
	}
	for _, bad := range []Place{{ID: "urn:x"}, {ID: "urn:x", Name: "a\x00"}, {ID: "urn:x", Name: "n", Kind: "moon"}, {ID: "x", Name: "n"}} {
		if err := s.ChangePlaces(t.Context(), 7, []Place{bad}, nil); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if s.ChangePlaces(t.Context(), 7, nil, nil) == nil || s.ChangePlaces(t.Context(), 7, make([]Place, changedPlacesMax+1), nil) == nil {
		t.Error("no place, or too many, are taken")
	}
}

// TestBusinessStepBringsState: an event whose business step alone moved the item tells the
// state; nothing is told twice, and a change by hand at the same moment stays.
func TestBusinessStepBringsState(t *testing.T) {
	t.Parallel()
	at := start().Add(time.Hour)
	s := &sources{
		changes: []Change{
			{To: gs1.InTransit, At: at, Reason: "shipping"},
			{To: gs1.Recalled, At: at, Reason: "by hand"},
		},
		events: []Event{{ID: "ni:1", Time: at, Step: "shipping"}, {ID: "ni:2", Time: at, Step: "inspecting"}},
	}
	story, err := service(s, Rules{}).Tell(t.Context(), item(), true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, step := range story.Steps[1:] {
		got = append(got, fmt.Sprint(step.Details["event_id"], " ", step.Details["step"], " ", step.Details["state"]))
	}
	slices.Sort(got)
	want := []string{"<nil> <nil> recalled", "ni:1 shipping in_transit", "ni:2 inspecting <nil>"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}
