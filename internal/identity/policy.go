package identity

import (
	"maps"
	"slices"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Permission is one thing that a role may do, as "resource:action". The routes name
// the same words, and a test of internal/app holds the two lists together.
type Permission string

// Role names a set of permissions: one of these, or a custom one of a tenant.
type Role string

// The roles that are always there.
const (
	Admin    Role = "admin"    // everything; of the platform only
	Operator Role = "operator" // works with the goods of its tenant's brands
	Dealer   Role = "dealer"   // looks at the goods of the brands that it was given
	Auditor  Role = "auditor"  // reads everything of its tenant and changes nothing
	Machine  Role = "machine"  // a production line or another program
)

// The permissions that the domain itself looks at.
const (
	ManageUsers   Permission = "user:manage"
	ManageKeys    Permission = "key:manage"
	ManageRoles   Permission = "role:manage"
	ManageTenants Permission = "tenant:manage"
	ManageSystem  Permission = "system:manage"
)

// rule is a line of the policy: who may do one thing.
type rule struct {
	may   Permission
	roles []Role
}

// policy is the whole of it. The scope is no column: a caller of the platform's tenant
// acts on all brands, every other one on those of its tenant, with each permission.
func policy() []rule {
	all := []Role{Admin, Operator, Dealer, Auditor, Machine}
	goods, makers, readers := []Role{Admin, Operator}, []Role{Admin, Operator, Machine}, []Role{Admin, Operator, Auditor, Machine}
	people, checkers := []Role{Admin}, []Role{Admin, Auditor}
	return []rule{
		{"brand:read", all}, {"brand:create", goods}, {"brand:change", goods},
		{"product:read", all}, {"product:create", goods}, {"product:change", goods},
		{"batch:read", all}, {"batch:issue", makers},
		{"code:read", all}, {"code:change", makers}, {"code:reissue", goods},
		{"scan:read", all}, {"trace:read", all}, {"trace:write", makers}, {"task:read", readers}, {"event:read", readers},
		{"source:read", readers}, {"source:change", goods}, {"source:push", makers},
		{"complaint:read", []Role{Admin, Operator, Auditor}}, {"complaint:close", goods},
		{"tenant:read", checkers}, {ManageTenants, people},
		{"user:read", checkers}, {ManageUsers, people},
		{"role:read", []Role{Admin, Operator, Auditor}}, {ManageRoles, people},
		{"key:read", checkers}, {ManageKeys, people},
		{"audit:read", checkers},
		{"approval:read", []Role{Admin, Operator, Auditor}}, {"approval:decide", goods},
		{ManageSystem, people},
	}
}

// BuiltIn lists the roles that are always there.
func BuiltIn() []Role { return []Role{Admin, Operator, Dealer, Auditor, Machine} }

// Permissions lists all of them, in order.
func Permissions() []Permission {
	var all []Permission
	for _, r := range policy() {
		all = append(all, r.may)
	}
	slices.Sort(all)
	return all
}

// Set is what somebody may do.
type Set map[Permission]bool

// List gives the permissions in order.
func (s Set) List() []Permission { return slices.Sorted(maps.Keys(s)) }

// Within reports whether the other set has everything of this one.
func (s Set) Within(other Set) bool {
	for p := range s {
		if !other[p] {
			return false
		}
	}
	return true
}

// builtIn gives the sets of the roles that are always there.
func builtIn() map[Role]Set {
	sets := map[Role]Set{}
	for _, r := range policy() {
		for _, role := range r.roles {
			if sets[role] == nil {
				sets[role] = Set{}
			}
			sets[role][r.may] = true
		}
	}
	return sets
}

// reserved are permissions that no custom role has: they reach beyond a tenant.
func reserved(p Permission) bool {
	return p == ManageSystem || p == ManageTenants || p == ManageRoles
}

// CustomRole is a set of permissions under a name, of one tenant.
type CustomRole struct {
	ID          Role
	Tenant      TenantID
	Name        string
	Permissions []Permission
}

func (r *CustomRole) check() error {
	if err := checkName("name", r.Name); err != nil {
		return err
	}
	if len(r.Permissions) == 0 {
		return fault.Field("role.empty", "permissions", "name at least one")
	}
	known := Permissions()
	slices.Sort(r.Permissions)
	r.Permissions = slices.Compact(r.Permissions)
	for _, p := range r.Permissions {
		if !slices.Contains(known, p) || reserved(p) {
			return fault.Field("role.bad_permission", "permissions", "%.40q cannot be in a role of one's own", string(p))
		}
	}
	return nil
}
