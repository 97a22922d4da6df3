package trace

import (
	"iter"
	"strconv"
	"strings"
)

// kind is what a JSON value is.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
	name    // of an object's member, whose value is the next node
	dropped // a name that comes again
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a text", "a list", "an object"}[k]
}

// tree is a document's values in the order in which they stand, each before what it holds.
// Nodes tell where in the document their text is: without pointers, they cost the collector
// nothing. XML is read into the same form, so that both are judged by one reader.
type tree struct {
	doc   string
	other []string // texts that are no pieces of doc
	nodes []node
}

type node struct {
	kind kind
	// elsewhere says that the text is the one of that number in other. A list or an object
	// has none, and how many members it has.
	elsewhere bool
	from, to  uint32
	size      uint32 // in nodes, what it holds included
}

// ref names a node. The document itself is 0, which is nobody's member, and so stands for what
// is missing.
type ref int

// treeKept is how many nodes are kept for the next document.
const treeKept = 1 << 16

// reset forgets the document.
func (t *tree) reset() {
	clear(t.other)
	t.doc, t.other, t.nodes = "", t.other[:0], t.nodes[:0]
	if cap(t.nodes) > treeKept {
		t.other, t.nodes = nil, nil
	}
}

// piece adds a value whose text stands in the document.
func (t *tree) piece(k kind, from, to int) {
	t.nodes = append(t.nodes, node{kind: k, from: uint32(from), to: uint32(to), size: 1})
}

// apart adds one whose text does not.
func (t *tree) apart(k kind, s string) {
	t.nodes = append(t.nodes, node{kind: k, elsewhere: true, from: uint32(len(t.other)), size: 1})
	t.other = append(t.other, s)
}

// open adds a list or an object, and close ends it.
func (t *tree) open(k kind) ref {
	t.nodes = append(t.nodes, node{kind: k, size: 1})
	return ref(len(t.nodes) - 1)
}

func (t *tree) close(v ref, members int) {
	t.nodes[v].size, t.nodes[v].to = uint32(len(t.nodes)-int(v)), uint32(members)
}

func (t *tree) drop(m ref) { t.nodes[m].kind = dropped }

func (t *tree) kind(v ref) kind { return t.nodes[v].kind }

// text is that of a text, a name, a number (its digits), of true and false; "" of others.
func (t *tree) text(v ref) string {
	switch n := &t.nodes[v]; {
	case n.kind == list || n.kind == object:
		return ""
	case n.elsewhere:
		return t.other[n.from]
	default:
		return t.doc[n.from:n.to]
	}
}

// len is how many members a list or an object has.
func (t *tree) len(v ref) int {
	if k := t.nodes[v].kind; k == list || k == object {
		return int(t.nodes[v].to)
	}
	return 0
}

// elements are those of a list; what is none has none.
func (t *tree) elements(v ref) iter.Seq[ref] {
	return func(yield func(ref) bool) {
		for one, end := t.inside(v, list); one < end && yield(one); one += ref(t.nodes[one].size) {
		}
	}
}

// members are names and values of an object's; what is none has none.
func (t *tree) members(v ref) iter.Seq2[string, ref] {
	return func(yield func(string, ref) bool) {
		for m, end := t.inside(v, object); m < end; m = t.after(m) {
			if t.nodes[m].kind == name && !yield(t.text(m), m+1) {
				return
			}
		}
	}
}

// inside is where the nodes begin and end that a value of such a kind holds.
func (t *tree) inside(v ref, k kind) (first, end ref) {
	if n := &t.nodes[v]; n.kind == k {
		return v + 1, v + ref(n.size)
	}
	return 0, 0
}

// after is the name behind that of a member.
func (t *tree) after(m ref) ref { return m + 1 + ref(t.nodes[m+1].size) }

// get is a member of an object; 0 when there is none.
func (t *tree) get(v ref, key string) ref {
	for k, one := range t.members(v) {
		if k == key {
			return one
		}
	}
	return 0
}

// where is the path to a node.
func (t *tree) where(v ref) string {
	var b strings.Builder
	b.WriteByte('$')
	for at := ref(0); at != v; {
		at = t.towards(at, v, &b)
	}
	return b.String()
}

// towards gives the member that holds v, or is it, and writes the step.
func (t *tree) towards(at, v ref, b *strings.Builder) ref {
	holds := func(one ref) bool { return v < one+ref(t.nodes[one].size) }
	for key, one := range t.members(at) {
		if holds(one) {
			b.WriteString("." + clip(key))
			return one
		}
	}
	i := 0
	for one := range t.elements(at) {
		if holds(one) {
			b.WriteString("[" + strconv.Itoa(i) + "]")
			return one
		}
		i++
	}
	return v
}

// clip shortens what a message quotes.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
