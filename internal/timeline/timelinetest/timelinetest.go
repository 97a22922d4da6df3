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

// Store is all that an engine keeps.
type Store interface {
	timeline.Store
	timeline.Places
}

// World is a store with its outbox.
type World struct {
	Store  Store
	Outbox *outbox.Outbox
}

// Run holds a store to its contract.
func Run(t *testing.T, fresh func(t *testing.T) World) {
	t.Run("places", func(t *testing.T) { t.Parallel(); places(t, fresh(t)) })
	t.Run("changes", func(t *testing.T) { t.Parallel(); changes(t, fresh(t)) })
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

// changes: each place that there is or was stands once among the changes, where its last one
// was, and what is changed later is above the heads of before.
func changes(t *testing.T, w World) {
	ctx, s := t.Context(), w.Store
	heads := func() []int64 {
		t.Helper()
		all, err := s.PlaceHeads(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	read := func(from []int64) (all []timeline.PlaceChange) {
		t.Helper()
		for order, at := range from {
			for {
				page, err := s.PlacesSince(ctx, order, at, 2)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page {
					if c.No <= at || c.No > heads()[order] {
						t.Errorf("change %d behind %d, the head is %v", c.No, at, heads())
					}
					at, c.No = c.No, 0
					all = append(all, c)
				}
				if len(page) < 2 {
					break
				}
			}
		}
		return all
	}
	change := func(brand ids.BrandID, remove string, set ...timeline.Place) {
		t.Helper()
		var gone []string
		if remove != "" {
			gone = []string{remove}
		}
		if err := s.ChangePlaces(ctx, brand, set, gone, 9); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := timeline.Place{ID: "urn:a", Name: "甲", Kind: "store"}, timeline.Place{ID: "urn:b", Name: "B"}, timeline.Place{ID: "urn:c", Name: "C"}
	start := make([]int64, len(heads()))
	if got := read(start); len(got) != 0 {
		t.Errorf("at the beginning: %v", got)
	}
	change(7, "", a, b, c)
	change(9, "", a)
	before := heads()
	change(7, b.ID)
	change(7, "urn:nowhere") // changes nothing
	a.Name = "乙"
	change(7, "", a)
	later := []timeline.PlaceChange{{Brand: 7, Place: timeline.Place{ID: b.ID}, Gone: true}, {Brand: 7, Place: a}}
	if diff := cmp.Diff(later, read(before)); diff != "" {
		t.Errorf("changed later (-want +got):\n%s", diff)
	}
	all := read(start)
	if len(all) != 4 {
		t.Errorf("all changes: %v", all)
	}
	change(7, "", b)
	if got := read(start); len(got) != 4 || got[3].Gone || got[3].Place != b {
		t.Errorf("made again: %v", got)
	}
	over := heads()
	if err := s.ChangePlaces(ctx, 7, []timeline.Place{{ID: "urn:d", Name: "d"}}, nil, 1); !errors.Is(err, timeline.ErrTooManyPlaces) {
		t.Fatal(err)
	}
	if got := read(over); len(got) != 0 {
		t.Errorf("a refused change stands: %v", got)
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
