package identityhttp

import (
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountTenants(rt *httpx.Router) {
	rt.Allow("GET /api/v1/tenants", "tenant:read", a.getTenants)
	rt.Allow("POST /api/v1/tenants", "tenant:manage", a.postTenant)
	rt.Allow("GET /api/v1/tenants/{tenant_id}", "tenant:read", a.getTenant)
	rt.Allow("PATCH /api/v1/tenants/{tenant_id}", "tenant:manage", a.patchTenant)
	rt.Allow("POST /api/v1/tenants/{tenant_id}/brands", "tenant:manage", a.postTenantBrand)
	rt.Allow("POST /api/v1/tenants/{tenant_id}/brands/{brand_id}/remove", "tenant:manage", a.postTenantBrandRemove)
	rt.Allow("GET /api/v1/brands/{brand_id}/origins", "brand:read", a.getBrandOrigins)
	rt.Allow("POST /api/v1/brands/{brand_id}/origins", "brand:change", a.postBrandOrigins)
	rt.Allow("GET /api/v1/roles", "role:read", a.getRoles)
	rt.Allow("POST /api/v1/roles", "role:manage", a.postRole)
	rt.Allow("PATCH /api/v1/roles/{role_id}", "role:manage", a.patchRole)
	rt.Allow("POST /api/v1/roles/{role_id}/remove", "role:manage", a.postRoleRemove)
}

type tenantView struct {
	TenantID       identity.TenantID   `json:"tenant_id"`
	Name           string              `json:"name"`
	Kind           identity.TenantKind `json:"kind"`
	Brands         []ids.BrandID       `json:"brands"`
	CodesPerDay    int64               `json:"codes_per_day"` // 0 = no bound
	PerSecond      int64               `json:"requests_per_second"`
	PerDay         int64               `json:"requests_per_day"`
	FourEyesAbove  int64               `json:"four_eyes_above"` // 0 = never
	Origins        []string            `json:"origins"`
	CreatedAt      *time.Time          `json:"created_at"`
	DisabledAt     *time.Time          `json:"disabled_at"`
	DisabledReason string              `json:"disabled_reason"`
}

func viewTenant(t identity.Tenant) tenantView {
	return tenantView{
		t.ID, t.Name, t.Kind, orEmpty(t.Brands), t.CodesPerDay, t.Quota.PerSecond, t.Quota.PerDay, t.FourEyesAbove, orEmpty(t.Origins), orNull(t.CreatedAt),
		orNull(t.DisabledAt), t.DisabledReason,
	}
}

type tenantList struct {
	Tenants []tenantView `json:"tenants"`
	Cursor  *string      `json:"cursor"`
}

// getTenants answers GET /api/v1/tenants, the oldest first.
func (a *api) getTenants(w http.ResponseWriter, r *http.Request) error {
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	from := 0
	if text := r.URL.Query().Get("cursor"); text != "" {
		if from, err = strconv.Atoi(text); err != nil || from < 0 {
			return fault.Field("tenant.bad_cursor", "cursor", "is not a cursor of this list")
		}
	}
	all := a.svc.Tenants(a.who(r))
	page := all[min(from, len(all)):min(from+limit, len(all))]
	list := tenantList{Tenants: each(page, viewTenant)}
	if from+limit < len(all) {
		next := strconv.Itoa(from + limit)
		list.Cursor = &next
	}
	return done(w, list)
}

type tenantAsk struct {
	Name          string              `json:"name"`
	Kind          identity.TenantKind `json:"kind"`
	Brands        []ids.BrandID       `json:"brands"`
	CodesPerDay   int64               `json:"codes_per_day"`
	PerSecond     int64               `json:"requests_per_second"`
	PerDay        int64               `json:"requests_per_day"`
	FourEyesAbove int64               `json:"four_eyes_above"`
	Origins       []string            `json:"origins"`
}

// postTenant answers POST /api/v1/tenants.
func (a *api) postTenant(w http.ResponseWriter, r *http.Request) error {
	ask, req, err := read[tenantAsk](w, r)
	if err != nil {
		return err
	}
	t, replayed, err := a.svc.CreateTenant(r.Context(), req, identity.Tenant{
		Name: ask.Name, Kind: ask.Kind, Brands: ask.Brands, CodesPerDay: ask.CodesPerDay, FourEyesAbove: ask.FourEyesAbove, Origins: ask.Origins,
		Quota: identity.Quota{PerSecond: ask.PerSecond, PerDay: ask.PerDay},
	})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: string(t.ID), After: viewTenant(t)})
	return answer(w, replayed, viewTenant(t))
}

func tenantOf(r *http.Request) identity.TenantID { return identity.TenantID(r.PathValue("tenant_id")) }

// getTenant answers GET /api/v1/tenants/{tenant_id}.
func (a *api) getTenant(w http.ResponseWriter, r *http.Request) error {
	t, err := a.svc.Tenant(a.who(r), tenantOf(r))
	if err != nil {
		return err
	}
	return done(w, viewTenant(t))
}

type tenantPatch struct {
	Name          *string   `json:"name"`
	CodesPerDay   *int64    `json:"codes_per_day"`
	PerSecond     *int64    `json:"requests_per_second"`
	PerDay        *int64    `json:"requests_per_day"`
	FourEyesAbove *int64    `json:"four_eyes_above"`
	Origins       *[]string `json:"origins"`
	Disabled      *bool     `json:"disabled"`
	Reason        string    `json:"reason"`
}

// patchTenant answers PATCH /api/v1/tenants/{tenant_id}.
func (a *api) patchTenant(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[tenantPatch](w, r)
	if err != nil {
		return err
	}
	before, after, err := a.svc.ChangeTenant(r.Context(), a.who(r), tenantOf(r), identity.TenantChange{
		Name: ask.Name, CodesPerDay: ask.CodesPerDay, PerSecond: ask.PerSecond, PerDay: ask.PerDay,
		FourEyesAbove: ask.FourEyesAbove, Origins: ask.Origins, Disabled: ask.Disabled, Reason: ask.Reason,
	})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Before: viewTenant(before), After: viewTenant(after), Reason: ask.Reason})
	return done(w, viewTenant(after))
}

type tenantBrandAsk struct {
	BrandID ids.BrandID `json:"brand_id"`
}

// postTenantBrand answers POST /api/v1/tenants/{tenant_id}/brands.
func (a *api) postTenantBrand(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[tenantBrandAsk](w, r)
	if err != nil {
		return err
	}
	return a.setBrand(w, r, ask.BrandID, true)
}

// postTenantBrandRemove answers POST /api/v1/tenants/{tenant_id}/brands/{brand_id}/remove.
func (a *api) postTenantBrandRemove(w http.ResponseWriter, r *http.Request) error {
	b, err := brandOf(r)
	if err != nil {
		return err
	}
	return a.setBrand(w, r, b, false)
}

func (a *api) setBrand(w http.ResponseWriter, r *http.Request, b ids.BrandID, has bool) error {
	p, id := a.who(r), tenantOf(r)
	before, err := a.svc.Tenant(p, id)
	if err != nil {
		return err
	}
	if has {
		if err := a.brand(r.Context(), b); err != nil {
			return err
		}
	}
	if err := a.svc.SetBrand(r.Context(), p, id, b, has); err != nil {
		return err
	}
	after, err := a.svc.Tenant(p, id)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Before: viewTenant(before), After: viewTenant(after)})
	return done(w, viewTenant(after))
}

type roleView struct {
	RoleID      identity.Role         `json:"role_id"`
	TenantID    *identity.TenantID    `json:"tenant_id"` // null = of everybody
	Name        string                `json:"name"`
	BuiltIn     bool                  `json:"built_in"`
	Permissions []identity.Permission `json:"permissions"`
}

type roleList struct {
	Roles       []roleView            `json:"roles"`
	Permissions []identity.Permission `json:"permissions"` // all that there are
}

// getRoles answers GET /api/v1/roles.
func (a *api) getRoles(w http.ResponseWriter, r *http.Request) error {
	return done(w, roleList{each(a.svc.Roles(a.who(r)), func(v identity.RoleView) roleView {
		view := roleView{RoleID: v.ID, Name: v.Name, BuiltIn: v.BuiltIn, Permissions: orEmpty(v.May)}
		if v.Tenant != "" {
			view.TenantID = &v.Tenant
		}
		return view
	}), identity.Permissions()})
}

type roleAsk struct {
	Name        string                `json:"name"`
	TenantID    identity.TenantID     `json:"tenant_id"` // the caller's when absent
	Permissions []identity.Permission `json:"permissions"`
}

func viewRole(c identity.CustomRole) roleView {
	return roleView{c.ID, &c.Tenant, c.Name, false, orEmpty(c.Permissions)}
}

// postRole answers POST /api/v1/roles.
func (a *api) postRole(w http.ResponseWriter, r *http.Request) error {
	ask, req, err := read[roleAsk](w, r)
	if err != nil {
		return err
	}
	c, replayed, err := a.svc.CreateRole(r.Context(), req, a.who(r), identity.CustomRole{Tenant: ask.TenantID, Name: ask.Name, Permissions: ask.Permissions})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: string(c.ID), After: viewRole(c)})
	return answer(w, replayed, viewRole(c))
}

type rolePatch struct {
	Name        *string                `json:"name"`
	Permissions *[]identity.Permission `json:"permissions"`
}

// patchRole answers PATCH /api/v1/roles/{role_id}.
func (a *api) patchRole(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[rolePatch](w, r)
	if err != nil {
		return err
	}
	before, after, err := a.svc.ChangeRole(r.Context(), a.who(r), identity.Role(r.PathValue("role_id")), ask.Name, ask.Permissions)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Before: viewRole(before), After: viewRole(after)})
	return done(w, viewRole(after))
}

// postRoleRemove answers POST /api/v1/roles/{role_id}/remove.
func (a *api) postRoleRemove(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	if err := a.svc.DropRole(r.Context(), a.who(r), identity.Role(r.PathValue("role_id"))); err != nil {
		return err
	}
	return done(w, nothing{})
}

func brandOf(r *http.Request) (ids.BrandID, error) {
	n, err := strconv.ParseInt(r.PathValue("brand_id"), 10, 32)
	if err != nil {
		return 0, fault.Field("input.bad_number", "brand_id", "must be a whole number in its range")
	}
	return ids.BrandID(n), nil
}

type brandOrigins struct {
	Origins []string `json:"origins"`
}

// ownBrand is the brand of the path, which must be the caller's to see.
func (a *api) ownBrand(r *http.Request) (ids.BrandID, error) {
	b, err := brandOf(r)
	if err != nil {
		return 0, err
	}
	return b, a.brand(r.Context(), b)
}

// getBrandOrigins answers GET /api/v1/brands/{brand_id}/origins.
func (a *api) getBrandOrigins(w http.ResponseWriter, r *http.Request) error {
	b, err := a.ownBrand(r)
	if err != nil {
		return err
	}
	return done(w, brandOrigins{orEmpty(a.svc.BrandOrigins(b))})
}

// postBrandOrigins answers POST /api/v1/brands/{brand_id}/origins: the whole list.
func (a *api) postBrandOrigins(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[brandOrigins](w, r)
	if err != nil {
		return err
	}
	b, err := a.ownBrand(r)
	if err != nil {
		return err
	}
	before := brandOrigins{orEmpty(a.svc.BrandOrigins(b))}
	if err := a.svc.SetBrandOrigins(r.Context(), b, ask.Origins); err != nil {
		return err
	}
	after := brandOrigins{orEmpty(a.svc.BrandOrigins(b))}
	httpx.Annotate(r.Context(), httpx.Note{Before: before, After: after})
	return done(w, after)
}
