package trace

import (
	"context"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// A Digital Link does not tell how long the company prefix is that an EPC URN sets apart. A
// brand says its own in its settings, and one that once wrote a URN has told that company's:
// the prefixes of a brand's events are kept as words.

// ErrNoURN answers who wants URNs of what has none, or none that is known.
var ErrNoURN = fault.New(fault.Invalid, "trace.no_urn", "an identifier has no EPC URN that is known here")

// companyPrefixes lists the prefixes that an event's URNs tell, each once.
func companyPrefixes(e *Event) (all []string) {
	before := "" // most URNs of an event begin alike
	add := func(uri string) {
		if !strings.HasPrefix(uri, "urn:epc:") || before != "" && strings.HasPrefix(uri, before) {
			return
		}
		epc, err := gs1.ParseEPC(uri)
		if err != nil || epc.PrefixDigits == 0 {
			return
		}
		body := uri[:strings.LastIndexByte(uri[:strings.IndexByte(uri, '.')], ':')+1]
		before = uri[:len(body)+epc.PrefixDigits+1]
		if prefix := before[len(body) : len(before)-1]; !slices.Contains(all, prefix) {
			all = append(all, prefix)
		}
	}
	for _, list := range [...][]string{e.EPCs, e.Outputs, {e.Parent, e.ReadPoint.ID, e.Location.ID, e.Transformation}} {
		for _, epc := range list {
			add(epc)
		}
	}
	for _, list := range [...][]Quantity{e.Quantities, e.OutputQuantities} {
		for i := range list {
			add(list[i].Class)
		}
	}
	for _, list := range [...][]Typed{e.Transactions, e.Sources, e.Destinations} {
		for i := range list {
			add(list[i].ID)
		}
	}
	return all
}

// prefixesKnown bounds the prefixes of one brand that are looked at.
const prefixesKnown = 10_000

// URNs writes identifiers as EPC URNs.
type URNs struct {
	known   map[string]bool
	missing string // the first that could not be; "" = all could
}

// AsURN is the format whose identifiers are URNs, as far as they are known.
const AsURN = "Always_EPC_URN"

// KnownFormat reports whether there is a GS1-EPC-Format of a name.
func KnownFormat(format string) bool {
	switch format {
	case "", "No_Preference", "Never_Translates", "Always_GS1_Digital_Link", AsURN:
		return true
	}
	return false
}

// FormOf is how a GS1-EPC-Format has the identifiers of some brands' events written. As URNs
// they are only when all could be: urns, for one answer, tells once they are written; nil =
// all can.
func (s *Service) FormOf(ctx context.Context, format string, brands []ids.BrandID) (form Form, urns *URNs, err error) {
	switch format {
	case "Always_GS1_Digital_Link":
		form.EPC = Canonical
	case AsURN:
		if urns, err = s.urns(ctx, brands); err == nil {
			form.EPC = urns.write
		}
	}
	return form, urns, err
}

func (s *Service) urns(ctx context.Context, brands []ids.BrandID) (*URNs, error) {
	u := &URNs{known: map[string]bool{}}
	for _, brand := range brands {
		found, err := s.store.Words(ctx, brand, []TermKind{PrefixTerm}, Word{}, prefixesKnown)
		if err != nil {
			return nil, err
		}
		for _, w := range found {
			u.known[w.Text] = true
		}
		for _, prefix := range s.items.Prefixes(brand) {
			u.known[prefix] = true
		}
	}
	return u, nil
}

// Err tells of the first identifier that could not be written so.
func (u *URNs) Err() error {
	if u.missing == "" {
		return nil
	}
	return ErrNoURN.Textf("%q: the length of its company prefix is not known: the brand's settings can say it (gs1_prefixes), or an event that has it as an EPC URN", clip(u.missing))
}

// write gives the URN of a Digital Link. What is none, and no identifier of GS1, is left as it is.
func (u *URNs) write(uri string) string {
	canonical := Canonical(uri)
	if strings.HasPrefix(uri, "urn:") || !strings.HasPrefix(canonical, gs1.CanonicalStem+"/") {
		return uri
	}
	link, err := gs1.ParseLink(canonical)
	if err == nil {
		if digits := u.digits(&link.ID); digits > 0 {
			var e gs1.EPC
			if e, err = link.ID.EPC(digits); err == nil {
				return e.URN
			}
		}
	}
	if u.missing == "" {
		u.missing = uri
	}
	return uri
}

// digits is the length of an identifier's company prefix; 0 = nothing tells it. No company's
// prefix begins with another's, so when two fit one was wrong, and neither is believed.
func (u *URNs) digits(id *gs1.ID) (n int) {
	const least, most = 6, 12
	key := id.Key.Value
	switch id.Key.AI {
	case "00", "01", "8003", "8006": // a digit stands before the prefix
		key = key[min(1, len(key)):]
	default:
	}
	for d := least; d <= min(most, len(key)); d++ {
		if !u.known[key[:d]] {
			continue
		}
		if n > 0 {
			return 0
		}
		n = d
	}
	return n
}
