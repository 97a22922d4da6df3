package batch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// What belongs to a brand outside the caller's scope (ids.ScopeOf) is answered as what
// does not exist. Every use case reads brands, products, batches and items by these.

// Brand reads one brand.
func (s *Service) Brand(ctx context.Context, id ids.BrandID) (Brand, error) {
	if !ids.ScopeOf(ctx).Has(id) {
		return Brand{}, ErrUnknownBrand
	}
	return s.store.Brand(ctx, id)
}

// Brands lists brands by id.
func (s *Service) Brands(ctx context.Context, after ids.BrandID, limit int) ([]Brand, error) {
	scope := ids.ScopeOf(ctx)
	if scope.All() {
		return s.store.Brands(ctx, after, limit)
	}
	var all []Brand
	for _, id := range scope.Brands() {
		if id <= after || len(all) == limit {
			continue
		}
		b, err := s.store.Brand(ctx, id)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// Product reads one product.
func (s *Service) Product(ctx context.Context, id ids.ProductID) (Product, error) {
	p, err := s.store.Product(ctx, id)
	if err == nil && !ids.ScopeOf(ctx).Has(p.BrandID) {
		return Product{}, ErrUnknownProduct
	}
	return p, err
}

// Products lists products by id; brand 0 = of all brands.
func (s *Service) Products(ctx context.Context, brand ids.BrandID, after ids.ProductID, limit int) ([]Product, error) {
	scope := ids.ScopeOf(ctx)
	if scope.All() {
		return s.store.Products(ctx, brand, after, limit)
	}
	var all []Product
	for _, own := range ownOf(scope, brand) {
		some, err := s.store.Products(ctx, own, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Product) int { return cmp.Compare(a.ID, b.ID) })
	return all[:min(limit, len(all))], nil
}

// Batch loads a batch by its id.
func (s *Service) Batch(ctx context.Context, id ids.BatchID) (Batch, error) {
	if !ids.Valid("bat", string(id)) {
		return Batch{}, ErrUnknownBatch
	}
	b, err := s.store.Batch(ctx, id)
	if err == nil && !ids.ScopeOf(ctx).Has(b.BrandID) {
		return Batch{}, ErrUnknownBatch
	}
	return b, err
}

// ListBatches lists batches newest first; product 0 = of all products.
func (s *Service) ListBatches(ctx context.Context, product ids.ProductID, before time.Time, beforeID ids.BatchID, limit int) ([]Batch, error) {
	scope := ids.ScopeOf(ctx)
	if scope.All() {
		return s.store.ListBatches(ctx, product, before, beforeID, limit)
	}
	if product != 0 {
		if _, err := s.Product(ctx, product); err != nil {
			return nil, err
		}
		return s.store.ListBatches(ctx, product, before, beforeID, limit)
	}
	var all []Batch
	for _, brand := range scope.Brands() {
		some, err := s.store.BatchesOf(ctx, brand, before, beforeID, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Batch) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return all[:min(limit, len(all))], nil
}

// ownOf is the brands of a scope that a list is made of; brand 0 = all of them.
func ownOf(scope ids.Scope, brand ids.BrandID) []ids.BrandID {
	switch {
	case brand == 0:
		return scope.Brands()
	case scope.Has(brand):
		return []ids.BrandID{brand}
	}
	return nil
}

// Find is Resolve for who asks with a scope.
func (r *Reader) Find(ctx context.Context, code string) (ids.Serial, Item, error) {
	serial, item, err := r.Resolve(code)
	if err == nil && !ids.ScopeOf(ctx).Has(item.Batch.BrandID) {
		return 0, Item{}, ErrUnknownCode
	}
	return serial, item, err
}
