package site

import (
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

// unknown is the verdict of the refusal.
const unknown = "unknown"

// manyScans is from how many sessions on a re-scan is shown as a warning. A household
// that shows a purchase around stays below it, however often it scans; a copied code
// passes it within days.
const manyScans = 10

// What a page holds at most, in characters; longer texts are cut with "…". Together
// they keep the worst page, headers included, below 6 KB compressed.
const (
	nameMax   = 80
	textMax   = 40
	stageMax  = 16
	reasonMax = 120
	linkMax   = 160 // bytes: a link is never cut, a longer one is shown as text
)

// Page is what the answer to a scan shows. The zero value of a field is "not known" and
// leaves its place out.
type Page struct {
	Lang    string // "zh" or "en"; anything else is Chinese
	Verdict string // inactive, authentic, authentic_again, sold, suspicious, consumed, recalled, void, expired, superseded, unknown, unconfirmed
	Code    string // 18 digits
	Product Product
	Logo    string // where the brand's logo is; a path of this host, "" = it has none
	Reason  string // why the item is in its state, in the brand's words

	Sessions  int64 // scans of one device within a day are one
	ScanCount int64 // with this scan; 0 = not known, and then nothing is said about first
	FirstScan Event
	Sold      *Event
	ExpiresAt time.Time
	Since     time.Time // since when a link is stale, a recall stands, or nothing is known

	Inner     *Inner // nil = the batch has no inner codes
	Story     string // where the whole timeline is; a path of this host, "" = nowhere
	TokenPath string // put into the address bar; a path of this host
	Zone      *time.Location
}

// Product is what the item is.
type Product struct {
	Name, Brand, BatchNo string
	ProductionDate       string // shown as given
	Help                 string // a URL, a mail address, a telephone number or a text
}

// Event is a moment and a place; Place may be empty.
type Event struct {
	At    time.Time
	Place string
}

// Inner is the check of the code under the scratch layer.
type Inner struct {
	Asked     bool // false = nothing was entered yet: show the form alone
	OK        bool
	FirstAt   time.Time // when it was first checked with success; zero = just now
	TriesLeft int       // after a wrong one
}

// view is a Page in words, as the template shows it.
type view struct {
	HasProduct     bool
	Product, Brand string
	Logo           string
	Rows           []row

	Reason, Since, Expires, First, FirstPlace, SoldAt, SoldPlace string

	Count   int64
	Inner   *innerView
	Story   string
	Help    string
	HelpURL template.URL
	Code    string
	Zone    string
	Script  bool
	Path    string
}

type row struct{ Term, Text string }

type innerView struct {
	Asked, OK, Locked, Form bool
	First                   string
	TriesLeft               int
}

// Render writes the whole page. An unknown verdict is an error and writes nothing.
func (s *Site) Render(w io.Writer, p Page) error {
	l := s.language(p.Lang)
	if p.Verdict == unknown {
		_, err := w.Write(l.refusal)
		return err
	}
	verdict := p.Verdict
	if verdict == "authentic_again" && p.Sessions >= manyScans {
		verdict = many
	}
	t, ok := l.verdicts[verdict]
	if !ok {
		return fmt.Errorf("render a page: no verdict %q", p.Verdict)
	}
	return s.write(w, t, l.view(p))
}

func (l *language) view(p Page) view {
	at := l.formatter(p.Zone)
	v := view{
		Product: clip(p.Product.Name, nameMax),
		Brand:   clip(p.Product.Brand, textMax),
		Logo:    p.Logo,
		Reason:  clip(p.Reason, reasonMax),
		Since:   at(p.Since), Expires: at(p.ExpiresAt),
		First: at(p.FirstScan.At), FirstPlace: clip(p.FirstScan.Place, textMax),
		Count: p.ScanCount,
		Code:  groups(p.Code),
		Path:  p.TokenPath,
		Inner: l.inner(p.Inner, at),
		Story: p.Story,
	}
	if p.Sold != nil {
		v.SoldAt, v.SoldPlace = at(p.Sold.At), clip(p.Sold.Place, textMax)
	}
	v.Rows = l.rows(p, v)
	v.HasProduct = v.Product != "" || v.Brand != "" || len(v.Rows) > 0
	v.Help, v.HelpURL = l.help(p.Product.Help)
	v.Zone = zoneName(p.Zone)
	// A code that was tried must not stay in the address bar, where it would be shared.
	v.Script = p.TokenPath != "" || v.Inner != nil && v.Inner.Asked
	return v
}

// rows are the facts about the item, those that the verdict's own sentence says left out.
func (l *language) rows(p Page, v view) []row {
	rows := make([]row, 0, 4)
	add := func(term, text string) {
		if text != "" {
			rows = append(rows, row{term, text})
		}
	}
	add(l.BatchNo, clip(p.Product.BatchNo, 64))
	add(l.Made, clip(p.Product.ProductionDate, textMax))
	if p.Verdict != "expired" {
		add(l.Expires, v.Expires)
	}
	if p.Verdict != "sold" {
		add(l.Sold, strings.TrimSpace(v.SoldAt+" "+v.SoldPlace))
	}
	return rows
}

func (l *language) inner(i *Inner, at func(time.Time) string) *innerView {
	if i == nil {
		return nil
	}
	locked := i.Asked && !i.OK && i.TriesLeft <= 0
	return &innerView{
		Asked: i.Asked, OK: i.OK, Locked: locked, TriesLeft: i.TriesLeft,
		Form:  !i.Asked || !i.OK && !locked,
		First: at(i.FirstAt),
	}
}

// help makes a link of what is one: a web page, a mail address, a telephone number.
func (l *language) help(text string) (string, template.URL) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return l.HelpDefault, ""
	case len(text) > linkMax:
		return clip(text, nameMax), ""
	case strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://"):
		return text, template.URL(text) //nolint:gosec // the scheme was just looked at, and the template escapes the rest
	case isPhone(text):
		return text, template.URL("tel:" + strings.Map(dialled, text)) //nolint:gosec // digits and "+" only
	case strings.Count(text, "@") == 1 && !strings.ContainsAny(text, " <>\"'?&,;:") && text[0] != '@':
		return text, template.URL("mailto:" + text) //nolint:gosec // one bare address; the template escapes it
	}
	return text, ""
}

func isPhone(text string) bool {
	digits := strings.Map(dialled, text)
	return len(digits) >= 5 && strings.Trim(text, "0123456789+-() ") == "" && strings.LastIndexByte(digits, '+') <= 0
}

// dialled keeps what a telephone dials.
func dialled(r rune) rune {
	if r == '+' || '0' <= r && r <= '9' {
		return r
	}
	return -1
}

// formatter writes times in a zone; a zero time is "".
func (l *language) formatter(zone *time.Location) func(time.Time) string {
	if zone == nil {
		zone = time.UTC
	}
	return func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(zone).Format(l.TimeLayout)
	}
}

// zoneName is what the page calls its zone.
func zoneName(zone *time.Location) string {
	if zone == nil {
		return "UTC"
	}
	if name := zone.String(); name != "Local" {
		return name
	}
	return ""
}

// groups sets the digits in threes of six, as they stand on the label.
func groups(code string) string {
	if len(code) != 18 {
		return clip(code, textMax)
	}
	return code[:6] + " " + code[6:12] + " " + code[12:]
}

// clip cuts a text to a number of characters, the last of which is then "…".
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	n, cut := 0, 0
	for i := range text {
		if n == most-1 {
			cut = i
		}
		if n++; n > most {
			return text[:cut] + "…"
		}
	}
	return text
}
