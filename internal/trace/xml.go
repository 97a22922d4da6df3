package trace

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// element is one element of XML.
type element struct {
	name  xml.Name
	attrs []xml.Attr
	all   []*element
	text  string
}

// ReadXML reads an EPCISDocument or EPCISQueryDocument of EPCIS 1.2 or 2.0. It is judged
// as the JSON that says the same, in whose words problems are told. A document type
// definition, and so any entity beyond XML's five, is refused.
func (c *Codec) ReadXML(doc string) (*Document, error) {
	if int64(len(doc)) > c.limits.Bytes {
		return nil, ErrTooLarge.Textf("the document is longer than %d bytes", c.limits.Bytes)
	}
	x := &xmlReader{Codec: c, names: map[string]string{}, declared: map[string]bool{}, left: c.limits.Values}
	root, err := x.tree(xml.NewDecoder(strings.NewReader(doc)))
	if err != nil {
		return nil, err
	}
	d, err := x.document(root)
	if err != nil {
		return nil, err
	}
	t := c.blank()
	defer c.giveBack(t)
	d.plant(t)
	return c.document(t)
}

// xmlReader turns XML into JSON.
type xmlReader struct {
	*Codec
	names    map[string]string // namespace → its prefix
	declared map[string]bool   // prefixes that are taken
	made     int               // prefixes that were made, or tried
	left     int
}

// tree reads the elements.
func (x *xmlReader) tree(d *xml.Decoder) (*element, error) {
	var open []*element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil, errNotXML.Textf("the document is empty or ends in the middle")
		}
		if err != nil {
			return nil, errNotXML.Textf("%v", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return nil, errNotXML.Textf("at byte %d: a document type is not taken", d.InputOffset())
		case xml.StartElement:
			if x.left -= 1 + len(t.Attr); x.left < 0 || len(open) == x.limits.Depth {
				return nil, ErrTooLarge.Textf("at byte %d: the document has more elements, or more of them within each other, than are taken", d.InputOffset())
			}
			e := &element{name: t.Name}
			x.attributes(e, t.Attr)
			if n := len(open); n > 0 {
				open[n-1].all = append(open[n-1].all, e)
			}
			open = append(open, e)
		case xml.CharData:
			if n := len(open); n > 0 && !open[n-1].add(t) {
				return nil, ErrTooLarge.Textf("at byte %d: a text is longer than %d bytes", d.InputOffset(), textBytesMax)
			}
		case xml.EndElement:
			n := len(open) - 1
			if n == 0 {
				return open[0], x.nothingMore(d)
			}
			open[n].text = strings.TrimSpace(open[n].text)
			open = open[:n]
		}
	}
}

// add takes a piece of text; what only sets elements apart is dropped.
func (e *element) add(piece xml.CharData) bool {
	if e.text == "" {
		piece = bytes.TrimLeft(piece, " \t\r\n")
	}
	e.text += string(piece)
	return len(e.text) <= textBytesMax
}

// nothingMore refuses what follows the root.
func (x *xmlReader) nothingMore(d *xml.Decoder) error {
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch t := token.(type) {
		case xml.Comment, xml.ProcInst:
			continue
		case xml.CharData:
			if len(bytes.TrimSpace(t)) == 0 {
				continue
			}
		}
		return errNotXML.Textf("something follows the document")
	}
}

// attributes notes prefixes, and keeps what is none and no hint for validators.
func (x *xmlReader) attributes(e *element, attrs []xml.Attr) {
	for _, a := range attrs {
		switch {
		case a.Name.Space == "xmlns":
			if _, known := x.names[a.Value]; !known && !x.declared[a.Name.Local] {
				x.names[a.Value], x.declared[a.Name.Local] = a.Name.Local, true
			}
		case a.Name.Space == "" && a.Name.Local == "xmlns", a.Name.Space == "http://www.w3.org/2001/XMLSchema-instance":
		default:
			e.attrs = append(e.attrs, a)
		}
	}
}

func (e *element) attr(name string) *draft {
	for _, a := range e.attrs {
		if a.Name.Local == name && a.Name.Space == "" {
			return &draft{kind: text, text: a.Value}
		}
	}
	return nil
}

// draft is a value on its way from XML to a tree.
type draft struct {
	kind kind
	text string
	keys []string
	all  []draft        // of a list; of an object, beside keys
	at   map[string]int // where keys stand; nil while they are few
}

// keysFew is how many keys are looked through one by one.
const keysFew = 16

// plant adds it to a tree.
func (n *draft) plant(t *tree) {
	if n.kind != list && n.kind != object {
		t.apart(n.kind, n.text)
		return
	}
	v := t.open(n.kind)
	for i := range n.all {
		if n.kind == object {
			t.apart(name, n.keys[i])
		}
		n.all[i].plant(t)
	}
	t.close(v, len(n.all))
}

// get is a member of an object; nil when there is none.
func (n *draft) get(key string) *draft {
	if n.at != nil {
		if i, ok := n.at[key]; ok {
			return &n.all[i]
		}
		return nil
	}
	if i := slices.Index(n.keys, key); i >= 0 {
		return &n.all[i]
	}
	return nil
}

func (n *draft) set(key string, v *draft) {
	if v == nil {
		return
	}
	n.keys, n.all = append(n.keys, key), append(n.all, *v)
	switch {
	case n.at != nil:
		if _, twice := n.at[key]; !twice {
			n.at[key] = len(n.keys) - 1
		}
	case len(n.keys) > keysFew:
		n.at = make(map[string]int, 2*len(n.keys))
		for i, k := range slices.Backward(n.keys) {
			n.at[k] = i // the first of a name
		}
	}
}

// standard reports whether a name is EPCIS's own: those of events have no namespace.
func standard(name xml.Name) bool {
	return name.Space == "" || strings.HasPrefix(name.Space, "urn:epcglobal:epcis")
}

// find follows names down.
func (e *element) find(names ...string) *element {
	for _, name := range names {
		var next *element
		for _, child := range e.all {
			if standard(child.name) && child.name.Local == name {
				next = child
			}
		}
		if next == nil {
			return nil
		}
		e = next
	}
	return e
}

func (x *xmlReader) document(root *element) (*draft, error) {
	var events *element
	switch root.name.Local {
	case "EPCISDocument":
		events = root.find("EPCISBody", "EventList")
	case "EPCISQueryDocument":
		events = root.find("EPCISBody", "QueryResults", "resultsBody", "EventList")
	}
	if events == nil || !standard(root.name) {
		return nil, errBadDoc.Textf("the document must be an EPCISDocument or an EPCISQueryDocument with an EventList")
	}
	out := &draft{kind: list}
	x.events(out, events)
	context := &draft{kind: object}
	for space, prefix := range x.names {
		context.set(prefix, &draft{kind: text, text: space})
	}
	body := &draft{kind: object}
	body.set("eventList", out)
	doc := &draft{kind: object}
	doc.set("@context", &draft{kind: list, all: []draft{{kind: text, text: StandardContext}, *context}})
	doc.set("type", &draft{kind: text, text: "EPCISDocument"})
	doc.set("schemaVersion", root.attr("schemaVersion"))
	doc.set("creationDate", root.attr("creationDate"))
	if words := root.find("EPCISHeader", "extension", "EPCISMasterData", "VocabularyList"); words != nil {
		doc.set("epcisHeader", masterData(words))
	} else if words := root.find("EPCISHeader", "EPCISMasterData", "VocabularyList"); words != nil {
		doc.set("epcisHeader", masterData(words))
	}
	doc.set("epcisBody", body)
	return doc, nil
}

// events gathers the events, also those that EPCIS 1.2 hides in extensions.
func (x *xmlReader) events(out *draft, in *element) {
	for _, e := range in.all {
		if e.name.Local == "extension" && standard(e.name) {
			x.events(out, e)
			continue
		}
		n := &draft{kind: object}
		n.set("type", &draft{kind: text, text: e.name.Local})
		x.members(n, e, x.eventField)
		out.all = append(out.all, *n)
	}
}

// members turns elements into members. EPCIS 1.2's wrappers of what came later are opened,
// and extensions are gathered: those of one name are a list.
func (x *xmlReader) members(n *draft, e *element, field func(e *element) *draft) {
	own := map[string][]draft{}
	var order []string
	var walk func(e *element)
	walk = func(e *element) {
		for _, child := range e.all {
			name := child.name.Local
			switch {
			case !standard(child.name):
				key := x.key(child.name)
				if own[key] == nil {
					order = append(order, key)
				}
				own[key] = append(own[key], *x.anything(child))
			case name == "extension" || name == "baseExtension":
				walk(child)
			default:
				v := field(child)
				if before := n.get(name); before != nil && before.kind == list && v.kind == list {
					before.all = append(before.all, v.all...) // repeated elements
				} else {
					n.set(name, v)
				}
			}
		}
	}
	walk(e)
	for _, key := range order {
		if all := own[key]; len(all) == 1 {
			n.set(key, &all[0])
		} else {
			n.set(key, &draft{kind: list, all: all})
		}
	}
}

// key is the name with a prefix that an extension has in JSON.
func (x *xmlReader) key(name xml.Name) string {
	if name.Space == "" {
		return name.Local
	}
	prefix, known := x.names[name.Space]
	for !known { // it came without a prefix, or another has it
		x.made++
		if prefix = "ns" + strconv.Itoa(x.made); !x.declared[prefix] {
			x.names[name.Space], x.declared[prefix], known = prefix, true, true
		}
	}
	return prefix + ":" + name.Local
}

// anything turns an extension's element into a value.
func (x *xmlReader) anything(e *element) *draft {
	if len(e.all) == 0 && len(e.attrs) == 0 {
		return &draft{kind: text, text: e.text}
	}
	n := &draft{kind: object}
	x.extra(n, e)
	if e.text != "" {
		n.set("@value", &draft{kind: text, text: e.text})
	}
	own := map[string][]draft{}
	var order []string
	for _, child := range e.all {
		key := x.key(child.name)
		if own[key] == nil {
			order = append(order, key)
		}
		own[key] = append(own[key], *x.anything(child))
	}
	for _, key := range order {
		if all := own[key]; len(all) == 1 {
			n.set(key, &all[0])
		} else {
			n.set(key, &draft{kind: list, all: all})
		}
	}
	return n
}

// extra turns attributes into members.
func (x *xmlReader) extra(n *draft, e *element) {
	for _, a := range e.attrs {
		n.set(x.key(a.Name), &draft{kind: text, text: a.Value})
	}
}
