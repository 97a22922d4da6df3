package trace

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// What a caller may be told of a query.
var (
	ErrBadQuery   = fault.New(fault.Invalid, "trace.bad_query", "the query is not valid")
	ErrQueryLarge = fault.New(fault.TooLarge, "trace.query_too_large", "the query has more results than it allows")
	ErrBadToken   = fault.New(fault.Invalid, "trace.bad_token", "this nextPageToken is none of this query")
)

// Query asks for events.
type Query struct {
	Brand ids.BrandID // 0 = of all brands
	// Order: ByTime or ByRecord.
	Order Order
	Desc  bool
	Limit int // eventCountLimit; 0 = none
	Most  int // maxEventCount; 0 = none

	field string // the extension to order by instead; "" = none
	tests []test
	// What narrows the stretch that is read.
	times, records span
	epcs, parents  []string // canonical; any of them
	terms          []Term   // any of them
	ids            []string // eventIDs; any of them
	has            hint
}

// hint says which of the narrowing lists were given: an empty one that was given finds
// nothing.
type hint uint8

const (
	byEPC hint = 1 << iota
	byTerm
	byID
)

// span is a time from (within) to (not within); zero = open.
type span struct{ from, to time.Time }

// test is one condition.
type test func(p *Unpacked) bool

const (
	parametersMax = 100
	valuesMax     = 1000 // of one parameter
)

// Parameters are a query's: each name with its values.
type Parameters map[string][]string

// NewQuery reads the parameters of EPCIS 2.0's simple event query. A parameter that is not
// known is refused: leaving it out would answer more than was asked for.
func (s *Service) NewQuery(ctx context.Context, brand ids.BrandID, params Parameters) (*Query, error) {
	if len(params) > parametersMax {
		return nil, ErrBadQuery.Textf("more than %d parameters", parametersMax)
	}
	q := &Query{Brand: brand, Desc: true}
	ordered := false
	for name, values := range params {
		if len(values) == 0 || len(values) > valuesMax {
			return nil, ErrBadQuery.Textf("%s: needs 1 to %d values", clip(name), valuesMax)
		}
		b := &queryReader{Service: s, ctx: ctx, items: s.itemsOf(ctx), q: q, name: name, values: values}
		if !b.read() {
			b.failf("is not a parameter of this query")
		}
		if b.err != nil {
			return nil, b.err
		}
		ordered = ordered || name == "orderBy"
	}
	switch {
	case q.Limit > 0 && q.Most > 0:
		return nil, ErrBadQuery.Textf("eventCountLimit and maxEventCount exclude each other")
	case q.Limit > 0 && !ordered:
		return nil, ErrBadQuery.Textf("eventCountLimit needs orderBy")
	}
	return q, nil
}

// queryReader reads one parameter.
type queryReader struct {
	*Service
	ctx    context.Context //nolint:containedctx // of NewQuery, which it lasts as long as
	items  Items
	q      *Query
	name   string
	values []string
	err    error
}

func (b *queryReader) failf(format string, args ...any) {
	if b.err == nil {
		b.err = ErrBadQuery.Textf(clip(b.name)+": "+format, args...)
	}
}

func (b *queryReader) one() string {
	if len(b.values) != 1 {
		b.failf("takes one value")
	}
	return b.values[0]
}

func (b *queryReader) time() time.Time {
	t, ok := parseTime(b.one())
	if !ok {
		b.failf("%q is not a date and time with a zone", clip(b.values[0]))
	}
	return t
}

func (b *queryReader) number() string {
	n := plainNumber(b.one())
	if !isNumeral(n) {
		b.failf("%q is not a number", clip(b.values[0]))
	}
	return n
}

func (b *queryReader) count() int {
	n, err := strconv.Atoi(b.one())
	if err != nil || n < 1 {
		b.failf("must be a whole number from 1 on")
	}
	return n
}

func (b *queryReader) boolean() bool {
	v, err := strconv.ParseBool(b.one())
	if err != nil {
		b.failf("must be true or false")
	}
	return v
}

func (b *queryReader) test(t test) { b.q.tests = append(b.q.tests, t) }

// words are values of a vocabulary, in their bare form.
func (b *queryReader) words(v *vocabulary) []string {
	out := make([]string, len(b.values))
	for i, s := range b.values {
		out[i] = v.bare(standardPrefixes().expand(s))
		if !v.has(out[i]) && !isURI(out[i]) {
			b.failf("%q is neither a word of the standard nor a URI", clip(s))
		}
	}
	return out
}

// canonicals are values that are identifiers.
func (b *queryReader) canonicals() []string {
	out := make([]string, len(b.values))
	for i, s := range b.values {
		if !isURI(s) {
			b.failf("%q is not a URI", clip(s))
		}
		out[i] = Canonical(s)
	}
	return out
}

// drive narrows what is read to events with one of the terms, unless something did so that
// finds fewer.
func (b *queryReader) drive(kind TermKind, texts []string) {
	if b.q.has&byTerm != 0 {
		return
	}
	b.q.has |= byTerm
	for _, s := range texts {
		b.q.terms = append(b.q.terms, Term{kind, s})
	}
}

// in is the test that a value is among those that were asked for.
func (b *queryReader) in(values []string, of func(p *Unpacked) string) {
	b.test(func(p *Unpacked) bool {
		v := of(p)
		return v != "" && slices.Contains(values, v)
	})
}

func (b *queryReader) anyIn(values []string, of func(p *Unpacked) []string) {
	b.test(func(p *Unpacked) bool {
		return slices.ContainsFunc(of(p), func(v string) bool { return v != "" && slices.Contains(values, v) })
	})
}

// read reads the parameter; false = there is no such.
func (b *queryReader) read() bool {
	switch b.name {
	case "eventType":
		for _, v := range b.values {
			if maskOf(v) == 0 && !isURI(v) {
				b.failf("%q is not a type of event", clip(v))
			}
		}
		b.in(b.values, func(p *Unpacked) string { return p.Type })
	case "GE_eventTime":
		b.q.times.from = b.time()
	case "LT_eventTime":
		b.q.times.to = b.time()
	case "GE_recordTime":
		b.q.records.from = b.time()
	case "LT_recordTime":
		b.q.records.to = b.time()
	case "orderBy":
		switch b.one() {
		case "eventTime":
			b.q.Order = ByTime
		case "recordTime":
			b.q.Order = ByRecord
		default:
			if b.q.field = fieldName(b.values[0]); b.q.field == "" {
				b.failf("events are ordered by eventTime, recordTime or the address of an extension, not by %q", clip(b.values[0]))
			}
		}
	case "orderDirection":
		if b.q.Desc = b.one() == "DESC"; !b.q.Desc && b.values[0] != "ASC" {
			b.failf("must be ASC or DESC")
		}
	case "eventCountLimit":
		b.q.Limit = b.count()
	case "maxEventCount":
		b.q.Most = b.count()
	case "EQ_action":
		for _, v := range b.values {
			if !slices.Contains([]string{"ADD", "OBSERVE", "DELETE"}, v) {
				b.failf("%q is not an action", clip(v))
			}
		}
		b.in(b.values, func(p *Unpacked) string { return string(p.Action) })
	default:
		return b.business() || b.what() || b.sensed() || b.attributed() || b.flexible()
	}
	return true
}

// business reads the parameters about business context.
func (b *queryReader) business() bool {
	w := b.Codec.words
	switch b.name {
	case "EQ_bizStep":
		words := b.words(w.step)
		b.drive(StepTerm, words)
		b.in(words, func(p *Unpacked) string { return p.Step })
	case "EQ_disposition":
		words := b.words(w.disposition)
		b.drive(DispositionTerm, words)
		b.in(words, func(p *Unpacked) string { return p.Disposition })
	case "EQ_persistentDisposition_set":
		b.anyIn(b.words(w.disposition), func(p *Unpacked) []string { return p.Set })
	case "EQ_persistentDisposition_unset":
		b.anyIn(b.words(w.disposition), func(p *Unpacked) []string { return p.Unset })
	case "EQ_readPoint":
		b.place(ReadPointTerm, func(p *Unpacked) string { return p.ReadPoint.ID }, false)
	case "WD_readPoint":
		b.place(ReadPointTerm, func(p *Unpacked) string { return p.ReadPoint.ID }, true)
	case "EQ_bizLocation":
		b.place(LocationTerm, func(p *Unpacked) string { return p.Location.ID }, false)
	case "WD_bizLocation":
		b.place(LocationTerm, func(p *Unpacked) string { return p.Location.ID }, true)
	case "EQ_transformationID":
		all := b.canonicals()
		b.drive(TransformTerm, all)
		b.in(all, func(p *Unpacked) string { return Canonical(p.Transformation) })
	case "EQ_eventID":
		b.q.ids, b.q.has = b.values, b.q.has|byID
		b.test(func(p *Unpacked) bool {
			return slices.Contains(b.values, p.ID) || slices.Contains(b.values, p.Stored.Hash.String())
		})
	case "EXISTS_errorDeclaration":
		want := b.boolean()
		b.test(func(p *Unpacked) bool { return (p.Declared != nil) == want })
	case "GE_errorDeclarationTime", "GE_errorDeclaration_Time":
		from := b.time()
		b.test(func(p *Unpacked) bool { return p.Declared != nil && !p.Declared.Time.Before(from) })
	case "LT_errorDeclarationTime", "LT_errorDeclaration_Time":
		to := b.time()
		b.test(func(p *Unpacked) bool { return p.Declared != nil && p.Declared.Time.Before(to) })
	case "EQ_errorReason":
		b.in(b.words(w.reason), func(p *Unpacked) string {
			if p.Declared == nil {
				return ""
			}
			return p.Declared.Reason
		})
	case "EQ_correctiveEventID":
		b.anyIn(b.values, func(p *Unpacked) []string {
			if p.Declared == nil {
				return nil
			}
			return p.Declared.Corrective
		})
	default:
		return false
	}
	return true
}

// place reads EQ_ and WD_ of a location. What lies within a location is told by its number:
// extensions (254) of a GLN, and by master data.
func (b *queryReader) place(kind TermKind, of func(p *Unpacked) string, within bool) {
	all := b.canonicals()
	var below map[ids.BrandID]map[string]bool
	if within {
		below = b.descendants(all)
	} else {
		b.drive(kind, all)
	}
	b.test(func(p *Unpacked) bool {
		v := Canonical(of(p))
		return v != "" && (below[p.Stored.Brand][v] || slices.ContainsFunc(all, func(want string) bool {
			return v == want || within && strings.HasPrefix(v, want+"/254/")
		}))
	})
}

// what reads the parameters about what events are of.
func (b *queryReader) what() bool {
	inputs := func(p *Unpacked) *named { return &named{p.EPCs, p.Groups[0]} }
	outputs := func(p *Unpacked) *named { return &named{p.Outputs, p.Groups[1]} }
	is := func(p *Unpacked, transformation bool) bool { return (p.Type == TransformationEvent) == transformation }
	switch b.name {
	case "MATCH_epc":
		b.match(func(p *Unpacked) []*named {
			if is(p, true) {
				return nil
			}
			return []*named{inputs(p)}
		}, EPCTerm)
	case "MATCH_parentID":
		b.match(func(p *Unpacked) []*named { return []*named{{all: []string{p.Parent}}} }, ParentTerm)
	case "MATCH_inputEPC":
		b.match(func(p *Unpacked) []*named {
			if is(p, false) {
				return nil
			}
			return []*named{inputs(p)}
		}, EPCTerm)
	case "MATCH_outputEPC":
		b.match(func(p *Unpacked) []*named { return []*named{outputs(p)} }, EPCTerm)
	case "MATCH_anyEPC":
		b.match(func(p *Unpacked) []*named {
			return []*named{inputs(p), outputs(p), {all: []string{p.Parent}}}
		}, EPCTerm, ParentTerm)
	case "MATCH_epcClass", "MATCH_inputEPCClass", "MATCH_outputEPCClass", "MATCH_anyEPCClass":
		b.matchClass()
	case "EQ_quantity", "GT_quantity", "GE_quantity", "LT_quantity", "LE_quantity":
		op, want := b.name[:2], b.number()
		b.test(func(p *Unpacked) bool {
			return slices.ContainsFunc(slices.Concat(p.Quantities, p.OutputQuantities), func(q Quantity) bool {
				return q.Number != "" && holds(op, compareNumbers(q.Number, want))
			})
		})
	default:
		return false
	}
	return true
}

// named is a list of EPCs of an event.
type named struct {
	all    []string
	groups []Group
}

// pattern is what an EPC may match: an identifier, or all of a class.
type pattern struct {
	text   string // canonical
	class  bool
	serial ids.Serial // of ours, when item
	item   bool
}

func (b *queryReader) patterns() (all []pattern) {
	for i, text := range b.canonicals() {
		raw := b.values[i]
		p := pattern{text: text}
		if e, err := gs1.ParseEPC(raw); strings.HasPrefix(raw, "urn:epc:") && err != nil {
			b.failf("%q is not an EPC, nor a pattern whose last place is *", clip(raw))
		} else if err == nil {
			p.class = e.Class
		}
		it, _, ok, err := ours(b.items.Finder(), raw, text)
		if err != nil {
			b.err = err
		}
		if ok && !p.class {
			p.serial, p.item = it.Serial, true
		}
		all = append(all, p)
	}
	return all
}

// match reads MATCH_epc and its kin, and narrows to the events of what was named when that
// is no pattern.
func (b *queryReader) match(of func(p *Unpacked) []*named, kinds ...TermKind) {
	all := b.patterns()
	exact := !slices.ContainsFunc(all, func(p pattern) bool { return p.class })
	if exact && b.q.has&byEPC == 0 {
		b.q.has |= byEPC
		for _, p := range all {
			if slices.Contains(kinds, EPCTerm) {
				b.q.epcs = append(b.q.epcs, p.text)
			}
			if slices.Contains(kinds, ParentTerm) {
				b.q.parents = append(b.q.parents, p.text)
			}
		}
	}
	b.test(func(p *Unpacked) bool {
		for _, list := range of(p) {
			if list.matches(all) {
				return true
			}
		}
		return false
	})
}

func (n *named) matches(all []pattern) bool {
	for _, want := range all {
		for _, epc := range n.all {
			if c := Canonical(epc); c == want.text || want.class && strings.HasPrefix(c, want.text+"/") {
				return true
			}
		}
		for _, g := range n.groups {
			if want.item && slices.ContainsFunc(g.Runs, func(r Run) bool { return r.From <= want.serial && want.serial <= r.To }) {
				return true
			}
			if want.class && strings.HasPrefix(Canonical(g.Prefix+strings.Repeat("0", codeDigits)+g.Suffix), want.text+"/") {
				return true
			}
		}
	}
	return false
}

func (b *queryReader) matchClass() {
	all := b.canonicals()
	b.drive(ClassTerm, all)
	b.test(func(p *Unpacked) bool {
		var of []Quantity
		transformation := p.Type == TransformationEvent
		switch b.name {
		case "MATCH_epcClass":
			if !transformation {
				of = p.Quantities
			}
		case "MATCH_inputEPCClass":
			if transformation {
				of = p.Quantities
			}
		case "MATCH_outputEPCClass":
			of = p.OutputQuantities
		default:
			of = slices.Concat(p.Quantities, p.OutputQuantities)
		}
		return slices.ContainsFunc(of, func(q Quantity) bool { return slices.Contains(all, Canonical(q.Class)) })
	})
}

// holds applies EQ, GT, GE, LT and LE to a comparison.
func holds(op string, c int) bool {
	switch op {
	case "EQ":
		return c == 0
	case "GT":
		return c > 0
	case "GE":
		return c >= 0
	case "LT":
		return c < 0
	case "LE":
		return c <= 0
	}
	return false
}

// compareNumbers compares two numbers in their plain form.
func compareNumbers(a, b string) int {
	negA, negB := strings.HasPrefix(a, "-"), strings.HasPrefix(b, "-")
	if negA != negB {
		if negA {
			return -1
		}
		return 1
	}
	c := comparePlain(strings.TrimPrefix(a, "-"), strings.TrimPrefix(b, "-"))
	if negA {
		return -c
	}
	return c
}

func comparePlain(a, b string) int {
	wholeA, fractionA, _ := strings.Cut(a, ".")
	wholeB, fractionB, _ := strings.Cut(b, ".")
	if len(wholeA) != len(wholeB) {
		return len(wholeA) - len(wholeB)
	}
	if c := strings.Compare(wholeA, wholeB); c != 0 {
		return c
	}
	return strings.Compare(fractionA, fractionB)
}
