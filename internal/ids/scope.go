package ids

import (
	"context"
	"slices"
)

// Scope is whose objects a caller may see and change: those of some brands, or of all.
// The zero Scope has none.
type Scope struct {
	all    bool
	brands []BrandID // sorted
}

// AllBrands is the scope of the platform and of the program itself.
func AllBrands() Scope { return Scope{all: true} }

// OnlyBrands is the scope of a few.
func OnlyBrands(brands ...BrandID) Scope {
	own := slices.Clone(brands)
	slices.Sort(own)
	return Scope{brands: slices.Compact(own)}
}

// All reports that nothing is foreign.
func (s Scope) All() bool { return s.all }

// Has reports whether a brand is in it.
func (s Scope) Has(b BrandID) bool {
	if s.all {
		return true
	}
	_, ok := slices.BinarySearch(s.brands, b)
	return ok
}

// Brands lists the brands by id; none when All.
func (s Scope) Brands() []BrandID { return slices.Clone(s.brands) }

type scopeKey struct{}

// WithScope lets what is done under ctx see no more than the scope.
func WithScope(ctx context.Context, s Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, s)
}

// ScopeOf is the scope of ctx. Where nobody asked, as in tasks, it is all brands; each
// edge sets the scope of who does.
func ScopeOf(ctx context.Context) Scope {
	if s, ok := ctx.Value(scopeKey{}).(Scope); ok {
		return s
	}
	return AllBrands()
}
