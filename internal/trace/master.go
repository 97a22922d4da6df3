package trace

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
)

// Master is what master data say of one thing: a place, a class, a party. Of what came twice the
// last counts.
type Master struct {
	Type       string      `json:"t"` // the vocabulary, a URI
	ID         string      `json:"i"` // canonical
	Attributes []Attribute `json:"a,omitempty"`
	Children   []string    `json:"c,omitempty"` // canonical; what lies within it
}

// Attribute is one of a thing. Text is "" of what has parts.
type Attribute struct {
	Name string `json:"n"` // as attributeName has it
	Text string `json:"v,omitempty"`
}

// MastersMax bounds the things that a brand's master data tell of, and those of a document.
const MastersMax = 20_000

// MasterData keeps master data, in the shard of their brand.
type MasterData interface {
	// Masters gives what a brand's master data say of the things of a vocabulary.
	Masters(ctx context.Context, brand ids.BrandID, vocabulary string) ([]Master, error)
}

const (
	vtype           = "urn:epcglobal:epcis:vtype:"
	readPoints      = vtype + "ReadPoint"
	locations       = vtype + "BusinessLocation"
	mastersOfBrands = 1000 // that one query looks at
)

// attributeName is the one form of an attribute's name: whole, and without the # that some
// write between namespace and name.
func attributeName(s string) string {
	s = strings.Replace(s, "%23", "#", 1)
	return strings.Replace(standardPrefixes().expand(s), "#", "", 1)
}

// mastersIn says whose a document's master data are.
func mastersIn(d *Document, said ids.BrandID, brands []ids.BrandID) (ids.BrandID, error) {
	for _, b := range brands {
		if said == 0 {
			said = b
		}
	}
	if len(d.Masters) > 0 && said == 0 {
		return 0, errNoBrand
	}
	return said, nil
}

// mastered is a field that master data tell of.
type mastered struct {
	vocabulary string
	kind       TermKind // that finds its events; 0 = none does
	of         func(p *Unpacked) []string
}

func masteredFields() map[string]mastered {
	typed := func(of func(p *Unpacked) []Typed) func(p *Unpacked) []string {
		return func(p *Unpacked) (all []string) {
			for _, t := range of(p) {
				all = append(all, Canonical(t.ID))
			}
			return all
		}
	}
	return map[string]mastered{
		"readPoint":      {readPoints, ReadPointTerm, func(p *Unpacked) []string { return []string{Canonical(p.ReadPoint.ID)} }},
		"bizLocation":    {locations, LocationTerm, func(p *Unpacked) []string { return []string{Canonical(p.Location.ID)} }},
		"bizTransaction": {vtype + "BusinessTransaction", BusinessTerm, typed(func(p *Unpacked) []Typed { return p.Transactions })},
		"source":         {vtype + "SourceDest", 0, typed(func(p *Unpacked) []Typed { return p.Sources })},
		"destination":    {vtype + "SourceDest", 0, typed(func(p *Unpacked) []Typed { return p.Destinations })},
		"epcClass": {vtype + "EPCClass", ClassTerm, func(p *Unpacked) (all []string) {
			for _, q := range slices.Concat(p.Quantities, p.OutputQuantities) {
				all = append(all, Canonical(q.Class))
			}
			return all
		}},
	}
}

// attributed reads EQATTR_fieldname_attribute and HASATTR_fieldname.
func (b *queryReader) attributed() bool {
	if name, ok := strings.CutPrefix(b.name, "HASATTR_"); ok {
		field, ok := masteredFields()[name]
		wanted := make([]string, len(b.values))
		for i, v := range b.values {
			wanted[i] = attributeName(v)
		}
		if ok {
			b.master(field, func(a *Attribute) bool { return slices.Contains(wanted, a.Name) })
		}
		return ok
	}
	name, ok := strings.CutPrefix(b.name, "EQATTR_")
	if !ok {
		return false
	}
	name, attribute, _ := strings.Cut(name, "_")
	field, ok := masteredFields()[name]
	if !ok || attribute == "" {
		return false
	}
	attribute = attributeName(attribute)
	b.master(field, func(a *Attribute) bool {
		return a.Name == attribute && a.Text != "" && slices.Contains(b.values, a.Text)
	})
	return true
}

// master takes the events of which a brand's own master data have such an attribute.
func (b *queryReader) master(field mastered, has func(a *Attribute) bool) {
	of := map[ids.BrandID]map[string]bool{}
	all := map[string]bool{}
	b.masters(field.vocabulary, func(brand ids.BrandID, m *Master) {
		if !slices.ContainsFunc(m.Attributes, func(a Attribute) bool { return has(&a) }) {
			return
		}
		if of[brand] == nil {
			of[brand] = map[string]bool{}
		}
		of[brand][m.ID], all[m.ID] = true, true
	})
	if field.kind != 0 && len(all) <= valuesMax {
		b.drive(field.kind, slices.Collect(maps.Keys(all)))
	}
	b.test(func(p *Unpacked) bool {
		return slices.ContainsFunc(field.of(p), func(id string) bool { return of[p.Stored.Brand][id] })
	})
}

// masters tells of all that the query's brands say of a vocabulary's things.
func (b *queryReader) masters(vocabulary string, tell func(brand ids.BrandID, m *Master)) {
	brands, err := b.brandsOf(b.ctx, b.q.Brand)
	if err != nil {
		b.err = err
		return
	}
	if len(brands) > mastersOfBrands {
		b.failf("needs X-Brand-ID: master data of more than %d brands would be looked through", mastersOfBrands)
		return
	}
	for _, brand := range brands {
		all, err := b.known.Masters(b.ctx, brand, vocabulary)
		if err != nil {
			b.err = err
			return
		}
		for i := range all {
			tell(brand, &all[i])
		}
	}
}

// descendants are what lies within places, by each brand's master data, and the places.
func (b *queryReader) descendants(of []string) map[ids.BrandID]map[string]bool {
	children := map[ids.BrandID]map[string][]string{}
	for _, vocabulary := range []string{readPoints, locations} {
		b.masters(vocabulary, func(brand ids.BrandID, m *Master) {
			if len(m.Children) == 0 {
				return
			}
			if children[brand] == nil {
				children[brand] = map[string][]string{}
			}
			children[brand][m.ID] = append(children[brand][m.ID], m.Children...)
		})
	}
	within := map[ids.BrandID]map[string]bool{}
	for brand, below := range children {
		seen := map[string]bool{}
		for next := slices.Clone(of); len(next) > 0; next = next[1:] {
			if !seen[next[0]] {
				seen[next[0]] = true
				next = append(next, below[next[0]]...)
			}
		}
		within[brand] = seen
	}
	return within
}

// vocabulary judges and reads master data.
func (r *reader) vocabulary(n ref) (all []Master) {
	r.is(n, list)
	for v := range r.elements(n) {
		if !r.is(v, object) {
			continue
		}
		r.required(v, "type")
		kind := ""
		if t := r.get(v, "type"); t != 0 {
			kind = r.uri(t)
		}
		if l := r.get(v, "vocabularyElementList"); l != 0 {
			r.is(l, list)
			for e := range r.elements(l) {
				if r.is(e, object) {
					all = append(all, r.master(kind, e))
				}
			}
		}
	}
	if len(all) > MastersMax {
		r.failOursf(n, "tells of more than %d things", MastersMax)
	}
	return all
}

func (r *reader) master(kind string, e ref) Master {
	m := Master{Type: kind}
	r.required(e, "id")
	if id := r.get(e, "id"); id != 0 {
		m.ID = Canonical(r.uri(id))
	}
	if c := r.get(e, "children"); c != 0 {
		for _, id := range r.uris(c) {
			m.Children = append(m.Children, Canonical(id))
		}
	}
	if l := r.get(e, "attributes"); l != 0 {
		r.is(l, list)
		for a := range r.elements(l) {
			if r.is(a, object) {
				m.Attributes = append(m.Attributes, r.attribute(a))
			}
		}
	}
	return m
}

func (r *reader) attribute(n ref) (a Attribute) {
	r.required(n, "id")
	if id := r.get(n, "id"); id != 0 {
		a.Name = attributeName(r.prefixes.expand(r.uri(id)))
	}
	if v := r.get(n, "attribute"); v != 0 {
		switch k := r.kind(v); {
		case k != number && k != text && k != object:
			r.failf(v, "must be a number, a text or an object, not %s", k)
		case len(r.tree.text(v)) > textBytesMax:
			r.failOursf(v, "is longer than %d bytes", textBytesMax)
		default:
			a.Text = r.tree.text(v)
		}
	}
	return a
}
