package gs1

import "strings"

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

// appendEscaped writes percent-escapes for everything that RFC 3986 does not count as
// unreserved.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~' {
			b = append(b, c)
			continue
		}
		b = appendEscape(b, c)
	}
	return b
}

func appendEscape(b []byte, c byte) []byte {
	const hexDigits = "0123456789ABCDEF"
	return append(b, '%', hexDigits[c>>4], hexDigits[c&15])
}
