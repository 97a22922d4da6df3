// Package identityrpc is identity over gRPC: who a call comes from.
package identityrpc

import (
	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Authenticator knows the keys that calls carry.
type Authenticator struct{ svc *identity.Service }

var _ grpcx.Authenticator = (*Authenticator)(nil)

// NewAuthenticator makes an Authenticator.
func NewAuthenticator(svc *identity.Service) *Authenticator { return &Authenticator{svc} }

// Authenticate implements grpcx.Authenticator.
func (a *Authenticator) Authenticate(bearer string) (httpx.Principal, error) {
	p, err := a.svc.Authenticate(bearer)
	if err != nil {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: p.KeyID, Name: p.Name}, nil
}
