package trace

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// isURI reports whether s is a URI with a scheme. A name with a prefix is one.
func isURI(s string) bool {
	colon := plainScheme(s)
	if colon > 0 && plain(s[colon+1:]) {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() {
		return false
	}
	host := u.Hostname()
	if !strings.Contains(host, ":") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && strings.Contains(u.Host, "[") && strings.Contains(u.Host, "]")
}

// plainScheme is the length of the scheme that s begins with; 0 = none.
func plainScheme(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		case c == ':':
			return i
		default:
			return 0
		}
	}
	return 0
}

// plainBytes may stand anywhere behind the authority of a URI.
var plainBytes = func() (all [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#@!$&'()*+,;=") {
		all[c] = true
	}
	return all
}()

// plain reports whether the rest of a URI holds nothing that needs a second look: no
// unusual authority, no escapes.
func plain(rest string) bool {
	if strings.HasPrefix(rest, "//") {
		host, path, _ := strings.Cut(rest[2:], "/")
		for i := range len(host) {
			if c := host[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
				return false
			}
		}
		rest = path
	}
	for i := range len(rest) {
		if !plainBytes[rest[i]] {
			return false
		}
	}
	return rest != ""
}

// parseTime reads a date-time of RFC 3339. A leap second is the next one.
func parseTime(s string) (time.Time, bool) {
	if len(s) == len(timeForm) && plainTime(s) {
		return plainMoment(s), true
	}
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > timeBytesMax || s[10] != 'T' && s[10] != 't' {
		return time.Time{}, false
	}
	leap := s[17:19] == "60"
	if leap {
		s = s[:17] + "59" + s[19:]
	}
	if i := len(s) - 1; s[i] == 'z' || s[10] == 't' {
		s = strings.ToUpper(s)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	if leap {
		if h, m, _ := t.UTC().Clock(); h != 23 || m != 59 {
			return time.Time{}, false
		}
		t = t.Add(time.Second)
	}
	return t.UTC(), true
}

// plainTime reports whether a text as long as timeForm has that form, in a day that every month
// has.
func plainTime(s string) bool {
	for i := range len(timeForm) {
		if c := s[i]; timeForm[i] >= '0' && timeForm[i] <= '9' {
			if c < '0' || c > '9' {
				return false
			}
		} else if c != timeForm[i] {
			return false
		}
	}
	month, day := two(s[5:]), two(s[8:])
	return month >= 1 && month <= 12 && day >= 1 && day <= 28 && two(s[11:]) < 24 && two(s[14:]) < 60 && two(s[17:]) < 60
}

func plainMoment(s string) time.Time {
	nano := (two(s[20:])*10 + int(s[22]-'0')) * int(time.Millisecond)
	return time.Date(two(s)*100+two(s[2:]), time.Month(two(s[5:])), two(s[8:]), two(s[11:]), two(s[14:]), two(s[17:]), nano, time.UTC)
}

// two reads two digits.
func two(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }

// isOffset reports whether s is an eventTimeZoneOffset: -14:00 to +14:00.
func isOffset(s string) bool {
	if len(s) != offsetLength || s[0] != '+' && s[0] != '-' || s[3] != ':' {
		return false
	}
	for _, i := range [...]int{1, 2, 4, 5} {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	hours := int(s[1]-'0')*10 + int(s[2]-'0')
	return hours < offsetHoursLimit && s[4] < '6' || s[1:] == "14:00"
}

// isUnit reports whether s is a UN/CEFACT unit code.
func isUnit(s string) bool {
	if len(s) != 2 && len(s) != 3 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return s != ""
}

// plainNumber writes a decimal number in its one shortest form: 200.0 is 200, 1.5e1 is 15.
// What is no number, or one of absurd size, is left as it is.
func plainNumber(s string) string {
	const exponentMax = 64
	if isPlainNumber(s) {
		return s
	}
	sign, rest := "", s
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		sign, rest = strings.TrimPrefix(rest[:1], "+"), rest[1:]
	}
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(rest), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	shift := 0
	if hasExponent {
		var ok bool
		if shift, ok = smallInt(exponent); !ok || shift > exponentMax || shift < -exponentMax {
			return s
		}
	}
	if whole+fraction == "" || len(rest) > numberBytesMax || !isDigits(whole) || !isDigits(fraction) {
		return s
	}
	digits, point := whole+fraction, len(whole)+shift
	for point > len(digits) {
		digits += "0"
	}
	for ; point < 0; point++ {
		digits = "0" + digits
	}
	whole, fraction = strings.TrimLeft(digits[:point], "0"), strings.TrimRight(digits[point:], "0")
	if whole == "" {
		whole = "0"
	}
	switch {
	case fraction != "":
		return sign + whole + "." + fraction
	case whole == "0":
		return "0"
	}
	return sign + whole
}

// isPlainNumber reports whether a number has its shortest form for sure.
func isPlainNumber(s string) bool {
	whole, fraction, pointed := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if whole == "" || len(s) > numberBytesMax || !isDigits(whole) || !isDigits(fraction) || whole[0] == '0' && len(whole) > 1 {
		return false
	}
	if pointed {
		return fraction != "" && fraction[len(fraction)-1] != '0'
	}
	return s != "-0"
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// smallInt reads an exponent.
func smallInt(s string) (n int, ok bool) {
	negative := strings.HasPrefix(s, "-")
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	if digits == "" || len(digits) > 4 || !isDigits(digits) {
		return 0, false
	}
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}
