// Package resolve leads from GS1 identifiers to what is known of them online: a
// GS1-conformant resolver, and the links that brands give it.
//
// Promise: a link that is answered is one whose brand allows its scheme and host now
// (TestPolicyTakesBack); an item's page and its verification are the item's own and
// never those of its product, so a forged serial reaches nothing of the genuine
// product (TestItemsNeverWalkUp); the same question gets the same link until somebody
// changes a set (TestMatch).
//
// Source: GS1-Conformant Resolver 1.2; docs/resolver.md lists its demands.
package resolve

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Link is one target.
type Link struct {
	Type      string   `json:"link_type"` // of GS1's vocabulary: "gs1:pip"
	Href      string   `json:"href"`
	Title     string   `json:"title"`
	Languages []string `json:"hreflang,omitempty"`   // "en", "pt-BR"
	MediaType string   `json:"media_type,omitempty"` // of the target
	Contexts  []string `json:"context,omitempty"`    // only for requests with one of these
	Countries []string `json:"countries,omitempty"`  // only for callers in one of these, as the GeoIP file names them

	host string // of Href, with its port when it has one
}

// The link types that the resolver itself knows about.
const (
	DefaultLink         = "gs1:defaultLink"
	DefaultLinkMulti    = "gs1:defaultLinkMulti"
	VerificationService = "gs1:verificationService"
)

// Vocabulary is where link types are defined, as linksets name them.
const Vocabulary = "https://gs1.org/voc/"

// ParseLinkType reads a link type in any of its spellings: "gs1:pip", "pip" (as
// verification messages have it), or a URI. The result begins with "gs1:".
func ParseLinkType(s string) (string, bool) {
	for _, prefix := range [...]string{"gs1:", Vocabulary, "https://ref.gs1.org/voc/", "https://www.gs1.org/voc/", "http://gs1.org/voc/"} {
		if term, ok := strings.CutPrefix(s, prefix); ok {
			s = term
			break
		}
	}
	if s == "" || len(s) > linkTypeMax {
		return "", false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return "", false
		}
	}
	return "gs1:" + s, true
}

// Set is the links of one anchor.
type Set struct {
	Anchor  Anchor
	BrandID ids.BrandID
	Links   []Link

	Version   int64 // of all sets in the order of commit
	ChangedAt time.Time
}

// Policy is where a brand's links may lead. Without one they lead nowhere.
type Policy struct {
	BrandID ids.BrandID `json:"-"`
	Schemes []string    `json:"schemes"` // "https", "http"
	Hosts   []string    `json:"hosts"`   // "example.com", "*.example.com", "example.com:8443"
	GLN     string      `json:"gln,omitempty"`

	Version   int64     `json:"-"`
	ChangedAt time.Time `json:"-"`
}

// Limits of what is kept.
const (
	linksMax      = 100
	hrefBytesMax  = 2048
	titleBytesMax = 256
	languagesMax  = 20
	contextsMax   = 20
	contextMax    = 64
	countriesMax  = 250
	linkTypeMax   = 64
	hostsMax      = 200
	hostBytesMax  = 255
	setsOfBatch   = 64
	// SetsMax is how many sets a brand may have.
	SetsMax = 100_000
)

// What a caller may be told.
var (
	ErrUnknown = fault.New(fault.NotFound, "resolve.unknown", "there are no links at this anchor")
	ErrTaken   = fault.New(fault.Conflict, "resolve.anchor_taken", "another brand has links at this anchor")
	ErrVersion = fault.New(fault.Conflict, "resolve.version", "the links were changed since that version")
	ErrTooMany = fault.New(fault.Conflict, "resolve.too_many", "a brand may have %d sets of links, a batch %d", SetsMax, setsOfBatch)
)

func badLink(i int, field, format string, args ...any) error {
	return fault.Field("resolve.bad_link", "links["+itoa(i)+"]."+field, format, args...)
}

// check holds a set to the standard and the brand's policy, and fills in what is
// derived. Link types come out in one spelling.
func (s *Set) check(p *Policy) error {
	if len(s.Links) == 0 || len(s.Links) > linksMax {
		return fault.Field("resolve.bad_links", "links", "must be 1 to %d links", linksMax)
	}
	defaults := -1
	for i := range s.Links {
		l := &s.Links[i]
		kind, ok := ParseLinkType(l.Type)
		if !ok || kind == "gs1:linkset" || kind == "gs1:all" {
			return badLink(i, "link_type", "must be a link type of the GS1 Web Vocabulary such as gs1:pip")
		}
		l.Type = kind
		if err := l.check(i, p); err != nil {
			return err
		}
		if l.Type != DefaultLink {
			continue
		}
		switch {
		case defaults >= 0:
			return badLink(i, "link_type", "is the second gs1:defaultLink; there can be one, and any number of gs1:defaultLinkMulti")
		case len(l.Languages)+len(l.Contexts)+len(l.Countries) > 0 || l.MediaType != "":
			return badLink(i, "link_type", "is the default for everybody: language, media type, context and country belong to gs1:defaultLinkMulti")
		}
		defaults = i
	}
	return s.checkDefaults(defaults)
}

// checkDefaults: what leads somewhere by default is also of a type that says what is
// there, and an item's default is its own page.
func (s *Set) checkDefaults(first int) error {
	for i := range s.Links {
		l := &s.Links[i]
		if !l.isDefault() {
			continue
		}
		if s.Anchor.ofItems() {
			return badLink(i, "link_type", "cannot be given for items with a code: their default is their own page")
		}
		if !slices.ContainsFunc(s.Links, func(o Link) bool { return o.Href == l.Href && !o.isDefault() }) {
			return badLink(i, "href", "must also be the target of a link that says what is there, such as gs1:pip")
		}
		if l.Type == DefaultLinkMulti && first < 0 {
			return badLink(i, "link_type", "needs a gs1:defaultLink for everybody else")
		}
	}
	return nil
}

func (l *Link) isDefault() bool { return l.Type == DefaultLink || l.Type == DefaultLinkMulti }

func (l *Link) check(i int, p *Policy) error {
	switch {
	case l.Title == "" || len(l.Title) > titleBytesMax || !printable(l.Title):
		return badLink(i, "title", "must be 1 to %d bytes without control characters", titleBytesMax)
	case l.MediaType != "" && !isMediaType(l.MediaType):
		return badLink(i, "media_type", "must be a media type such as text/html")
	case len(l.Languages) > languagesMax:
		return badLink(i, "hreflang", "must be at most %d languages", languagesMax)
	case len(l.Contexts) > contextsMax || slices.ContainsFunc(l.Contexts, func(c string) bool { return c == "" || len(c) > contextMax || !printable(c) }):
		return badLink(i, "context", "must be at most %d values of 1 to %d bytes", contextsMax, contextMax)
	case len(l.Countries) > countriesMax || slices.ContainsFunc(l.Countries, func(c string) bool { return c == "" || len(c) > contextMax || !printable(c) }):
		return badLink(i, "countries", "must be at most %d names of 1 to %d bytes", countriesMax, contextMax)
	}
	for _, lang := range l.Languages {
		if !isLanguage(lang) {
			return badLink(i, "hreflang", "%q is not a language such as en or pt-BR", clip(lang))
		}
	}
	if reason := l.locate(); reason != "" {
		return badLink(i, "href", "%s", reason)
	}
	if !p.allows(l) {
		return badLink(i, "href", "leads to %s, which the brand's link policy does not allow", clip(l.host))
	}
	return nil
}

// locate reads the target, and says why it cannot be one.
func (l *Link) locate() (reason string) {
	if len(l.Href) > hrefBytesMax {
		return "has more than " + itoa(hrefBytesMax) + " bytes"
	}
	for i := range len(l.Href) {
		if c := l.Href[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return "has a character that must be percent-encoded"
		}
	}
	u, err := url.Parse(l.Href)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "must be an absolute URL with https or http and without a user"
	}
	l.host = strings.ToLower(u.Host)
	return ""
}

// allows reports whether a link may be answered.
func (p *Policy) allows(l *Link) bool {
	scheme, _, _ := strings.Cut(l.Href, ":")
	if p == nil || !slices.Contains(p.Schemes, scheme) {
		return false
	}
	for _, host := range p.Hosts {
		if host == l.host {
			return true
		}
		if suffix, ok := strings.CutPrefix(host, "*"); ok && strings.HasSuffix(l.host, suffix) && len(l.host) > len(suffix) {
			return true
		}
	}
	return false
}

func (p *Policy) check() error {
	bad := func(field, format string, args ...any) error {
		return fault.Field("resolve.bad_policy", field, format, args...)
	}
	for _, s := range p.Schemes {
		if s != "https" && s != "http" {
			return bad("schemes", "must be https or http")
		}
	}
	if len(p.Hosts) > hostsMax {
		return bad("hosts", "must be at most %d", hostsMax)
	}
	for i, h := range p.Hosts {
		h = strings.ToLower(h)
		if !isHost(strings.TrimPrefix(h, "*.")) {
			return bad("hosts", "%q is not a host such as example.com or *.example.com", clip(h))
		}
		p.Hosts[i] = h
	}
	if p.GLN != "" {
		if _, err := gs1.ParsePath("/417/" + url.PathEscape(p.GLN)); err != nil {
			return bad("gln", "must be a GLN of 13 digits with a true check digit")
		}
	}
	slices.Sort(p.Schemes)
	slices.Sort(p.Hosts)
	p.Schemes, p.Hosts = slices.Compact(p.Schemes), slices.Compact(p.Hosts)
	return nil
}

func isHost(s string) bool {
	if s == "" || len(s) > hostBytesMax {
		return false
	}
	name, port, hasPort := strings.Cut(s, ":")
	if hasPort && (port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "") {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// isLanguage is the form of languages that GS1's schema of linksets takes.
func isLanguage(s string) bool {
	letters := func(s string) bool { return len(s) == 2 && isLetter(s[0]) && isLetter(s[1]) }
	return letters(s) || len(s) == 5 && letters(s[:2]) && s[2] == '-' && letters(s[3:])
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isMediaType(s string) bool {
	kind, sub, ok := strings.Cut(s, "/")
	token := func(s string) bool {
		for i := range len(s) {
			if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("!#$&-^_.+", c) < 0 {
				return false
			}
		}
		return s != "" && len(s) <= 127
	}
	return ok && token(kind) && token(sub)
}

func printable(s string) bool {
	return strings.ToValidUTF8(s, "") == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// clip keeps what was wrong short enough to be said.
func clip(s string) string {
	if len(s) > contextMax {
		return s[:contextMax] + "…"
	}
	return s
}
