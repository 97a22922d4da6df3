// Package timelinetest holds the suite that every store of places must pass.
package timelinetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/timeline/timelineevent"
)

// World is a store with its outbox.
type World struct {
	Store  timeline.Store
	Outbox *outbox.Outbox
}

// Run holds a store to its contract.
func Run(t *testing.T, fresh func(t *testing.T) World) {
	t.Run("places", func(t *testing.T) { t.Parallel(); places(t, fresh(t)) })
	t.Run("queried", func(t *testing.T) { t.Parallel(); queried(t, fresh(t)) })
}

func places(t *testing.T, w World) {
	ctx, s := t.Context(), w.Store
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shop := timeline.Place{ID: "https://id.gs1.org/414/4012345000115", Name: "老店 Old shop", Kind: "store"}
	yard := timeline.Place{ID: "https://id.gs1.org/414/4012345000115/254/a", Name: "Yard"}
	depot := timeline.Place{ID: "urn:depot:1", Name: "Depot", Kind: "warehouse"}
	must(s.ChangePlaces(ctx, 7, []timeline.Place{depot, yard, {ID: shop.ID, Name: "wrong"}}, nil, 9))
	must(s.ChangePlaces(ctx, 7, []timeline.Place{shop}, []string{"urn:nowhere"}, 9))
	must(s.ChangePlaces(ctx, 8, []timeline.Place{{ID: shop.ID, Name: "of another brand"}}, nil, 9))
	list := func(brand ids.BrandID, after string, limit int) []timeline.Place {
		t.Helper()
		got, err := s.Places(ctx, brand, after, limit)
		must(err)
		return got
	}
	if diff := cmp.Diff([]timeline.Place{shop, yard, depot}, list(7, "", 9)); diff != "" {
		t.Error("places (-want +got):", diff)
	}
	if diff := cmp.Diff([]timeline.Place{yard}, list(7, shop.ID, 1)); diff != "" {
		t.Error("a page (-want +got):", diff)
	}
	got, err := s.Named(ctx, 7, []string{depot.ID, "urn:nowhere", shop.ID + "X"})
	must(err)
	if diff := cmp.Diff([]timeline.Place{depot}, got); diff != "" {
		t.Error("named (-want +got):", diff)
	}
	must(s.ChangePlaces(ctx, 7, nil, []string{shop.ID, yard.ID}, 9))
	if diff := cmp.Diff([]timeline.Place{depot}, list(7, "", 9)); diff != "" {
		t.Error("after removal (-want +got):", diff)
	}
	if len(list(8, "", 9)) != 1 {
		t.Error("a removal reached another brand")
	}
	many := make([]timeline.Place, 9)
	for i := range many {
		many[i] = timeline.Place{ID: fmt.Sprintf("urn:many:%d", i), Name: "n"}
	}
	if err := s.ChangePlaces(ctx, 7, many, nil, 9); !errors.Is(err, timeline.ErrTooManyPlaces) {
		t.Errorf("too many: %v", err)
	}
	if len(list(7, "", 9)) != 1 {
		t.Error("a refused change left something behind")
	}
}

func queried(t *testing.T, w World) {
	from := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	want := []timeline.Queried{{Brand: 7, From: from, To: from.Add(time.Minute), Queries: 5, Signed: 2}, {Brand: 8, From: from, To: from.Add(time.Minute), Queries: 1}}
	if err := w.Store.TellQueried(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	events, _, err := w.Outbox.Read(t.Context(), outbox.Cursor{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []timeline.Queried
	for _, e := range events {
		var q timelineevent.Queried
		if err := json.Unmarshal(e.Data, &q); err != nil || e.Type != timelineevent.TraceQueried {
			t.Fatal(e.Type, err)
		}
		got = append(got, timeline.Queried{Brand: e.BrandID, From: q.From, To: q.To, Queries: q.Queries, Signed: q.Signed})
	}
	if len(got) == 2 && got[0].Brand > got[1].Brand { // of two shards, in either order
		got[0], got[1] = got[1], got[0]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("told (-want +got):", diff)
	}
}
