// Package identityhttp is identity over HTTP: who a request comes from, and the
// pages behind a sign-in link.
package identityhttp

import (
	"net/http"
	"strings"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Authenticator reads Authorization: Bearer.
type Authenticator struct{ svc *identity.Service }

var _ httpx.Authenticator = (*Authenticator)(nil)

// NewAuthenticator makes an Authenticator.
func NewAuthenticator(svc *identity.Service) *Authenticator { return &Authenticator{svc} }

// Authenticate implements httpx.Authenticator. Whatever is wrong with the header or
// the key is ErrNoAuth.
func (a *Authenticator) Authenticate(r *http.Request) (httpx.Principal, error) {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	scheme, key, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	p, err := a.svc.Authenticate(strings.Trim(key, " "))
	if err != nil {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: p.KeyID, Name: p.Name}, nil
}
