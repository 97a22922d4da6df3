package app

import (
	"context"
	"crypto/x509"

	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed/feedpb"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/mtls"
	"github.com/chopmark/chopmark/internal/platform/roletoken"
)

// roleTokens signs the calls of an edge. Before it has keys, which it asks for first, there
// is its certificate alone.
func (a *App) roleTokens(own *x509.Certificate) func(roletoken.Behalf) (string, error) {
	return func(b roletoken.Behalf) (string, error) {
		if a.keys == nil {
			return "", nil
		}
		s := roletoken.Signer{
			Keys: a.keys.roleKeys, Now: a.clock.Now, Name: own.Subject.CommonName, Roles: mtls.Roles(own), Audience: string(RoleIssue),
		}
		return s.Sign(b)
	}
}

// readRoleToken tells on whose behalf an edge calls. What brings the keys needs no token.
func (a *App) readRoleToken(ctx context.Context, method, token string) (roletoken.Behalf, error) {
	if method == feedpb.FeedService_Keys_FullMethodName {
		return roletoken.Behalf{}, nil
	}
	name, err := mtls.Peer(ctx, names(RoleEdge)...)
	if err != nil {
		return roletoken.Behalf{}, err
	}
	c := roletoken.Checker{Keys: a.keys.roleKeys, Now: a.clock.Now, Audience: string(RoleIssue), Callers: names(RoleEdge)}
	claims, err := c.Check(token, name)
	if err != nil {
		a.log.Warn("a call of another role carries no good token", "caller", name, "method", method)
		return roletoken.Behalf{}, err
	}
	return claims.Behalf(), nil
}

// checkBrand holds a call about an item to the brand that its token names.
func (a *App) checkBrand(ctx context.Context, s ids.Serial) error {
	item, ok := a.proj.Lookup(s)
	if b := roletoken.Of(ctx).Brand; ok && ids.BrandID(b) != item.Batch.BrandID {
		return roletoken.ErrRefused
	}
	return nil
}
