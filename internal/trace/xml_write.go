package trace

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"io"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ErrNoXML answers who asks for XML of what XML cannot hold.
var ErrNoXML = fault.New(fault.Invalid, "trace.not_in_xml", "the answer cannot be written in XML, ask for JSON")

// XMLForm says how XML is written.
type XMLForm struct {
	Form
	// WebURI has words of the vocabulary written as web addresses, else as URNs where they
	// have one.
	WebURI bool
}

// QueryXML writes events as the answer to a query, an EPCISQueryDocument of EPCIS 2.0 (XML).
// What ReadXML makes of it has the same event hashes. Fields whose names or texts XML cannot
// hold are ErrNoXML; they are looked for before anything is written.
func (c *Codec) QueryXML(events Entries, a Around, form XMLForm) (write func(io.Writer) error, _ error) {
	w := &xmlWriter{Codec: c, sheet: sheet{out: io.Discard}, spaces: newSpaces(), form: form, first: true}
	all := func(e *Entry) error {
		w.event(e)
		w.turn()
		return cmp.Or(w.err, w.lost)
	}
	if err := events(all); err != nil {
		return nil, err
	}
	return func(out io.Writer) error {
		w.sheet, w.first = sheet{dst: w.dst[:0], out: out}, false
		w.dst = append(w.dst, xml.Header+`<epcisq:EPCISQueryDocument xmlns:epcisq="urn:epcglobal:epcis-query:xsd:2"`...)
		for _, a := range w.spaces.byPrefix.sorted() {
			if w.used[a.prefix] {
				w.dst = w.attribute(w.dst, "xmlns:"+a.prefix, a.space)
			}
		}
		w.dst = append(w.dst, ` schemaVersion="2.0" creationDate="`+formatTime(a.Created)+`"><EPCISBody><epcisq:QueryResults><queryName>`...)
		w.dst = w.escape(w.dst, a.Query)
		w.dst = append(w.dst, `</queryName>`...)
		if a.Subscription != "" {
			w.dst = append(w.dst, `<subscriptionID>`...)
			w.dst = append(w.escape(w.dst, a.Subscription), `</subscriptionID>`...)
		}
		w.dst = append(w.dst, `<resultsBody><EventList>`...)
		if err := events(all); err != nil {
			return err
		}
		w.send(append(w.dst, `</EventList></resultsBody></epcisq:QueryResults></EPCISBody></epcisq:EPCISQueryDocument>`...))
		return w.lost
	}, nil
}

// xmlWriter writes elements in the order of the standard's XML schema.
type xmlWriter struct {
	*Codec
	sheet
	spaces *spaces
	used   map[string]bool // prefixes
	form   XMLForm
	first  bool // as writer's
	err    error
}

func (w *xmlWriter) failf(format string, args ...any) {
	if w.err == nil {
		w.err = ErrNoXML.Textf(format, args...)
	}
}

// escape writes a text. XML has no form for most control characters.
func (w *xmlWriter) escape(dst []byte, s string) []byte {
	from := 0
	for i, r := range s {
		escaped := ""
		switch {
		case r == '&':
			escaped = "&amp;"
		case r == '<':
			escaped = "&lt;"
		case r == '>':
			escaped = "&gt;"
		case r == '"':
			escaped = "&#34;"
		case r == '\t' || r == '\n' || r == '\r':
			escaped = "&#" + strconv.Itoa(int(r)) + ";"
		case r < ' ' || r == 0xFFFE || r == 0xFFFF:
			w.failf("a text holds a character that XML has no form for: %q", clip(s))
		default:
			continue
		}
		dst = append(append(dst, s[from:i]...), escaped...)
		from = i + utf8.RuneLen(r)
	}
	return append(dst, s[from:]...)
}

func (w *xmlWriter) attribute(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	return append(w.escape(dst, value), '"')
}

// in writes an element around what fn writes.
func (w *xmlWriter) in(name string, fn func()) {
	w.dst = append(append(append(w.dst, '<'), name...), '>')
	fn()
	w.dst = append(append(append(w.dst, `</`...), name...), '>')
}

func (w *xmlWriter) text(name, value string) {
	if value != "" {
		w.in(name, func() { w.dst = w.escape(w.dst, value) })
	}
}

func (w *xmlWriter) id(uri string) string {
	if w.form.EPC == nil || uri == "" {
		return uri
	}
	return w.form.EPC(uri)
}

// word writes a word of a vocabulary as an address.
func (w *xmlWriter) word(v *vocabulary, word string) string {
	if v.has(word) && v.urn != "" && !w.form.WebURI {
		return v.urn + word
	}
	return v.full(word)
}

func (w *xmlWriter) list(name string, all iter.Seq[string]) {
	w.in(name, func() {
		for s := range all {
			w.text("epc", w.id(s))
			if w.turn(); w.lost != nil {
				return
			}
		}
	})
}

func (w *xmlWriter) event(e *Entry) {
	w.in(e.Type, func() {
		w.text("eventTime", formatTime(e.Time))
		if !e.RecordTime.IsZero() {
			w.text("recordTime", formatTime(e.RecordTime))
		}
		w.text("eventTimeZoneOffset", e.Offset)
		w.text("eventID", e.ID)
		w.declaration(e.Declared)
		for _, c := range e.Certified {
			w.text("certificationInfo", c)
		}
		w.what(e)
		w.text("bizStep", w.word(w.words.step, e.Step))
		w.text("disposition", w.word(w.words.disposition, e.Disposition))
		w.place("readPoint", &e.ReadPoint)
		w.place("bizLocation", &e.Location)
		if e.Type != TransactionEvent {
			w.typed("bizTransactionList", "bizTransaction", w.words.transaction, e.Transactions)
		}
		if e.Type != TransformationEvent {
			_, name := lists(e.Type)
			w.quantities(name, e.Quantities)
		}
		w.typed("sourceList", "source", w.words.party, e.Sources)
		w.typed("destinationList", "destination", w.words.party, e.Destinations)
		w.sensors(e.Sensors)
		w.persistent(e.Event)
		if e.ILMD != nil {
			w.in("ilmd", func() { w.fields(e.ILMD) })
		}
		w.fields(e.Extensions)
	})
}

func (w *xmlWriter) declaration(d *ErrorDeclaration) {
	if d == nil {
		return
	}
	w.in("errorDeclaration", func() {
		w.text("declarationTime", formatTime(d.Time))
		w.text("reason", w.word(w.words.reason, d.Reason))
		if d.Corrective != nil {
			w.in("correctiveEventIDs", func() {
				for _, id := range d.Corrective {
					w.text("correctiveEventID", id)
				}
			})
		}
		w.fields(d.Extensions)
	})
}

// what writes what an event is of, up to its action.
func (w *xmlWriter) what(e *Entry) {
	switch e.Type {
	case TransformationEvent:
		if !e.empty(0) {
			w.list("inputEPCList", e.names(0, w.first))
		}
		w.quantities("inputQuantityList", e.Quantities)
		if !e.empty(1) {
			w.list("outputEPCList", e.names(1, w.first))
		}
		w.quantities("outputQuantityList", e.OutputQuantities)
		w.text("transformationID", w.id(e.Transformation))
	case TransactionEvent:
		w.typed("bizTransactionList", "bizTransaction", w.words.transaction, e.Transactions)
		w.text("parentID", w.id(e.Parent))
		w.list("epcList", e.names(0, w.first))
	default:
		name, _ := lists(e.Type)
		w.text("parentID", w.id(e.Parent))
		w.list(name, e.names(0, w.first))
	}
	w.text("action", string(e.Action))
}

func (w *xmlWriter) quantities(name string, all []Quantity) {
	if len(all) == 0 {
		return
	}
	w.in(name, func() {
		for _, q := range all {
			w.in("quantityElement", func() {
				w.text("epcClass", w.id(q.Class))
				w.text("quantity", q.Number)
				w.text("uom", q.Unit)
			})
		}
	})
}

func (w *xmlWriter) persistent(e *Event) {
	if len(e.Set)+len(e.Unset) == 0 {
		return
	}
	w.in("persistentDisposition", func() {
		for _, d := range e.Unset {
			w.text("unset", w.word(w.words.disposition, d))
		}
		for _, d := range e.Set {
			w.text("set", w.word(w.words.disposition, d))
		}
	})
}

func (w *xmlWriter) place(name string, p *Place) {
	if p.ID != "" {
		w.in(name, func() {
			w.text("id", w.id(p.ID))
			w.fields(p.Extensions)
		})
	}
}

func (w *xmlWriter) typed(name, element string, words *vocabulary, all []Typed) {
	if len(all) == 0 {
		return
	}
	w.in(name, func() {
		for _, t := range all {
			w.dst = append(append(w.dst, '<'), element...)
			if t.Type != "" {
				w.dst = w.attribute(w.dst, "type", w.word(words, t.Type))
			}
			w.dst = append(w.dst, '>')
			w.dst = w.escape(w.dst, w.id(t.ID))
			w.dst = append(append(append(w.dst, `</`...), element...), '>')
		}
	})
}

func (w *xmlWriter) sensors(all []Sensor) {
	if len(all) == 0 {
		return
	}
	w.in("sensorElementList", func() {
		for i := range all {
			s := &all[i]
			w.in("sensorElement", func() {
				if s.HasMeta {
					w.sensed("sensorMetadata", w.meta[:], s.Meta[:], s.MetaExtensions)
				}
				for j := range s.Reports {
					w.sensed("sensorReport", w.reports[:], s.Reports[j].Values[:], s.Reports[j].Extensions)
				}
				w.fields(s.Extensions)
			})
		}
	})
}

// sensed writes a sensor's values as attributes, and of its extensions those that are texts.
func (w *xmlWriter) sensed(name string, specs []fieldSpec, values []string, extensions []Field) {
	w.dst = append(append(w.dst, '<'), name...)
	for i, spec := range specs {
		v := values[i]
		switch spec.form {
		case asMeasurement:
			v = w.word(w.words.measurement, v)
		case asAlert:
			v = w.word(w.words.alert, v)
		case asComponent:
			v = w.word(w.words.component, v)
		case asURI, asTime, asNumber, asText, asBool, asHex:
		}
		if v != "" {
			w.dst = w.attribute(w.dst, spec.name, v)
		}
	}
	var elements []Field
	for i := range extensions {
		if f := &extensions[i]; f.Value.kind == list || f.Value.kind == object {
			elements = append(elements, *f)
		} else {
			w.dst = w.attribute(w.dst, w.name(f), f.Value.Text)
		}
	}
	w.dst = append(w.dst, '>')
	w.fields(elements)
	w.dst = append(append(append(w.dst, `</`...), name...), '>')
}

// name is what a field is called in XML.
func (w *xmlWriter) name(f *Field) string {
	if !isXMLName(f.Name) {
		w.failf("%q is no name in XML", clip(f.Name))
	}
	if f.Space == "" {
		return f.Name
	}
	named := *f
	if !isXMLName(f.Prefix) || strings.HasPrefix(strings.ToLower(f.Prefix), "xml") || f.Prefix == "epcisq" {
		named.Prefix = "ns"
	}
	name := w.spaces.name(&named)
	prefix, _, _ := strings.Cut(name, ":")
	if w.used == nil {
		w.used = map[string]bool{}
	}
	w.used[prefix] = true
	return name
}

// isXMLName reports whether s is a name without a colon, of letters, digits and -._ as far
// as this needs: others are rare, and are refused.
func isXMLName(s string) bool {
	d := xml.NewDecoder(bytes.NewReader([]byte("<" + s + "/>")))
	t, err := d.RawToken()
	start, ok := t.(xml.StartElement)
	return err == nil && ok && start.Name.Local == s && start.Name.Space == "" && len(start.Attr) == 0
}

func (w *xmlWriter) fields(all []Field) {
	for i := range all {
		w.value(w.name(&all[i]), &all[i].Value)
	}
}

// value writes a field: a list is one element after the other.
func (w *xmlWriter) value(name string, v *Value) {
	if v.kind == list {
		for i := range v.List {
			w.value(name, &v.List[i])
		}
		return
	}
	w.in(name, func() {
		if v.kind == object {
			for i := range v.Fields {
				if f := &v.Fields[i]; f.Space == "" && f.Name == "@value" {
					w.dst = w.escape(w.dst, f.Value.Text)
				} else {
					w.value(w.name(f), &f.Value)
				}
			}
		} else if v.kind != null {
			w.dst = w.escape(w.dst, v.Text)
		}
	})
}
