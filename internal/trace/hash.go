package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// Hash is the event hash of CBV 2.0: the same for every way to write one event. An error
// declaration has the hash of the event that it speaks of.
type Hash [sha256.Size]byte

const (
	hashScheme  = "ni:///sha-256;"
	hashVersion = "?ver=CBV2.0"
)

// String is the URI that names the event by its hash.
func (h Hash) String() string { return hashScheme + hex.EncodeToString(h[:]) + hashVersion }

// ParseHash reads String's form.
func ParseHash(s string) (h Hash, ok bool) {
	digits, ok := strings.CutPrefix(s, hashScheme)
	if !ok {
		return h, false
	}
	if digits, ok = strings.CutSuffix(digits, hashVersion); !ok || len(digits) != hex.EncodedLen(len(h)) {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(digits))
	return h, err == nil
}

// Hash gives the event's hash.
func (c *Codec) Hash(e *Event) Hash { return c.hash(e, canonicals(e.EPCs), canonicals(e.Outputs)) }

// hash is Hash of an event whose EPCs' canonical forms are known.
func (c *Codec) hash(e *Event, epcs, outputs []string) Hash {
	const kept = 1 << 20
	room, ok := c.texts.Get().(*[]byte)
	if !ok {
		room = new([]byte)
	}
	*room = c.appendPrehash((*room)[:0], e, epcs, outputs)
	h := sha256.Sum256(*room)
	if cap(*room) <= kept {
		c.texts.Put(room)
	}
	return h
}

func canonicals(all []string) []string {
	if len(all) == 0 {
		return nil
	}
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = Canonical(s)
	}
	return out
}

// appendPrehash writes the text that is hashed: names and values without anything between
// them, in the standard's order, lists sorted (CBV 2.0, section 8.9.2). When, as what and
// under which id it was captured is not in it, nor that it was declared an error.
func (c *Codec) appendPrehash(dst []byte, e *Event, inputs, outputs []string) []byte {
	h := &hasher{Codec: c, dst: dst}
	h.value("eventType", e.Type)
	h.value("eventTime", formatTime(e.Time))
	h.value("eventTimeZoneOffset", e.Offset)
	epcs, quantities := lists(e.Type)
	switch e.Type {
	case AggregationEvent, AssociationEvent:
		h.value("parentID", Canonical(e.Parent))
		h.epcs(epcs, inputs)
		h.quantities(quantities, e.Quantities)
	case TransformationEvent:
		h.epcs(epcs, inputs)
		h.quantities(quantities, e.Quantities)
		h.epcs("outputEPCList", outputs)
		h.quantities("outputQuantityList", e.OutputQuantities)
	default:
		h.epcs(epcs, inputs)
		h.value("parentID", Canonical(e.Parent))
		h.quantities(quantities, e.Quantities)
	}
	h.value("action", string(e.Action))
	h.value("transformationID", Canonical(e.Transformation))
	h.value("bizStep", c.words.step.full(e.Step))
	h.value("disposition", c.words.disposition.full(e.Disposition))
	h.persistent(e)
	for _, p := range [...]struct{ name, id string }{{"readPoint", e.ReadPoint.ID}, {"bizLocation", e.Location.ID}} {
		if p.id != "" {
			h.name(p.name)
			h.value("id", Canonical(p.id))
		}
	}
	h.typed("bizTransactionList", "bizTransaction", e.Transactions, c.words.transaction)
	h.typed("sourceList", "source", e.Sources, c.words.party)
	h.typed("destinationList", "destination", e.Destinations, c.words.party)
	h.sorted(len(e.Sensors), func(h *hasher, i int) { h.sensor(&e.Sensors[i]) })
	h.extensions(e)
	return h.dst
}

// hasher appends to the text.
type hasher struct {
	*Codec
	dst []byte
}

func (h *hasher) name(name string) { h.dst = append(h.dst, name...) }

func (h *hasher) value(name, value string) {
	if value = strings.TrimSpace(value); value != "" {
		h.dst = append(append(append(h.dst, name...), '='), value...)
	}
}

// sorted appends texts in their order: of n, that write makes.
func (h *hasher) sorted(n int, write func(*hasher, int)) {
	if n == 1 {
		write(h, 0)
		return
	}
	all := make([]string, n)
	for i := range all {
		one := hasher{Codec: h.Codec}
		write(&one, i)
		all[i] = string(one.dst)
	}
	slices.Sort(all)
	for _, s := range all {
		h.dst = append(h.dst, s...)
	}
}

// epcs appends a list of EPCs, which are canonical.
func (h *hasher) epcs(name string, all []string) {
	if len(all) == 0 {
		return
	}
	h.name(name)
	if head, numbers, ok := numbered(all); ok {
		h.dst = slices.Grow(h.dst, len(all)*(len("epc=")+len(all[0])))
		for _, n := range numbers {
			h.dst = appendCode(append(append(h.dst, "epc="...), head...), n)
		}
		return
	}
	for _, s := range slices.Sorted(slices.Values(all)) {
		h.value("epc", s)
	}
}

func (h *hasher) quantities(name string, all []Quantity) {
	if len(all) == 0 {
		return
	}
	h.name(name)
	h.sorted(len(all), func(h *hasher, i int) {
		h.name("quantityElement")
		h.value("epcClass", Canonical(all[i].Class))
		h.value("quantity", all[i].Number)
		h.value("uom", all[i].Unit)
	})
}

func (h *hasher) persistent(e *Event) {
	if len(e.Set)+len(e.Unset) == 0 {
		return
	}
	h.name("persistentDisposition")
	for _, l := range [...]struct {
		name  string
		words []string
	}{{"set", e.Set}, {"unset", e.Unset}} {
		h.sorted(len(l.words), func(h *hasher, i int) { h.value(l.name, h.words.disposition.full(l.words[i])) })
	}
}

func (h *hasher) typed(name, element string, all []Typed, words *vocabulary) {
	if len(all) == 0 {
		return
	}
	h.name(name)
	h.sorted(len(all), func(h *hasher, i int) {
		h.value("type", words.full(all[i].Type))
		h.value(element, Canonical(all[i].ID))
	})
}

// sensor appends an element. CBV 2.0 has no name for their list.
func (h *hasher) sensor(s *Sensor) {
	h.name("sensorElement")
	if s.Meta != ([metaFields]string{}) {
		h.name("sensorMetadata")
		h.sensed(h.meta[:], s.Meta[:])
	}
	h.sorted(len(s.Reports), func(h *hasher, i int) {
		h.name("sensorReport")
		h.sensed(h.reports[:reportRules], s.Reports[i].Values[:])
	})
}

func (h *hasher) sensed(specs []fieldSpec, values []string) {
	for i, spec := range specs {
		v := values[i]
		switch spec.form {
		case asMeasurement:
			v = h.words.measurement.full(v)
		case asAlert:
			if h.words.alert.has(v) {
				v = "https://ref.gs1.org/voc/" + v // without the name of the list, unlike its address
			}
		case asComponent:
			v = h.words.component.full(v)
		case asURI:
			v = Canonical(v)
		case asTime, asNumber, asText, asBool, asHex:
		}
		h.value(spec.name, v)
	}
}

// extensions appends what is not the standard's: of the master data, then of its fields
// in their order, then the event's own.
func (h *hasher) extensions(e *Event) {
	if len(e.ILMD) > 0 {
		h.name("ilmd")
		h.fields(e.ILMD)
	}
	for _, p := range [...]struct {
		name string
		all  []Field
	}{{"readPoint", e.ReadPoint.Extensions}, {"bizLocation", e.Location.Extensions}} {
		if len(p.all) > 0 {
			h.name(p.name)
			h.fields(p.all)
		}
	}
	h.sorted(len(e.Sensors), func(h *hasher, i int) {
		s := &e.Sensors[i]
		from := len(h.dst)
		h.name("sensorElement")
		if len(s.MetaExtensions) > 0 {
			h.name("sensorMetadata")
			h.fields(s.MetaExtensions)
		}
		h.sorted(len(s.Reports), func(h *hasher, i int) {
			if x := s.Reports[i].Extensions; len(x) > 0 {
				h.name("sensorReport")
				h.fields(x)
			}
		})
		h.fields(s.Extensions)
		if len(h.dst) == from+len("sensorElement") {
			h.dst = h.dst[:from]
		}
	})
	h.fields(e.Extensions)
}

func (h *hasher) fields(all []Field) {
	var texts []string
	for i := range all {
		texts = h.field(texts, "{"+all[i].Space+"}"+all[i].Name, &all[i].Value)
	}
	slices.Sort(texts)
	for _, s := range texts {
		h.dst = append(h.dst, s...)
	}
}

// field appends a text for the field, or for each element of its list.
func (h *hasher) field(texts []string, name string, v *Value) []string {
	switch v.kind {
	case list:
		for i := range v.List {
			texts = h.field(texts, name, &v.List[i])
		}
		return texts
	case object:
		one := hasher{Codec: h.Codec, dst: []byte(name)}
		one.fields(v.Fields)
		return append(texts, string(one.dst))
	case text, number:
		if s := strings.TrimSpace(v.Text); s != "" {
			return append(texts, name+"="+plainNumber(Canonical(s)))
		}
	case boolean:
		return append(texts, name+"="+v.Text)
	case null:
	}
	return append(texts, name)
}
