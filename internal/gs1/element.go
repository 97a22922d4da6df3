package gs1

import (
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// separator ends a value of variable length in a barcode (FNC1, sent as GS).
const separator = '\x1d'

// elementsMax is more than any carrier holds.
const elementsMax = 64

// ParseElements reads an element string: as printed, "(01)09506000134352(10)A", or as
// a scanner sends it, "010950600013435210A", with GS behind values of variable length
// and perhaps a symbology identifier in front. Its fault names the AI.
func ParseElements(s string) ([]Element, error) {
	switch {
	case len(s) > linkBytesMax:
		return nil, badElements("elements", "length is %d, at most %d are read", len(s), linkBytesMax)
	case strings.HasPrefix(s, "("):
		return parsePrinted(s)
	}
	for _, symbology := range [...]string{"]C1", "]e0", "]d2", "]Q3", "]J1"} { // GS1-128, DataBar, DataMatrix, QR, DotCode
		s = strings.TrimPrefix(s, symbology)
	}
	if s = strings.TrimPrefix(s, string(separator)); s == "" {
		return nil, badElements("elements", "is empty")
	}
	return parseScanned(s)
}

func parsePrinted(s string) (all []Element, err error) {
	for s != "" {
		name, rest, ok := strings.Cut(s[1:], ")")
		if !ok {
			return nil, badElements("elements", "has a bracket that is not closed")
		}
		end := nextBracket(rest)
		value := strings.ReplaceAll(rest[:end], `\(`, "(")
		if all, err = addElement(all, AI(name), value); err != nil {
			return nil, err
		}
		s = rest[end:]
	}
	return all, nil
}

// nextBracket is where the next AI begins. A bracket that belongs to a value is
// written "\(".
func nextBracket(s string) int {
	for i := range len(s) {
		if s[i] == '(' && (i == 0 || s[i-1] != '\\') {
			return i
		}
	}
	return len(s)
}

func parseScanned(s string) (all []Element, err error) {
	for s != "" {
		e := entryAt(s)
		if e == nil {
			return nil, badElements("elements", "has %q where an Application Identifier should be", clip(s[:min(len(s), aiDigitsMax)]))
		}
		s = s[len(e.ai):]
		end := strings.IndexByte(s, separator)
		switch {
		case e.fixed && end != e.max: // a separator where none is needed is allowed
			end = min(e.max, len(s))
		case end < 0:
			end = len(s)
		}
		if all, err = addElement(all, e.ai, s[:end]); err != nil {
			return nil, err
		}
		s = s[end:]
		if s != "" && s[0] == separator {
			s = s[1:]
		}
	}
	return all, nil
}

// entryAt is the AI that s begins with: no AI is the beginning of another.
func entryAt(s string) *entry {
	for n := 2; n <= min(aiDigitsMax, len(s)); n++ {
		if e := entries()[AI(s[:n])]; e != nil {
			return e
		}
	}
	return nil
}

func addElement(all []Element, ai AI, value string) ([]Element, error) {
	e := entries()[ai]
	switch {
	case e == nil:
		return nil, badElements("elements", "%q is not a GS1 Application Identifier", clip(string(ai)))
	case has(all, ai):
		return nil, badElements("("+string(ai)+")", "is there twice")
	case len(all) == elementsMax:
		return nil, badElements("elements", "has more than %d elements", elementsMax)
	}
	if reason := e.check(value); reason != "" {
		return nil, badElements("("+string(ai)+")", "%s", reason)
	}
	return append(all, Element{ai, value}), nil
}

// Printed is the element string for people: "(01)09506000134352(10)A".
func Printed(elements []Element) string {
	var b strings.Builder
	for _, e := range elements {
		b.WriteString("(" + string(e.AI) + ")")
		b.WriteString(strings.ReplaceAll(e.Value, "(", `\(`))
	}
	return b.String()
}

// Scanned is the element string as a barcode carries it, without a symbology
// identifier: those of known length first, so that fewer separators are needed.
func Scanned(elements []Element) string {
	ordered := slices.Clone(elements)
	slices.SortStableFunc(ordered, func(a, b Element) int { return order(a) - order(b) })
	var b strings.Builder
	for i, e := range ordered {
		b.WriteString(string(e.AI))
		b.WriteString(e.Value)
		if i < len(ordered)-1 && order(e) > 0 {
			b.WriteByte(separator)
		}
	}
	return b.String()
}

func order(e Element) int {
	if known := entries()[e.AI]; known != nil && known.fixed {
		return 0
	}
	return 1
}

// Elements are all of the link's AIs: key, qualifiers, attributes.
func (l *Link) Elements() []Element {
	all := append(make([]Element, 0, 1+qualifiersMax+len(l.Attributes)), l.Key)
	all = append(all, l.Qualifiers[:l.Depth()]...)
	return append(all, l.Attributes...)
}

// LinkOf makes a Digital Link of elements in any order, under GS1's stem: the first
// that is a primary key is the key, what qualifies it goes into the path, the rest
// into the query.
func LinkOf(elements []Element) (Link, error) {
	at := slices.IndexFunc(elements, func(e Element) bool { known := entries()[e.AI]; return known != nil && known.key })
	if at < 0 {
		return Link{}, badLink("elements", "hold no primary key of GS1")
	}
	l := Link{Stem: CanonicalStem}
	key := entries()[elements[at].AI]
	if err := key.set(&l.Key, elements[at].Value); err != nil {
		return Link{}, err
	}
	for _, sequence := range key.sequences {
		n := 0
		for _, ai := range sequence {
			if i := slices.IndexFunc(elements, func(e Element) bool { return e.AI == ai }); i >= 0 {
				if err := entries()[ai].set(&l.Qualifiers[n], elements[i].Value); err != nil {
					return Link{}, err
				}
				n++
			}
		}
		if n > 0 {
			break
		}
	}
	for i, e := range elements {
		known := entries()[e.AI]
		switch {
		case known == nil:
			return Link{}, badLink("elements", "%q is not a GS1 Application Identifier", clip(string(e.AI)))
		case has(elements[:i], e.AI):
			return Link{}, badAI(e.AI, "is there twice")
		case l.Value(e.AI) != "":
			continue
		case !known.attribute:
			return Link{}, badAI(e.AI, "does not go with (%s)", l.Key.AI)
		}
		var a Element
		if err := known.set(&a, e.Value); err != nil {
			return Link{}, err
		}
		l.Attributes = append(l.Attributes, a)
	}
	return l, nil
}

func badElements(field, format string, args ...any) error {
	return fault.Field("gs1.bad_elements", field, format, args...)
}
