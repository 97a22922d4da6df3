package gs1

import (
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// EPC is an Electronic Product Code URN of the Tag Data Standard, taken apart.
type EPC struct {
	URN    string // in its canonical form
	Scheme string // "sgtin"
	Class  bool   // it names a class (lgtin, idpat): any of its items

	// ID is the same in GS1's keys. It is zero for schemes that have no key of GS1:
	// gid, usdod, adi, bic, imovn. Those are kept as they are.
	ID ID
	// PrefixDigits is the length of the company prefix, which the ID does not tell.
	PrefixDigits int
}

// scheme says how a URN's parts become a key: company prefix and reference make
// digits, a check digit follows, the rest is a serial.
type scheme struct {
	name   string
	key    AI
	digits int  // company prefix and reference together; 0 = not fixed
	lead   bool // the reference's first digit stands before the company prefix
	zero   bool // a 0 stands before it all
	check  bool // a check digit follows
	piece  bool // piece and total follow
	serial AI   // where the serial goes; the key itself = at its end; "" = none
}

var schemes = [...]scheme{
	{name: "sgtin", key: "01", digits: 13, lead: true, check: true, serial: "21"},
	{name: "sscc", key: "00", digits: 17, lead: true, check: true},
	{name: "sgln", key: "414", digits: 12, check: true, serial: "254"},
	{name: "grai", key: "8003", digits: 12, zero: true, check: true, serial: "8003"},
	{name: "giai", key: "8004"},
	{name: "gsrn", key: "8018", digits: 17, check: true},
	{name: "gsrnp", key: "8017", digits: 17, check: true},
	{name: "gdti", key: "253", digits: 12, check: true, serial: "253"},
	{name: "cpi", key: "8010", serial: "8011"},
	{name: "sgcn", key: "255", digits: 12, check: true, serial: "255"},
	{name: "ginc", key: "401"},
	{name: "gsin", key: "402", digits: 16, check: true},
	{name: "itip", key: "8006", digits: 13, lead: true, check: true, piece: true, serial: "21"},
	{name: "upui", key: "01", digits: 13, lead: true, check: true, serial: "235"},
	{name: "pgln", key: "417", digits: 12, check: true},
}

// lots is the one scheme that is always of a class.
var lots = scheme{name: "lgtin", key: "01", digits: 13, lead: true, check: true, serial: "10"}

// Company prefixes have 6 to 12 digits (TDS, section 6.3).
const (
	prefixDigitsMin = 6
	prefixDigitsMax = 12
	epcBytesMax     = 256
)

// ParseEPC reads a URN of an item (urn:epc:id:), a lot (urn:epc:class:lgtin:) or all
// serials of a class (urn:epc:idpat: with "*" in the last place).
func ParseEPC(urn string) (EPC, error) {
	if len(urn) > epcBytesMax {
		return EPC{}, badEPC("length is %d, at most %d are read", len(urn), epcBytesMax)
	}
	kind, rest, ok := cutKind(urn)
	if !ok {
		return EPC{}, badEPC("should begin with urn:epc:id:, urn:epc:class: or urn:epc:idpat:")
	}
	name, body, _ := strings.Cut(rest, ":")
	if kind == "id" && isOpaque(name) {
		if !opaqueBody(body) {
			return EPC{}, badEPC("what follows %s: is not well formed", name)
		}
		return EPC{URN: urn, Scheme: name}, nil
	}
	s, ok := schemeOf(kind, name)
	if !ok {
		return EPC{}, badEPC("%q is not a scheme of urn:epc:%s:", clip(name), kind)
	}
	e := EPC{Scheme: name, Class: kind != "id"}
	if err := s.read(&e, body, kind == "idpat"); err != nil {
		return EPC{}, err
	}
	return e, nil
}

func cutKind(urn string) (kind, rest string, ok bool) {
	for _, kind := range [...]string{"id", "class", "idpat"} {
		if rest, ok := strings.CutPrefix(urn, "urn:epc:"+kind+":"); ok {
			return kind, rest, true
		}
	}
	return "", "", false
}

// isOpaque names the schemes of TDS that have no key of GS1.
func isOpaque(name string) bool {
	switch name {
	case "gid", "usdod", "adi", "bic", "imovn":
		return true
	}
	return false
}

func opaqueBody(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.ContainsRune(`!'()*+,-.:;=_%#/`, rune(s[i])) {
			return false
		}
	}
	return s != ""
}

func schemeOf(kind, name string) (scheme, bool) {
	if kind == "class" {
		return lots, name == lots.name
	}
	for _, s := range schemes { //nolint:gocritic // a thousand bytes, and nobody may have the table's address
		if s.name == name {
			return s, kind != "idpat" || s.serial != ""
		}
	}
	return scheme{}, false
}

// read takes prefix.reference[.piece.total][.serial] apart. Only the serial may hold
// dots, or the reference where nothing follows.
func (s scheme) read(e *EPC, body string, pattern bool) error {
	count := 2
	if s.piece {
		count += 2
	}
	if s.serial != "" {
		count++
	}
	parts := strings.SplitN(body, ".", count)
	if len(parts) < count {
		return badEPC("%s has %d parts, not %d", s.name, count, len(parts))
	}
	prefix, reference := parts[0], parts[1]
	if !isNumber(prefix) || len(prefix) < prefixDigitsMin || len(prefix) > prefixDigitsMax {
		return badEPC("the company prefix should be %d to %d digits", prefixDigitsMin, prefixDigitsMax)
	}
	serial := ""
	if s.serial != "" {
		serial = parts[count-1]
	}
	if pattern && serial != "*" {
		return badEPC("a pattern should end with .*")
	}
	key, err := s.keyOf(prefix, reference)
	if err != nil {
		return err
	}
	if s.piece {
		if len(parts[2]) != 2 || len(parts[3]) != 2 {
			return badEPC("piece and total should be 2 digits each")
		}
		key += parts[2] + parts[3]
	}
	serial, ok := unescape(serial)
	if !ok {
		return badEPC("the serial has a broken percent-escape")
	}
	switch {
	case pattern || s.serial == "" || s.serial == "254" && serial == "0": // extension 0 is none (TDS, section 6.3.3)
	case serial == "":
		return badEPC("the serial is empty")
	case s.serial == s.key:
		key += serial
	default:
		if reason := s.serial.check(serial); reason != "" {
			return badEPC("(%s) %s", s.serial, reason)
		}
		e.ID.Qualifiers[0] = Element{s.serial, serial}
	}
	if reason := s.key.check(key); reason != "" {
		return badEPC("(%s) %s", s.key, reason)
	}
	e.ID.Key, e.PrefixDigits = Element{s.key, key}, len(prefix)
	e.URN, err = e.ID.write(s, e.PrefixDigits, pattern)
	return err
}

// keyOf puts prefix and reference together as the key has them.
func (s scheme) keyOf(prefix, reference string) (string, error) {
	if s.digits == 0 {
		reference, ok := unescape(reference)
		if !ok || reference == "" {
			return "", badEPC("the reference is empty or has a broken percent-escape")
		}
		return prefix + reference, nil
	}
	if len(prefix)+len(reference) != s.digits || reference != "" && !isNumber(reference) {
		return "", badEPC("company prefix and reference should be %d digits together", s.digits)
	}
	digits := prefix + reference
	if s.lead {
		digits = reference[:1] + prefix + reference[1:]
	}
	if s.check {
		digits += string(CheckDigit(digits))
	}
	if s.zero {
		digits = "0" + digits
	}
	return digits, nil
}

// EPC is the URN of the ID: of the item where it names one, else of the lot or of all
// serials of the class. The length of the company prefix is not in the ID, so it has
// to be known. What else qualifies an item that has a serial is not in its URN.
func (id *ID) EPC(prefixDigits int) (EPC, error) {
	if prefixDigits < prefixDigitsMin || prefixDigits > prefixDigitsMax {
		return EPC{}, badEPC("the company prefix should have %d to %d digits, not %d", prefixDigitsMin, prefixDigitsMax, prefixDigits)
	}
	s, class, ok := id.scheme()
	if !ok {
		return EPC{}, badEPC("(%s) with these qualifiers has no URN", id.Key.AI)
	}
	urn, err := id.write(s, prefixDigits, class && s.name != lots.name)
	if err != nil {
		return EPC{}, err
	}
	e := EPC{URN: urn, Scheme: s.name, Class: class, ID: ID{Key: id.Key}, PrefixDigits: prefixDigits}
	if v := id.Value(s.serial); v != "" && s.serial != s.key {
		e.ID.Qualifiers[0] = Element{s.serial, v}
	}
	return e, nil
}

// scheme finds the scheme of the ID, and whether it can only name the class.
func (id *ID) scheme() (s scheme, class, ok bool) {
	if id.Value("7040") != "" || id.Value("8019") != "" { // no URN tells that
		return scheme{}, false, false
	}
	for _, each := range schemes { //nolint:gocritic // as in schemeOf
		if each.key != id.Key.AI {
			continue
		}
		s, ok = each, true
		_, tail := s.cut(id.Key.Value)
		if s.serial == "" || s.serial == "254" || s.serial == s.key && tail != "" || s.serial != s.key && id.Value(s.serial) != "" {
			return s, false, true
		}
	}
	if id.Key.AI == "01" && id.Value("10") != "" {
		return lots, true, true
	}
	if id.Key.AI == "01" {
		s = schemes[0]
	}
	return s, true, ok && id.Depth() == 0
}

// Instance reports whether the ID names one thing and not a class of things.
func (id *ID) Instance() bool {
	_, class, _ := id.scheme()
	return !class
}

// cut separates a key's digits from the serial at its end.
func (s scheme) cut(key string) (digits, serial string) {
	if s.digits == 0 {
		return key, ""
	}
	n := s.digits
	if s.check {
		n++
	}
	if s.zero {
		n++
	}
	if len(key) < n {
		return key, ""
	}
	return key[:n], key[n:]
}

// write makes the URN. The ID is of the scheme.
func (id *ID) write(s scheme, prefixDigits int, pattern bool) (string, error) {
	digits, tail := s.cut(id.Key.Value)
	if s.zero {
		digits = digits[1:]
	}
	if s.check {
		digits = digits[:len(digits)-1]
	}
	lead := ""
	if s.lead {
		lead, digits = digits[:1], digits[1:]
	}
	if s.digits == 0 && (len(digits) <= prefixDigits || !isNumber(digits[:prefixDigits])) {
		return "", badEPC("(%s) does not begin with a company prefix of %d digits", s.key, prefixDigits)
	}
	kind := "id"
	switch {
	case s.name == lots.name:
		kind = "class"
	case pattern:
		kind = "idpat"
	}
	b := append(make([]byte, 0, 64), "urn:epc:"+kind+":"+s.name+":"...)
	b = append(append(b, digits[:prefixDigits]...), '.')
	b = appendURN(append(b, lead...), digits[prefixDigits:])
	if s.piece {
		b = append(append(b, '.'), tail[:2]...)
		b = append(append(b, '.'), tail[2:]...)
	}
	switch serial := id.Value(s.serial); {
	case s.serial == "":
	case pattern:
		b = append(b, ".*"...)
	case s.serial == s.key:
		b = appendURN(append(b, '.'), tail)
	case serial == "":
		b = append(b, ".0"...)
	default:
		b = appendURN(append(b, '.'), serial)
	}
	return string(b), nil
}

// appendURN escapes what cannot stand in an EPC URN (TDS, table A-1).
func appendURN(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '%', '&', '/', '<', '>', '?', '#':
			b = appendEscape(b, c)
		default:
			b = append(b, c)
		}
	}
	return b
}

func badEPC(format string, args ...any) error {
	return fault.Field("gs1.bad_epc", "epc", format, args...)
}
