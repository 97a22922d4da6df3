// Package identityevent is the published form of identity's events.
package identityevent

// TenantUpdated tells that a tenant was made or changed.
const TenantUpdated = "tenant_updated"

// Tenant is TenantUpdated's data: the tenant as it is now.
type Tenant struct {
	TenantID    string  `json:"tenant_id"`
	Name        string  `json:"name"`
	Kind        string  `json:"kind"` // platform, brand or dealer
	CodesPerDay int64   `json:"codes_per_day"`
	Disabled    bool    `json:"disabled"`
	Brands      []int32 `json:"brands"`
}
