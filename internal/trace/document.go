package trace

import (
	"slices"
	"strings"
)

// Document is what somebody sent: its events in their order, each with what is wrong
// with it.
type Document struct {
	Events  []Read
	Masters []Master // of its header
}

// Read is an event as it was read. With problems it is not to be used.
type Read struct {
	Event    *Event
	Problems []Problem
}

// ReadJSON reads an EPCISDocument or an EPCISQueryDocument. What is wrong with the
// document as a whole is the error; what is wrong with an event stands beside it.
func (c *Codec) ReadJSON(raw []byte) (*Document, error) {
	a := c.arena()
	defer c.giveBack(a)
	n, err := c.parse(raw, a)
	if err != nil {
		return nil, err
	}
	return c.document(n)
}

// ReadEvent reads one event that comes alone, with its own @context.
func (c *Codec) ReadEvent(raw []byte) (*Event, error) {
	a := c.arena()
	defer c.giveBack(a)
	n, err := c.parse(raw, a)
	if err != nil {
		return nil, err
	}
	r := c.reader()
	e := r.event(n)
	if n.kind == object {
		r.required(n, "@context")
	}
	r.identifiers(e)
	if len(r.problems) > 0 {
		return nil, Refused(ErrBadEvent, r.problems)
	}
	return e, nil
}

// arena is a place for nodes that nobody needs when the document is read: what is kept of them
// are texts.
func (c *Codec) arena() *arena {
	if a, ok := c.arenas.Get().(*arena); ok {
		return a
	}
	return &arena{}
}

func (c *Codec) giveBack(a *arena) {
	a.reset()
	c.arenas.Put(a)
}

func (c *Codec) reader() *reader {
	return &reader{Codec: c, prefixes: c.standard, path: make([]step, 0, pathUsual)}
}

func (c *Codec) parse(raw []byte, a *arena) (*node, error) {
	if int64(len(raw)) > c.limits.Bytes {
		return nil, ErrTooLarge.Textf("the document is longer than %d bytes", c.limits.Bytes)
	}
	return parseJSON(string(raw), c.limits, a)
}

func (c *Codec) document(n *node) (*Document, error) {
	r := c.reader()
	events := r.envelope(n)
	if len(r.problems) > 0 {
		return nil, Refused(errBadDoc, r.problems)
	}
	if len(events.all) > c.limits.Events {
		return nil, ErrTooLarge.Textf("the document has %d events, at most %d are taken at once", len(events.all), c.limits.Events)
	}
	d := &Document{Events: make([]Read, len(events.all)), Masters: r.masters}
	base, shared := r.path, r.prefixes
	for i := range events.all {
		r.path, r.prefixes, r.problems = append(base, step{index: i}), shared, nil
		e := r.event(&events.all[i])
		r.identifiers(e)
		d.Events[i] = Read{e, r.problems}
	}
	return d, nil
}

// envelope judges what is around the events, and gives their list. The reader's path
// then leads to it.
func (r *reader) envelope(n *node) *node {
	none := &node{kind: list}
	if !r.is(n, object) {
		return none
	}
	kindOf := ""
	if t := n.get("type"); t != nil {
		kindOf = t.text
	}
	if kindOf != "EPCISDocument" && kindOf != "EPCISQueryDocument" {
		r.failf("type must be EPCISDocument or EPCISQueryDocument")
		return none
	}
	r.required(n, "@context", "epcisBody")
	if kindOf == "EPCISDocument" {
		r.required(n, "schemaVersion", "creationDate")
	}
	for i, key := range n.keys {
		r.push(key, 0)
		r.head(kindOf, key, &n.all[i])
		r.pop()
	}
	body := n.get("epcisBody")
	if body == nil || len(r.problems) > 0 {
		return none
	}
	if kindOf == "EPCISDocument" {
		return r.into(body, "epcisBody", nil, "eventList")
	}
	body = r.into(body, "epcisBody", r.beside(), "queryResults")
	if body.kind == object {
		r.required(body, "queryName")
	}
	body = r.into(body, "queryResults", r.beside("queryName", "subscriptionID"), "resultsBody")
	return r.into(body, "resultsBody", r.beside("vocabularyList"), "eventList")
}

// head judges one member of the document.
func (r *reader) head(kindOf, key string, v *node) {
	switch key {
	case "@context":
		r.prefixes = r.contexts(v, r.prefixes)
	case "type", "epcisBody":
	case "id":
		r.uri(v)
	case "schemaVersion":
		if s := r.text(v); v.kind == text && !isVersion(s) {
			r.failf("%q is not a version such as 2.0", clip(s))
		}
	case "creationDate":
		r.time(v)
	default:
		own := kindOf == "EPCISDocument"
		switch {
		case own && (key == "instanceIdentifier" || key == "sender" || key == "receiver"):
			r.text(v)
		case own && key == "epcisHeader":
			r.header(v)
		case !isURI(key):
			r.failf("is not a field here")
		}
	}
}

// into gives one member of an object, and leaves the reader's path at the object's name.
// beside judges the other members; nil = whatever they are.
func (r *reader) into(n *node, name string, beside func(key string, v *node), member string) *node {
	r.push(name, 0)
	none := &node{kind: list}
	if len(r.problems) > 0 || !r.is(n, object) {
		return none
	}
	for i, key := range n.keys {
		if key != member && beside != nil {
			r.push(key, 0)
			beside(key, &n.all[i])
			r.pop()
		}
	}
	v := n.get(member)
	if v == nil {
		r.failf("%s is missing", member)
		return none
	}
	if member == "eventList" {
		if r.push(member, 0); !r.is(v, list) {
			return none
		}
	}
	return v
}

// beside judges members of a query document's parts: texts, a list of vocabularies, or
// what has a prefix.
func (r *reader) beside(own ...string) func(key string, v *node) {
	return func(key string, v *node) {
		switch {
		case !slices.Contains(own, key):
			if !isURI(key) {
				r.failf("is not a field here")
			}
		case key == "vocabularyList":
			r.vocabulary(v)
		default:
			r.text(v)
		}
	}
}

func isVersion(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || !isDigits(part) {
			return false
		}
	}
	return true
}

func (r *reader) header(n *node) {
	if !r.is(n, object) {
		return
	}
	for i, key := range n.keys {
		r.push(key, 0)
		if v := &n.all[i]; key != "epcisMasterData" {
			if !isURI(key) {
				r.failf("is not a field here")
			}
		} else if r.is(v, object) {
			if l := v.get("vocabularyList"); l != nil {
				r.push("vocabularyList", 0)
				r.masters = r.vocabulary(l)
				r.pop()
			}
		}
		r.pop()
	}
}

// at reads a member that may be missing.
func (r *reader) at(n *node, key string, fn func(*node)) {
	if v := n.get(key); v != nil {
		r.push(key, 0)
		fn(v)
		r.pop()
	}
}
