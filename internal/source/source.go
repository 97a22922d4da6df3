// Package source knows what other programs know of an item: what was made where, what was
// carried by whom. It asks the systems of factories, warehouses and offices (MES, WMS, ERP),
// and keeps what they push.
//
// Promise: a look at an item takes at most half a second and is never an error, whatever
// those systems do (TestPartsInTime); what was late is there at the next look
// (TestLateIsThereNext). What is said of one brand's goods is shown of no other's
// (sourcetest). What a system says is held to the same rules whether it was asked or
// pushes (TestFacts).
package source

import (
	"cmp"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Part is what one system knows of an item at one stage.
type Part struct {
	Stage    string // production, processing, logistics, sales
	Source   string // MES, WMS, ERP
	Status   string // "" = it is here; "loading", "unavailable"
	Time     time.Time
	Location string
	Details  map[string]any
}

// The states of a part that is not here.
const (
	Loading     = "loading"
	Unavailable = "unavailable"
)

// The kinds of systems.
const (
	MES = "MES"
	WMS = "WMS"
	ERP = "ERP"
)

// Kinds are all of them.
func Kinds() []string { return []string{MES, WMS, ERP} }

// Stages are those of an item's life, in their order.
func Stages() []string { return []string{"production", "processing", "logistics", "sales"} }

// usualStage is where a part of a kind stands that is not here.
func usualStage(kind string) string {
	switch kind {
	case WMS:
		return "logistics"
	case ERP:
		return "sales"
	}
	return "production"
}

// missing is a part that is not here.
func missing(kind, status string) []Part {
	return []Part{{Stage: usualStage(kind), Source: kind, Status: status}}
}

// Ask is what a system is asked about.
type Ask struct {
	Code    string
	Brand   ids.BrandID
	BatchNo string
	Product ids.ProductID
}

// Row is what was pushed: of one item, or of all of a batch.
type Row struct {
	Code     string        // "" = of the batch
	BatchNo  string        // "" = of the code
	Product  ids.ProductID // of the batch; 0 = of each product of the brand that has such a batch
	Stage    string
	Source   string
	Time     time.Time
	Location string
	Details  map[string]any
}

// The limits.
const (
	PartsMax    = 50 // of one answer
	DetailsMax  = 32 // of one part
	TextMax     = 500
	BatchNoMax  = 64
	nameMax     = 100
	tokenMax    = 4096
	SystemsMax  = 20 // of a brand
	RowsMax     = 1000
	shownMax    = 200 // rows of an item
	aheadMax    = 24 * time.Hour
	keyBytesMax = 40
)

// What a caller may be told.
var (
	ErrUnknown      = fault.New(fault.NotFound, "source.unknown", "there is no such source")
	ErrTooMany      = fault.New(fault.Conflict, "source.too_many", "a brand has at most %d sources: remove one first", SystemsMax)
	ErrUnknownCode  = fault.New(fault.NotFound, "source.unknown_code", "there is no such code")
	ErrInstallation = fault.New(fault.Denied, "source.installation", "a source of all brands is for those who run the installation")
	ErrChanged      = fault.New(fault.Conflict, "source.changed", "the source was changed meanwhile; look and try again")
	ErrTokenNeeded  = fault.Field("source.token_needed", "token", "name it again: it was given for another host")
	ErrBadRows      = fault.New(fault.Invalid, "source.bad_rows", "rows are wrong; nothing was stored")
	ErrSignature    = fault.New(fault.Unauthenticated, "source.bad_signature", "needs webhook-id, webhook-timestamp and webhook-signature of a source")

	// What asking a system may come to. Nothing of them quotes an address.
	ErrNoAnswer = fault.New(fault.Unavailable, "source.no_answer", "it does not answer")
	ErrWrong    = fault.New(fault.Unavailable, "source.wrong_answer", "its answer is wrong")
	ErrAddress  = fault.New(fault.Unavailable, "source.address", "its address leads to a network that is not asked")
)

// clean reports whether a text may be shown to anybody: no control characters, and nothing
// that turns the direction of what stands beside it.
func clean(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// text is the rule for a text.
func text(field, s string, most int) []fault.Detail {
	switch {
	case len(s) > most:
		return []fault.Detail{{Field: field, Reason: "is too long"}}
	case !clean(s):
		return []fault.Detail{{Field: field, Reason: "has characters that cannot be shown"}}
	}
	return nil
}

func one(of []string, field, s string) []fault.Detail {
	if slices.Contains(of, s) {
		return nil
	}
	return []fault.Detail{{Field: field, Reason: "is none of the known ones"}}
}

// checkFacts is the rule for what is said of an item, asked for or pushed.
func checkFacts(stage string, at time.Time, location string, details map[string]any, now time.Time) []fault.Detail {
	bad := one(Stages(), "trace_type", stage)
	switch {
	case at.IsZero():
		bad = append(bad, fault.Detail{Field: "time", Reason: "is missing"})
	case at.Year() < 1990 || at.After(now.Add(aheadMax)):
		bad = append(bad, fault.Detail{Field: "time", Reason: "lies before 1990 or in the future"})
	}
	bad = append(bad, text("location", location, TextMax)...)
	if len(details) > DetailsMax {
		return append(bad, fault.Detail{Field: "details", Reason: "are too many"})
	}
	for key, value := range details {
		bad = append(bad, checkDetail(key, value)...)
	}
	slices.SortStableFunc(bad, func(a, b fault.Detail) int { return cmp.Compare(a.Field, b.Field) })
	return bad
}

func checkDetail(key string, value any) []fault.Detail {
	if !isKey(key) {
		return []fault.Detail{{Field: "details", Reason: "has a key that is not a word of a-z, 0-9 and _"}}
	}
	switch v := value.(type) {
	case string:
		return text("details."+key, v, TextMax)
	case float64, bool, nil:
		return nil
	}
	return []fault.Detail{{Field: "details." + key, Reason: "must be a text, a number, true or false"}}
}

func isKey(s string) bool {
	if s == "" || len(s) > keyBytesMax {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return false
		}
	}
	return true
}

// check is the rule for a row, but for whether its code is the brand's.
func (r *Row) check(now time.Time) []fault.Detail {
	bad := checkFacts(r.Stage, r.Time, r.Location, r.Details, now)
	bad = append(bad, one(Kinds(), "data_source", r.Source)...)
	switch {
	case (r.Code == "") == (r.BatchNo == ""):
		bad = append(bad, fault.Detail{Field: "code", Reason: "name a code or a batch_no"})
	case r.Code != "" && r.Product != 0:
		bad = append(bad, fault.Detail{Field: "product_id", Reason: "a code names its product itself"})
	case r.Product < 0:
		bad = append(bad, fault.Detail{Field: "product_id", Reason: "must be a product's number"})
	}
	return append(bad, text("batch_no", r.BatchNo, BatchNoMax)...)
}

// part shows a row.
func (r *Row) part() Part {
	return Part{Stage: r.Stage, Source: r.Source, Time: r.Time, Location: r.Location, Details: r.Details}
}

// inOrder sorts parts by stage, and within one by time; what is not here comes last in it.
func inOrder(parts []Part) {
	stages := Stages()
	slices.SortStableFunc(parts, func(a, b Part) int {
		return cmp.Or(
			cmp.Compare(slices.Index(stages, a.Stage), slices.Index(stages, b.Stage)),
			cmp.Compare(min(len(a.Status), 1), min(len(b.Status), 1)),
			a.Time.Compare(b.Time),
		)
	})
}
