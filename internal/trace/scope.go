package trace

import (
	"context"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// What belongs to a brand outside the caller's scope (ids.ScopeOf) is answered as what does
// not exist: its events and jobs are not there, and its items are EPCs like any other.

// What a caller may be told of whose events a request is about.
var (
	ErrUnknownBrand = fault.New(fault.NotFound, "trace.unknown_brand", "no such brand")
	errNoBrand      = fault.Field("trace.no_brand", "X-Brand-ID", "is needed: nothing else says which of your brands this is of")
)

// CheckBrand refuses a brand that is not the caller's; 0 says none.
func CheckBrand(ctx context.Context, said ids.BrandID) error {
	if said != 0 && !ids.ScopeOf(ctx).Has(said) {
		return ErrUnknownBrand
	}
	return nil
}

// Owner is whose a caller's own is, when nothing but the request says it: the brand that was
// said, or the only one in the scope. What the platform keeps without saying is nobody's, 0.
func Owner(ctx context.Context, said ids.BrandID) (ids.BrandID, error) {
	scope := ids.ScopeOf(ctx)
	switch own := scope.Brands(); {
	case said != 0:
		return said, CheckBrand(ctx, said)
	case scope.All():
		return 0, nil
	case len(own) == 1:
		return own[0], nil
	}
	return 0, errNoBrand
}

// itemsOf are the coded items that the caller may know of.
func (s *Service) itemsOf(ctx context.Context) Items {
	if scope := ids.ScopeOf(ctx); !scope.All() {
		return ownItems{s.items, scope}
	}
	return s.items
}

// ownItems leaves out what is foreign.
type ownItems struct {
	Items

	scope ids.Scope
}

// Finder implements Items.
func (o ownItems) Finder() Finder {
	find := o.Items.Finder()
	return func(code string) (Item, bool, error) {
		it, ok, err := find(code)
		if !ok || err != nil || !o.scope.Has(it.Brand) {
			return Item{}, false, err
		}
		return it, true, nil
	}
}

// brandsOf are whose events are looked through: 0 = all of the caller's who have some.
func (s *Service) brandsOf(ctx context.Context, brand ids.BrandID) ([]ids.BrandID, error) {
	switch scope := ids.ScopeOf(ctx); {
	case brand != 0:
		return []ids.BrandID{brand}, CheckBrand(ctx, brand)
	case scope.All():
		return s.store.Brands(ctx)
	default:
		return scope.Brands(), nil
	}
}
