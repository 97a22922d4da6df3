package identity

import (
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// TenantID names a tenant.
type TenantID string

// Platform is the tenant that runs the installation; it sees every brand.
const Platform TenantID = "platform"

// TenantKind is a tenant's place in the trade.
type TenantKind string

// The kinds.
const (
	PlatformKind TenantKind = "platform"
	BrandKind    TenantKind = "brand"  // owns brands
	DealerKind   TenantKind = "dealer" // was given sight of brands
)

// Tenant is a company with its own users, keys and brands.
type Tenant struct {
	ID             TenantID
	Name           string
	Kind           TenantKind
	CodesPerDay    int64 // 0 = no bound; the day is UTC's
	Quota          Quota // of requests
	FourEyesAbove  int64 // a recall or voiding of more items needs a second person; 0 = never
	Brands         []ids.BrandID
	Origins        []string // other origins that may read the API with a key of this tenant
	CreatedAt      time.Time
	DisabledAt     time.Time // zero = it works
	DisabledReason string
}

// Quota is how many requests a tenant's people and keys may send in all; 0 = no bound.
type Quota struct{ PerSecond, PerDay int64 }

const (
	requestsPerSecondMax = 1_000_000
	requestsPerDayMax    = 1_000_000_000

	tenantsMax       = 10_000
	brandsPerTenant  = 2_000
	originsPerTenant = 20
	nameMax          = 256
	reasonMax        = 500
	quotaMax         = 1 << 50
	tenantPrefix     = "tnt"
	rolePrefix       = "role"
)

// What a caller may be told.
var (
	ErrUnknownTenant = fault.New(fault.NotFound, "tenant.unknown", "no such tenant")
	ErrPlatform      = fault.New(fault.Conflict, "tenant.platform", "the platform's own tenant cannot be disabled or lose its sight of brands")
	ErrTenantLimit   = fault.New(fault.Conflict, "tenant.too_many", "there are too many tenants, brands of one, or origins of one")
	ErrUnknownRole   = fault.New(fault.NotFound, "role.unknown", "no such role")
	ErrRoleTaken     = fault.New(fault.Conflict, "role.exists", "the tenant has a role of this name")
	ErrRoleUsed      = fault.New(fault.Conflict, "role.used", "users or keys have this role; give them another first")
	ErrBeyondYou     = fault.New(fault.Denied, "role.beyond_yours", "nobody gives away more than he has")
	ErrQuota         = fault.New(fault.Limited, "tenant.codes_used_up", "the tenant has had its codes of this day")
)

func (t *Tenant) check() error {
	if err := checkName("name", t.Name); err != nil {
		return err
	}
	switch t.Kind {
	case BrandKind, DealerKind, PlatformKind:
	default:
		return fault.Field("tenant.bad_kind", "kind", `must be "brand" or "dealer"`)
	}
	if t.CodesPerDay < 0 || t.CodesPerDay > quotaMax {
		return fault.Field("tenant.bad_quota", "codes_per_day", "must be between 0 (no bound) and %d", int64(quotaMax))
	}
	if t.FourEyesAbove < 0 || t.FourEyesAbove > quotaMax {
		return fault.Field("tenant.bad_quota", "four_eyes_above", "must be between 0 (never) and %d", int64(quotaMax))
	}
	if q := t.Quota; q.PerSecond < 0 || q.PerSecond > requestsPerSecondMax || q.PerDay < 0 || q.PerDay > requestsPerDayMax {
		return fault.Field("tenant.bad_quota", "requests_per_second", "must be between 0 (no bound) and %d, requests_per_day and %d", requestsPerSecondMax, requestsPerDayMax)
	}
	if t.ID == Platform && t.Quota != (Quota{}) {
		return fault.Field("tenant.bad_quota", "requests_per_second", "the platform's own tenant has none: it could not take it back")
	}
	if len(t.Origins) > originsPerTenant {
		return ErrTenantLimit
	}
	for _, o := range t.Origins {
		if !isOrigin(o) {
			return fault.Field("tenant.bad_origin", "origins", "%.60q is no origin such as https://shop.example.com", o)
		}
	}
	slices.Sort(t.Brands)
	t.Brands = slices.Compact(t.Brands)
	if len(t.Brands) > brandsPerTenant {
		return ErrTenantLimit
	}
	return nil
}

// scope is whose objects the tenant's people act on; only narrows it further.
func (t *Tenant) scope(only []ids.BrandID) ids.Scope {
	switch {
	case t.Kind == PlatformKind && len(only) == 0:
		return ids.AllBrands()
	case t.Kind == PlatformKind:
		return ids.OnlyBrands(only...)
	case len(only) == 0:
		return ids.OnlyBrands(t.Brands...)
	}
	return ids.OnlyBrands(slices.DeleteFunc(slices.Clone(only), func(b ids.BrandID) bool { return !slices.Contains(t.Brands, b) })...)
}
