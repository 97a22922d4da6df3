package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// TermKind is what a term is of an event.
type TermKind byte

// The kinds. They are stored: never give one another meaning.
const (
	StepTerm        TermKind = 's'
	DispositionTerm TermKind = 'd'
	ReadPointTerm   TermKind = 'r'
	LocationTerm    TermKind = 'l'
	EPCTerm         TermKind = 'e' // an EPC that is none of our items
	ChildTerm       TermKind = 'k' // the same, as somebody's child
	ParentTerm      TermKind = 'p' // any EPC
	ClassTerm       TermKind = 'c'
	TransformTerm   TermKind = 't'
	BusinessTerm    TermKind = 'b' // a business transaction
	IDTerm          TermKind = 'i' // an eventID that is not the hash
	PrefixTerm      TermKind = 'g' // a company's prefix that a URN told; it finds no events
)

// Term is a word that finds an event, in its canonical form.
type Term struct {
	Kind TermKind
	Text string
}

// Key is what a brand's term is looked up by. Two terms may have one key: whoever reads by
// it looks at the event again.
func (t Term) Key(brand ids.BrandID) int64 {
	b := make([]byte, 0, 128)
	b = binary.BigEndian.AppendUint32(b, uint32(brand))
	b = append(append(b, byte(t.Kind)), t.Text...)
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// Span is a run of items of ours in an event.
type Span struct {
	Run
	Role Role
}

// Role is what an item is to an event. It is stored: never give a number another meaning.
type Role uint8

// The roles.
const (
	Named  Role = iota
	Packed      // somebody's child
	Packer      // a parent
)

// Record is an event as it is stored.
type Record struct {
	Hash     Hash
	Declared bool // it declares an error, under the hash of the event that it speaks of
	Brand    ids.BrandID
	Time     time.Time
	Ahead    bool   // it lay in the future when it came
	Body     []byte // the event without our items
	Ours     []byte // our items
	Terms    []Term
	Spans    []Span
}

// Record makes the stored form of an event. An event without an eventID gets its hash.
func (c *Codec) Record(e *Event, brand ids.BrandID, items Items) (Record, error) {
	epcs, outputs := canonicals(e.EPCs), canonicals(e.Outputs)
	h := c.hash(e, epcs, outputs)
	r := Record{Hash: h, Declared: e.Declared != nil, Brand: brand, Time: e.Time}
	stored := *e
	stored.RecordTime = time.Time{}
	name := h.String()
	if stored.ID == "" {
		stored.ID = name
	}
	find := items.Finder()
	in, out := &sorter{find: find, brand: brand}, &sorter{find: find, brand: brand}
	for i, epc := range e.EPCs {
		in.add(epc, epcs[i])
	}
	for i, epc := range e.Outputs {
		out.add(epc, outputs[i])
	}
	stored.EPCs, stored.Outputs = in.others, out.others
	groups := [2][]Group{in.done(), out.done()}
	r.Body = c.AppendEvent(nil, &stored, Form{})
	r.Ours = encodeGroups(groups[0], groups[1])
	child, as := maskOf(e.Type)&packings != 0, Named
	if child {
		as = Packed
	}
	for _, run := range runsIn(groups[0], groups[1]) {
		r.Spans = append(r.Spans, Span{run, as})
	}
	it, _, ok, err := ours(find, e.Parent, Canonical(e.Parent))
	if err := errors.Join(err, in.err, out.err); err != nil {
		return r, fmt.Errorf("look for coded items: %w", err)
	}
	if ok && it.Brand == brand {
		r.Spans = append(r.Spans, Span{Run{it.Serial, it.Serial}, Packer})
	}
	r.Terms = terms(e, child, in.names, out.names)
	if stored.ID != name {
		r.Terms = append(r.Terms, Term{IDTerm, stored.ID})
	}
	return r, nil
}

// runsIn lists the items of groups as runs, each item once.
func runsIn(lists ...[]Group) []Run {
	var all []Run
	for _, list := range lists {
		for _, g := range list {
			all = append(all, g.Runs...)
		}
	}
	return merged(all)
}

// terms lists what else finds the event, each once.
func terms(e *Event, child bool, epcs, outputs []string) []Term {
	var all []Term
	add := func(kind TermKind, texts ...string) {
		for _, s := range texts {
			if s != "" {
				all = append(all, Term{kind, s})
			}
		}
	}
	add(StepTerm, e.Step)
	add(DispositionTerm, e.Disposition)
	add(ReadPointTerm, Canonical(e.ReadPoint.ID))
	add(LocationTerm, Canonical(e.Location.ID))
	add(ParentTerm, Canonical(e.Parent))
	if child {
		add(ChildTerm, epcs...)
	} else {
		add(EPCTerm, epcs...)
	}
	add(EPCTerm, outputs...)
	for _, q := range slices.Concat(e.Quantities, e.OutputQuantities) {
		add(ClassTerm, Canonical(q.Class))
	}
	add(TransformTerm, Canonical(e.Transformation))
	add(PrefixTerm, companyPrefixes(e)...)
	for _, t := range e.Transactions {
		add(BusinessTerm, Canonical(t.ID))
	}
	if len(all) > 32 {
		seen := make(map[Term]bool, len(all))
		return slices.DeleteFunc(all, func(t Term) bool {
			before := seen[t]
			seen[t] = true
			return before
		})
	}
	var once []Term
	for _, t := range all {
		if !slices.Contains(once, t) {
			once = append(once, t)
		}
	}
	return once
}

// Stored is a record that was read back.
type Stored struct {
	No         int64 // in the order of capture
	Brand      ids.BrandID
	Hash       Hash
	Declared   bool
	Withdrawn  bool // an error declaration speaks of it
	Time       time.Time
	RecordTime time.Time
	Body, Ours []byte
}

// Unpacked is an event that was read back, with our items still as runs.
type Unpacked struct {
	*Event
	Stored Stored
	Groups [2][]Group // of EPCs, of Outputs
}

// Unpack reads a stored record.
func (c *Codec) Unpack(s *Stored) (*Unpacked, error) {
	t := c.blank()
	defer c.giveBack(t)
	if err := parseJSON(string(s.Body), Limits{Values: storedValuesMax, Depth: c.limits.Depth}, t); err != nil {
		return nil, fmt.Errorf("read event %d: %w", s.No, err)
	}
	r := c.reader(t)
	r.stored = true
	e := r.event(0)
	if len(r.problems) > 0 {
		return nil, fmt.Errorf("read event %d: %w: %v", s.No, errDamaged, r.problems)
	}
	e.RecordTime = s.RecordTime
	p := &Unpacked{Event: e, Stored: *s}
	var err error
	p.Groups, err = decodeGroups(s.Ours)
	return p, err
}

const storedValuesMax = 4_000_000

// Entry is the event for an answer.
func (p *Unpacked) Entry(items Items) *Entry {
	return &Entry{Event: p.Event, Groups: p.Groups, Items: items}
}
