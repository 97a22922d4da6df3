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
// document as a whole is the error; what is wrong with an event stands beside it. The events'
// texts are pieces of the document.
func (c *Codec) ReadJSON(doc string) (*Document, error) {
	t := c.blank()
	defer c.giveBack(t)
	if err := c.parse(doc, t); err != nil {
		return nil, err
	}
	return c.document(t)
}

// ReadEvent reads one event that comes alone, with its own @context.
func (c *Codec) ReadEvent(doc string) (*Event, error) {
	t := c.blank()
	defer c.giveBack(t)
	if err := c.parse(doc, t); err != nil {
		return nil, err
	}
	r := c.reader(t)
	e := r.event(0)
	if r.kind(0) == object {
		r.required(0, "@context")
	}
	if len(r.problems) > 0 {
		return nil, Refused(ErrBadEvent, r.problems)
	}
	return e, nil
}

// blank is a tree that nobody needs when the document is read: what is kept of it are texts.
func (c *Codec) blank() *tree {
	if t, ok := c.trees.Get().(*tree); ok {
		return t
	}
	return &tree{}
}

func (c *Codec) giveBack(t *tree) {
	t.reset()
	c.trees.Put(t)
}

func (c *Codec) reader(t *tree) *reader { return &reader{Codec: c, tree: t, prefixes: c.standard} }

func (c *Codec) parse(doc string, t *tree) error {
	if int64(len(doc)) > c.limits.Bytes {
		return ErrTooLarge.Textf("the document is longer than %d bytes", c.limits.Bytes)
	}
	return parseJSON(doc, c.limits, t)
}

func (c *Codec) document(t *tree) (*Document, error) {
	r := c.reader(t)
	events := r.envelope()
	if len(r.problems) > 0 {
		return nil, Refused(errBadDoc, r.problems)
	}
	if n := r.len(events); n > c.limits.Events {
		return nil, ErrTooLarge.Textf("the document has %d events, at most %d are taken at once", n, c.limits.Events)
	}
	d := &Document{Events: make([]Read, 0, r.len(events)), Masters: r.masters}
	shared := r.prefixes
	for v := range r.elements(events) {
		r.prefixes, r.problems = shared, nil
		e := r.event(v)
		d.Events = append(d.Events, Read{e, r.problems})
	}
	return d, nil
}

// envelope judges what is around the events, and gives their list.
func (r *reader) envelope() (events ref) {
	if !r.is(0, object) {
		return 0
	}
	kindOf := ""
	if t := r.get(0, "type"); t != 0 {
		kindOf = r.tree.text(t)
	}
	if kindOf != "EPCISDocument" && kindOf != "EPCISQueryDocument" {
		r.failf(0, "type must be EPCISDocument or EPCISQueryDocument")
		return 0
	}
	r.required(0, "@context", "epcisBody")
	if kindOf == "EPCISDocument" {
		r.required(0, "schemaVersion", "creationDate")
	}
	for key, v := range r.members(0) {
		r.head(kindOf, key, v)
	}
	body := r.get(0, "epcisBody")
	if kindOf == "EPCISDocument" {
		return r.into(body, nil, "eventList")
	}
	results := r.into(body, r.beside(), "queryResults")
	if len(r.problems) == 0 && r.kind(results) == object {
		r.required(results, "queryName")
	}
	results = r.into(results, r.beside("queryName", "subscriptionID"), "resultsBody")
	return r.into(results, r.beside("vocabularyList"), "eventList")
}

// head judges one member of the document.
func (r *reader) head(kindOf, key string, v ref) {
	switch key {
	case "@context":
		r.prefixes = r.contexts(v, r.prefixes)
	case "type", "epcisBody":
	case "id":
		r.uri(v)
	case "schemaVersion":
		if s := r.text(v); r.kind(v) == text && !isVersion(s) {
			r.failf(v, "%q is not a version such as 2.0", clip(s))
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
			r.failf(v, "is not a field here")
		}
	}
}

// into gives one member of an object, once nothing is wrong around it. beside judges the other
// members; nil = whatever they are.
func (r *reader) into(n ref, beside func(key string, v ref), member string) ref {
	if len(r.problems) > 0 || !r.is(n, object) {
		return 0
	}
	if beside != nil {
		for key, v := range r.members(n) {
			if key != member {
				beside(key, v)
			}
		}
	}
	v := r.get(n, member)
	switch {
	case v == 0:
		r.failf(n, "%s is missing", member)
	case member == "eventList":
		r.is(v, list)
	}
	return v
}

// beside judges members of a query document's parts: texts, a list of vocabularies, or
// what has a prefix.
func (r *reader) beside(own ...string) func(key string, v ref) {
	return func(key string, v ref) {
		switch {
		case !slices.Contains(own, key):
			if !isURI(key) {
				r.failf(v, "is not a field here")
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

func (r *reader) header(n ref) {
	if !r.is(n, object) {
		return
	}
	for key, v := range r.members(n) {
		switch {
		case key != "epcisMasterData":
			if !isURI(key) {
				r.failf(v, "is not a field here")
			}
		case r.is(v, object):
			if l := r.get(v, "vocabularyList"); l != 0 {
				r.masters = r.vocabulary(l)
			}
		}
	}
}
