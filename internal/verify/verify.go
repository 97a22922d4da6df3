// Package verify turns a scan into a verdict.
//
// Promise: an answer that counts a scan is given after the sighting is durable;
// counts never go down; a code that was never issued, a token that was never ours
// and a display mark without its token get one and the same refusal.
//
// No scan needs SQL: the code is arithmetic, its state comes from the projection,
// its sightings from the local log, its texts from a small cache. Only a try of an
// inner code, which is a hard fact, is a transaction.
package verify

import (
	"context"
	"net/netip"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Verdict is the answer in one word.
type Verdict uint8

// The verdicts, in the order of the stored sightings: append, never renumber.
const (
	Unknown Verdict = iota
	Inactive
	Authentic
	AuthenticAgain
	Sold
	Suspicious
	Consumed
	Recalled
	Void
	Expired
	Superseded
	Unconfirmed // what is known is too old, or not all of it could be asked
	verdictCount
)

var verdicts = [verdictCount]struct {
	name  string
	valid bool
	kind  fault.Kind // what it answers with; 0 = 200
}{
	Unknown:        {"unknown", false, fault.NotFound},
	Inactive:       {"inactive", false, 0},
	Authentic:      {"authentic", true, 0},
	AuthenticAgain: {"authentic_again", true, 0},
	Sold:           {"sold", true, 0},
	Suspicious:     {"suspicious", false, 0},
	Consumed:       {"consumed", false, 0},
	Recalled:       {"recalled", false, fault.Gone},
	Void:           {"void", false, fault.Gone},
	Expired:        {"expired", false, fault.Gone},
	Superseded:     {"superseded", false, fault.Gone},
	Unconfirmed:    {"unconfirmed", false, 0},
}

// String is the verdict's name in answers, metrics and events.
func (v Verdict) String() string { return verdicts[v].name }

// Valid reports whether the item may be taken for genuine and sellable or sold.
func (v Verdict) Valid() bool { return verdicts[v].valid }

// Kind is the fault that the verdict answers with; Internal (0) stands for 200.
func (v Verdict) Kind() fault.Kind { return verdicts[v].kind }

// Counted is the verdict of a scan with so many of the item: a code that was scanned
// before is genuine all the same, and says so.
func (v Verdict) Counted(scans int64) Verdict {
	if v == Authentic && scans > 1 {
		return AuthenticAgain
	}
	return v
}

// Verdicts lists all of them.
func Verdicts() []Verdict {
	all := make([]Verdict, verdictCount)
	for i := range all {
		all[i] = Verdict(i)
	}
	return all
}

// ErrRefused is the one public refusal.
var ErrRefused = fault.New(fault.NotFound, "code.unknown", "this code is not known")

// ErrUnreachable says that what would have to be asked elsewhere cannot be.
var ErrUnreachable = fault.New(fault.Unavailable, "verify.unreachable", "this cannot be checked at the moment")

// Item is what a scan needs to know of an item and its batch.
type Item struct {
	Serial         ids.Serial
	BatchID        ids.BatchID
	BatchNo        string
	ProductID      ids.ProductID
	BrandID        ids.BrandID
	No             int64
	State          gs1.Disposition
	Display        bool
	RotateEvery    time.Duration
	InnerKeyID     string
	SignatureKeyID string // of its label; "" = it is not signed
	ExpiresAt      time.Time
	ProductionDate string
	CreatedAt      time.Time
	HasExtra       bool // a record of its own: a version, an inner code
}

// Extra is the record of an item that has one.
type Extra struct {
	Version    uint16
	Superseded []time.Time // when the versions before were ended, the newest last
	InnerAt    time.Time
}

// Note is what the change to the present state said.
type Note struct {
	At     time.Time
	Place  string
	Reason string
}

// Items answers from memory and local disk, never from SQL.
type Items interface {
	Lookup(s ids.Serial) (Item, bool)
	Extra(s ids.Serial) (Extra, error)
	Note(s ids.Serial) (Note, bool, error)
}

// Feed tells how new what Items answers is.
type Feed interface {
	// AsOf is the latest moment of which it is certain that every change before it
	// is known; zero = none is.
	AsOf() time.Time
	// Beyond reports that a serial that is not known may have been issued since.
	Beyond(s ids.Serial) bool
}

// Keys gives the keys that still verify.
type Keys interface {
	// Links gives the link keys, newest first.
	Links() []*codebook.Links
	// Inner is the inner-code key of the given name.
	Inner(keyID string) (*codebook.Inner, error)
	// Label is the key that verifies labels under a name, revoked or not; nil = none does.
	Label(id codebook.LabelKeyID) *codebook.LabelKey
}

// InnerTries counts tries of inner codes, durably. Its error is ErrUnreachable when
// nobody could be asked.
type InnerTries interface {
	TryInner(ctx context.Context, item *Item, right bool) (Tried, error)
}

// Tried is what a try of an inner code came to.
type Tried struct {
	Tries   int
	FirstAt time.Time // of the first right one, also when it is this one
	Locked  bool      // the tries were used up before
}

// Text is what a consumer reads of a product.
type Text struct {
	Name, Brand, Help string
	GTIN              gs1.GTIN
	BrandID           ids.BrandID
}

// Source tells which door a scan came through, as stored.
type Source uint8

// The doors.
const (
	FromPage Source = iota + 1
	FromAPI
	FromGRPC
)

// Trace is a sampled trace context that goes with a scan to whoever reads of it.
type Trace = verifyevent.Trace

// Sighting is one scan.
type Sighting struct {
	Item    *Item
	At      time.Time
	Verdict Verdict
	Source  Source
	Client  *Client
	Device  uint64
	Place   *Place // nil = not known
}

// Seen is what the sightings of an item add up to.
type Seen struct {
	Count    int64
	Sessions int64 // scans of one device within SessionWindow are one
	FirstAt  time.Time
	LastAt   time.Time
	FirstIn  string // place, in words; "" = not known
	LastIn   string
	What     verifyevent.What // of the scan that was just counted
	Partial  bool             // scans of other processes may be missing
}

// Places tells where an address is; nil = not known.
type Places interface {
	Of(ip netip.Addr) *Place
}

// Sightings is the durable log of scans.
type Sightings interface {
	// Record counts the scan and returns when it is durable (or, where the operator
	// chose so, before). Seen includes this scan.
	Record(s *Sighting) (Seen, error)
	// Seen tells what is known without counting. What it tells must outlive a crash
	// like an answer of Record: counts never go down.
	Seen(s ids.Serial) (Seen, error)
}

// Query is one scan's question.
type Query struct {
	Code    codebook.Code
	Token   string // "" = none
	Version uint16 // 0 = not said
	Inner   string // "" = not said
	Label   string // the signature of the label, as the link has it; "" = none
	Source  Source
	Count   bool // false: look only (HEAD, prefetch, early data)
	Early   bool // may be a repetition: it is answered without Count, and never that it is the first
	Client  Client
}

// Answer is what a scan is told.
type Answer struct {
	Verdict Verdict
	Reasons []string // shared: do not change
	Item    Item
	Version uint16
	Text    Text
	Seen    Seen
	Counted bool
	SoldAt  time.Time
	SoldIn  string
	Since   time.Time // since when a link is superseded

	Partial bool      // not everything that there may be to know is known here
	AsOf    time.Time // with Partial: until when it is; zero = not known

	RecalledAt time.Time
	Recall     string // the brand's reason for it
	Inner      *InnerAnswer
	HasToken   bool // the scan carried a token that verified

	sighting Sighting // what was recorded: here, so that it is reused
}

// InnerAnswer is what is known of the item's inner code.
type InnerAnswer struct {
	Asked     bool
	OK        bool
	Locked    bool
	First     bool // this scan was the first with the right code
	FirstAt   time.Time
	TriesLeft int
}

// InnerTriesMax is how often an inner code may be tried.
const InnerTriesMax = 5
