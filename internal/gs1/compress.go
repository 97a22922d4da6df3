package gs1

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Compressed Digital Links (GS1 Digital Link Standard: Compression) are one path
// segment of base 64: a row of bits with AIs as four bits for each digit, or two
// hexadecimal digits for a frequent sequence of AIs, each followed by its value.

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// sequenceRows are the codes of frequent sequences. The last digit of a row of ten
// counts up in the code and in the AI alike.
const sequenceRows = `
0A 01 22
0B 01 10
0C 01 21
0D 01 17
0E 01 7003
0F 01 30
1A 01 10 21 17
1B 01 15
1C 01 11
1D 01 16
1E 01 91
1F 01 10 15
2A 01 3100
2B 01 3101
2C 01 3102
2D 01 3103
2E 01 3104
2F 01 3105
3A 01 3200
3B 01 3201
3C 01 3202
3D 01 3203
3E 01 3204
3F 01 3205
9A 8010 8011
9B 8017 8019
9C 8018 8019
9D 414 254
A0 01 3920
A1 01 3921
A2 01 3922
A3 01 3923
A4 01 3924
A5 01 3925
A6 01 3926
A7 01 3927
A8 01 3928
A9 01 3929
C0 255 3900
C1 255 3901
C2 255 3902
C3 255 3903
C4 255 3904
C5 255 3905
C6 255 3906
C7 255 3907
C8 255 3908
C9 255 3909
CA 255 3940
CB 255 3941
CC 255 3942
CD 255 3943
`

// sequenceOfCode finds the AIs behind a code.
func sequenceOfCode(code string) []AI {
	for row := range strings.Lines(sequenceRows) {
		if fields := strings.Fields(row); len(fields) > 1 && fields[0] == code {
			return toAIs(fields[1:])
		}
	}
	return nil
}

func toAIs(fields []string) []AI {
	ais := make([]AI, len(fields))
	for i, f := range fields {
		ais[i] = AI(f)
	}
	return ais
}

// Decompress reads an absolute Digital Link URI that is compressed as a whole, or
// behind its primary key.
func Decompress(uri string) (Link, error) {
	if len(uri) > linkBytesMax {
		return Link{}, badLink("uri", "length is %d, at most %d are read", len(uri), linkBytesMax)
	}
	uri, _, _ = strings.Cut(uri, "#")
	uri, query, _ := strings.Cut(uri, "?")
	scheme, rest, ok := strings.Cut(uri, "://")
	slash := strings.IndexByte(rest, '/')
	if !ok || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") || slash <= 0 || !isHost(rest[:slash]) {
		return Link{}, badLink("uri", "should begin with https:// or http:// and a host")
	}
	return DecompressPath(uri[:len(uri)-len(rest)+slash], rest[slash:], query)
}

// DecompressPath reads a compressed path, "/AQnYUc1gmiERBhQ", "/01/09506000134352/…" or
// an EPC as tags hold it, "/eh3066C4…", and the query behind it. Its fault has the code "gs1.bad_compressed" when the path
// cannot be a compressed one at all.
func DecompressPath(stem, escapedPath, query string) (Link, error) {
	segments := strings.Split(strings.TrimPrefix(escapedPath, "/"), "/")
	last := segments[len(segments)-1]
	if len(segments) == 1 && isTagPath(last) && len(last) <= linkBytesMax {
		return decompressTag(stem, last, query)
	}
	if len(escapedPath) > linkBytesMax || len(segments) != 1 && len(segments) != 3 || last == "" {
		return Link{}, badCompressed("is not a compressed path")
	}
	var elements []Element
	if len(segments) == 3 {
		e := entries()[AI(segments[0])]
		if e == nil || !e.key {
			return Link{}, badCompressed("is not a compressed path")
		}
		var key Element
		if err := e.read(&key, segments[1]); err != nil {
			return Link{}, err
		}
		elements = append(elements, key)
	}
	l, more, err := decompress(elements, last)
	if err != nil {
		return Link{}, err
	}
	return l.withQuery(stem, more, query)
}

// withQuery adds what stood beside the compressed part.
func (l Link) withQuery(stem, more, query string) (Link, error) {
	l.Stem = stem
	attributes, rest, err := ParseQuery(&l.ID, query)
	if err != nil {
		return Link{}, err
	}
	for _, a := range attributes {
		if has(l.Attributes, a.AI) {
			return Link{}, badAI(a.AI, "is there twice")
		}
	}
	l.Attributes = append(l.Attributes, attributes...)
	l.Query = more
	if rest != "" {
		l.Query = joined(more, rest)
	}
	return l, nil
}

// decompress decodes a segment. Implementations differ in whether a sequence is
// written as the standard lists it or in the order of its AIs; a check digit or a date
// tells which it was.
func decompress(elements []Element, segment string) (l Link, query string, err error) {
	for _, sorted := range [...]bool{false, true} {
		var all []Element
		if all, query, err = readSegment(slices.Clone(elements), segment, sorted); err != nil {
			continue
		}
		if l, err = LinkOf(all); err == nil {
			return l, query, nil
		}
	}
	return Link{}, "", err
}

func readSegment(all []Element, segment string, sorted bool) (_ []Element, query string, err error) {
	r := bitReader{}
	for i := range len(segment) {
		six := strings.IndexByte(base64Alphabet, segment[i])
		if six < 0 {
			return nil, "", badCompressed("character %d is not of the compressed alphabet", i+1)
		}
		r.bits = appendBits(r.bits, uint64(six), 6)
	}
	for len(r.bits)-r.at > 8 {
		code := hexDigit(r.take(4)) + hexDigit(r.take(4))
		if code[0] == 'F' {
			r.at -= 4
			if query, err = r.readForeign(query); err != nil {
				return nil, "", err
			}
			continue
		}
		var sequence []AI
		if isNumber(code) {
			sequence = []AI{r.readAI(code)}
		} else if sequence = sequenceOfCode(code); sorted {
			slices.Sort(sequence)
		}
		if len(sequence) == 0 {
			return nil, "", badCompressed("has the code %s, which stands for nothing", code)
		}
		for _, ai := range sequence {
			value, err := r.readValue(ai)
			if err != nil {
				return nil, "", err
			}
			if r.cut {
				return nil, "", badCompressed("ends within a value")
			}
			if all, err = addElement(all, ai, value); err != nil {
				return nil, "", err
			}
		}
	}
	return all, query, nil
}

// bitReader reads a row of bits. Behind its end it reads zeros and notes that.
type bitReader struct {
	bits []byte // each 0 or 1
	at   int
	cut  bool
}

func (r *bitReader) take(n int) (v uint64) {
	for range n {
		v <<= 1
		if r.at < len(r.bits) {
			v |= uint64(r.bits[r.at])
		} else {
			r.cut = true
		}
		r.at++
	}
	return v
}

func hexDigit(v uint64) string { return "0123456789ABCDEF"[v : v+1] }

// readAI adds digits until the AI is one that is known.
func (r *bitReader) readAI(digits string) AI {
	for entries()[AI(digits)] == nil && len(digits) < aiDigitsMax {
		digits += hexDigit(r.take(4))
	}
	return AI(digits)
}

func (r *bitReader) readValue(ai AI) (string, error) {
	e := entries()[ai]
	if e == nil {
		return "", badCompressed("%q is not a GS1 Application Identifier", clip(string(ai)))
	}
	var value strings.Builder
	for _, c := range e.components() {
		encoding := uint64(0)
		if c.set != 'N' {
			encoding = r.take(3)
		}
		n := c.max
		if c.min != c.max {
			n = int(r.take(bits.Len(uint(c.max))))
		}
		text, err := r.readText(encoding, n)
		if err != nil {
			return "", err
		}
		value.WriteString(text)
	}
	return value.String(), nil
}

// readText reads n characters: 0 digits, 1 and 2 hexadecimal in lower and upper
// case, 3 base 64, 4 ASCII.
func (r *bitReader) readText(encoding uint64, n int) (string, error) {
	if r.cut || n > len(r.bits) {
		return "", badCompressed("ends within a value")
	}
	b := make([]byte, n)
	switch encoding {
	case 0:
		return r.readDigits(n)
	case 1, 2:
		for i := range b {
			b[i] = hexDigit(r.take(4))[0]
		}
		if encoding == 1 {
			return strings.ToLower(string(b)), nil
		}
	case 3:
		for i := range b {
			b[i] = base64Alphabet[r.take(6)]
		}
	case 4:
		for i := range b {
			b[i] = byte(r.take(7))
		}
	default:
		return "", badCompressed("has an encoding that is not defined")
	}
	return string(b), nil
}

func (r *bitReader) readDigits(n int) (string, error) { return r.readNumber(n, digitBits(n)) }

// readNumber reads a number of n digits from so many bits.
func (r *bitReader) readNumber(n, width int) (string, error) {
	var digits [20]byte // of what most have room in
	s := digits[:0]
	if width <= 64 {
		s = strconv.AppendUint(s, r.take(width), 10)
	} else {
		v := new(big.Int)
		for range width {
			v.Lsh(v, 1)
			v.Or(v, new(big.Int).SetUint64(r.take(1)))
		}
		s = v.Append(s, 10)
	}
	if n == 0 {
		return "", nil
	}
	if len(s) > n {
		return "", badCompressed("has a number of more than %d digits", n)
	}
	return strings.Repeat("0", n-len(s)) + string(s), nil
}

// digitBits is how many bits a number of n digits takes, as every implementation
// reckons it.
func digitBits(n int) int {
	if n == 0 {
		return 0
	}
	return int(math.Ceil(float64(n)*math.Log(10)/math.Log(2) + 0.01))
}

// readForeign reads a pair of the query that is not GS1's.
func (r *bitReader) readForeign(query string) (string, error) {
	n := int(r.take(7))
	key, err := r.readText(3, n)
	if err != nil {
		return "", err
	}
	encoding := r.take(3)
	value, err := r.readText(encoding, int(r.take(7)))
	if err != nil || key == "" || isNumber(key) || r.cut {
		return "", badCompressed("has a pair for the query that cannot be read")
	}
	return joined(query, key+"="+string(appendEscaped(nil, value))), nil
}

// components are the parts of a value as compression sees them: neighbours of one
// kind are one.
func (e *entry) components() (all []part) {
	for _, p := range e.parts {
		if p.set != 'N' {
			p.set = 'X'
		}
		if p.optional {
			p.min = 0
		}
		if n := len(all); n > 0 && all[n-1].set == p.set && (p.set == 'X' || (all[n-1].min == all[n-1].max) == (p.min == p.max)) {
			all[n-1].min += p.min
			all[n-1].max += p.max
			continue
		}
		all = append(all, p)
	}
	return all
}

func appendBits(b []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>i&1))
	}
	return b
}

// Compressed is the link as short as it can be: everything of GS1 in one segment,
// the rest of the query as it is.
func (l *Link) Compressed() string {
	elements := l.Elements()
	slices.SortFunc(elements, func(a, b Element) int { return strings.Compare(string(a.AI), string(b.AI)) })
	var b []byte
	for {
		code, ais := bestSequence(elements)
		if code == "" {
			break
		}
		b = appendKey(b, code)
		for _, ai := range ais {
			at := slices.IndexFunc(elements, func(e Element) bool { return e.AI == ai })
			b = appendValue(b, elements[at])
			elements = slices.Delete(elements, at, at+1)
		}
	}
	for _, e := range elements {
		b = appendKey(b, string(e.AI))
		b = appendValue(b, e)
	}
	b = append(b, make([]byte, (6-len(b)%6)%6)...)
	segment := make([]byte, 0, len(b)/6)
	for i := 0; i < len(b); i += 6 {
		six := 0
		for _, bit := range b[i : i+6] {
			six = six<<1 | int(bit)
		}
		segment = append(segment, base64Alphabet[six])
	}
	return l.Stem + "/" + string(segment) + query(nil, l.Query)
}

// bestSequence is the sequence that saves most. Sequences whose order implementations
// do not agree on are not used.
func bestSequence(elements []Element) (code string, ais []AI) {
	saved := 0
	for row := range strings.Lines(sequenceRows) {
		fields := strings.Fields(row)
		if len(fields) < 2 || !slices.IsSorted(fields[1:]) {
			continue
		}
		n, all := 0, true
		for _, ai := range fields[1:] {
			n += len(ai)
			all = all && has(elements, AI(ai))
		}
		if all && n > saved {
			code, ais, saved = fields[0], toAIs(fields[1:]), n
		}
	}
	return code, ais
}

func appendKey(b []byte, digits string) []byte {
	for i := range len(digits) {
		b = appendBits(b, uint64(unhex(digits[i])), 4)
	}
	return b
}

func appendValue(b []byte, e Element) []byte {
	rest := e.Value
	components := entries()[e.AI].components()
	for i, c := range components {
		text := rest[:min(len(rest), c.max)]
		if i == len(components)-1 {
			text = rest
		}
		rest = rest[len(text):]
		encoding := uint64(0)
		if c.set != 'N' {
			encoding = encodingOf(text)
			b = appendBits(b, encoding, 3)
		}
		if c.min != c.max {
			b = appendBits(b, uint64(len(text)), bits.Len(uint(c.max)))
		}
		b = appendText(b, encoding, text)
	}
	return b
}

// encodingOf is the encoding that takes the fewest bits.
func encodingOf(s string) uint64 {
	digits, lower, upper, safe := s != "", s != "", s != "", s != ""
	for i := range len(s) {
		c := s[i]
		digit := isDigit(c)
		digits = digits && digit
		lower = lower && (digit || 'a' <= c && c <= 'f')
		upper = upper && (digit || 'A' <= c && c <= 'F')
		safe = safe && strings.IndexByte(base64Alphabet, c) >= 0
	}
	switch {
	case digits:
		return 0
	case upper:
		return 2
	case lower:
		return 1
	case safe:
		return 3
	}
	return 4
}

func appendText(b []byte, encoding uint64, s string) []byte {
	if encoding == 0 {
		v, _ := new(big.Int).SetString("0"+s, 10)
		for i := digitBits(len(s)) - 1; i >= 0; i-- {
			b = append(b, byte(v.Bit(i)))
		}
		return b
	}
	for i := range len(s) {
		switch encoding {
		case 1, 2:
			b = appendBits(b, uint64(unhex(s[i])), 4)
		case 3:
			b = appendBits(b, uint64(strings.IndexByte(base64Alphabet, s[i])), 6)
		default:
			b = appendBits(b, uint64(s[i]), 7)
		}
	}
	return b
}

func badCompressed(format string, args ...any) error {
	return fault.Field("gs1.bad_compressed", "path", format, args...)
}
