// Package batch issues codes and keeps their state.
//
// A batch is a contiguous run of serials of one product. Issuing it writes one
// row, whatever its size; who may print which numbers is a matter of claims, and
// what became of the items is the fold of the changes that cover them.
//
// Invariants:
//   - a serial belongs to at most one batch, for ever, and a number of a batch to
//     at most one claim at a time (batchtest: TestClaims, TestAllocation);
//   - a change moves an item only along the transition table, or undoes a change
//     that it names (TestStatesAgreeWithModel);
//   - every process that has followed the feed to the same seq answers the same
//     state for every item (TestProjectionRebuilt).
package batch

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Brand owns products.
type Brand struct {
	ID        ids.BrandID
	Name      string
	CreatedAt time.Time
}

// Product is what a code is about.
type Product struct {
	ID          ids.ProductID
	BrandID     ids.BrandID
	Name        string
	GTIN        gs1.GTIN // "" = none
	Description string
	Help        string // where a consumer may ask: a telephone number, a URL
	Pool        Pool
	CreatedAt   time.Time
}

// Pool keeps unclaimed codes of a product ready: when fewer than Target are left,
// a batch of BatchQuantity is allocated with these settings.
type Pool struct {
	Target        int64
	BatchQuantity int64
	ExpireHours   int32
	RotateEvery   time.Duration
	Mark          Mark
	InnerCode     bool
	Signed        bool // its labels
}

// Mark says how a batch's codes reach the world.
type Mark string

// A printed mark never changes; a displayed one shows the present link token.
const (
	Print   Mark = "print"
	Display Mark = "display"
)

// Batch is a run of serials of one product. Everything in it is fixed when it is
// made; what changes about its items is in the changes.
type Batch struct {
	ID             ids.BatchID   `json:"id"`
	ProductID      ids.ProductID `json:"product_id"`
	BrandID        ids.BrandID   `json:"brand_id"`
	No             string        `json:"no"` // the brand's own number for it, unique per product
	First          ids.Serial    `json:"first"`
	Quantity       int64         `json:"quantity"`
	Mark           Mark          `json:"mark"`
	RotateEvery    time.Duration `json:"rotate_every"`     // 0 = off
	InnerKeyID     string        `json:"inner_key_id"`     // "" = no inner codes
	ExpiresAt      time.Time     `json:"expires_at"`       // zero = never
	SignatureKeyID string        `json:"signature_key_id"` // of its labels; "" = they are not signed
	SignatureGTIN  gs1.GTIN      `json:"signature_gtin"`   // what signed labels say, as it was when the batch was made
	ProductionDate string        `json:"production_date"`  // 2006-01-02, or ""
	Description    string        `json:"description"`
	CreatedAt      time.Time     `json:"created_at"` // epochs of the link token are counted from here
}

// Shard is where the batch lives.
func (b *Batch) Shard() ids.Shard { return b.First.Shard() }

// Serial is the serial of a number of the batch, 1..Quantity.
func (b *Batch) Serial(no int64) ids.Serial { return b.First + ids.Serial(no-1) }

// Number is the reverse of Serial; ok is false outside the batch.
func (b *Batch) Number(s ids.Serial) (no int64, ok bool) {
	if s < b.First || uint64(s-b.First) >= uint64(b.Quantity) {
		return 0, false
	}
	return int64(s-b.First) + 1, true
}

// Claim is a block of a batch's numbers in the hands of one claimant.
type Claim struct {
	ID        ids.ClaimID
	BatchID   ids.BatchID
	Claimant  string
	From, To  int64      // To < From when all of it went back
	TaskID    ids.TaskID // of the file with its codes; "" = none
	CreatedAt time.Time
}

// FirstState is the state of every item of a new batch.
const FirstState = gs1.Encoded

// The limits of input.
const (
	GenerateMax      = 1_000_000
	BatchMax         = 10_000_000_000
	RotateMin        = time.Minute
	RotateMax        = 10 * 365 * 24 * time.Hour
	SelectCodesMax   = 100_000
	ClaimCodesInline = 10_000
	nameBytesMax     = 256
	textBytesMax     = 4096
	batchNoBytesMax  = 64
	expireHoursMax   = 200 * 366 * 24
)

// What a caller may be told.
var (
	ErrUnknownBrand   = fault.New(fault.NotFound, "brand.unknown", "no such brand")
	ErrUnknownProduct = fault.New(fault.NotFound, "product.unknown", "no such product")
	ErrUnknownBatch   = fault.New(fault.NotFound, "batch.unknown", "no such batch")
	ErrUnknownClaim   = fault.New(fault.NotFound, "claim.unknown", "no such claim of this batch")
	ErrUnknownChange  = fault.New(fault.NotFound, "change.unknown", "no such change")
	ErrForeignProduct = fault.Field("product.other_brand", "product_id", "belongs to another brand")
	ErrBatchExists    = fault.New(fault.Conflict, "batch.exists", "this product has a batch with this batch_no already")
	ErrExhausted      = fault.New(fault.Conflict, "batch.exhausted", "not enough unclaimed numbers are left")
	ErrClaimInUse     = fault.New(fault.Conflict, "claim.in_use", "some of these numbers were scanned or have left their first state")
	ErrClaimRange     = fault.Field("claim.bad_range", "from_no", "is not in the block that the claim still holds")
	ErrRaced          = fault.New(fault.Conflict, "batch.raced", "another change came between; ask again")
	// ErrUnknownCode is the one public refusal for 18 digits that do not verify.
	ErrUnknownCode = fault.New(fault.NotFound, "code.unknown", "this code is not known")
)

// guessBound is the most codes that may ever be issued, all regions and shards
// together, so that a random guess hits with at most 10^-4 (design: codes).
const guessBound = ids.SerialCount / 10_000

// ShardLimit is how many numbers a shard of the region may issue. The shares of
// all regions, guessBound/((r+1)(r+2)) each, sum to less than guessBound whatever
// each region does, so that no region needs to ask another (docs/adr/0003-guess-bound-by-region.md).
func ShardLimit(region int) int64 {
	share := int64(guessBound) / int64(region+1) / int64(region+2) / ids.Shards
	return min(share, ids.ShardCapacity)
}

// LimitError says why an allocation past the shard's limit is refused.
func LimitError(region int) error {
	if ShardLimit(region) == ids.ShardCapacity {
		return fault.New(fault.Conflict, "batch.shard_full", "the brand's shard has no serials left (10^12 per shard)")
	}
	return fault.New(fault.Conflict, "batch.guess_bound",
		"this many codes would let a random guess hit with a probability above 10^-4 (issued/10^18, all regions together)")
}

// CheckName is the rule for names of brands, products and claimants.
func CheckName(field, name string, bytesMax int) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fault.Field("input.empty", field, "must not be empty")
	case len(name) > bytesMax:
		return fault.Field("input.too_long", field, "has %d bytes, at most %d are allowed", len(name), bytesMax)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fault.Field("input.bad_text", field, "must be UTF-8 text without control characters")
	}
	return nil
}

// checkText is the rule for free texts, which may be empty and have lines.
func checkText(field, text string) error {
	if strings.TrimSpace(text) == "" && len(text) <= textBytesMax {
		return nil
	}
	return CheckName(field, strings.NewReplacer("\n", " ", "\t", " ").Replace(text), textBytesMax)
}

// CheckQuantity is the rule for how many, from 1 to most.
func CheckQuantity(n, most int64) error {
	switch {
	case n < 1:
		return fault.Field("quantity.too_small", "quantity", "is %d, at least 1 is needed", n)
	case n > most:
		return fault.Field("quantity.too_large", "quantity", "is %d, at most %d are allowed", n, most)
	}
	return nil
}

// CheckRotation is the rule for a batch's rotation period.
func CheckRotation(d time.Duration) error {
	if d != 0 && (d < RotateMin || d > RotateMax || d%time.Second != 0) {
		return fault.Field("rotate.bad_period", "rotate_every", "must be off or whole seconds between 1m and %s", RotateMax)
	}
	return nil
}

// ParseRotation reads "off", "1h", "24h", "90m".
func ParseRotation(s string) (time.Duration, error) {
	if s == "" || s == "off" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fault.Field("rotate.bad_period", "rotate_every", `must be "off" or a duration such as "1h"`)
	}
	return d, CheckRotation(d)
}

// FormatRotation is the reverse of ParseRotation, without empty parts: "off", "1h",
// "1h30m", "1m10s".
func FormatRotation(d time.Duration) string {
	if d == 0 {
		return "off"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
