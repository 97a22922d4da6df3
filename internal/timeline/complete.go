package timeline

import (
	"context"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Gap is why a shipped item's trace is not whole.
type Gap string

// The gaps.
const (
	NotReceived Gap = "not_received" // it was sent and nobody says that it came, before it was sent again or within ArrivalMax
	NotShipped  Gap = "not_shipped"  // it is at another place than before, and nobody says that it was sent
)

// ArrivalMax is how long a transport may take before its end is missed.
const ArrivalMax = 7 * 24 * time.Hour

// sends and arrives are the business steps that begin and end a transport (CBV 2.0,
// section 7.1). What is seen at a place in any other step is there.
func sends(step string) bool { return step == "shipping" || step == "departing" }

func passes(step string) bool {
	return step == "transporting" || step == "loading" || step == "unloading" || step == "sensor_reporting" || step == "entering_exiting"
}

// Gaps are those of a life: each transport ends where somebody has the item, and nothing
// is at another place without one. Events without a place end a transport and begin none.
func Gaps(life []Event, now time.Time) (gaps []Gap) {
	var at string // where it is; "" = not known
	var sent time.Time
	for i := range life {
		e := &life[i]
		place := ""
		if len(e.Places) > 0 {
			place = e.Places[0]
		}
		switch {
		case passes(e.Step) || e.Step == "":
			continue
		case sends(e.Step):
			if !sent.IsZero() && e.Step == "shipping" && place != at { // departing goes on with what was shipped
				gaps = append(gaps, NotReceived)
			}
			sent = e.Time
		case sent.IsZero() && at != "" && place != "" && place != at:
			gaps = append(gaps, NotShipped)
		default:
			sent = time.Time{}
		}
		if place != "" {
			at = place
		}
	}
	if !sent.IsZero() && now.Sub(sent) > ArrivalMax {
		gaps = append(gaps, NotReceived)
	}
	slices.Sort(gaps)
	return slices.Compact(gaps)
}

// Movement is an event as reports count it.
type Movement struct {
	Time   time.Time
	Step   string
	Places []string
	Lots   []LotItems
}

// LotItems is so many items of one lot.
type LotItems struct {
	Lot

	Items int64
	First ids.Serial // one of them
}

// Lot is a batch of a product.
type Lot struct {
	Product ids.ProductID
	BatchNo string
}

// Movements is what reports want of the repository of events.
type Movements interface {
	// Walk tells of a brand's events of a business step, "" = of all, the newest first.
	Walk(ctx context.Context, brand ids.BrandID, step string, from, to time.Time, tell func(m *Movement) (more bool, _ error)) error
	// LifeOf are the events of an item and of what it was in, the oldest first.
	LifeOf(ctx context.Context, brand ids.BrandID, serial ids.Serial) ([]Event, error)
}

// Completeness is the share of shipped items whose trace has no gap. Of each lot of each
// shipment one item is looked at and stands for those that went with it.
type Completeness struct {
	Shipped, Complete, NotReceived, NotShipped int64
	Looked                                     int64 // items
}

func (c *Completeness) add(items int64, gaps []Gap) {
	c.Shipped += items
	c.Looked++
	if len(gaps) == 0 {
		c.Complete += items
	}
	if slices.Contains(gaps, NotReceived) {
		c.NotReceived += items
	}
	if slices.Contains(gaps, NotShipped) {
		c.NotShipped += items
	}
}

// Flow is what one line of a report is about. A place is "" in reports without.
type Flow struct {
	Lot

	Place string
	Step  string
}

// lookedMax is how many items one measure looks at: at a few milliseconds each.
const lookedMax = 2000

// Complete measures shipments of a time, by lot and by the place that sent them; more says
// that there are older ones than were looked at.
func (s *Service) Complete(ctx context.Context, brand ids.BrandID, from, to time.Time) (all map[Flow]*Completeness, more bool, _ error) {
	all = map[Flow]*Completeness{}
	looked, now := 0, s.Clock.Now()
	err := s.Movements.Walk(ctx, brand, "shipping", from, to, func(m *Movement) (bool, error) {
		if looked >= lookedMax {
			more = true
			return false, nil
		}
		for _, l := range m.Lots {
			life, err := s.Movements.LifeOf(ctx, brand, l.First)
			if err != nil {
				return false, err
			}
			f := Flow{Lot: l.Lot}
			if len(m.Places) > 0 {
				f.Place = m.Places[0]
			}
			if all[f] == nil {
				all[f] = &Completeness{}
			}
			all[f].add(l.Items, Gaps(life, now))
			looked++
		}
		return true, nil
	})
	return all, more, err
}

// Moved is what happened to how many items.
type Moved struct{ Events, Items int64 }

// flowMax is how many events one report reads.
const flowMax = 50_000

// Flows counts what happened in a time: events and items by lot, place and step; more says
// that there are older events than were read.
func (s *Service) Flows(ctx context.Context, brand ids.BrandID, from, to time.Time) (all map[Flow]*Moved, more bool, _ error) {
	all = map[Flow]*Moved{}
	read := 0
	err := s.Movements.Walk(ctx, brand, "", from, to, func(m *Movement) (bool, error) {
		if read++; read > flowMax {
			more = true
			return false, nil
		}
		for _, l := range m.Lots {
			f := Flow{Lot: l.Lot, Step: m.Step}
			if len(m.Places) > 0 {
				f.Place = m.Places[0]
			}
			if all[f] == nil {
				all[f] = &Moved{}
			}
			all[f].Events++
			all[f].Items += l.Items
		}
		return true, nil
	})
	return all, more, err
}

// PlaceNames are what a brand calls places, with their kinds.
func (s *Service) PlaceNames(ctx context.Context, brand ids.BrandID, places []string) (func(id string) (name, kind string), error) {
	names, err := s.names(ctx, brand, places)
	return func(id string) (string, string) {
		if id == "" {
			return "", ""
		}
		for _, one := range wider(id) {
			if p, ok := names[one]; ok {
				return p.Name, p.Kind
			}
		}
		return nameOf(nil, []string{id}), ""
	}, err
}
