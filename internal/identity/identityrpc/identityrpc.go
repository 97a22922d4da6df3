// Package identityrpc is identity over gRPC: who a call comes from.
package identityrpc

import (
	"context"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Authenticator knows the keys and sessions that calls carry.
type Authenticator struct{ svc *identity.Service }

var _ grpcx.Authenticator = (*Authenticator)(nil)

// NewAuthenticator makes an Authenticator.
func NewAuthenticator(svc *identity.Service) *Authenticator { return &Authenticator{svc} }

// Authenticate implements grpcx.Authenticator.
func (a *Authenticator) Authenticate(bearer string) (httpx.Principal, error) {
	v, err := a.svc.Caller(context.Background(), bearer, true)
	if fault.KindOf(err) == fault.Unavailable {
		return httpx.Principal{}, err
	}
	if err != nil {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return identityhttp.PrincipalOf(&v), nil
}
