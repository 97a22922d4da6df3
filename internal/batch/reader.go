package batch

import (
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Reader tells of codes, links and marks what needs no store: any process with the
// keys and a projection has it. Service has one within.
type Reader struct {
	url   string // what codes link to
	items *codebook.Items
	proj  *Projection
	keys  Keys
	clock clock.Clock
}

// NewReader makes a Reader; url is Config.PublicURL.
func NewReader(url string, items *codebook.Items, proj *Projection, keys Keys, c clock.Clock) *Reader {
	return &Reader{url, items, proj, keys, c}
}

// Resolve finds the item of a code; the public's one refusal when there is none.
func (r *Reader) Resolve(code string) (ids.Serial, Item, error) {
	parsed, err := codebook.ParseCode(code)
	if err != nil {
		return 0, Item{}, err
	}
	serial := r.items.Serial(parsed)
	item, ok := r.proj.Lookup(serial)
	if !ok {
		return 0, Item{}, ErrUnknownCode
	}
	return serial, item, nil
}

// Projection gives the read side, for who answers scans.
func (r *Reader) Projection() *Projection { return r.proj }

// Code is the code of a number of a batch.
func (r *Reader) Code(b *Batch, no int64) codebook.Code { return r.items.Code(b.Serial(no)) }

// Label is what a consumer reads of a product: texts that its brand may change.
type Label struct {
	Product ids.ProductID `json:"product"`
	Name    string        `json:"name"`
	BrandID ids.BrandID   `json:"brand_id"` // 0 in what a version before this one wrote
	Brand   string        `json:"brand"`
	Help    string        `json:"help"`
	GTIN    gs1.GTIN      `json:"gtin"`
}
