package trace

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
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
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a text", "a list", "an object"}[k]
}

// node is a JSON value. XML is read into the same form, so that both are judged by one
// reader. Numbers keep their digits.
type node struct {
	kind kind
	text string // of a text, a number; "true" or "false"
	keys []string
	all  []node // of a list; of an object, beside keys
}

// get is a member of an object; nil when there is none.
func (n *node) get(key string) *node {
	for i, k := range n.keys {
		if k == key {
			return &n.all[i]
		}
	}
	return nil
}

// jsonReader reads one JSON text, strictly: UTF-8, nothing beside the grammar, and no
// more depth and values than the limits allow.
type jsonReader struct {
	in   string
	at   int
	left int // values that may still come
	*arena
}

// arena is where a document's nodes lie: an object's or a list's members are gathered on the
// stacks, and moved to their place when it ends.
type arena struct {
	members []node
	names   []string
	nodes   slab[node]
	keys    slab[string]
}

// slab gives pieces of large slices.
type slab[T any] struct {
	free []T   // of the last of all
	all  [][]T // whole
}

const (
	slabFirst = 128
	slabMost  = 8192
)

// of gives a copy of a piece.
func (s *slab[T]) of(piece []T) []T {
	if len(piece) == 0 {
		return nil
	}
	if len(piece) > len(s.free) {
		size := slabFirst
		if n := len(s.all); n > 0 {
			size = min(2*len(s.all[n-1]), slabMost)
		}
		s.free = make([]T, max(size, len(piece)))
		s.all = append(s.all, s.free)
	}
	out := s.free[:len(piece):len(piece)]
	s.free = s.free[len(piece):]
	copy(out, piece)
	return out
}

// reset forgets all pieces, and keeps the largest slices of usual size.
func (s *slab[T]) reset() {
	for i, one := range s.all {
		if i == len(s.all)-1 {
			one = one[:len(one)-len(s.free)]
		}
		clear(one)
	}
	s.free = nil
	if n := len(s.all); n > 0 && len(s.all[n-1]) <= slabMost {
		s.free, s.all = s.all[n-1], append(s.all[:0], s.all[n-1])
	} else {
		s.all = nil
	}
}

func (a *arena) reset() {
	clear(a.members[:cap(a.members)])
	clear(a.names[:cap(a.names)])
	a.members, a.names = a.members[:0], a.names[:0]
	if cap(a.members) > slabMost {
		a.members, a.names = nil, nil
	}
	a.nodes.reset()
	a.keys.reset()
}

// parseJSON reads a document. What it gives lies in the arena.
func parseJSON(in string, l Limits, a *arena) (*node, error) {
	if !utf8.ValidString(in) {
		return nil, errNotJSON.Textf("the document is not valid UTF-8")
	}
	r := jsonReader{in: strings.TrimPrefix(in, "\ufeff"), left: l.Values, arena: a}
	n, err := r.value(l.Depth)
	if err != nil {
		return nil, err
	}
	if r.space(); r.at != len(r.in) {
		return nil, r.bad("something follows the document")
	}
	return &n, nil
}

func (r *jsonReader) bad(reason string) error {
	return errNotJSON.Textf("at byte %d: %s", r.at, reason)
}

func (r *jsonReader) space() {
	if r.at < len(r.in) && r.in[r.at] > ' ' {
		return
	}
	r.spaces()
}

func (r *jsonReader) spaces() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// value reads any value.
func (r *jsonReader) value(depth int) (n node, err error) {
	r.space()
	if r.at == len(r.in) {
		return n, r.bad("the document ends in the middle")
	}
	if r.left--; r.left < 0 {
		return n, ErrTooLarge.Textf("the document holds more values than are taken at once")
	}
	switch c := r.in[r.at]; {
	case c == '"':
		n.kind = text
		return n, r.text(&n.text)
	case c == '{' || c == '[':
		if depth == 0 {
			return n, ErrTooLarge.Textf("at byte %d: the document is nested too deeply", r.at)
		}
		r.at++
		if c == '[' {
			n.kind = list
			err := r.list(&n, depth-1)
			return n, err
		}
		n.kind = object
		err := r.object(&n, depth-1)
		return n, err
	case c == '-' || '0' <= c && c <= '9':
		n.kind = number
		return n, r.number(&n.text)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(r.in[r.at:], word) {
			n.text = word
			if word != "null" {
				n.kind = boolean
			}
			r.at += len(word)
			return n, nil
		}
	}
	return n, r.bad("no value begins like this")
}

// next takes the separator behind an element: a comma (true), or the end.
func (r *jsonReader) next(end byte) (more bool, _ error) {
	r.space()
	switch {
	case r.at == len(r.in):
		return false, r.bad("the document ends in the middle")
	case r.in[r.at] == ',':
		r.at++
		return true, nil
	case r.in[r.at] == end:
		r.at++
		return false, nil
	}
	return false, r.bad("a comma or " + string(end) + " is missing")
}

// empty takes the end of a list or an object without elements.
func (r *jsonReader) empty(end byte) bool {
	r.space()
	if r.at < len(r.in) && r.in[r.at] == end {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) list(n *node, depth int) error {
	if r.empty(']') {
		return nil
	}
	from := len(r.members)
	for more := true; more; {
		v, err := r.value(depth)
		if err != nil {
			return err
		}
		r.members = append(r.members, v)
		if more, err = r.next(']'); err != nil {
			return err
		}
	}
	n.all = r.nodes.of(r.members[from:])
	r.members = r.members[:from]
	return nil
}

// membersSeen is from how many members on a map finds names that come again.
const membersSeen = 32

// object reads an object. Of a name that comes twice the last counts, as with every
// reader of JSON: one of GS1's own examples has such a name.
func (r *jsonReader) object(n *node, depth int) error {
	if r.empty('}') {
		return nil
	}
	values, names := len(r.members), len(r.names)
	var seen map[string]int
	for more := true; more; {
		r.space()
		if r.at == len(r.in) || r.in[r.at] != '"' {
			return r.bad("a name in quotes is missing")
		}
		var key string
		err := r.text(&key)
		if err != nil {
			return err
		}
		if r.space(); r.at == len(r.in) || r.in[r.at] != ':' {
			return r.bad("a colon is missing")
		}
		r.at++
		at := place(r.names[names:], key, &seen)
		if at == len(r.names)-names {
			r.names = append(r.names, key)
			r.members = append(r.members, node{})
		}
		v, err := r.value(depth)
		if err != nil {
			return err
		}
		r.members[values+at] = v
		if more, err = r.next('}'); err != nil {
			return err
		}
	}
	n.keys, n.all = r.keys.of(r.names[names:]), r.nodes.of(r.members[values:])
	r.members, r.names = r.members[:values], r.names[:names]
	return nil
}

// place is where among the names one stands, or is to stand.
func place(names []string, key string, seen *map[string]int) int {
	if len(names) < membersSeen {
		if at := slices.Index(names, key); at >= 0 {
			return at
		}
		return len(names)
	}
	if *seen == nil {
		*seen = map[string]int{}
		for i, k := range names {
			(*seen)[k] = i
		}
	}
	at, again := (*seen)[key]
	if !again {
		at = len(names)
		(*seen)[key] = at
	}
	return at
}

// text reads a string. Without escapes it is a piece of the document.
func (r *jsonReader) text(into *string) error {
	from := r.at + 1
	for i := from; i < len(r.in); i++ {
		switch c := r.in[i]; {
		case c == '"':
			*into, r.at = r.in[from:i], i+1
			return nil
		case c == '\\':
			return r.escaped(into, from, i)
		case c < ' ':
			r.at = i
			return r.bad("a control character must be escaped")
		}
	}
	return r.bad("the text does not end")
}

// escaped reads a string from its first escape on.
func (r *jsonReader) escaped(into *string, from, i int) error {
	var b strings.Builder
	b.WriteString(r.in[from:i])
	for i < len(r.in) {
		c := r.in[i]
		switch {
		case c == '"':
			*into, r.at = b.String(), i+1
			return nil
		case c < ' ':
			r.at = i
			return r.bad("a control character must be escaped")
		case c != '\\':
			b.WriteByte(c)
			i++
			continue
		}
		read, n := unescape(r.in[i:])
		if n == 0 {
			r.at = i
			return r.bad("no escape looks like this")
		}
		b.WriteRune(read)
		i += n
	}
	return r.bad("the text does not end")
}

// unescape reads one escape; n is 0 when it is none. A surrogate that stands alone is none.
func unescape(s string) (_ rune, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	if i := strings.IndexByte(`"\/bfnrt`, s[1]); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), 2
	}
	first, ok := hex4(s)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(first):
		return first, 6
	}
	second, ok := hex4(s[6:])
	if both := utf16.DecodeRune(first, second); ok && both != utf8.RuneError {
		return both, 12
	}
	return 0, 0
}

func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(v), err == nil
}

func (r *jsonReader) number(into *string) error {
	from := r.at
	digits := func() bool {
		start := r.at
		for r.at < len(r.in) && '0' <= r.in[r.at] && r.in[r.at] <= '9' {
			r.at++
		}
		return r.at > start
	}
	is := func(set string) bool {
		if r.at < len(r.in) && strings.IndexByte(set, r.in[r.at]) >= 0 {
			r.at++
			return true
		}
		return false
	}
	is("-")
	whole := r.at
	ok := digits() && (r.in[whole] != '0' || r.at == whole+1)
	if ok && is(".") {
		ok = digits()
	}
	if ok && is("eE") {
		is("+-")
		ok = digits()
	}
	if !ok || r.at-from > numberBytesMax {
		return r.bad("this is no number")
	}
	*into = r.in[from:r.at]
	return nil
}

// appendText writes a JSON string.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
		from = i + 1
	}
	return append(append(dst, s[from:]...), '"')
}

// clip shortens what a message quotes.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
