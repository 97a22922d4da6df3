package trace

import (
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
)

// Canonical is the one form of an identifier that is hashed and looked up: the Digital
// Link under GS1's own stem, cut to what names the thing most finely. What is no
// identifier of GS1 is left as it is.
func Canonical(uri string) string {
	switch {
	case plainItem(uri):
	case strings.HasPrefix(uri, "urn:epc:"):
		if e, err := gs1.ParseEPC(uri); err == nil && e.ID.Key.AI != "" {
			return finest(&e.ID)
		}
	case strings.HasPrefix(uri, "https://"), strings.HasPrefix(uri, "http://"):
		if l, err := gs1.ParseLink(uri); err == nil {
			if s := finest(&l.ID); s != "" {
				return s
			}
		}
	}
	return uri
}

// finest is the Digital Link of the key and the one qualifier that is finest; "" for keys
// that no event names.
func finest(id *gs1.ID) string {
	one := gs1.ID{Key: id.Key}
	for _, q := range finer(id.Key.AI) {
		if q == "" {
			return one.String()
		}
		if v := id.Value(gs1.AI(q)); v != "" {
			one.Qualifiers[0] = gs1.Element{AI: gs1.AI(q), Value: v}
			break
		}
	}
	if finer(id.Key.AI) == nil {
		return ""
	}
	return one.String()
}

// finer lists what qualifies a key, the finest first; nil for keys that no event names.
func finer(key gs1.AI) []string {
	switch key {
	case "01":
		return []string{"21", "235", "10"}
	case "8006":
		return []string{"21", "10"}
	case "414":
		return []string{"254"}
	case "8010":
		return []string{"8011"}
	case "00", "253", "255", "401", "402", "417", "8003", "8004", "8017", "8018":
		return []string{}
	}
	return nil
}

// check judges what lies in GS1's own spaces; others may name things as they like.
func check(uri string) (err error) {
	switch {
	case plainItem(uri), plainURN(uri):
	case strings.HasPrefix(uri, "urn:epc:"):
		_, err = gs1.ParseEPC(uri)
	case strings.HasPrefix(uri, gs1.CanonicalStem+"/"):
		_, err = gs1.ParseLink(uri)
	}
	return err
}

// plainURN reports whether an EPC is a well-formed one of the usual schemes in letters and digits,
// which is told without making its key.
func plainURN(uri string) bool {
	const (
		head      = "urn:epc:"
		prefixMin = 6
		prefixMax = 12
		giaiMax   = 30
	)
	rest, ok := strings.CutPrefix(uri, head)
	colon := strings.LastIndexByte(rest, ':')
	if !ok || colon < 0 {
		return false
	}
	scheme, body := rest[:colon], rest[colon+1:]
	prefix := strings.IndexByte(body, '.')
	if prefix < prefixMin || prefix > prefixMax || !isDigits(body[:prefix]) {
		return false
	}
	var together, serialMax int // digits of company prefix and reference
	switch scheme {
	case "id:sgtin", "class:lgtin", "idpat:sgtin":
		together, serialMax = 13, 20
	case "id:sgln":
		together, serialMax = 12, 20
	case "id:grai":
		together, serialMax = 12, 16
	case "id:sscc", "id:gsrn":
		together = 17
	case "id:giai":
		return prefix+1 < len(body) && len(body)-1 <= giaiMax && plainSerial(body[prefix+1:])
	default:
		return false
	}
	if len(body) < together+1 || !isDigits(body[prefix+1:together+1]) {
		return false
	}
	serial := body[together+1:]
	switch {
	case serialMax == 0:
		return serial == ""
	case scheme == "idpat:sgtin":
		return serial == ".*"
	}
	return len(serial) > 1 && len(serial) <= 1+serialMax && serial[0] == '.' && plainSerial(serial[1:])
}

func plainSerial(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// plainItem reports whether an EPC is the canonical name of an item already, in letters and
// digits: that of most items, which is told without taking it apart.
func plainItem(uri string) bool {
	const (
		head   = gs1.CanonicalStem + "/01/"
		middle = "/21/"
		gtin   = 14
		most   = 20
	)
	rest, ok := strings.CutPrefix(uri, head)
	if !ok || len(rest) <= gtin+len(middle) || len(rest) > gtin+len(middle)+most || rest[gtin:gtin+len(middle)] != middle ||
		!isDigits(rest[:gtin]) || gs1.CheckDigit(rest[:gtin-1]) != rest[gtin-1] {
		return false
	}
	return plainSerial(rest[gtin+len(middle):])
}
