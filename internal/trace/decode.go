package trace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Codec reads, writes and hashes events. It is safe for concurrent use.
type Codec struct {
	limits  Limits
	words   *vocabularies
	meta    *[metaFields]fieldSpec
	reports *[reportFields]fieldSpec
	arenas  *sync.Pool
	// standard is what every document may abbreviate; nobody changes it.
	standard prefixes
}

// NewCodec makes a codec.
func NewCodec(l Limits) *Codec {
	return &Codec{l, newVocabularies(), metaSpec(), reportSpec(), &sync.Pool{}, standardPrefixes()}
}

// reader judges one event, or what is around the events.
type reader struct {
	*Codec
	prefixes prefixes
	path     []step
	problems []Problem
	masters  []Master
	stored   bool // it was judged before, and our items are kept beside it
}

// step is one part of a path: a name, or with "" a place in a list.
type step struct {
	name  string
	index int
}

// pathUsual is how long paths are in most documents.
const pathUsual = 12

func (r *reader) push(name string, index int) { r.path = append(r.path, step{name, index}) }
func (r *reader) pop()                        { r.path = r.path[:len(r.path)-1] }

func (r *reader) where() string {
	var b strings.Builder
	b.WriteByte('$')
	for _, s := range r.path {
		if s.name == "" {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		} else {
			b.WriteString("." + clip(s.name))
		}
	}
	return b.String()
}

func (r *reader) problemf(ours bool, format string, args ...any) {
	if len(r.problems) < problemsMax {
		r.problems = append(r.problems, Problem{r.where(), fmt.Sprintf(format, args...), ours})
	}
}

func (r *reader) failf(format string, args ...any)     { r.problemf(false, format, args...) }
func (r *reader) failOursf(format string, args ...any) { r.problemf(true, format, args...) }

// is reports whether a value has the kind that is due, and complains otherwise.
func (r *reader) is(n *node, want kind) bool {
	if n.kind == want {
		return true
	}
	r.failf("must be %s, not %s", want, n.kind)
	return false
}

func (r *reader) text(n *node) string {
	if !r.is(n, text) {
		return ""
	}
	if len(n.text) > textBytesMax {
		r.failOursf("is longer than %d bytes", textBytesMax)
		return ""
	}
	return n.text
}

func (r *reader) uri(n *node) string {
	s := r.text(n)
	if n.kind == text && !isURI(s) {
		r.failf("%q is not a URI", clip(s))
		return ""
	}
	return s
}

func (r *reader) time(n *node) time.Time {
	s := r.text(n)
	if n.kind != text {
		return time.Time{}
	}
	t, ok := parseTime(s)
	if !ok {
		r.failf("%q is not a date and time with a zone, as 2026-03-01T08:00:00.000Z", clip(s))
	}
	if y := t.Year(); ok && (y < 1900 || y > 9999) {
		r.failOursf("lies in the year %d", y)
	}
	return t.Round(time.Millisecond) // half up, as CBV's hash has it
}

// word reads a word of a vocabulary, or the URI of somebody else's.
func (r *reader) word(n *node, v *vocabulary) string {
	s := r.text(n)
	if n.kind != text || v.has(s) {
		return s
	}
	if !isURI(s) || !v.open(s) {
		r.failf("%q is neither a word of the standard nor the URI of another", clip(s))
		return ""
	}
	return v.bare(s)
}

// each reads the elements of a list.
func (r *reader) each(n *node, fn func(*node)) {
	if !r.is(n, list) {
		return
	}
	for i := range n.all {
		r.push("", i)
		fn(&n.all[i])
		r.pop()
	}
}

// uris reads a list of URIs; with once, none may come twice.
func (r *reader) uris(n *node, once bool) []string {
	if !r.is(n, list) {
		return nil
	}
	out := make([]string, 0, len(n.all))
	r.each(n, func(one *node) { out = append(out, r.uri(one)) })
	if once && len(r.problems) == 0 {
		r.once(out)
	}
	return out
}

func (r *reader) once(all []string) {
	const few = 16 // which are compared without a copy
	if len(all) <= few {
		for i, s := range all {
			if slices.Contains(all[:i], s) {
				r.failf("%q comes twice", clip(s))
				return
			}
		}
		return
	}
	sorted := slices.Sorted(slices.Values(all))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			r.failf("%q comes twice", clip(sorted[i]))
			return
		}
	}
}

// members reads an object: known tells whether a name is one of its own, and reads its
// value; any other must be an extension.
func (r *reader) members(n *node, extensions *[]Field, known func(key string, v *node) bool) {
	if !r.is(n, object) {
		return
	}
	for i, key := range n.keys {
		r.push(key, 0)
		if !known(key, &n.all[i]) {
			if extensions != nil && *extensions == nil {
				*extensions = make([]Field, 0, min(len(n.all)-i, extensionsAtOnce))
			}
			r.extension(extensions, key, &n.all[i])
		}
		r.pop()
	}
}

// extensionsAtOnce is how many of the fields that are left are taken for extensions: those of a
// kind usually stand together, at the end.
const extensionsAtOnce = 8

func (r *reader) extension(into *[]Field, key string, v *node) {
	switch {
	case into == nil:
		r.failf("is not a field here")
	case !isURI(key):
		r.failf("is not a field here, and no extension: those have a prefix that is declared in @context")
	default:
		*into = append(*into, r.field(key, v))
	}
}

// field reads an extension. Below its name anything goes.
func (r *reader) field(key string, v *node) Field {
	if len(key) > textBytesMax {
		r.failOursf("has a name of more than %d bytes", textBytesMax)
		return Field{}
	}
	space, prefix, name := r.prefixes.split(key)
	return Field{space, prefix, name, r.anything(v)}
}

func (r *reader) anything(n *node) Value {
	v := Value{kind: n.kind, Text: n.text}
	if len(n.text) > textBytesMax {
		r.failOursf("is longer than %d bytes", textBytesMax)
	}
	if len(n.all) > extensionsMax {
		r.failOursf("holds more than %d values", extensionsMax)
		return v
	}
	switch n.kind {
	case list:
		v.List = make([]Value, 0, len(n.all))
	case object:
		v.Fields = make([]Field, 0, len(n.all))
	default:
	}
	for i := range n.all {
		if n.kind == list {
			v.List = append(v.List, r.anything(&n.all[i]))
		} else {
			v.Fields = append(v.Fields, r.field(n.keys[i], &n.all[i]))
		}
	}
	return v
}

// event reads one event.
func (r *reader) event(n *node) *Event {
	e := &Event{}
	if !r.is(n, object) {
		return e
	}
	if c := n.get("@context"); c != nil {
		r.push("@context", 0)
		r.prefixes = r.contexts(c, r.prefixes)
		r.pop()
	}
	of := r.eventType(e, n)
	if of == 0 {
		return e
	}
	r.members(n, &e.Extensions, func(key string, v *node) bool {
		if typesWith(key)&of == 0 {
			return false
		}
		r.member(e, key, v)
		return true
	})
	if r.stored {
		return e
	}
	r.required(n, "eventTime", "eventTimeZoneOffset")
	if of != transformations {
		r.required(n, "action")
	}
	r.content(e, n, of)
	return e
}

func (r *reader) required(n *node, keys ...string) {
	for _, key := range keys {
		if n.get(key) == nil {
			r.failf("%s is missing", key)
		}
	}
}

func (r *reader) eventType(e *Event, n *node) mask {
	t := n.get("type")
	if t == nil {
		r.failf("type is missing")
		return 0
	}
	r.push("type", 0)
	defer r.pop()
	e.Type = r.text(t)
	of := maskOf(e.Type)
	switch {
	case of != 0 || t.kind != text:
	case isURI(e.Type):
		r.failOursf("%q: types of events beyond the standard's five are not taken", clip(e.Type))
	default:
		r.failf("%q is not a type of event", clip(e.Type))
	}
	return of
}

// member reads a field that the event's type has.
func (r *reader) member(e *Event, key string, v *node) {
	switch key {
	case "eventTime":
		e.Time = r.time(v)
	case "recordTime":
		e.RecordTime = r.time(v)
	case "eventTimeZoneOffset":
		if e.Offset = r.text(v); v.kind == text && !isOffset(e.Offset) {
			r.failf("%q is not an offset from -14:00 to +14:00", clip(e.Offset))
		}
	case "eventID":
		e.ID = r.uri(v)
	case "certificationInfo":
		if v.kind == text {
			e.Certified = []string{r.uri(v)}
		} else {
			e.Certified = r.uris(v, false)
		}
	case "errorDeclaration":
		e.Declared = r.declaration(v)
	case "action":
		switch e.Action = Action(r.text(v)); {
		case v.kind != text, e.Action == Add, e.Action == Observe, e.Action == Delete:
		default:
			r.failf("%q is not ADD, OBSERVE or DELETE", clip(v.text))
		}
	case "parentID":
		e.Parent = r.uri(v)
	case "transformationID":
		e.Transformation = r.uri(v)
	default:
		r.business(e, key, v)
	}
}

// business reads the fields of the business context and the lists.
func (r *reader) business(e *Event, key string, v *node) {
	switch key {
	case "bizStep":
		e.Step = r.word(v, r.words.step)
	case "disposition":
		e.Disposition = r.word(v, r.words.disposition)
	case "persistentDisposition":
		r.persistent(e, v)
	case "readPoint":
		e.ReadPoint = r.place(v)
	case "bizLocation":
		e.Location = r.place(v)
	case "epcList", "inputEPCList", "childEPCs":
		e.EPCs = r.uris(v, e.Type == ObjectEvent || e.Type == TransformationEvent)
	case "outputEPCList":
		e.Outputs = r.uris(v, true)
	case "quantityList", "childQuantityList", "inputQuantityList":
		e.Quantities = r.quantities(v)
	case "outputQuantityList":
		e.OutputQuantities = r.quantities(v)
	case "bizTransactionList":
		e.Transactions = r.typed(v, "bizTransaction", r.words.transaction, false)
	case "sourceList":
		e.Sources = r.typed(v, "source", r.words.party, true)
	case "destinationList":
		e.Destinations = r.typed(v, "destination", r.words.party, true)
	case "sensorElementList":
		r.each(v, func(one *node) { e.Sensors = append(e.Sensors, r.sensor(one)) })
	case "ilmd":
		r.members(v, &e.ILMD, func(string, *node) bool { return false })
	}
}

// content holds the rules about what an event is of.
func (r *reader) content(e *Event, n *node, of mask) {
	filled := func(key string) bool {
		l := n.get(key)
		return l != nil && len(l.all) > 0
	}
	switch of {
	case objects:
		sensed := filled("sensorElementList") && n.get("readPoint") != nil
		if n.get("epcList") == nil && !filled("quantityList") && !sensed {
			r.failf("epcList or quantityList is needed, or sensorElementList and readPoint")
		}
		if n.get("ilmd") != nil && e.Action != Add {
			r.failf("ilmd is for action ADD")
		}
	case transactions:
		if r.required(n, "bizTransactionList"); n.get("bizTransactionList") != nil && !filled("bizTransactionList") {
			r.failf("bizTransactionList is empty")
		}
		if n.get("epcList") == nil && !filled("quantityList") && e.Action != Delete {
			r.failf("epcList or quantityList is needed")
		}
	case aggregations, associations:
		if of == associations {
			r.required(n, "parentID")
		} else if n.get("parentID") == nil && e.Action != Observe {
			r.failOursf("parentID is missing, which only action OBSERVE may leave out")
		}
		if !filled("childEPCs") && !filled("childQuantityList") && e.Action != Delete {
			r.failf("childEPCs or childQuantityList is needed")
		}
	case transformations:
		in := filled("inputEPCList") || filled("inputQuantityList")
		out := filled("outputEPCList") || filled("outputQuantityList")
		if named := n.get("transformationID") != nil; (!in || !out) && (!named || !in && !out) {
			r.failf("inputs and outputs are needed, or transformationID and one of them")
		}
	}
}
