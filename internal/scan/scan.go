// Package scan is what became of scans: a record of each, statistics of all, the
// history of one code and the list of the codes that were ever scanned. It consumes
// the log of sightings after the answer was given and never touches the hot path.
//
// Promises: each sighting has its effect exactly once, however often it is
// delivered and wherever the process dies (TestCrashes, TestRandomOperations); the
// statistics are those that a reading of the whole log gives (TestRecount); an
// address that was to be forgotten can be found in no file of ours
// (TestForgottenAddressesAreGone).
//
// Times are counted in UTC: a day is a UTC day whatever zone the reader asks for.
package scan

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// The groups that consume the log, one for each effect.
const (
	GroupRecords    = "scan-records"
	GroupStatistics = "scan-statistics"
	GroupSummary    = "scan-summary" // where several processes share the counts of items
)

// Seen is a sighting and its place in the log, which names it for ever.
type Seen struct {
	Ref verifyevent.Ref
	verifyevent.Sighting
}

// RefText is the name of a sighting that people read: "pos-n".
func RefText(r verifyevent.Ref) string {
	return strconv.FormatUint(r.At, 10) + "-" + strconv.FormatUint(uint64(r.N), 10)
}

// Result is a scan's outcome in the seed's three words.
type Result uint8

// The results, as stored.
const (
	Success  Result = 1
	Failure  Result = 2
	Abnormal Result = 3
)

// String is the result's name in answers.
func (r Result) String() string {
	switch r {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Abnormal:
		return "abnormal"
	}
	return "unknown"
}

// The names of verify's verdicts and doors by their stored numbers
// (TestVerdictsAreVerifys): a core imports no other core.
var (
	verdictNames = [...]string{
		"unknown", "inactive", "authentic", "authentic_again", "sold", "suspicious",
		"consumed", "recalled", "void", "expired", "superseded", "unconfirmed",
	}
	sourceNames = [...]string{"", "page", "api", "grpc"}
)

const (
	verdictAuthentic = 2 // the valid verdicts are authentic, authentic_again and sold
	verdictSold      = 4
	verdictSuspect   = 5

	// FarApart is the error_msg of a scan that is too far from the one before.
	FarApart = "far_apart"
)

// VerdictName is a verdict's name; numbers of a later version have one of theirs.
func VerdictName(v uint8) string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "verdict_" + strconv.Itoa(int(v))
}

// SourceName names the door that a scan came through.
func SourceName(s uint8) string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "source_" + strconv.Itoa(int(s))
}

// Judge is the result of a sighting and the word for what was wrong; "" for nothing.
func Judge(s *verifyevent.Sighting) (Result, string) {
	switch {
	case s.What.Has(verifyevent.Far):
		return Abnormal, FarApart
	case s.Verdict == verdictSuspect:
		return Abnormal, VerdictName(s.Verdict)
	case s.Verdict >= verdictAuthentic && s.Verdict <= verdictSold:
		return Success, ""
	}
	return Failure, VerdictName(s.Verdict)
}

// Record is one scan as it is kept.
type Record struct {
	Ref     verifyevent.Ref
	Prev    verifyevent.Ref // the item's scan before
	Code    string
	Serial  ids.Serial
	Brand   ids.BrandID
	Product ids.ProductID
	Batch   ids.Serial // the batch's first
	At      time.Time
	Result  Result
	Error   string
	Verdict uint8
	Source  uint8
	What    verifyevent.What
	Device  uint64
	Place   string
	Net     string     // the coarse network of the caller; "" = not known
	IP      netip.Addr // the address itself while it is kept
	Agent   string
	Zone    string
	Trace   [16]byte // of a sampled scan
	User    int64    // the account of a consumer who was signed in; 0 = none
}

// Day is a UTC day, counted from 1970-01-01.
type Day int32

const (
	dayMicros = int64(24 * time.Hour / time.Microsecond)

	// Earliest and Latest bound the times that are kept, in microseconds since 1970:
	// 2000-01-01 to the end of 2099. A clock that tells anything else is broken. The
	// bounds are fixed, since a sighting that comes again must go to the same day.
	Earliest = int64(946_684_800) * 1_000_000
	// Latest is the last of them.
	Latest = int64(4_102_444_800)*1_000_000 - 1
)

// DayOf is the day of a time in microseconds since 1970.
func DayOf(micros int64) Day {
	d := micros / dayMicros
	if micros%dayMicros < 0 {
		d--
	}
	return Day(d)
}

// DayAt is the day of t.
func DayAt(t time.Time) Day { return DayOf(t.UnixMicro()) }

// Start is the day's first moment.
func (d Day) Start() time.Time { return time.UnixMicro(int64(d) * dayMicros).UTC() }

// End is the first moment of the day after.
func (d Day) End() time.Time { return (d + 1).Start() }

// String is the day as "2026-11-27".
func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// ParseDay is the reverse of String.
func ParseDay(s string) (Day, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return DayAt(t), err == nil && t.Format(time.DateOnly) == s
}

// Unfit says why a sighting can have no effect: it must be buried. No time and no
// text is among the reasons; those are made to fit.
func Unfit(s *verifyevent.Sighting) string {
	switch {
	case s.Serial >= ids.SerialCount:
		return "serial outside its layout"
	case s.No < 1 || uint64(s.No-1) > uint64(s.Serial):
		return "number outside its batch"
	case s.Brand < 1:
		return "no brand"
	case s.Product < 1:
		return "no product"
	case s.Count < 1:
		return "count below one"
	}
	return ""
}

// Fit makes times and texts keepable: a time outside the bounds becomes the bound
// that it passed, and text becomes UTF-8.
func Fit(s *verifyevent.Sighting) {
	s.At = min(max(s.At, Earliest), Latest)
	fitText(&s.Place.Country)
	fitText(&s.Place.Province)
	fitText(&s.Place.City)
	fitText(&s.Agent)
	fitText(&s.Zone)
}

func fitText(s *string) {
	if !utf8.ValidString(*s) || strings.IndexByte(*s, 0) >= 0 {
		*s = strings.ReplaceAll(strings.ToValidUTF8(*s, ""), "\x00", "")
	}
}

// What a caller may be told.
var (
	ErrUnknownCode = fault.New(fault.NotFound, "code.unknown", "this code is not known")
	ErrBadCursor   = fault.Field("input.bad_cursor", "cursor", "is not a cursor of this list")
	ErrTooMuch     = fault.New(fault.Invalid, "scan.too_much", "this asks for too many numbers; narrow the range or the group, or take a coarser grain")
	ErrBadRange    = fault.Field("scan.bad_range", "from", "must be before to")
)
