package trace

import (
	"fmt"
	"slices"
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
	trees   *sync.Pool
	texts   *sync.Pool // that were hashed
	// standard is what every document may abbreviate; nobody changes it.
	standard prefixes
}

// NewCodec makes a codec.
func NewCodec(l Limits) *Codec {
	return &Codec{l, newVocabularies(), metaSpec(), reportSpec(), &sync.Pool{}, &sync.Pool{}, standardPrefixes()}
}

// reader judges one event, or what is around the events.
type reader struct {
	*Codec
	*tree

	prefixes prefixes
	problems []Problem
	masters  []Master
	stored   bool // it was judged before, and our items are kept beside it
}

func (r *reader) problemf(v ref, ours bool, format string, args ...any) {
	if len(r.problems) < problemsMax {
		r.problems = append(r.problems, Problem{r.where(v), fmt.Sprintf(format, args...), ours})
	}
}

func (r *reader) failf(v ref, format string, args ...any)     { r.problemf(v, false, format, args...) }
func (r *reader) failOursf(v ref, format string, args ...any) { r.problemf(v, true, format, args...) }

// is reports whether a value has the kind that is due, and complains otherwise.
func (r *reader) is(v ref, want kind) bool {
	k := r.kind(v)
	if k != want {
		r.failf(v, "must be %s, not %s", want, k)
	}
	return k == want
}

func (r *reader) text(v ref) string {
	if !r.is(v, text) {
		return ""
	}
	s := r.tree.text(v)
	if len(s) > textBytesMax {
		r.failOursf(v, "is longer than %d bytes", textBytesMax)
		return ""
	}
	return s
}

func (r *reader) uri(v ref) string {
	s := r.text(v)
	if r.kind(v) == text && !isURI(s) {
		r.failf(v, "%q is not a URI", clip(s))
		return ""
	}
	return s
}

// identifier is a URI that must be well formed when it claims to be GS1's: no wrong lengths, no
// wrong check digits.
func (r *reader) identifier(v ref) string {
	if r.kind(v) == text {
		if s := r.tree.text(v); plainItem(s) || plainURN(s) {
			return s
		}
	}
	s := r.uri(v)
	if err := check(s); err != nil && !r.stored {
		r.failOursf(v, "%q: %v", clip(s), err)
	}
	return s
}

func (r *reader) time(v ref) time.Time {
	s := r.text(v)
	if r.kind(v) != text {
		return time.Time{}
	}
	t, ok := parseTime(s)
	if !ok {
		r.failf(v, "%q is not a date and time with a zone, as 2026-03-01T08:00:00.000Z", clip(s))
	}
	if y := t.Year(); ok && (y < 1900 || y > 9999) {
		r.failOursf(v, "lies in the year %d", y)
	}
	return t.Round(time.Millisecond) // half up, as CBV's hash has it
}

// word reads a word of a vocabulary, or the URI of somebody else's.
func (r *reader) word(v ref, words *vocabulary) string {
	s := r.text(v)
	if r.kind(v) != text || words.has(s) {
		return s
	}
	if !isURI(s) || !words.open(s) {
		r.failf(v, "%q is neither a word of the standard nor the URI of another", clip(s))
		return ""
	}
	return words.bare(s)
}

// uris reads a list of URIs.
func (r *reader) uris(v ref) []string {
	if !r.is(v, list) {
		return nil
	}
	out := make([]string, 0, r.len(v))
	for one := range r.elements(v) {
		out = append(out, r.uri(one))
	}
	return out
}

// identifiers reads a list of EPCs; with once, none may come twice.
func (r *reader) identifiers(v ref, once bool) []string {
	if !r.is(v, list) {
		return nil
	}
	out := make([]string, 0, r.len(v))
	for one := range r.elements(v) {
		out = append(out, r.identifier(one))
	}
	if once && len(r.problems) == 0 {
		r.once(v, out)
	}
	return out
}

func (r *reader) once(v ref, all []string) {
	const few = 16 // which are compared without a copy
	if len(all) <= few {
		for i, s := range all {
			if slices.Contains(all[:i], s) {
				r.failf(v, "%q comes twice", clip(s))
				return
			}
		}
		return
	}
	if head, numbers, ok := numbered(all); ok {
		for i := 1; i < len(numbers); i++ {
			if numbers[i] == numbers[i-1] {
				r.failf(v, "%q comes twice", clip(string(appendCode([]byte(head), numbers[i]))))
				return
			}
		}
		return
	}
	sorted := slices.Sorted(slices.Values(all))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			r.failf(v, "%q comes twice", clip(sorted[i]))
			return
		}
	}
}

// extension reads a member of v that is no field of the standard's: it must be an extension.
func (r *reader) extension(of ref, into *[]Field, key string, v ref) {
	switch {
	case into == nil:
		r.failf(v, "is not a field here")
	case !isURI(key):
		r.failf(v, "is not a field here, and no extension: those have a prefix that is declared in @context")
	default:
		if *into == nil {
			*into = make([]Field, 0, r.prefixed(of))
		}
		*into = append(*into, r.field(key, v))
	}
}

// prefixed counts an object's members that may be extensions.
func (r *reader) prefixed(v ref) (n int) {
	for key := range r.members(v) {
		if strings.IndexByte(key, ':') >= 0 {
			n++
		}
	}
	return n
}

// field reads an extension. Below its name anything goes.
func (r *reader) field(key string, v ref) Field {
	if len(key) > textBytesMax {
		r.failOursf(v, "has a name of more than %d bytes", textBytesMax)
		return Field{}
	}
	space, prefix, name := r.prefixes.split(key)
	return Field{space, prefix, name, r.anything(v)}
}

func (r *reader) anything(v ref) Value {
	out := Value{kind: r.kind(v), Text: r.tree.text(v)}
	if len(out.Text) > textBytesMax {
		r.failOursf(v, "is longer than %d bytes", textBytesMax)
	}
	n := r.len(v)
	if n > extensionsMax {
		r.failOursf(v, "holds more than %d values", extensionsMax)
		return out
	}
	switch out.kind {
	case list:
		out.List = make([]Value, 0, n)
		for one := range r.elements(v) {
			out.List = append(out.List, r.anything(one))
		}
	case object:
		out.Fields = make([]Field, 0, n)
		for key, one := range r.members(v) {
			out.Fields = append(out.Fields, r.field(key, one))
		}
	default:
	}
	return out
}

// event reads one event. Its fields are found first, since all depend on its type.
func (r *reader) event(v ref) *Event {
	e := &Event{}
	if !r.is(v, object) {
		return e
	}
	var has [fields]ref
	var others [16]ref
	extensions := others[:0]
	for key, one := range r.members(v) {
		if f := fieldOf(key); f != 0 {
			has[f] = one
		} else {
			extensions = append(extensions, one)
		}
	}
	if c := has[fContext]; c != 0 {
		r.prefixes = r.contexts(c, r.prefixes)
	}
	of := r.eventType(e, v, has[fType])
	if of == 0 {
		return e
	}
	for f := fType + 1; f < fields; f++ {
		switch one := has[f]; {
		case one == 0:
		case typesWith(f)&of == 0:
			r.extension(v, &e.Extensions, r.tree.text(one-1), one)
		default:
			r.member(e, f, one)
		}
	}
	for _, one := range extensions {
		r.extension(v, &e.Extensions, r.tree.text(one-1), one)
	}
	if !r.stored {
		r.needed(v, of, &has)
		r.content(e, v, of, &has)
	}
	return e
}

func (r *reader) required(v ref, keys ...string) {
	for _, key := range keys {
		if r.get(v, key) == 0 {
			r.failf(v, "%s is missing", key)
		}
	}
}

func (r *reader) eventType(e *Event, v, t ref) mask {
	if t == 0 {
		r.failf(v, "type is missing")
		return 0
	}
	e.Type = r.text(t)
	of := maskOf(e.Type)
	switch {
	case of != 0 || r.kind(t) != text:
	case isURI(e.Type):
		r.failOursf(t, "%q: types of events beyond the standard's five are not taken", clip(e.Type))
	default:
		r.failf(t, "%q is not a type of event", clip(e.Type))
	}
	return of
}

// member reads a field that the event's type has.
func (r *reader) member(e *Event, f field, v ref) {
	switch f {
	case fEventTime:
		e.Time = r.time(v)
	case fRecordTime:
		e.RecordTime = r.time(v)
	case fOffset:
		if e.Offset = r.text(v); r.kind(v) == text && !isOffset(e.Offset) {
			r.failf(v, "%q is not an offset from -14:00 to +14:00", clip(e.Offset))
		}
	case fEventID:
		e.ID = r.uri(v)
	case fCertification:
		if r.kind(v) == text {
			e.Certified = []string{r.uri(v)}
		} else {
			e.Certified = r.uris(v)
		}
	case fDeclaration:
		e.Declared = r.declaration(v)
	case fAction:
		switch e.Action = Action(r.text(v)); {
		case r.kind(v) != text, e.Action == Add, e.Action == Observe, e.Action == Delete:
		default:
			r.failf(v, "%q is not ADD, OBSERVE or DELETE", clip(r.tree.text(v)))
		}
	case fParent:
		e.Parent = r.identifier(v)
	case fTransformation:
		e.Transformation = r.uri(v)
	default:
		r.business(e, f, v)
	}
}

// business reads the fields of the business context and the lists.
func (r *reader) business(e *Event, f field, v ref) {
	switch f {
	case fStep:
		e.Step = r.word(v, r.words.step)
	case fDisposition:
		e.Disposition = r.word(v, r.words.disposition)
	case fPersistent:
		r.persistent(e, v)
	case fReadPoint:
		e.ReadPoint = r.place(v)
	case fLocation:
		e.Location = r.place(v)
	case fEPCs, fInputs, fChildren:
		e.EPCs = r.identifiers(v, e.Type == ObjectEvent || e.Type == TransformationEvent)
	case fOutputs:
		e.Outputs = r.identifiers(v, true)
	case fQuantities, fChildQuantities, fInputQuantities:
		e.Quantities = r.quantities(v)
	case fOutputQuantities:
		e.OutputQuantities = r.quantities(v)
	case fTransactions:
		e.Transactions = r.typed(v, "bizTransaction", r.words.transaction, false)
	case fSources:
		e.Sources = r.typed(v, "source", r.words.party, true)
	case fDestinations:
		e.Destinations = r.typed(v, "destination", r.words.party, true)
	case fSensors:
		e.Sensors = r.sensors(v)
	case fILMD:
		r.is(v, object)
		for key, one := range r.members(v) {
			r.extension(v, &e.ILMD, key, one)
		}
	}
}

// needed holds the rules about what an event must have.
func (r *reader) needed(v ref, of mask, has *[fields]ref) {
	for _, need := range [...]struct {
		f    field
		with mask
	}{{fEventTime, anyType}, {fOffset, anyType}, {fAction, anyType &^ transformations}, {fTransactions, transactions}, {fParent, associations}} {
		if has[need.f] == 0 && of&need.with != 0 {
			r.failf(v, "%s is missing", need.f)
		}
	}
}

// content holds the rules about what an event is of.
func (r *reader) content(e *Event, v ref, of mask, has *[fields]ref) {
	filled := func(f field) bool { return has[f] != 0 && r.len(has[f]) > 0 }
	switch of {
	case objects:
		sensed := filled(fSensors) && has[fReadPoint] != 0
		if has[fEPCs] == 0 && !filled(fQuantities) && !sensed {
			r.failf(v, "epcList or quantityList is needed, or sensorElementList and readPoint")
		}
		if has[fILMD] != 0 && e.Action != Add {
			r.failf(v, "ilmd is for action ADD")
		}
	case transactions:
		if has[fTransactions] != 0 && !filled(fTransactions) {
			r.failf(v, "bizTransactionList is empty")
		}
		if has[fEPCs] == 0 && !filled(fQuantities) && e.Action != Delete {
			r.failf(v, "epcList or quantityList is needed")
		}
	case aggregations, associations:
		if of == aggregations && has[fParent] == 0 && e.Action != Observe {
			r.failOursf(v, "parentID is missing, which only action OBSERVE may leave out")
		}
		if !filled(fChildren) && !filled(fChildQuantities) && e.Action != Delete {
			r.failf(v, "childEPCs or childQuantityList is needed")
		}
	case transformations:
		in, out := filled(fInputs) || filled(fInputQuantities), filled(fOutputs) || filled(fOutputQuantities)
		if named := has[fTransformation] != 0; (!in || !out) && (!named || !in && !out) {
			r.failf(v, "inputs and outputs are needed, or transformationID and one of them")
		}
	}
}
