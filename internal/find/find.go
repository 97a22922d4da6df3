// Package find finds products, batches, places and events by words of theirs.
//
// Promise: a word finds what has it anywhere in its words, in the middle too, whatever the
// script and the case, and nothing of a brand that the caller may not see (the suite
// in findtest). An index is a copy: it can be thrown away at any time, and fills again from
// the lists that it follows.
package find

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Kind is what a document is about.
type Kind string

// The kinds, in the order of answers.
const (
	Product Kind = "product"
	Batch   Kind = "batch"
	Place   Kind = "place"
	Event   Kind = "event"
)

// Kinds lists them in the order of answers.
func Kinds() []Kind { return []Kind{Product, Batch, Place, Event} }

// Document is what can be found.
type Document struct {
	Kind  Kind
	ID    string // unique within kind and brand
	Brand ids.BrandID
	Title string    // what a person knows it by
	Words []string  // what it is found by beside its title
	At    time.Time // when it came to be
	// Version grows with each change of the document: what is older never takes the place of
	// what is newer.
	Version int64
	Gone    bool // it is no longer there
}

// WordsBytesMax bounds what one document is found by. What is beyond it finds nothing.
const WordsBytesMax = 4 << 10

// Text is all that the document is found by, folded, a line for each word.
func (d *Document) Text() string {
	var b strings.Builder
	for _, w := range append([]string{d.Title}, d.Words...) {
		w = Fold(w)
		if w == "" {
			continue
		}
		if b.Len()+len(w)+1 > WordsBytesMax {
			break
		}
		b.WriteString(w)
		b.WriteByte('\n')
	}
	return b.String()
}

// Fold is the form in which words are compared: lower case, full-width letters as the plain
// ones, what cannot be seen as a blank.
func Fold(s string) string {
	if isFolded(s) { // as most identifiers are
		return strings.TrimSpace(s)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.IsSpace(r):
			return ' '
		case r >= 0xFF01 && r <= 0xFF5E:
			r -= 0xFEE0
		}
		return unicode.ToLower(r)
	}, s))
}

// isFolded reports whether a text is plain ASCII that no folding changes.
func isFolded(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}

// Hit is a document that was found.
type Hit struct {
	Kind  Kind
	ID    string
	Brand ids.BrandID
	Title string
	At    time.Time
}

// Query asks an index.
type Query struct {
	Terms  []string // folded; a document has all of them
	Kinds  []Kind   // at least one, in the order of answers
	Brands []ids.BrandID
	All    bool   // of all brands
	Limit  int    // at least 1
	After  string // Page.Next of the page before
}

// Page is some of what was found. It may be short, or empty, with more behind it.
type Page struct {
	Hits []Hit
	Next string // "" = that is all
	// Filling says that the index does not have everything yet that was there before it.
	Filling bool
}

// Standing is how far an index has come.
type Standing struct {
	Cursor string // in what it follows; "" = it is empty and must be filled
	Filled bool   // it has had everything once
}

// Index is the contract of engines.
type Index interface {
	// Apply must write documents, the last of an id wins, and note where the index stands
	// then, all at once or so that it can be done again. Documents of a smaller version
	// than those that are there must be passed over. What was written must be found by who
	// asks later, by a server's usual settings a second later.
	Apply(ctx context.Context, all []Document, to Standing) error
	// Standing must give what the last Apply noted; the zero Standing before, and after Reset.
	Standing(ctx context.Context) (Standing, error)
	// Reset must forget everything.
	Reset(ctx context.Context) error
	// Find must give documents that have all terms, kinds in the order of Kinds, within a
	// kind the largest brand first, within a brand the newest first. It must answer
	// ErrBadCursor for a cursor that is none of its own.
	Find(ctx context.Context, q *Query) (Page, error)
}

// What a caller may be told.
var (
	ErrBadCursor = fault.Field("search.bad_cursor", "cursor", "was not given out by this search")
	errUnknown   = fault.New(fault.NotFound, "search.unknown_brand", "no such brand")
)

// The limits of a question.
const (
	queryRunesMax = 200
	termsMax      = 8
)

// Service answers questions. It is safe for concurrent use.
type Service struct{ index Index }

// NewService asks an index.
func NewService(i Index) *Service { return &Service{i} }

// Ask is what a caller wants to find.
type Ask struct {
	Text   string
	Kinds  []Kind      // none = all
	Brand  ids.BrandID // 0 = all that the caller may see
	Limit  int
	Cursor string
}

// Find gives what the caller may see.
func (s *Service) Find(ctx context.Context, a Ask) (Page, error) {
	terms, err := termsOf(a.Text)
	if err != nil {
		return Page{}, err
	}
	q := Query{Terms: terms, Limit: a.Limit, After: a.Cursor}
	if q.Kinds, err = kindsOf(a.Kinds); err != nil {
		return Page{}, err
	}
	scope := ids.ScopeOf(ctx)
	switch {
	case a.Brand != 0 && !scope.Has(a.Brand):
		return Page{}, errUnknown
	case a.Brand != 0:
		q.Brands = []ids.BrandID{a.Brand}
	case scope.All():
		q.All = true
	default:
		if q.Brands = scope.Brands(); len(q.Brands) == 0 {
			return Page{}, nil
		}
	}
	page, err := s.index.Find(ctx, &q)
	if err != nil {
		return Page{}, err
	}
	at, err := s.index.Standing(ctx)
	page.Filling = !at.Filled
	return page, err
}

func termsOf(text string) ([]string, error) {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > queryRunesMax {
		return nil, fault.Field("search.bad_query", "q", "must be a text of at most %d characters", queryRunesMax)
	}
	terms := strings.Fields(Fold(text))
	if len(terms) == 0 || len(terms) > termsMax {
		return nil, fault.Field("search.bad_query", "q", "must have 1 to %d words", termsMax)
	}
	return terms, nil
}

// kindsOf brings kinds into the order of answers.
func kindsOf(asked []Kind) ([]Kind, error) {
	if len(asked) == 0 {
		return Kinds(), nil
	}
	var out []Kind
	left := len(asked)
	for _, k := range Kinds() {
		has := false
		for _, one := range asked {
			if one == k {
				has, left = true, left-1
			}
		}
		if has {
			out = append(out, k)
		}
	}
	if left > 0 {
		return nil, fault.Field("search.bad_kind", "kind", "must be of product, batch, place and event, with commas between")
	}
	return out, nil
}
