package identityhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountKeys(rt *httpx.Router) {
	rt.Allow("GET /api/v1/keys", "key:read", a.getKeys)
	rt.Allow("POST /api/v1/keys", "key:manage", a.postKey)
	rt.Allow("POST /api/v1/keys/{key_id}/revoke", "key:manage", a.postRevoke)
}

type keyView struct {
	KeyID     string            `json:"key_id"`
	Name      string            `json:"name"`
	TenantID  identity.TenantID `json:"tenant_id"`
	Role      identity.Role     `json:"role"`
	Brands    []ids.BrandID     `json:"brands"` // empty = all of the tenant's
	CreatedAt time.Time         `json:"created_at"`
	CreatedBy *string           `json:"created_by"`
	ExpiresAt *time.Time        `json:"expires_at"`
	UsedAt    *time.Time        `json:"used_at"` // to the minute
	RevokedAt *time.Time        `json:"revoked_at"`
}

func viewKey(k identity.Key) keyView {
	v := keyView{
		k.ID, k.Name, k.Tenant, k.Role, orEmpty(k.Brands), k.CreatedAt, nil, orNull(k.ExpiresAt), orNull(k.UsedAt), orNull(k.RevokedAt),
	}
	if k.CreatedBy != "" {
		v.CreatedBy = &k.CreatedBy
	}
	return v
}

type keyList struct {
	Keys []keyView `json:"keys"`
}

// getKeys answers GET /api/v1/keys.
func (a *api) getKeys(w http.ResponseWriter, r *http.Request) error {
	all, err := a.svc.Keys(r.Context(), a.who(r))
	if err != nil {
		return err
	}
	return done(w, keyList{each(all, viewKey)})
}

type keyAsk struct {
	Name      string            `json:"name"`
	TenantID  identity.TenantID `json:"tenant_id"` // the caller's when absent
	Role      identity.Role     `json:"role"`
	Brands    []ids.BrandID     `json:"brands"`
	ExpiresAt string            `json:"expires_at"`
}

type keyMade struct {
	keyView
	Key string `json:"key"` // shown to nobody again
}

// postKey answers POST /api/v1/keys.
func (a *api) postKey(w http.ResponseWriter, r *http.Request) error {
	ask, req, err := read[keyAsk](w, r)
	if err != nil {
		return err
	}
	n := identity.NewKey{Name: ask.Name, Tenant: ask.TenantID, Role: ask.Role, Brands: ask.Brands}
	if ask.ExpiresAt != "" {
		t, err := time.Parse(time.RFC3339, ask.ExpiresAt)
		if err != nil {
			return fault.Field("input.bad_time", "expires_at", "must be an RFC 3339 time such as 2026-01-31T08:00:00Z")
		}
		n.ExpiresAt = t.UTC().Truncate(time.Microsecond)
	}
	k, secret, replayed, err := a.svc.CreateKey(r.Context(), req, a.who(r), n)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: k.ID, After: viewKey(k)})
	return answer(w, replayed, keyMade{viewKey(k), secret})
}

// postRevoke answers POST /api/v1/keys/{key_id}/revoke.
func (a *api) postRevoke(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	if err := a.svc.Revoke(r.Context(), a.who(r), r.PathValue("key_id")); err != nil {
		return err
	}
	return done(w, nothing{})
}
