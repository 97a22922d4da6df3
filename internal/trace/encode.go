package trace

import (
	"io"
	"iter"
	"slices"
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

// sheet is what is being written. Where it has somewhere to go, a full one goes there but for
// its last byte, which says whether a comma is due.
type sheet struct {
	dst  []byte
	out  io.Writer // nil = all is kept
	lost error     // of out: nothing more arrives
}

const sheetBytes = 32 << 10

func (s *sheet) turn() {
	if s.out != nil && len(s.dst) >= sheetBytes {
		last := s.dst[len(s.dst)-1]
		s.send(s.dst[:len(s.dst)-1])
		s.dst = append(s.dst[:0], last)
	}
}

func (s *sheet) send(part []byte) {
	if s.lost == nil {
		_, s.lost = s.out.Write(part)
	}
}

// writer writes one object after the other; each member brings its comma.
type writer struct {
	*Codec
	sheet
	spaces *spaces
	form   Form
	first  bool // of our items that are written alike, only the first
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
	w.each(name, slices.Values(all), as)
}

func (w *writer) each(name string, all iter.Seq[string], as func(string) string) {
	w.key(name)
	w.dst = append(w.dst, '[')
	for s := range all {
		w.comma()
		w.dst = appendText(w.dst, as(s))
		if w.turn(); w.lost != nil {
			break
		}
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
	w := &writer{Codec: c, sheet: sheet{dst: []byte{'['}}, spaces: newSpaces(), form: form}
	w.event(&Entry{Event: e})
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

// Entry is an event of an answer. Our items in it are kept as groups, and written out one
// after the other.
type Entry struct {
	*Event

	Groups [2][]Group // of EPCs, of Outputs
	Items  Items      // nil = there are none
}

// Names are those of one of its lists, 0 or 1.
func (e *Entry) Names(of int) iter.Seq[string] { return e.names(of, false) }

// names with first has of those that are written alike only one.
func (e *Entry) names(of int, first bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, s := range [...][]string{e.EPCs, e.Outputs}[of] {
			if !yield(s) {
				return
			}
		}
		for _, g := range e.Groups[of] {
			for s := range g.serials() {
				if !yield(g.Prefix + e.Items.Code(s) + g.Suffix) {
					return
				}
				if first {
					break
				}
			}
		}
	}
}

func (e *Entry) empty(of int) bool {
	return len([...][]string{e.EPCs, e.Outputs}[of])+len(e.Groups[of]) == 0
}

// Entries tells of each event of an answer, in its order. It may be asked more than once, and
// must tell the same.
type Entries func(tell func(*Entry) error) error

// EntriesOf are events that are there already.
func EntriesOf(all []*Entry) Entries {
	return func(tell func(*Entry) error) error {
		for _, e := range all {
			if err := tell(e); err != nil {
				return err
			}
		}
		return nil
	}
}

// QueryDocument writes events as the answer to a query. They are looked through once before,
// because the namespaces of all stand at the beginning; write then holds one sheet of them.
func (c *Codec) QueryDocument(events Entries, a Around) (write func(io.Writer) error, _ error) {
	w := &writer{Codec: c, sheet: sheet{dst: []byte{'['}, out: io.Discard}, spaces: newSpaces(), form: a.Form, first: true}
	all := func(e *Entry) error {
		w.event(e)
		w.turn()
		return w.lost
	}
	if err := events(all); err != nil {
		return nil, err
	}
	return func(out io.Writer) error {
		w.sheet, w.first = sheet{dst: w.dst[:0], out: out}, false
		w.dst = append(w.dst, `{"@context":`...)
		w.dst = w.spaces.appendContext(w.dst)
		w.dst = append(w.dst, `,"type":"EPCISQueryDocument","schemaVersion":"2.0","creationDate":"`+formatTime(a.Created)+
			`","epcisBody":{"queryResults":{"queryName":`...)
		w.dst = appendText(w.dst, a.Query)
		if a.Subscription != "" {
			w.dst = appendText(append(w.dst, `,"subscriptionID":`...), a.Subscription)
		}
		w.dst = append(w.dst, `,"resultsBody":{"eventList":[`...)
		if err := events(all); err != nil {
			return err
		}
		w.send(append(w.dst, `]}}}}`...))
		return w.lost
	}, nil
}

func (w *writer) event(e *Entry) {
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
		w.persistent(e.Event)
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
func (w *writer) what(e *Entry) {
	epcs, quantities := lists(e.Type)
	w.member("parentID", w.id(e.Parent))
	if !e.empty(0) || epcs == "epcList" && len(e.Quantities) == 0 {
		w.each(epcs, e.names(0, w.first), w.id)
	}
	w.quantities(quantities, e.Quantities)
	if !e.empty(1) {
		w.each("outputEPCList", e.names(1, w.first), w.id)
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
