// Package identityrpc is identity over gRPC: who a call comes from, what it changes, and whose
// sessions have ended, for processes without SQL.
package identityrpc

import (
	"context"
	"log/slog"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityhttp"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Authenticator knows the keys and sessions that calls carry.
type Authenticator struct {
	svc    *identity.Service
	quotas identityhttp.Quotas
}

var _ grpcx.Authenticator = (*Authenticator)(nil)

// NewAuthenticator makes an Authenticator; without quotas nothing is counted.
func NewAuthenticator(svc *identity.Service, q identityhttp.Quotas) *Authenticator {
	return &Authenticator{svc, q}
}

// Authenticate implements grpcx.Authenticator.
func (a *Authenticator) Authenticate(bearer string) (httpx.Principal, error) {
	v, err := a.svc.Caller(context.Background(), bearer, true)
	if fault.KindOf(err) == fault.Unavailable {
		return httpx.Principal{}, err
	}
	if err != nil {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	if a.quotas != nil {
		err = a.quotas(v.Principal)
	}
	return identityhttp.PrincipalOf(&v), err
}

// Auditor keeps what calls change in the log of changes.
type Auditor struct{ keeper *identityhttp.Auditor }

var _ grpcx.Auditor = (*Auditor)(nil)

// NewAuditor makes an Auditor.
func NewAuditor(svc *identity.Service, log *slog.Logger) *Auditor {
	return &Auditor{identityhttp.NewAuditor(svc, log)}
}

// Begin implements grpcx.Auditor.
func (a *Auditor) Begin(ctx context.Context, method, requestID string, p *httpx.Principal) (func(status int, question []byte), error) {
	end, err := a.keeper.BeginCall(ctx, "gRPC "+method, method, requestID, p)
	if err != nil {
		return nil, err
	}
	return func(status int, question []byte) { end(status, question, httpx.Note{}) }, nil
}
