package resolve

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Anchor is what a set of links is of: a thing or a class of things that has a key of
// GS1, everything under a company prefix, or items of a batch by their numbers.
type Anchor struct {
	ID     gs1.ID
	Prefix string // company prefix: 4 to 12 digits
	Batch  ids.BatchID
	From   int64 // with Batch: the items From to To
	To     int64
}

const (
	anchorBytesMax  = 250
	prefixDigitsMin = 4
	prefixDigitsMax = 12
)

func badAnchor(format string, args ...any) error {
	return fault.Field("resolve.bad_anchor", "anchor", format, args...)
}

// ParseAnchor reads "/01/09506000134352/10/A", "prefix:9506000" or "batch:ID:1-500".
func ParseAnchor(s string) (a Anchor, _ error) {
	switch kind, rest, _ := strings.Cut(s, ":"); {
	case len(s) > anchorBytesMax:
		return a, badAnchor("has more than %d bytes", anchorBytesMax)
	case strings.HasPrefix(s, "/"):
		id, err := gs1.ParsePath(s)
		if err != nil {
			return a, err
		}
		if id.Value("21") != "" && id.Depth() > 1 {
			return a, badAnchor("has a serial number, and then neither a variant (22) nor a lot (10) belongs to it")
		}
		return Anchor{ID: id}, nil
	case kind == "prefix":
		if len(rest) < prefixDigitsMin || len(rest) > prefixDigitsMax || strings.Trim(rest, "0123456789") != "" {
			return a, badAnchor("a company prefix has %d to %d digits", prefixDigitsMin, prefixDigitsMax)
		}
		return Anchor{Prefix: rest}, nil
	case kind == "batch":
		id, run, ok := strings.Cut(rest, ":")
		first, last, isRun := strings.Cut(run, "-")
		from, err1 := strconv.ParseInt(first, 10, 64)
		to, err2 := strconv.ParseInt(last, 10, 64)
		a = Anchor{Batch: ids.BatchID(id), From: from, To: to}
		if !ok || !isRun || cmp.Or(err1, err2) != nil || from < 1 || to < from || id == "" || a.String() != s {
			return Anchor{}, badAnchor("should be batch:ID:from-to")
		}
		return a, nil
	}
	return a, badAnchor("should be a path such as /01/09506000134352, prefix:9506000, or batch:ID:1-500")
}

// String is the anchor's one spelling, which names its set.
func (a Anchor) String() string {
	switch {
	case a.Prefix != "":
		return "prefix:" + a.Prefix
	case a.Batch != "":
		return "batch:" + string(a.Batch) + ":" + strconv.FormatInt(a.From, 10) + "-" + strconv.FormatInt(a.To, 10)
	}
	return a.ID.Path()
}

// ofItems reports whether the anchor is of items that have codes of ours.
func (a Anchor) ofItems() bool {
	return a.Batch != "" || isCode(a.ID.Value("21")) && a.ID.Key.AI == "01"
}

// isCode is the look of our codes: 18 digits.
func isCode(serial string) bool {
	return len(serial) == 18 && strings.Trim(serial, "0123456789") == ""
}

// isItem reports whether the ID names one item by a serial number.
func isItem(id *gs1.ID) bool { return id.Value("21") != "" || id.Value("235") != "" }

// prefixPart is where in a key's value its company prefix begins: behind the
// indicator or extension digit, or the 0 of an asset.
func prefixPart(key gs1.Element) string {
	switch key.AI {
	case "00", "01", "8003", "8006":
		return key.Value[1:]
	}
	return key.Value
}

// levelsMax is for a serial, with variant and lot: 235 excludes all three.
const levelsMax = 5

// levels are the IDs whose sets belong to a question, the most particular first
// (Resolver 1.2, section 2.5.9): a serial by itself, variant and lot together and each
// by itself, then the key.
func levels(id *gs1.ID) (all [levelsMax]gs1.ID, n int) {
	add := func(qualifiers ...gs1.Element) {
		level := gs1.ID{Key: id.Key}
		at := 0
		for _, q := range qualifiers {
			if q.Value == "" {
				return
			}
			level.Qualifiers[at] = q
			at++
		}
		all[n] = level
		n++
	}
	if id.Key.AI != "01" && id.Key.AI != "8006" {
		if id.Depth() > 0 {
			add(id.Qualifiers[0])
		}
		add()
		return all, n
	}
	of := func(ai gs1.AI) gs1.Element { return gs1.Element{AI: ai, Value: id.Value(ai)} }
	add(of("235"))
	add(of("21"))
	add(of("22"), of("10"))
	add(of("10"))
	add(of("22"))
	add()
	return all, n
}

func itoa(n int) string { return strconv.Itoa(n) }
