// Package complaint takes "this looks wrong" from who holds an item, and keeps it for the
// item's brand.
//
// Promise: who complains is told the same whatever he names, a code of ours or not, and the
// same work is done for it: the thank-you tells nothing (TestThanksTellNothing). What is
// kept of a photo has no place, no device and no owner in it (TestPictures). One request has
// one effect, however often it comes (complainttest).
package complaint

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ID names a complaint; its last character its shard.
type ID string

// IDPrefix begins every ID.
const IDPrefix = "cpl"

// Complaint is what somebody said of an item, and what came of it.
type Complaint struct {
	ID        ID
	Brand     ids.BrandID // 0 = the code is nobody's
	Batch     ids.BatchID
	Code      string // 18 digits as they were given; "" = none were
	Token     string
	Text      string
	Place     string // in the words of who complains
	Photo     picture.Kind
	CreatedAt time.Time
	ClosedAt  time.Time // zero = open
	ClosedBy  string
	Outcome   string
}

// Open reports that nobody has dealt with it.
func (c *Complaint) Open() bool { return c.ClosedAt.IsZero() }

// PhotoFile is the photo's name among the files; "" = there is none.
func (c *Complaint) PhotoFile() string {
	if c.Photo == picture.None {
		return ""
	}
	return string(c.ID) + "." + string(c.Photo)
}

// The limits.
const (
	TextMax      = 1000 // characters
	PlaceMax     = 100
	OutcomeMax   = 1000
	tokenMax     = 64
	codeCharsMax = 40
)

// What a caller may be told.
var (
	ErrUnknown = fault.New(fault.NotFound, "complaint.unknown", "there is no such complaint")
	ErrClosed  = fault.New(fault.Conflict, "complaint.closed", "this complaint was closed before")
	ErrLimited = fault.New(fault.Limited, "complaint.limited", "too many complaints from this address; try again later")
	ErrLate    = fault.New(fault.Unavailable, "complaint.late", "the photo took too long; send it again")
	ErrAway    = fault.New(fault.Unavailable, "complaint.unavailable", "complaints cannot be taken at the moment; send it again in a minute")
	ErrBusy    = fault.New(fault.Unavailable, "complaint.busy", "too many photos at once; try again in a moment")
)

// Ask is what somebody says.
type Ask struct {
	Code  string // with spaces or hyphens, as it is printed; "" = none is to be read
	Token string
	Text  string
	Place string
	Photo []byte // nil = none
}

// check puts it into its one spelling, or says what is wrong.
func (a *Ask) check() (*codebook.Code, error) {
	a.Text, a.Place = strings.TrimSpace(strings.ReplaceAll(a.Text, "\r\n", "\n")), strings.TrimSpace(a.Place)
	if err := checkText("text", a.Text, TextMax, true); err != nil {
		return nil, err
	}
	if a.Text == "" && len(a.Photo) == 0 {
		return nil, fault.Field("complaint.empty", "text", "say what looks wrong, or show it")
	}
	if err := checkText("place", a.Place, PlaceMax, false); err != nil {
		return nil, err
	}
	if err := checkText("token", a.Token, tokenMax, false); err != nil {
		return nil, err
	}
	if len(a.Code) > codeCharsMax {
		return nil, fault.Field("code.malformed", "code", "length is %d, should be %d digits", len(a.Code), codebook.CodeDigits)
	}
	if a.Code = strings.NewReplacer(" ", "", "-", "").Replace(a.Code); a.Code == "" {
		return nil, nil //nolint:nilnil // no code is an answer here
	}
	code, err := codebook.ParseCode(a.Code)
	return &code, err
}

// checkText is the rule for texts of strangers; lines says that it may have some.
func checkText(field, text string, most int, lines bool) error {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && (c != '\n' || !lines) }) {
		return fault.Field("input.bad_text", field, "must be UTF-8 text without control characters")
	}
	if n := utf8.RuneCountInString(text); n > most {
		return fault.Field("input.too_long", field, "has %d characters, at most %d are allowed", n, most)
	}
	return nil
}
