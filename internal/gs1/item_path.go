package gs1

import (
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ItemPath is the path of a plain, uncompressed Digital Link:
// /01/{gtin}[/10/{lot}][/21/{serial}]. Empty Lot and Serial are absent.
type ItemPath struct {
	GTIN   GTIN
	Lot    string // AI (10), decoded
	Serial string // AI (21), decoded
}

// pathBytesMax holds the longest path whose every character is percent-encoded:
// 14, 20 and 20 characters of three bytes and the twelve of the keys.
const pathBytesMax = 3*(gtinDigits+20+20) + 12

// ParseItemPath reads the escaped path of a Digital Link, as in
// URL.EscapedPath. It is strict: keys in their order and once, no empty or
// further segment, no broken or out-of-set escape. A GTIN may be short of its
// leading zeros. Its faults name the field "gtin", "lot", "serial" or "path".
func ParseItemPath(escaped string) (ItemPath, error) {
	if len(escaped) > pathBytesMax {
		return ItemPath{}, badPath("length is %d, at most %d are possible", len(escaped), pathBytesMax)
	}
	rest, ok := strings.CutPrefix(escaped, "/01/")
	if !ok {
		return ItemPath{}, badPath("does not begin with /01/ and a GTIN")
	}
	var p ItemPath
	segment, rest, more := strings.Cut(rest, "/")
	gtin, ok := unescape(segment)
	if !ok {
		return ItemPath{}, badGTIN("has a broken percent-escape")
	}
	var err error
	if p.GTIN, err = ParseGTIN(gtin); err != nil {
		return ItemPath{}, err
	}
	if p.Lot, rest, more, err = qualifier(rest, more, "10", "lot"); err != nil {
		return ItemPath{}, err
	}
	if p.Serial, _, more, err = qualifier(rest, more, "21", "serial"); err != nil {
		return ItemPath{}, err
	}
	if more {
		return ItemPath{}, badPath("continues after the GTIN, lot (10) and serial (21), or has them in another order")
	}
	return p, nil
}

// String is the canonical path: 14 digits, and percent-escapes for everything
// that RFC 3986 does not count as unreserved.
func (p ItemPath) String() string {
	var b strings.Builder
	b.WriteString("/01/")
	b.WriteString(string(p.GTIN))
	if p.Lot != "" {
		b.WriteString("/10/")
		escape(&b, p.Lot)
	}
	if p.Serial != "" {
		b.WriteString("/21/")
		escape(&b, p.Serial)
	}
	return b.String()
}

// qualifier takes one key and its value off the front of what follows a slash;
// when another key is there, or nothing, it takes nothing.
func qualifier(rest string, more bool, ai, field string) (value, after string, still bool, err error) {
	tail, ok := strings.CutPrefix(rest, ai+"/")
	if !more || !ok {
		return "", rest, more, nil
	}
	segment, after, still := strings.Cut(tail, "/")
	value, ok = unescape(segment)
	if !ok {
		return "", "", false, fault.Field("gs1.bad_path", field, "has a broken percent-escape")
	}
	if !valid82(value) {
		return "", "", false, fault.Field("gs1.bad_path", field, "should be 1 to 20 characters of GS1 character set 82")
	}
	return value, after, still, nil
}

// unescape decodes percent-escapes; unlike a URL library it does not let pass
// anything that is not a whole escape. A slash inside a value comes as %2F.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi < 0 || lo < 0 {
			return "", false
		}
		out = append(out, byte(hi<<4|lo))
		i += 2
	}
	return string(out), true
}

func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

func escape(b *strings.Builder, s string) {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
}

func badPath(format string, args ...any) error {
	return fault.Field("gs1.bad_path", "path", format, args...)
}
