package timeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// life reads "step@place" words, an hour apart.
func life(words string) (all []Event) {
	for i, w := range strings.Fields(words) {
		step, place, _ := strings.Cut(w, "@")
		e := Event{Step: step, Time: start().Add(time.Duration(i) * time.Hour)}
		if place != "" {
			e.Places = []string{place}
		}
		all = append(all, e)
	}
	return all
}

func TestGaps(t *testing.T) {
	t.Parallel()
	soon, late := start().Add(ArrivalMax), start().Add(2*ArrivalMax)
	for words, want := range map[string]struct{ soon, late string }{
		"":                                     {"[]", "[]"},
		"commissioning@a packing@a shipping@a": {"[]", "[not_received]"},
		"shipping@a receiving@b":               {"[]", "[]"},
		"shipping@a departing@a transporting@x arriving@b receiving@b": {"[]", "[]"},
		"shipping@a receiving@b shipping@b retail_selling@c":           {"[]", "[]"},
		"shipping@a shipping@b receiving@c":                            {"[not_received]", "[not_received]"},
		"shipping@a receiving@b stocking@c":                            {"[not_shipped]", "[not_shipped]"},
		"commissioning@a receiving@b shipping@b":                       {"[not_shipped]", "[not_received not_shipped]"},
		"shipping receiving stocking":                                  {"[]", "[]"},
		"shipping@a sensor_reporting@x":                                {"[]", "[not_received]"},
	} {
		if got := fmt.Sprint(Gaps(life(words), soon)); got != want.soon {
			t.Errorf("%s, soon: %s, want %s", words, got, want.soon)
		}
		if got := fmt.Sprint(Gaps(life(words), late)); got != want.late {
			t.Errorf("%s, late: %s, want %s", words, got, want.late)
		}
	}
}

// movements are shipments of lots, with lives by serial.
type movements struct {
	all   []Movement
	lives map[ids.Serial][]Event
	err   error
}

func (m *movements) Walk(_ context.Context, _ ids.BrandID, step string, _, _ time.Time, tell func(*Movement) (bool, error)) error {
	for i := range m.all {
		if step != "" && m.all[i].Step != step {
			continue
		}
		if more, err := tell(&m.all[i]); err != nil || !more {
			return err
		}
	}
	return m.err
}

func (m *movements) LifeOf(_ context.Context, _ ids.BrandID, s ids.Serial) ([]Event, error) {
	return m.lives[s], nil
}

func TestCompleteness(t *testing.T) {
	t.Parallel()
	a, b := Lot{1, "A"}, Lot{1, "B"}
	m := &movements{
		all: []Movement{
			{Step: "shipping", Places: []string{"x"}, Lots: []LotItems{{a, 900, 1}, {b, 50, 2}}},
			{Step: "receiving", Places: []string{"y"}, Lots: []LotItems{{a, 900, 1}}},
			{Step: "shipping", Places: []string{"x"}, Lots: []LotItems{{a, 100, 3}}},
		},
		lives: map[ids.Serial][]Event{1: life("shipping@x receiving@y"), 2: life("shipping@x"), 3: life("shipping@x receiving@y selling@z")},
	}
	s := service(&sources{}, Rules{})
	s.Movements = m
	all, more, err := s.Complete(t.Context(), 7, start(), start())
	if err != nil || more {
		t.Fatal(more, err)
	}
	if got := *all[Flow{Lot: a, Place: "x"}]; got != (Completeness{Shipped: 1000, Complete: 900, NotShipped: 100, Looked: 2}) {
		t.Errorf("lot A: %+v", got)
	}
	if got := *all[Flow{Lot: b, Place: "x"}]; got != (Completeness{Shipped: 50, NotReceived: 50, Looked: 1}) {
		t.Errorf("lot B: %+v", got)
	}
	flows, _, err := s.Flows(t.Context(), 7, start(), start())
	if err != nil || *flows[Flow{Lot: a, Place: "x", Step: "shipping"}] != (Moved{2, 1000}) || len(flows) != 3 {
		t.Errorf("flows %+v, %v", flows, err)
	}
	leads := true
	w := &Watch{Service: s, Brands: func(context.Context) ([]ids.BrandID, error) { return []ids.BrandID{0, 7, 8}, nil },
		Lead: func(context.Context, time.Duration) (bool, error) { return leads, nil }}
	if err := w.measure(t.Context()); err != nil || w.Shipped() != 2100 || w.Complete() != 1800 {
		t.Errorf("measured %v of %v, %v", w.Complete(), w.Shipped(), err)
	}
	m.err = errors.New("away")
	if w.measure(t.Context()) == nil || w.Shipped() != 2100 {
		t.Error("what cannot be measured is told as measured")
	}
	if leads = false; w.measure(t.Context()) != nil || w.Shipped() != 0 {
		t.Error("who does not lead still tells")
	}
}
