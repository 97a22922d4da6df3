package trace

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Lived is an event in the life of a thing: its own, or one of a container while it was
// inside. Its lists hold foreign EPCs alone: items of ours are not written out.
type Lived struct {
	*Event

	Hash Hash
	Via  string // the container that it happened to, canonical; "" = the thing itself
}

// livedMax bounds the events of one life: a thing that has more is told by its first.
const livedMax = 1000

// living gathers a life.
type living struct {
	*reading

	seen map[int64]bool
	all  []Lived
}

// Life tells what happened to a thing up to a time, oldest first: its own events, and those
// of whatever it was in, and of what that was in, while it was inside. That other things were
// packed into its container is none of it, nor is what was declared an error.
func (s *Service) Life(ctx context.Context, brand ids.BrandID, c Child, at time.Time) ([]Lived, error) {
	r, err := s.reading(ctx, brand, at)
	if err != nil {
		return nil, err
	}
	l := &living{reading: r, seen: map[int64]bool{}}
	if err := l.follow(ctx, c, "", span{to: at.Add(time.Millisecond)}, 0); err != nil {
		return nil, err
	}
	slices.SortFunc(l.all, func(a, b Lived) int {
		return cmp.Or(a.Time.Compare(b.Time), bytes.Compare(a.Hash[:], b.Hash[:]))
	})
	return l.all, nil
}

// stay is a time within a container.
type stay struct {
	parent string
	during span
}

// stays are a child's, as its packings tell, cut to a time.
func stays(all []*packing, c Child, during span) (out []stay) {
	add := func(in inside, until time.Time) {
		s := span{in.since, until}
		if s.from.Before(during.from) {
			s.from = during.from
		}
		if s.to.IsZero() || !during.to.IsZero() && during.to.Before(s.to) {
			s.to = during.to
		}
		if s.to.IsZero() || s.from.Before(s.to) {
			out = append(out, stay{in.parent, s})
		}
	}
	if in := fold(all, c.in, add); in.parent != "" {
		add(in, time.Time{})
	}
	return out
}

// follow gathers a thing's events within a time, and those of its containers.
func (l *living) follow(ctx context.Context, c Child, via string, during span, depth int) error {
	stored, err := l.naming(ctx, c, during)
	if err != nil {
		return err
	}
	for i := range stored {
		if err := l.live(&stored[i], via, during); err != nil {
			return err
		}
	}
	if depth == containDepthMax || len(l.all) >= livedMax {
		return nil
	}
	packings, err := l.ofChild(ctx, c)
	if err != nil {
		return err
	}
	for _, s := range stays(packings, c, during) {
		parent, err := l.Child(ctx, s.parent)
		if err != nil {
			return err
		}
		if err := l.follow(ctx, parent, s.parent, s.during, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// live takes an event up, unless it is none of this life.
func (l *living) live(e *Stored, via string, during span) error {
	if l.seen[e.No] || e.Declared || e.Withdrawn || l.brand != 0 && e.Brand != l.brand || !within(e.Time, during) || len(l.all) >= livedMax {
		return nil
	}
	l.seen[e.No] = true
	p, err := l.Unpack(e)
	if err != nil {
		return err
	}
	if k, ok := packingOf(p); ok && via != "" && k.parent == via {
		return nil // other things were packed there
	}
	l.all = append(l.all, Lived{p.Event, e.Hash, via})
	return nil
}

// naming reads the events within a time that name a thing.
func (l *living) naming(ctx context.Context, c Child, during span) (out []Stored, _ error) {
	if c.EPC == "" {
		refs, err := l.store.OfItem(ctx, c.Serial)
		if err != nil {
			return nil, err
		}
		var numbers []int64
		for _, r := range refs {
			if within(r.Time, during) && !l.seen[r.No] && len(numbers) < livedMax {
				numbers = append(numbers, r.No)
			}
		}
		return l.store.Events(ctx, numbers)
	}
	for _, brand := range l.brands {
		st := Stretch{Brand: brand, Order: ByTerm, Terms: nameTerms(brand, c.EPC), From: during.from, To: during.to}
		for len(out) < livedMax {
			found, err := l.store.Scan(ctx, st, stretchRows)
			if err != nil {
				return nil, err
			}
			if out = append(out, found...); len(found) < stretchRows {
				break
			}
			last := found[len(found)-1]
			st.After = Ref{last.No, last.Time}
		}
	}
	return out, nil
}

// nameTerms are the terms by which events name a thing that is no item of ours, or a parent.
func nameTerms(brand ids.BrandID, epc string) []int64 {
	return []int64{Term{EPCTerm, epc}.Key(brand), Term{ChildTerm, epc}.Key(brand), Term{ParentTerm, epc}.Key(brand)}
}

// Temperature is what a sensor read: from Least to Most in degrees Celsius, which are one
// when it was one value.
type Temperature struct {
	At          time.Time
	Least, Most float64
}

// Temperatures are what the event's sensors read, in the order of the event. A report
// without a time of its own has its element's, else the event's.
func (e *Event) Temperatures() (out []Temperature) {
	for i := range e.Sensors {
		s := &e.Sensors[i]
		at, ok := parseTime(cmp.Or(s.Meta[metaTime], s.Meta[metaEnd], s.Meta[metaStart]))
		if !ok {
			at = e.Time
		}
		for j := range s.Reports {
			v := &s.Reports[j].Values
			t := Temperature{At: at}
			if own, ok := parseTime(v[reportTime]); ok {
				t.At = own
			}
			least, ok1 := celsius(cmp.Or(v[reportMin], v[reportValue], v[reportMean]), v[reportUnit])
			most, ok2 := celsius(cmp.Or(v[reportMax], v[reportValue], v[reportMean]), v[reportUnit])
			if v[reportType] == "Temperature" && ok1 && ok2 {
				t.Least, t.Most = min(least, most), max(least, most)
				out = append(out, t)
			}
		}
	}
	return out
}

// celsius reads a temperature in a unit of UN/CEFACT recommendation 20.
func celsius(number, unit string) (float64, bool) {
	v, err := strconv.ParseFloat(number, 64)
	switch unit {
	case "CEL":
	case "FAH":
		v = (v - 32) / 1.8
	case "KEL":
		v -= 273.15
	default:
		return 0, false
	}
	return v, err == nil
}
