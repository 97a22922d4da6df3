package identity

import (
	"context"
	"slices"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// BrandOrigin lets a page of another origin read what is of a brand.
type BrandOrigin struct {
	Brand  ids.BrandID
	Origin string
}

// Origins reports whether any tenant or brand lets an origin read the API.
func (s *Service) Origins(origin string) bool {
	d := s.dir.Load()
	return d.origins[origin] || len(d.brandOrigins[origin]) > 0
}

// FromOrigin is the caller as it acts from a page of another origin: whole where its own
// tenant lets that origin in, and otherwise on those of its brands that do. ok is false when
// the page may not read the answer.
func (s *Service) FromOrigin(p *Principal, origin string) (_ *Principal, ok bool) {
	d := s.dir.Load()
	if t := d.tenants[p.Tenant]; d.origins[origin] && t != nil && slices.Contains(t.Origins, origin) {
		return p, true
	}
	var brands []ids.BrandID
	for _, b := range d.brandOrigins[origin] {
		if p.scope.Has(b) {
			brands = append(brands, b)
		}
	}
	if len(brands) == 0 {
		return p, false
	}
	narrow := *p
	narrow.scope = ids.OnlyBrands(brands...)
	narrow.may = Set{}
	for may := range p.may {
		if ofGoods(may) {
			narrow.may[may] = true
		}
	}
	return &narrow, true
}

// ofGoods reports whether a permission is about what belongs to a brand: a page of a brand
// has no business with people, keys and roles.
func ofGoods(p Permission) bool {
	return slices.Contains([]Permission{
		"brand:read", "brand:change", "product:read", "product:create", "product:change", "batch:read", "batch:issue",
		"code:read", "code:change", "code:reissue", "scan:read", "trace:read", "trace:write", "task:read", "event:read",
	}, p)
}

// BrandOrigins lists those of a brand.
func (s *Service) BrandOrigins(b ids.BrandID) (origins []string) {
	for origin, brands := range s.dir.Load().brandOrigins {
		if slices.Contains(brands, b) {
			origins = append(origins, origin)
		}
	}
	slices.Sort(origins)
	return origins
}

// SetBrandOrigins replaces them.
func (s *Service) SetBrandOrigins(ctx context.Context, b ids.BrandID, origins []string) error {
	if len(origins) > originsPerTenant {
		return ErrTenantLimit
	}
	for _, o := range origins {
		if !isOrigin(o) {
			return fault.Field("tenant.bad_origin", "origins", "%.60q is no origin such as https://shop.example.com", o)
		}
	}
	slices.Sort(origins)
	if err := s.store.SetBrandOrigins(ctx, b, slices.Compact(origins)); err != nil {
		return wrap("set the origins of a brand", err)
	}
	s.changed(ctx)
	return nil
}
