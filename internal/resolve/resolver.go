package resolve

import (
	"context"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Item is an item of ours that a code is of.
type Item struct {
	Brand ids.BrandID
	Batch ids.BatchID
	No    int64
	Page  string // path of its page at this moment
}

// Items knows them.
type Items interface {
	// Item finds what a code, GTIN and lot ("" = not said) are of; known is false for a
	// code that does not verify, and for one that is of another product or lot.
	Item(ctx context.Context, code codebook.Code, gtin gs1.GTIN, lot string) (item Item, known bool, _ error)
}

// Resolver answers where identifiers lead. It is safe for concurrent use.
type Resolver struct {
	index *Index
	items Items
}

// NewResolver wires it.
func NewResolver(index *Index, items Items) *Resolver { return &Resolver{index, items} }

// What a caller may be told.
var (
	ErrNothing = fault.New(fault.NotFound, "resolve.nothing", "nothing is linked to this identifier")
	ErrNoType  = fault.New(fault.NotFound, "resolve.no_link_type", "there is no link of this type for this identifier")
	ErrNoItem  = fault.New(fault.NotFound, "resolve.no_item", "this serial number is not known")
)

// Answer is where to go.
type Answer struct {
	Href string // "" with ToItem and ToVerification
	// ToItem says that the identifier is an item with a code of ours, or one that looks
	// like it: its own page tells.
	ToItem bool
	// ToVerification says that our own verification service answers.
	ToVerification bool
}

// codeOf is the code in an item's serial number. What looks like one of ours is never
// resolved like another's.
func codeOf(id *gs1.ID) (codebook.Code, bool) {
	if id.Key.AI != "01" || !isCode(id.Value("21")) {
		return codebook.Code{}, false
	}
	code, err := codebook.ParseCode(id.Value("21"))
	return code, err == nil
}

// IsCoded reports whether an ID is of an item with a code of ours, or what looks like it.
func IsCoded(id *gs1.ID) bool {
	_, ok := codeOf(id)
	return ok
}

// Default is where an identifier leads when the request does not name a link type. For
// what names a class, or another thing than an item, it may be the link of a wider
// level; for an item never.
func (r *Resolver) Default(id *gs1.ID, w *Wishes) (Answer, error) {
	if _, ok := codeOf(id); ok {
		return Answer{ToItem: true}, nil
	}
	var room [levelsMax]level
	for _, l := range r.index.found(id, nil, room[:0]) {
		if isItem(id) && !l.own {
			break
		}
		if multi, how := w.best(l.links, DefaultLinkMulti); multi != nil && how.helps() {
			return Answer{Href: multi.Href}, nil
		}
		if first, _ := w.best(l.links, DefaultLink); first != nil {
			return Answer{Href: first.Href}, nil
		}
	}
	return Answer{}, ErrNothing
}

// Of is where a link type leads: the nearest level that has it. An item's verification
// is our own unless its own links say otherwise; a code that does not verify has
// nothing else.
func (r *Resolver) Of(ctx context.Context, id *gs1.ID, kind string, w *Wishes) (Answer, error) {
	code, coded := codeOf(id)
	var item *Item
	if coded {
		it, known, err := r.items.Item(ctx, code, gs1.GTIN(id.Key.Value), id.Value("10"))
		switch {
		case err != nil:
			return Answer{}, err
		case !known && kind == VerificationService:
			return Answer{ToVerification: true}, nil
		case !known:
			return Answer{}, ErrNoItem
		case kind == DefaultLink:
			return Answer{ToItem: true}, nil
		}
		item = &it
	}
	var room [levelsMax + 1]level
	for _, l := range r.index.found(id, item, room[:0]) {
		if isItem(id) && !l.own && (kind == VerificationService || kind == DefaultLink || kind == DefaultLinkMulti) {
			break
		}
		if best, _ := w.best(l.links, kind); best != nil {
			return Answer{Href: best.Href}, nil
		}
	}
	if coded && kind == VerificationService {
		return Answer{ToVerification: true}, nil
	}
	return Answer{}, ErrNoType
}

// Level is the links of one anchor of a linkset.
type Level struct {
	ID    gs1.ID
	Links []Link
}

// All gives the links of an identifier and of what it is of, the most particular first,
// as anybody may have them. item is what it is of where that is an item of ours.
func (r *Resolver) All(ctx context.Context, id *gs1.ID) (levels []Level, item *Item, _ error) {
	if code, coded := codeOf(id); coded {
		it, known, err := r.items.Item(ctx, code, gs1.GTIN(id.Key.Value), id.Value("10"))
		if err != nil {
			return nil, nil, err
		}
		if !known {
			return nil, nil, ErrNoItem
		}
		item = &it
		levels = append(levels, Level{ID: *id})
	}
	for _, l := range r.index.found(id, item, nil) {
		if len(levels) == 0 || levels[len(levels)-1].ID != l.id {
			levels = append(levels, Level{ID: l.id})
		}
		at := &levels[len(levels)-1]
		for _, some := range l.links {
			at.take(some)
		}
	}
	if len(levels) == 0 {
		return nil, nil, ErrNothing
	}
	return levels, item, nil
}

// take adds links. There is one default: the company prefix's gives way to the key's own.
func (l *Level) take(links []Link) {
	n := len(l.Links)
	for _, link := range links {
		if link.isDefault() && hasDefault(l.Links[:n]) {
			continue
		}
		l.Links = append(l.Links, link)
	}
}

func hasDefault(links []Link) bool {
	for i := range links {
		if links[i].Type == DefaultLink {
			return true
		}
	}
	return false
}

// Responder is the GLN that answers for a brand's verifications; "" = none was given.
func (r *Resolver) Responder(b ids.BrandID) string {
	if p := r.index.policyOf(b); p != nil {
		return p.GLN
	}
	return ""
}
