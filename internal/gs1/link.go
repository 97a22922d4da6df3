package gs1

import (
	"cmp"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ID is what a Digital Link identifies: a primary key and its qualifiers. It is
// comparable: two IDs are equal when they name the same thing.
type ID struct {
	Key        Element
	Qualifiers [qualifiersMax]Element // in their order; the unused ones are last and zero
}

// Link is a Digital Link URI taken apart.
type Link struct {
	ID

	Stem       string    // scheme, host and perhaps a path, without a slash at the end
	Attributes []Element // the AIs of the query, in its order
	Query      string    // the rest of the query, as it came
}

// CanonicalStem begins the canonical form of every Digital Link.
const CanonicalStem = "https://id.gs1.org"

// Limits of what is read.
const (
	linkBytesMax  = 4096
	attributesMax = 64
)

// ItemID is the ID of an item of a product, perhaps with its lot; "" = without.
func ItemID(gtin GTIN, lot, serial string) ID {
	id := ID{Key: Element{"01", string(gtin)}}
	n := 0
	for _, e := range [...]Element{{"10", lot}, {"21", serial}} {
		if e.Value != "" {
			id.Qualifiers[n] = e
			n++
		}
	}
	return id
}

// Value is the value of one of the ID's AIs, "" when it has none.
func (id *ID) Value(ai AI) string {
	if id.Key.AI == ai {
		return id.Key.Value
	}
	for i := range id.Qualifiers {
		if id.Qualifiers[i].AI == ai {
			return id.Qualifiers[i].Value
		}
	}
	return ""
}

// Depth is the number of qualifiers.
func (id *ID) Depth() int {
	for i := range id.Qualifiers {
		if id.Qualifiers[i].AI == "" {
			return i
		}
	}
	return qualifiersMax
}

// Up is the ID without its last qualifier: the lot of a serial, the GTIN of a lot.
func (id *ID) Up() (ID, bool) {
	n := id.Depth()
	if n == 0 {
		return ID{}, false
	}
	up := *id
	up.Qualifiers[n-1] = Element{}
	return up, true
}

// Path is the canonical path: "/01/09506000134352/21/ABC".
func (id *ID) Path() string {
	b := make([]byte, 0, 64)
	b = appendPair(b, id.Key)
	for i := range id.Depth() {
		b = appendPair(b, id.Qualifiers[i])
	}
	return string(b)
}

func appendPair(b []byte, e Element) []byte {
	b = append(b, '/')
	b = append(b, e.AI...)
	b = append(b, '/')
	return appendEscaped(b, e.Value)
}

// String is the Digital Link under GS1's own stem.
func (id *ID) String() string { return CanonicalStem + id.Path() }

// Canonical is the form that is the same for all links to one thing with the same
// attributes: GS1's stem, attributes in the order of their AIs, nothing else.
func (l *Link) Canonical() string {
	attributes := slices.Clone(l.Attributes)
	slices.SortFunc(attributes, func(a, b Element) int { return cmp.Compare(a.AI, b.AI) })
	return l.ID.String() + query(attributes, "")
}

// String is the link with its own stem, attributes and query.
func (l *Link) String() string { return l.Stem + l.Path() + query(l.Attributes, l.Query) }

func query(attributes []Element, rest string) string {
	if len(attributes) == 0 && rest == "" {
		return ""
	}
	b := []byte{'?'}
	for _, a := range attributes {
		if len(b) > 1 {
			b = append(b, '&')
		}
		b = append(append(b, a.AI...), '=')
		b = appendEscaped(b, a.Value)
	}
	if rest != "" && len(b) > 1 {
		b = append(b, '&')
	}
	return string(append(b, rest...))
}

// ParseLink reads an absolute Digital Link URI, uncompressed. Whatever stands
// before the primary key is its stem.
func ParseLink(uri string) (Link, error) {
	if len(uri) > linkBytesMax {
		return Link{}, badLink("uri", "length is %d, at most %d are read", len(uri), linkBytesMax)
	}
	uri, _, _ = strings.Cut(uri, "#")
	uri, query, _ := strings.Cut(uri, "?")
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return Link{}, badLink("uri", "should begin with https:// or http://")
	}
	slash := strings.IndexByte(rest, '/')
	if slash <= 0 || !isHost(rest[:slash]) {
		return Link{}, badLink("uri", "has no host before its path")
	}
	path := rest[slash:]
	at := keyAt(path)
	id, err := ParsePath(path[at:])
	if err != nil {
		return Link{}, err
	}
	l := Link{ID: id, Stem: uri[:len(uri)-len(path)+at]}
	l.Attributes, l.Query, err = ParseQuery(&l.ID, query)
	if err != nil {
		return Link{}, err
	}
	return l, nil
}

// isHost refuses what cannot stand in an authority, so that a link can be shown.
func isHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^{|}`, c) >= 0 || c == '`' {
			return false
		}
	}
	return true
}

// keyAt is where in a path the primary key begins. It goes back in pairs from the
// end, since a value may look like a key; failing that, it takes the first segment
// that could be one, so that the error names what is wrong behind it.
func keyAt(path string) int {
	for end := len(path); end > 0; {
		value := strings.LastIndexByte(path[:end], '/')
		if value <= 0 {
			break
		}
		at := strings.LastIndexByte(path[:value], '/')
		if at < 0 {
			break
		}
		if e := entries()[AI(path[at+1:value])]; e != nil && e.key {
			return at
		}
		end = at
	}
	for at, next := 0, 0; next >= 0; at += next + 1 {
		segment := path[at+1:]
		if next = strings.IndexByte(segment, '/'); next >= 0 {
			segment = segment[:next]
		}
		if e := entries()[AI(segment)]; e != nil && e.key {
			return at
		}
	}
	return 0
}

// ParsePath reads the escaped path of a Digital Link from its primary key on, as in
// URL.EscapedPath. It is strict: a key, then qualifiers of that key in their order
// and once; no empty or further segment. A GTIN may be short of its leading zeros.
// Its fault names the AI. It does not allocate for what is written canonically.
func ParsePath(escaped string) (ID, error) {
	if len(escaped) > linkBytesMax {
		return ID{}, badLink("path", "length is %d, at most %d are read", len(escaped), linkBytesMax)
	}
	key, value, rest, more := pair(escaped)
	e := entries()[key]
	if e == nil || !e.key {
		return ID{}, badLink("path", "does not begin with a primary key of GS1 and its value")
	}
	var id ID
	if err := e.read(&id.Key, value); err != nil {
		return ID{}, err
	}
	err := id.readQualifiers(e, rest, more)
	return id, err
}

// pair takes "/ai/value" off the front of a path.
func pair(path string) (ai AI, value, rest string, more bool) {
	if path == "" || path[0] != '/' {
		return "", "", path, false
	}
	name, tail, ok := strings.Cut(path[1:], "/")
	if !ok {
		return AI(name), "", "", false
	}
	if end := strings.IndexByte(tail, '/'); end >= 0 {
		return AI(name), tail[:end], tail[end:], true
	}
	return AI(name), tail, "", false
}

func (id *ID) readQualifiers(key *entry, rest string, more bool) error {
	var sequence []AI
	for n := 0; more; n++ {
		var ai AI
		var value string
		before := rest
		ai, value, rest, more = pair(rest)
		e := entries()[ai]
		switch {
		case e == nil:
			return badLink("path", "has %q where an Application Identifier should be", clip(string(ai)))
		case len(before) == len(ai)+1:
			return badAI(ai, "has no value")
		case id.Value(ai) != "":
			return badAI(ai, "is there twice")
		}
		if sequence == nil {
			sequence = sequenceOf(key, ai)
		}
		at := slices.Index(sequence, ai)
		if at < 0 {
			return id.misplaced(key, ai)
		}
		sequence = sequence[at+1:]
		if err := e.read(&id.Qualifiers[n], value); err != nil {
			return err
		}
		if sequence == nil {
			sequence = []AI{}
		}
	}
	return nil
}

// sequenceOf is the sequence of the key's qualifiers that has the AI.
func sequenceOf(key *entry, ai AI) []AI {
	for _, s := range key.sequences {
		if slices.Contains(s, ai) {
			return s
		}
	}
	return nil
}

// misplaced says why a qualifier cannot stand where it does.
func (id *ID) misplaced(key *entry, ai AI) error {
	switch {
	case sequenceOf(key, ai) == nil:
		return badAI(ai, "does not qualify (%s)", key.ai)
	case slices.Contains(sequenceOf(key, ai), id.Qualifiers[0].AI):
		return badAI(ai, "is out of order: it comes before (%s)", id.Qualifiers[id.Depth()-1].AI)
	default:
		return badAI(ai, "does not go with (%s)", id.Qualifiers[0].AI)
	}
}

// read decodes and checks a value of the AI.
func (e *entry) read(to *Element, escaped string) error {
	value, ok := unescape(escaped)
	if !ok {
		return badAI(e.ai, "has a broken percent-escape")
	}
	return e.set(to, value)
}

// set checks a value of the AI and puts it into its form.
func (e *entry) set(to *Element, value string) error {
	if e.ai == "01" && (len(value) == 8 || len(value) == 12 || len(value) == 13) {
		value = "00000000000000"[len(value):] + value
	}
	if reason := e.check(value); reason != "" {
		return badAI(e.ai, "%s", reason)
	}
	*to = Element{e.ai, value}
	return nil
}

// ParseQuery takes the query of a Digital Link apart: AIs, and the rest as it came.
func ParseQuery(id *ID, query string) (attributes []Element, rest string, err error) {
	for query != "" {
		var parameter string
		if at := strings.IndexAny(query, "&;"); at >= 0 {
			parameter, query = query[:at], query[at+1:]
		} else {
			parameter, query = query, ""
		}
		name, value, _ := strings.Cut(parameter, "=")
		if !isNumber(name) {
			if parameter != "" {
				rest = joined(rest, parameter)
			}
			continue
		}
		e := entries()[AI(name)]
		switch {
		case e == nil:
			return nil, "", badLink("query", "%s is not a GS1 Application Identifier", clip(name))
		case !e.attribute:
			return nil, "", badAI(e.ai, "cannot stand in the query")
		case id.Value(e.ai) != "" || has(attributes, e.ai):
			return nil, "", badAI(e.ai, "is there twice")
		case len(attributes) == attributesMax:
			return nil, "", badLink("query", "has more than %d attributes", attributesMax)
		}
		var a Element
		if err := e.read(&a, strings.ReplaceAll(value, "+", "%20")); err != nil { // a plus is a space in a query
			return nil, "", err
		}
		attributes = append(attributes, a)
	}
	return attributes, rest, nil
}

func joined(rest, parameter string) string {
	if rest == "" {
		return parameter
	}
	return rest + "&" + parameter
}

func has(elements []Element, ai AI) bool {
	return slices.ContainsFunc(elements, func(e Element) bool { return e.AI == ai })
}

func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// clip keeps what was wrong short enough to be said.
func clip(s string) string {
	const most = 32
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func badLink(field, format string, args ...any) error {
	return fault.Field("gs1.bad_link", field, format, args...)
}

// badAI names the AI as it is printed: "(10)".
func badAI(ai AI, format string, args ...any) error {
	return fault.Field("gs1.bad_link", "("+string(ai)+")", format, args...)
}
