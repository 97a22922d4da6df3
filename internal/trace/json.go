package trace

import (
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads one JSON text, strictly: UTF-8, nothing beside the grammar, and no
// more depth and values than the limits allow.
type jsonReader struct {
	*tree

	at   int
	left int // values that may still come
}

// parseJSON reads a document into a tree. Texts are pieces of the document.
func parseJSON(in string, l Limits, t *tree) error {
	if !utf8.ValidString(in) {
		return errNotJSON.Textf("the document is not valid UTF-8")
	}
	t.doc = strings.TrimPrefix(in, "\ufeff")
	r := jsonReader{tree: t, left: l.Values}
	if err := r.value(l.Depth); err != nil {
		return err
	}
	if r.space(); r.at != len(r.doc) {
		return r.bad("something follows the document")
	}
	return nil
}

func (r *jsonReader) bad(reason string) error {
	return errNotJSON.Textf("at byte %d: %s", r.at, reason)
}

// eight are the bytes from i on, which must be there.
func eight(s string, i int) uint64 {
	b := s[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

const (
	ones   = 0x0101010101010101 // a byte, times this, is eight of it
	blanks = ' ' * ones
	tops   = 0x80 * ones
)

func (r *jsonReader) space() {
	if r.at < len(r.doc) && r.doc[r.at] > ' ' {
		return
	}
	r.spaces()
}

func (r *jsonReader) spaces() {
	for r.at < len(r.doc) {
		switch r.doc[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
		for r.at+8 <= len(r.doc) && eight(r.doc, r.at) == blanks {
			r.at += 8
		}
	}
}

// value reads any value.
func (r *jsonReader) value(depth int) error {
	r.space()
	if r.at == len(r.doc) {
		return r.bad("the document ends in the middle")
	}
	if r.left--; r.left < 0 {
		return ErrTooLarge.Textf("the document holds more values than are taken at once")
	}
	switch c := r.doc[r.at]; {
	case c == '"':
		return r.text(text)
	case c == '{' || c == '[':
		if depth == 0 {
			return ErrTooLarge.Textf("at byte %d: the document is nested too deeply", r.at)
		}
		r.at++
		if c == '[' {
			return r.list(depth - 1)
		}
		return r.object(depth - 1)
	case c == '-' || '0' <= c && c <= '9':
		return r.number()
	}
	return r.literal()
}

func (r *jsonReader) literal() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(r.doc[r.at:], word) {
			kind := boolean
			if word == "null" {
				kind = null
			}
			r.piece(kind, r.at, r.at+len(word))
			r.at += len(word)
			return nil
		}
	}
	return r.bad("no value begins like this")
}

// next takes the separator behind an element: a comma (true), or the end.
func (r *jsonReader) next(end byte) (more bool, _ error) {
	r.space()
	switch {
	case r.at == len(r.doc):
		return false, r.bad("the document ends in the middle")
	case r.doc[r.at] == ',':
		r.at++
		return true, nil
	case r.doc[r.at] == end:
		r.at++
		return false, nil
	}
	return false, r.bad("a comma or " + string(end) + " is missing")
}

// empty takes the end of a list or an object without elements.
func (r *jsonReader) empty(end byte) bool {
	r.space()
	if r.at < len(r.doc) && r.doc[r.at] == end {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) list(depth int) error {
	v := r.open(list)
	if r.empty(']') {
		return nil
	}
	count := 0
	for more := true; more; count++ {
		err := r.value(depth)
		if err != nil {
			return err
		}
		if more, err = r.next(']'); err != nil {
			return err
		}
	}
	r.close(v, count)
	return nil
}

// object reads an object. Of a name that comes twice the last counts, as with every
// reader of JSON: one of GS1's own examples has such a name.
func (r *jsonReader) object(depth int) error {
	v := r.open(object)
	if r.empty('}') {
		return nil
	}
	seen := nameSet{of: v}
	for more := true; more; {
		r.space()
		if r.at == len(r.doc) || r.doc[r.at] != '"' {
			return r.bad("a name in quotes is missing")
		}
		err := r.text(name)
		if err != nil {
			return err
		}
		seen.add(r.tree)
		if r.space(); r.at == len(r.doc) || r.doc[r.at] != ':' {
			return r.bad("a colon is missing")
		}
		r.at++
		err = r.value(depth)
		if err != nil {
			return err
		}
		if more, err = r.next('}'); err != nil {
			return err
		}
	}
	r.close(v, seen.count)
	return nil
}

// nameSet is the names of an object that is being read.
type nameSet struct {
	of     ref
	count  int
	some   uint64         // a bit for each, which others may share
	lookUp map[string]ref // when they are many
}

// namesFew is how many names are compared one by one.
const namesFew = 32

// add takes the name that was read last, and drops an earlier member of that name.
func (n *nameSet) add(t *tree) {
	m := ref(len(t.nodes) - 1)
	key := t.text(m)
	bit := uint64(1) << 63
	if key != "" {
		bit = 1 << ((uint(len(key)) + 7*uint(key[0]) + uint(key[len(key)-1])) & 63)
	}
	if n.count == namesFew && n.lookUp == nil {
		n.lookUp = map[string]ref{}
		for at := n.of + 1; at < m; at = t.after(at) {
			n.lookUp[t.text(at)] = at
		}
	}
	n.count++
	switch {
	case n.lookUp != nil:
		if before, again := n.lookUp[key]; again {
			t.drop(before)
			n.count--
		}
		n.lookUp[key] = m
	case n.some&bit != 0:
		for at := n.of + 1; at < m; at = t.after(at) {
			if t.nodes[at].kind == name && t.text(at) == key {
				t.drop(at)
				n.count--
				break
			}
		}
	}
	n.some |= bit
}

// text reads a string, as a value or a name. Without escapes it is a piece of the document.
func (r *jsonReader) text(as kind) error {
	from := r.at + 1
	i := from
	for i+8 <= len(r.doc) {
		// the lowest byte that is marked is a quote, a backslash or a control character
		w := eight(r.doc, i)
		quote, slash := w^'"'*ones, w^'\\'*ones
		if marked := ((quote-ones)&^quote | (slash-ones)&^slash | (w-blanks)&^w) & tops; marked != 0 {
			i += bits.TrailingZeros64(marked) / 8
			break
		}
		i += 8
	}
	for ; i < len(r.doc); i++ {
		switch c := r.doc[i]; {
		case c == '"':
			r.piece(as, from, i)
			r.at = i + 1
			return nil
		case c == '\\':
			return r.escaped(as, from, i)
		case c < ' ':
			r.at = i
			return r.bad("a control character must be escaped")
		}
	}
	return r.bad("the text does not end")
}

// escaped reads a string from its first escape on.
func (r *jsonReader) escaped(as kind, from, i int) error {
	var b strings.Builder
	b.WriteString(r.doc[from:i])
	for i < len(r.doc) {
		c := r.doc[i]
		switch {
		case c == '"':
			r.apart(as, b.String())
			r.at = i + 1
			return nil
		case c < ' ':
			r.at = i
			return r.bad("a control character must be escaped")
		case c != '\\':
			b.WriteByte(c)
			i++
			continue
		}
		read, n := unescape(r.doc[i:])
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

func (r *jsonReader) number() error {
	from := r.at
	digits := func() bool {
		start := r.at
		for r.at < len(r.doc) && '0' <= r.doc[r.at] && r.doc[r.at] <= '9' {
			r.at++
		}
		return r.at > start
	}
	is := func(set string) bool {
		if r.at < len(r.doc) && strings.IndexByte(set, r.doc[r.at]) >= 0 {
			r.at++
			return true
		}
		return false
	}
	is("-")
	whole := r.at
	ok := digits() && (r.doc[whole] != '0' || r.at == whole+1)
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
	r.piece(number, from, r.at)
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
