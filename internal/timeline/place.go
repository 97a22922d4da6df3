package timeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Place is where things are made, kept, handed over and sold.
type Place struct {
	ID   string // canonical: a GLN's Digital Link, or any URI
	Name string
	Kind string // factory, warehouse, dealer, store; "" = not said
}

// Store keeps a brand's places, and tells how often stories were asked for.
type Store interface {
	// Places lists a brand's by their identifiers, from after on.
	Places(ctx context.Context, brand ids.BrandID, after string, limit int) ([]Place, error)
	// Named gives those of some identifiers that the brand has.
	Named(ctx context.Context, brand ids.BrandID, ids []string) ([]Place, error)
	// ChangePlaces must set and remove all at once, and refuse with ErrTooManyPlaces what
	// would leave the brand with more than most.
	ChangePlaces(ctx context.Context, brand ids.BrandID, set []Place, remove []string, most int) error
	// TellQueried must tell trace.queried of each, in the order of each brand.
	TellQueried(ctx context.Context, all []Queried) error
}

// Places tells which places were changed, in one order: who keeps a copy elsewhere follows it.
type Places interface {
	// PlaceHeads is up to where places were changed, of each order that changes are
	// numbered in. A change after the question must be above its order's.
	PlaceHeads(ctx context.Context) ([]int64, error)
	// PlacesSince gives the places of an order whose last change is above a number, in the
	// order of these.
	PlacesSince(ctx context.Context, order int, after int64, limit int) ([]PlaceChange, error)
}

// PlaceChange is a place whose last change has a number.
type PlaceChange struct {
	No    int64
	Brand ids.BrandID
	Place Place // as it is now
	Gone  bool  // it was removed: Place has only its identifier
}

// The limits of places.
const (
	placesMax         = 100_000 // of a brand: as many as the seeds have dealers
	changedPlacesMax  = 1000    // of one request
	placeIDBytesMax   = 255
	placeNameBytesMax = 256
)

// What a caller may be told.
var (
	ErrNoPlaces      = fault.New(fault.Invalid, "places.nothing_to_change", "name at least one place to set or to remove")
	ErrTooManyPlaces = fault.New(fault.Conflict, "places.too_many", "a brand has at most 100,000 places")
)

// PlaceID reads what names a place: a GLN, a URN of one, a Digital Link, or any URI.
func (s *Service) PlaceID(field, text string) (string, error) {
	if gln, ok := strings.CutPrefix(text, gs1.CanonicalStem+"/414/"); ok && len(gln) == glnDigits {
		text = gln
	}
	if len(text) == glnDigits && strings.Trim(text, "0123456789") == "" {
		if gs1.CheckDigit(text[:glnDigits-1]) != text[glnDigits-1] {
			return "", fault.Field("places.bad_id", field, "is a GLN whose check digit is wrong")
		}
		return gs1.CanonicalStem + "/414/" + text, nil
	}
	if len(text) > placeIDBytesMax || !strings.Contains(text, ":") || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError
	}) {
		return "", fault.Field("places.bad_id", field, "must be a GLN of 13 digits or a URI of at most %d bytes", placeIDBytesMax)
	}
	return s.Canonical(text), nil
}

const glnDigits = 13

// ChangePlaces gives places names, or takes them away.
func (s *Service) ChangePlaces(ctx context.Context, brand ids.BrandID, set []Place, remove []string) error {
	if n := len(set) + len(remove); n == 0 {
		return ErrNoPlaces
	} else if n > changedPlacesMax {
		return fault.Field("places.too_many_at_once", "set", "names %d places, at most %d are allowed at once", n, changedPlacesMax)
	}
	var err error
	for i := range set {
		p := &set[i]
		if p.ID, err = s.PlaceID(fmt.Sprintf("set[%d].id", i), p.ID); err != nil {
			return err
		}
		if strings.TrimSpace(p.Name) == "" || len(p.Name) > placeNameBytesMax || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, unicode.IsControl) {
			return fault.Field("places.bad_name", fmt.Sprintf("set[%d].name", i), "must be a text of 1 to %d bytes", placeNameBytesMax)
		}
		if !slices.Contains([]string{"", "factory", "warehouse", "dealer", "store"}, p.Kind) {
			return fault.Field("places.bad_kind", fmt.Sprintf("set[%d].kind", i), "must be factory, warehouse, dealer or store")
		}
	}
	for i := range remove {
		if remove[i], err = s.PlaceID(fmt.Sprintf("remove[%d]", i), remove[i]); err != nil {
			return err
		}
	}
	return s.Store.ChangePlaces(ctx, brand, set, remove, placesMax)
}

// names are what a brand calls places.
func (s *Service) names(ctx context.Context, brand ids.BrandID, places []string) (map[string]Place, error) {
	var asked []string
	for _, id := range places {
		if id != "" {
			asked = append(asked, wider(id)...)
		}
	}
	slices.Sort(asked)
	asked = slices.Compact(asked)
	names := map[string]Place{}
	if len(asked) == 0 {
		return names, nil
	}
	found, err := s.Store.Named(ctx, brand, asked)
	if err != nil {
		return nil, fmt.Errorf("look up names of places of brand %d: %w", brand, err)
	}
	for _, p := range found {
		names[p.ID] = p
	}
	return names, nil
}

// wider is a place, and the GLN that it is part of.
func wider(id string) []string {
	if of, _, ok := strings.Cut(id, "/254/"); ok {
		return []string{id, of}
	}
	return []string{id}
}

// nameOf is what a place is called that is known by several identifiers.
func nameOf(names map[string]Place, places []string) string {
	for _, id := range places {
		for _, one := range wider(id) {
			if p, ok := names[one]; ok {
				return p.Name
			}
		}
	}
	if len(places) == 0 {
		return ""
	}
	if gln, ok := strings.CutPrefix(places[0], gs1.CanonicalStem+"/414/"); ok {
		return "GLN " + strings.Replace(gln, "/254/", " ", 1)
	}
	return places[0]
}

// Queried is how often stories of a brand's items were asked for.
type Queried struct {
	Brand    ids.BrandID
	From, To time.Time
	Queries  int64
	Signed   int64 // of them with a key
}
