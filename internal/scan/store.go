package scan

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Records keeps one row for each scan.
type Records interface {
	// Add keeps sightings that were made to fit. It must be all or nothing within a
	// day, must leave those alone that it has already, and must be durable when it
	// returns nil.
	Add(ctx context.Context, seen []*Seen) error
	// Find gives one record; ok is false when it is not here: not consumed yet, of a
	// day that was deleted, or never.
	Find(ctx context.Context, ref verifyevent.Ref) (_ Record, ok bool, _ error)
	// OfDay gives the records of a code on one closed day, by its index and in no
	// order that counts; none when the day is open or not here.
	OfDay(ctx context.Context, day Day, code string, limit int) ([]Record, error)
	// Each calls fn for every record of a day, in the order of the log.
	Each(ctx context.Context, day Day, fn func(Record) error) error
	// Days lists the days that are kept, the oldest first.
	Days(ctx context.Context) ([]DayInfo, error)
}

// ByCode finds a code's records by an index. An engine has it when no process has the
// whole log, so that nobody could walk the Trail.
type ByCode interface {
	// OfCode gives a code's records in the order of their time, the newest first: from
	// the one named on, or from the newest when from is the zero Ref. next is the one
	// behind them; the zero Ref at the end. It must answer ErrBadCursor when from is a
	// record of another code, and nothing when it is not here any more.
	OfCode(ctx context.Context, code string, from verifyevent.Ref, limit int) (_ []Record, next verifyevent.Ref, _ error)
}

// DayInfo is a day of records.
type DayInfo struct {
	Day    Day
	Closed bool // has its indexes
}

// Policies keeps what brands want of addresses.
type Policies interface {
	Policy(ctx context.Context, brand ids.BrandID) (Policy, error)
	// SetPolicy must tie the request to its effect in one transaction. A shorter time
	// must take effect before it returns: keys that are too old are gone.
	SetPolicy(ctx context.Context, r ids.Request, p Policy) (_ Policy, replayed bool, _ error)
	// MayShow reports whether the addresses of a brand's scans on a day may still be
	// seen. It is for sightings that are in the log only.
	MayShow(ctx context.Context, brand ids.BrandID, day Day) (bool, error)
}

// Dimension is what a question of the statistics groups by.
type Dimension uint8

// The dimensions.
const (
	ByNothing Dimension = iota
	ByBrand
	ByProduct
	ByBatch
	ByProvince
	ByVerdict
)

// Filter narrows a question; zero fields are not asked for. HasBatch tells a batch
// whose first serial is 0 from none.
type Filter struct {
	Brand    ids.BrandID
	Product  ids.ProductID
	Batch    ids.Serial
	HasBatch bool
}

// Matches reports whether the filter lets a cell or sketch through.
func (f Filter) Matches(brand ids.BrandID, product ids.ProductID, batch ids.Serial) bool {
	return (f.Brand == 0 || f.Brand == brand) && (f.Product == 0 || f.Product == product) && (!f.HasBatch || f.Batch == batch)
}

// SumAsk asks for sums: one row for each bucket (or one in all) and value of By.
type SumAsk struct {
	Filter
	Grain    Grain
	From, To int64 // seconds since 1970; To is not in it
	By       Dimension
	Whole    bool // one sum over the whole range
	RowsMax  int  // more is ErrTooMuch
}

// Sum is one answer: the sums of a bucket and a value of the dimension.
type Sum struct {
	Start    int64  // 0 with Whole
	Number   int64  // the brand, product, batch (its first serial) or verdict
	Province string // with ByProvince
	Counts
}

// Item is a code with a record of its own.
type Item struct {
	Serial ids.Serial
	At     time.Time // of its first scan, or of its last single change

	changed bool // comes from SingleChanges
}

// TopCode is a code that was scanned much.
type TopCode struct {
	Serial ids.Serial
	Count  int64
	LastAt time.Time
}

// TopCodesKept is how many top codes a brand has.
const TopCodesKept = 100

// Statistics keeps sums, sketches, top codes and the codes that were ever scanned.
// An engine is a consumer of the log too (stream.Handler): it must count each
// sighting exactly once, and what it counted must show in its next answers.
type Statistics interface {
	// Sum must answer ErrTooMuch rather than more than RowsMax rows.
	// What it gives must be sorted by Start.
	Sum(ctx context.Context, ask SumAsk) ([]Sum, error)
	// Distinct unites the sketches of the days; ok is false when they are too many.
	Distinct(ctx context.Context, f Filter, from, to Day) (_ *Sketch, ok bool, _ error)
	TopCodes(ctx context.Context, brand ids.BrandID, limit int) ([]TopCode, error)
	// Items gives a brand's codes whose first scan was at or after since and before
	// the one named (time, then serial), the newest first.
	Items(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]Item, error)
	// Newest is the time of the newest sighting that was counted; zero = none.
	Newest() time.Time
}

// What the domain wants of others. internal/app wires them.

// Codes turns serials into codes and back. Serial must answer with a fault: 400 for
// what is no code, 404 for a code that was never issued.
type Codes interface {
	Code(s ids.Serial) string
	Serial(ctx context.Context, code string) (ids.Serial, error)
}

// BatchInfo is what the statistics need to know of a batch.
type BatchInfo struct {
	ID      ids.BatchID
	No      string
	First   ids.Serial
	Brand   ids.BrandID
	Product ids.ProductID
}

// Catalog is what there is. What is unknown must be answered with a NotFound fault.
type Catalog interface {
	Brand(ctx context.Context, id ids.BrandID) (name string, _ error)
	Product(ctx context.Context, id ids.ProductID) (brand ids.BrandID, name string, _ error)
	Batch(ctx context.Context, id ids.BatchID) (BatchInfo, error)
	// BatchAt finds the batch of a first serial; ok is false when it is not known here.
	BatchAt(ctx context.Context, first ids.Serial) (_ BatchInfo, ok bool, _ error)
	// State is an item's present state.
	State(ctx context.Context, s ids.Serial) (gs1.Disposition, error)
}

// Trail is the log, walked backwards from an item's last sighting.
type Trail interface {
	// Last is the item's last sighting; the zero Ref when there is none.
	Last(s ids.Serial) (verifyevent.Ref, error)
	// Read gives the log's record at a position; ok is false when it was trimmed away.
	Read(at uint64) (record []byte, ok bool, _ error)
}

// ItemTally is what the hot path knows of an item's scans.
type ItemTally struct {
	Count   int64
	FirstAt time.Time
	LastAt  time.Time
	Place   string // of the last
}

// Tallies tells what is known now, without a lag.
type Tallies interface {
	Tally(s ids.Serial) (ItemTally, error)
}

// SingleChanges lists a brand's codes whose present record is their own, whether they
// were scanned or not: the newest first by when they got it, as Statistics.Items does.
type SingleChanges interface {
	Changed(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]Item, error)
}

// Lag is how far a group of consumers is behind.
type Lag struct {
	Records int64
	Age     time.Duration // since the oldest that is not consumed; 0 = none
}

// Lags tells how far the named group is behind the log.
type Lags interface {
	Lag(ctx context.Context, group string) (Lag, error)
}
