package trace

import (
	"strconv"
	"time"
)

// Form says how identifiers are written. The zero Form leaves them as they were sent.
type Form struct {
	EPC func(uri string) string // what an EPC, a class or a place is written as; nil = as it was
}

// timeForm is how events have times: UTC, to the millisecond.
const timeForm = "2006-01-02T15:04:05.000Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeForm) }

// spaces gives each namespace of a document its prefix.
type spaces struct {
	byPrefix prefixes
	bySpace  map[string]string
}

func newSpaces() *spaces {
	s := &spaces{byPrefix: standardPrefixes(), bySpace: map[string]string{}}
	for _, a := range s.byPrefix {
		s.bySpace[a.space] = a.prefix
	}
	return s
}

// name is what a field is called in the document. When two senders mean different
// namespaces by one prefix, the second is given a number.
func (s *spaces) name(f *Field) string {
	switch {
	case f.Space == "":
		return f.Name
	case f.Prefix == "": // it was an address, or a prefix that nobody declared
		return f.Space + f.Name
	}
	if prefix, known := s.bySpace[f.Space]; known {
		return prefix + ":" + f.Name
	}
	prefix := f.Prefix
	for n := 2; ; n++ {
		if _, taken := s.byPrefix.of(prefix); !taken {
			break
		}
		prefix = f.Prefix + strconv.Itoa(n)
	}
	s.byPrefix, s.bySpace[f.Space] = s.byPrefix.with(prefix, f.Space), prefix
	return prefix + ":" + f.Name
}

// appendContext writes the @context that names what was used.
func (s *spaces) appendContext(dst []byte) []byte {
	dst = append(dst, `["`+StandardContext+`"`...)
	own := s.byPrefix[len(standardPrefixes()):].sorted()
	for i, a := range own {
		if i == 0 {
			dst = append(dst, ",{"...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, a.prefix), ':')
		dst = appendText(dst, a.space)
	}
	if len(own) > 0 {
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// writer writes one object after the other; each member brings its comma.
type writer struct {
	*Codec
	dst    []byte
	spaces *spaces
	form   Form
}

func (w *writer) key(name string) {
	if last := w.dst[len(w.dst)-1]; last != '{' && last != '[' {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(appendText(w.dst, name), ':')
}

func (w *writer) member(name, value string) {
	if value != "" {
		w.key(name)
		w.dst = appendText(w.dst, value)
	}
}

func (w *writer) raw(name, value string) {
	if value != "" {
		w.key(name)
		w.dst = append(w.dst, value...)
	}
}

func (w *writer) comma() {
	if last := w.dst[len(w.dst)-1]; last != '[' {
		w.dst = append(w.dst, ',')
	}
}

// id is an identifier in the form that was asked for.
func (w *writer) id(uri string) string {
	if w.form.EPC == nil || uri == "" {
		return uri
	}
	return w.form.EPC(uri)
}

func (w *writer) texts(name string, all []string, as func(string) string) {
	w.key(name)
	w.dst = append(w.dst, '[')
	for _, s := range all {
		w.comma()
		w.dst = appendText(w.dst, as(s))
	}
	w.dst = append(w.dst, ']')
}

func same(s string) string { return s }

// object writes {…} around what fn writes.
func (w *writer) object(name string, fn func()) {
	if name == "" {
		w.comma()
	} else {
		w.key(name)
	}
	w.dst = append(w.dst, '{')
	fn()
	w.dst = append(w.dst, '}')
}

// AppendEvent writes an event that stands alone: with its own @context.
func (c *Codec) AppendEvent(dst []byte, e *Event, form Form) []byte {
	w := &writer{Codec: c, spaces: newSpaces(), form: form, dst: []byte{'['}}
	w.event(e)
	dst = append(dst, `{"@context":`...)
	dst = w.spaces.appendContext(dst)
	dst = append(dst, ',')
	return append(dst, w.dst[len("[{"):]...)
}

// Around is what stands around events in an answer.
type Around struct {
	Query string // the name of the query
	// Subscription is for which it is; "" = for none.
	Subscription string
	Created      time.Time
	Form         Form
}

// AppendQueryDocument writes events as the answer to a query.
func (c *Codec) AppendQueryDocument(dst []byte, events []*Event, a Around) []byte {
	w := &writer{Codec: c, spaces: newSpaces(), form: a.Form, dst: []byte{'['}}
	for _, e := range events {
		w.event(e)
	}
	dst = append(dst, `{"@context":`...)
	dst = w.spaces.appendContext(dst)
	dst = append(dst, `,"type":"EPCISQueryDocument","schemaVersion":"2.0","creationDate":"`+formatTime(a.Created)+
		`","epcisBody":{"queryResults":{"queryName":`...)
	dst = appendText(dst, a.Query)
	if a.Subscription != "" {
		dst = appendText(append(dst, `,"subscriptionID":`...), a.Subscription)
	}
	dst = append(dst, `,"resultsBody":{"eventList":`...)
	dst = append(dst, w.dst...)
	return append(dst, `]}}}}`...)
}

func (w *writer) event(e *Event) {
	w.object("", func() {
		w.member("type", e.Type)
		w.member("eventID", e.ID)
		w.member("eventTime", formatTime(e.Time))
		if !e.RecordTime.IsZero() {
			w.member("recordTime", formatTime(e.RecordTime))
		}
		w.member("eventTimeZoneOffset", e.Offset)
		if len(e.Certified) > 0 {
			w.texts("certificationInfo", e.Certified, same)
		}
		if d := e.Declared; d != nil {
			w.object("errorDeclaration", func() {
				w.member("declarationTime", formatTime(d.Time))
				w.member("reason", d.Reason)
				if d.Corrective != nil {
					w.texts("correctiveEventIDs", d.Corrective, same)
				}
				w.fields(d.Extensions)
			})
		}
		w.what(e)
		w.member("action", string(e.Action))
		w.member("transformationID", w.id(e.Transformation))
		w.member("bizStep", e.Step)
		w.member("disposition", e.Disposition)
		w.persistent(e)
		w.place("readPoint", &e.ReadPoint)
		w.place("bizLocation", &e.Location)
		w.typed("bizTransactionList", "bizTransaction", e.Transactions)
		w.typed("sourceList", "source", e.Sources)
		w.typed("destinationList", "destination", e.Destinations)
		w.sensors(e.Sensors)
		if e.ILMD != nil {
			w.object("ilmd", func() { w.fields(e.ILMD) })
		}
		w.fields(e.Extensions)
	})
}

// what writes what an event is of. An event of objects without any says so.
func (w *writer) what(e *Event) {
	epcs, quantities := lists(e.Type)
	w.member("parentID", w.id(e.Parent))
	if len(e.EPCs) > 0 || epcs == "epcList" && len(e.Quantities) == 0 {
		w.texts(epcs, e.EPCs, w.id)
	}
	w.quantities(quantities, e.Quantities)
	if len(e.Outputs) > 0 {
		w.texts("outputEPCList", e.Outputs, w.id)
	}
	w.quantities("outputQuantityList", e.OutputQuantities)
}

func (w *writer) quantities(name string, all []Quantity) {
	if len(all) == 0 {
		return
	}
	w.key(name)
	w.dst = append(w.dst, '[')
	for _, q := range all {
		w.object("", func() {
			w.member("epcClass", w.id(q.Class))
			w.raw("quantity", q.Number)
			w.member("uom", q.Unit)
		})
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) persistent(e *Event) {
	if len(e.Set)+len(e.Unset) == 0 {
		return
	}
	w.object("persistentDisposition", func() {
		if len(e.Set) > 0 {
			w.texts("set", e.Set, same)
		}
		if len(e.Unset) > 0 {
			w.texts("unset", e.Unset, same)
		}
	})
}

func (w *writer) place(name string, p *Place) {
	if p.ID != "" {
		w.object(name, func() {
			w.member("id", w.id(p.ID))
			w.fields(p.Extensions)
		})
	}
}

func (w *writer) typed(name, element string, all []Typed) {
	if len(all) == 0 {
		return
	}
	w.key(name)
	w.dst = append(w.dst, '[')
	for _, t := range all {
		w.object("", func() {
			w.member("type", t.Type)
			w.member(element, w.id(t.ID))
		})
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) sensors(all []Sensor) {
	if len(all) == 0 {
		return
	}
	w.key("sensorElementList")
	w.dst = append(w.dst, '[')
	for i := range all {
		s := &all[i]
		w.object("", func() {
			if s.HasMeta {
				w.object("sensorMetadata", func() {
					w.sensed(w.meta[:], s.Meta[:])
					w.fields(s.MetaExtensions)
				})
			}
			w.key("sensorReport")
			w.dst = append(w.dst, '[')
			for j := range s.Reports {
				w.object("", func() {
					w.sensed(w.reports[:], s.Reports[j].Values[:])
					w.fields(s.Reports[j].Extensions)
				})
			}
			w.dst = append(w.dst, ']')
			w.fields(s.Extensions)
		})
	}
	w.dst = append(w.dst, ']')
}

func (w *writer) sensed(specs []fieldSpec, values []string) {
	for i, spec := range specs {
		if spec.form == asNumber || spec.form == asBool {
			w.raw(spec.name, values[i])
		} else {
			w.member(spec.name, values[i])
		}
	}
}

func (w *writer) fields(all []Field) {
	for i := range all {
		w.key(w.spaces.name(&all[i]))
		w.value(&all[i].Value)
	}
}

func (w *writer) value(v *Value) {
	switch v.kind {
	case text:
		w.dst = appendText(w.dst, v.Text)
	case list:
		w.dst = append(w.dst, '[')
		for i := range v.List {
			w.comma()
			w.value(&v.List[i])
		}
		w.dst = append(w.dst, ']')
	case object:
		w.dst = append(w.dst, '{')
		w.fields(v.Fields)
		w.dst = append(w.dst, '}')
	case null, boolean, number:
		w.dst = append(w.dst, v.Text...)
	}
}
