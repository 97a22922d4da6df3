package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// directory is what every request is held against: tenants, roles and living keys. It is
// replaced whole.
type directory struct {
	tenants map[TenantID]*Tenant
	roles   map[Role]Set
	custom  map[Role]*CustomRole
	keys    map[Hash]*Key
	people  map[string]string // whose each key is: the user that made it, by the key's id
	origins map[string]bool
	// brandOrigins are the brands that let an origin read what is theirs
	brandOrigins map[string][]ids.BrandID
}

func loadDirectory(ctx context.Context, store Store) (*directory, error) {
	tenants, err := store.Tenants(ctx)
	if err != nil {
		return nil, fmt.Errorf("load tenants: %w", err)
	}
	roles, err := store.Roles(ctx)
	if err != nil {
		return nil, fmt.Errorf("load roles: %w", err)
	}
	keys, err := store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("load API keys: %w", err)
	}
	brandOrigins, err := store.BrandOrigins(ctx)
	if err != nil {
		return nil, fmt.Errorf("load origins of brands: %w", err)
	}
	d := &directory{
		tenants: map[TenantID]*Tenant{}, roles: builtIn(), custom: map[Role]*CustomRole{}, keys: map[Hash]*Key{},
		people: map[string]string{}, origins: map[string]bool{}, brandOrigins: map[string][]ids.BrandID{},
	}
	for _, o := range brandOrigins {
		d.brandOrigins[o.Origin] = append(d.brandOrigins[o.Origin], o.Brand)
	}
	for i := range tenants {
		t := &tenants[i]
		d.tenants[t.ID] = t
		for _, o := range t.Origins {
			d.origins[o] = t.DisabledAt.IsZero() || d.origins[o]
		}
	}
	for i := range roles {
		r := &roles[i]
		set := Set{}
		for _, p := range r.Permissions {
			set[p] = true
		}
		d.custom[r.ID], d.roles[r.ID] = r, set
	}
	for i := range keys {
		if k := &keys[i]; k.RevokedAt.IsZero() {
			d.keys[k.Hash], d.people[k.ID] = k, k.CreatedBy
		}
	}
	return d, nil
}

// owner is the tenant of the kind brand that has a brand; nil = none.
func (d *directory) owner(brand ids.BrandID) *Tenant {
	for _, t := range d.tenants {
		if _, has := slices.BinarySearch(t.Brands, brand); has && t.Kind == BrandKind {
			return t
		}
	}
	return nil
}

// role gives what a role of a tenant may do; false for a role of another tenant.
func (d *directory) role(t TenantID, r Role) (Set, bool) {
	if c, ok := d.custom[r]; ok && c.Tenant != t && c.Tenant != Platform {
		return nil, false
	}
	if r == Admin && t != Platform {
		return nil, false
	}
	set, ok := d.roles[r]
	return set, ok
}

// principal makes a caller of a living tenant; ok is false when there is none.
func (d *directory) principal(id, name string, t TenantID, r Role, only []ids.BrandID) (p Principal, ok bool) {
	tenant, known := d.tenants[t]
	if !known || !tenant.DisabledAt.IsZero() {
		return p, false
	}
	may, known := d.role(t, r)
	if !known {
		return p, false
	}
	return Principal{ID: id, Name: name, Tenant: t, Role: r, Quota: tenant.Quota, may: may, scope: tenant.scope(only)}, true
}

// Authenticate tells whose key it is, or ErrBadKey. It works in memory alone, unless
// this process does not hear what others change.
func (s *Service) Authenticate(ctx context.Context, bearer string) (*Principal, error) {
	if len(bearer) > bearerMax {
		return nil, ErrBadKey
	}
	now := s.clock.Now()
	if s.stale(now) {
		if err := s.CatchUp(ctx); err != nil {
			return nil, err
		}
	}
	d := s.dir.Load()
	// A look-up by hash tells by its time at most where a hash that one cannot choose is.
	k, ok := d.keys[hashOf(bearer)]
	if !ok || !k.lives(now) {
		return nil, ErrBadKey
	}
	p, ok := d.principal(k.ID, k.Name, k.Tenant, k.Role, k.Brands)
	if !ok {
		return nil, ErrBadKey
	}
	s.used.note(k, now)
	return &p, nil
}

// usedKeys remembers when keys were used, until it is written down.
type usedKeys struct {
	mu sync.RWMutex
	at map[string]time.Time // guarded by mu
}

func (u *usedKeys) note(k *Key, now time.Time) {
	minute := now.Truncate(time.Minute)
	u.mu.RLock()
	known := u.at[k.ID].Equal(minute) || k.UsedAt.Equal(minute)
	u.mu.RUnlock()
	if known {
		return
	}
	u.mu.Lock()
	u.at[k.ID] = minute
	u.mu.Unlock()
}

func (u *usedKeys) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.at
	u.at = map[string]time.Time{}
	return taken
}

// Caller tells who a bearer's secret belongs to, a session's or a key's.
func (s *Service) Caller(ctx context.Context, bearer string, writes bool) (Visit, error) {
	if strings.HasPrefix(bearer, tokenPrefix) {
		return s.Visit(ctx, bearer, writes)
	}
	p, err := s.Authenticate(ctx, bearer)
	return Visit{Principal: p}, err
}

// OperatorOfMachine is who may open the data directory: it may do everything.
func (s *Service) OperatorOfMachine() *Principal {
	p, _ := s.dir.Load().principal("operator", "operator", Platform, Admin, nil)
	return &p
}
