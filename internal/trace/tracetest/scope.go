package tracetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/trace"
)

// scopes: what is another brand's is not there, and a caller's events are never another's.
func scopes(t *testing.T, w World) {
	s := Service(w.Open())
	const pallet = "urn:epc:id:sscc:4012345.0000000333"
	packed := func(brand ids.BrandID) map[string]any {
		return Event(map[string]any{"type": "AggregationEvent", "parentID": pallet, "childEPCs": []string{EPC(brand, 1)}, "epcList": nil, "action": "ADD", "bizStep": "packing"})
	}
	capture(t, s, trace.CaptureSpec{}, Document(packed(2), Event(map[string]any{"epcList": []string{pallet}, "bizStep": "loading"})))
	theirs := capture(t, s, trace.CaptureSpec{Brand: 2}, Document(Event(map[string]any{"epcList": []string{EPC(2, 7)}, "eventID": "urn:uuid:theirs"})))

	ctx := ids.WithScope(t.Context(), ids.OnlyBrands(1))
	done, err := s.Capture(ctx, trace.CaptureSpec{}, Document(
		packed(1),
		Event(map[string]any{"epcList": []string{EPC(2, 7)}, "bizStep": "receiving"}), // theirs is an EPC like any other
		Event(map[string]any{"epcList": []string{"urn:epc:id:sscc:4012345.0000000444"}, "bizStep": "storing"}),
	))
	if err != nil || done.Job.Brand != 1 {
		t.Fatalf("job of brand %d, %v", done.Job.Brand, err)
	}
	if own := asked(t, s, 1, nil); len(own) != 3 {
		t.Errorf("brand 1 has %d events, want 3", len(own))
	}
	count := func(ctx context.Context, brand ids.BrandID, params trace.Parameters) int {
		q, err := s.NewQuery(ctx, brand, params)
		if err != nil {
			t.Fatal(err)
		}
		p, err := s.Events(ctx, q, "", "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return p.Len()
	}
	if n := count(ctx, 0, nil); n != 3 {
		t.Errorf("without a brand: %d events, want the own 3", n)
	}
	if n := count(ctx, 0, trace.Parameters{"MATCH_epc": {EPC(2, 7)}}); n != 1 {
		t.Errorf("of another's item: %d events, want the own 1", n)
	}
	q, err := s.NewQuery(ctx, 2, nil)
	if err == nil {
		_, err = s.Events(ctx, q, "", "", 10)
	}
	if !errors.Is(err, trace.ErrUnknownBrand) {
		t.Errorf("another's events: %v", err)
	}
	if _, err := s.Event(ctx, 0, "urn:uuid:theirs"); !errors.Is(err, trace.ErrNoEvent) {
		t.Errorf("another's event: %v", err)
	}
	in, err := s.Contents(ctx, 0, pallet, Start().Add(time.Hour), true)
	if err != nil || len(in.Runs) != 1 || in.Runs[0].From != Serial(1, 1) {
		t.Errorf("in the pallet: %+v, %v", in, err)
	}
	if _, err := s.Job(ctx, theirs.ID); !errors.Is(err, trace.ErrUnknownJob) {
		t.Errorf("another's job: %v", err)
	}
	if list, err := s.Jobs(ctx, 0, time.Time{}, "", 10); err != nil || len(list) != 1 || list[0].ID != done.Job.ID {
		t.Errorf("jobs: %+v, %v", list, err)
	}
	if _, err := s.Capture(ctx, trace.CaptureSpec{Brand: 2}, Document(packed(1))); !errors.Is(err, trace.ErrUnknownBrand) {
		t.Errorf("captured for another: %v", err)
	}
	both := ids.WithScope(t.Context(), ids.OnlyBrands(1, 2))
	if _, err := s.Capture(both, trace.CaptureSpec{}, Document(Event(map[string]any{"epcList": []string{pallet}}))); err == nil {
		t.Error("it was not said whose an event is, and it was captured")
	}
	if known, err := s.Known(ctx, 0, []trace.TermKind{trace.StepTerm}, "loading"); err != nil || known {
		t.Errorf("another's step is known: %v, %v", known, err)
	}
	if _, err := s.AddQuery(t.Context(), 2, "q", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Query(ctx, 1, "q"); !errors.Is(err, trace.ErrNoQuery) {
		t.Errorf("another's query: %v", err)
	}
}
