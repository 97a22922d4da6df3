package identity

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

func isUnknownUser(err error) bool { return errors.Is(err, ErrUnknownUser) }

func isRefused(err error) bool { return errors.Is(err, ErrRefused) }

// CreateTenant makes a company of the kind brand or dealer.
func (s *Service) CreateTenant(ctx context.Context, r ids.Request, t Tenant) (Tenant, bool, error) {
	if t.Kind == PlatformKind {
		t.Kind = ""
	}
	if err := t.check(); err != nil {
		return t, false, err
	}
	if len(s.dir.Load().tenants) >= tenantsMax {
		return t, false, ErrTenantLimit
	}
	t.ID, t.CreatedAt = TenantID(ids.New(tenantPrefix)), s.clock.Now()
	id, replayed, err := s.store.AddTenant(ctx, r, t)
	if err != nil {
		return t, false, wrap("store a tenant", err)
	}
	s.changed(ctx)
	done, ok := s.dir.Load().tenants[id]
	if !ok {
		return t, replayed, nil
	}
	return *done, replayed, nil
}

// Tenant gives one that the caller may see: the platform sees all, others their own.
func (s *Service) Tenant(p *Principal, id TenantID) (Tenant, error) {
	t, ok := s.dir.Load().tenants[id]
	if !ok || !p.manages(id) {
		return Tenant{}, ErrUnknownTenant
	}
	return *t, nil
}

// Tenants lists those that the caller may see, by id.
func (s *Service) Tenants(p *Principal) []Tenant {
	var all []Tenant
	for id, t := range s.dir.Load().tenants {
		if p.manages(id) {
			all = append(all, *t)
		}
	}
	slices.SortFunc(all, func(a, b Tenant) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return all
}

// TenantChange is new values of a tenant; what is nil stays.
type TenantChange struct {
	Name          *string
	CodesPerDay   *int64
	PerSecond     *int64 // requests
	PerDay        *int64
	FourEyesAbove *int64
	Origins       *[]string
	Disabled      *bool
	Reason        string
}

// ChangeTenant changes a tenant. Disabling counts at once for all of its users and keys;
// its goods keep verifying.
func (s *Service) ChangeTenant(ctx context.Context, p *Principal, id TenantID, c TenantChange) (before, after Tenant, _ error) {
	before, err := s.Tenant(p, id)
	if err != nil {
		return before, after, err
	}
	after, now := before, s.clock.Now()
	set(&after.Name, c.Name)
	set(&after.CodesPerDay, c.CodesPerDay)
	set(&after.Quota.PerSecond, c.PerSecond)
	set(&after.Quota.PerDay, c.PerDay)
	set(&after.FourEyesAbove, c.FourEyesAbove)
	set(&after.Origins, c.Origins)
	if c.Disabled != nil {
		if id == Platform {
			return before, after, ErrPlatform
		}
		after.DisabledAt, after.DisabledReason = now, c.Reason
		if !*c.Disabled {
			after.DisabledAt, after.DisabledReason = time.Time{}, ""
		}
	}
	if err := errors.Join(after.check(), checkReason(c.Reason)); err != nil {
		return before, after, err
	}
	if err := s.store.ChangeTenant(ctx, after, now); err != nil {
		return before, after, wrap("change a tenant", err)
	}
	s.changed(ctx)
	return before, after, nil
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// SetBrand gives a tenant a brand, to own or to see, or takes it away.
func (s *Service) SetBrand(ctx context.Context, p *Principal, id TenantID, b ids.BrandID, has bool) error {
	t, err := s.Tenant(p, id)
	if err != nil {
		return err
	}
	if t.Kind == PlatformKind {
		return ErrPlatform
	}
	if has && len(t.Brands) >= brandsPerTenant {
		return ErrTenantLimit
	}
	if err := s.store.SetBrand(ctx, id, b, has); err != nil {
		return wrap("give a tenant a brand", err)
	}
	s.changed(ctx)
	return nil
}

// BrandMade gives a brand that a caller made to its tenant. A retry of the request does it
// again, and nothing is there twice.
func (s *Service) BrandMade(ctx context.Context, p *Principal, b ids.BrandID) error {
	t, ok := s.dir.Load().tenants[p.Tenant]
	if !ok || t.Kind == PlatformKind || slices.Contains(t.Brands, b) {
		return nil
	}
	return s.SetBrand(ctx, p, t.ID, b, true)
}

// RoleView is a role with what it may.
type RoleView struct {
	ID      Role
	Tenant  TenantID // "" = one that is always there
	Name    string
	BuiltIn bool
	May     []Permission
}

// Roles lists what roles a caller may give.
func (s *Service) Roles(p *Principal) []RoleView {
	d := s.dir.Load()
	var all []RoleView
	for _, r := range BuiltIn() {
		if _, ok := d.role(p.Tenant, r); ok {
			all = append(all, RoleView{ID: r, Name: string(r), BuiltIn: true, May: d.roles[r].List()})
		}
	}
	var own []RoleView
	for id, c := range d.custom {
		if p.manages(c.Tenant) || c.Tenant == Platform {
			own = append(own, RoleView{ID: id, Tenant: c.Tenant, Name: c.Name, May: d.roles[id].List()})
		}
	}
	slices.SortFunc(own, func(a, b RoleView) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return append(all, own...)
}

// CreateRole makes a role of one's own.
func (s *Service) CreateRole(ctx context.Context, r ids.Request, p *Principal, c CustomRole) (CustomRole, bool, error) {
	if c.Tenant == "" {
		c.Tenant = p.Tenant
	}
	if _, err := s.Tenant(p, c.Tenant); err != nil {
		return c, false, err
	}
	if err := c.check(); err != nil {
		return c, false, err
	}
	c.ID = Role(ids.New(rolePrefix))
	id, replayed, err := s.store.AddRole(ctx, r, c)
	if err != nil {
		return c, false, wrap("store a role", err)
	}
	s.changed(ctx)
	if done, ok := s.dir.Load().custom[id]; ok {
		return *done, replayed, nil
	}
	return c, replayed, nil
}

func (s *Service) customRole(p *Principal, id Role) (CustomRole, error) {
	c, ok := s.dir.Load().custom[id]
	if !ok || !p.manages(c.Tenant) {
		return CustomRole{}, ErrUnknownRole
	}
	return *c, nil
}

// ChangeRole gives a role another name or other permissions, at once for all who have it.
func (s *Service) ChangeRole(ctx context.Context, p *Principal, id Role, name *string, may *[]Permission) (before, after CustomRole, _ error) {
	before, err := s.customRole(p, id)
	if err != nil {
		return before, after, err
	}
	after = before
	set(&after.Name, name)
	set(&after.Permissions, may)
	if err := after.check(); err != nil {
		return before, after, err
	}
	if err := s.store.ChangeRole(ctx, after); err != nil {
		return before, after, wrap("change a role", err)
	}
	s.changed(ctx)
	return before, after, nil
}

// DropRole removes a role that nobody has.
func (s *Service) DropRole(ctx context.Context, p *Principal, id Role) error {
	if _, err := s.customRole(p, id); err != nil {
		return err
	}
	if err := s.store.DropRole(ctx, id); err != nil {
		return wrap("drop a role", err)
	}
	s.changed(ctx)
	return nil
}
