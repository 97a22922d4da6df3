package identityhttp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Provider is a provider of identities (OpenID Connect), and what its groups may do here.
type Provider struct {
	Issuer, ClientID, ClientSecret string
	GroupsClaim                    string
	Roles                          []GroupRole // the first that fits counts
	Tenant                         identity.TenantID
	Now                            func() time.Time
}

// GroupRole gives the members of a group a role.
type GroupRole struct {
	Group string
	Role  identity.Role
}

// What a caller may be told.
var (
	errProviderDown = fault.New(fault.Unavailable, "oidc.unavailable", "the provider of identities does not answer; sign in otherwise or try again")
	errProviderSaid = fault.New(fault.Denied, "oidc.refused", "the provider of identities did not vouch for you")
)

// providerDoor signs people in by way of a provider: code flow with PKCE. The provider is
// asked for its addresses at the first sign-in, so that one that is down keeps nobody
// else out.
type providerDoor struct {
	*api
	Provider

	mu    sync.Mutex
	known *oidc.Provider // guarded by mu
}

func newProviderDoor(a *api, p *Provider) *providerDoor { return &providerDoor{api: a, Provider: *p} }

const (
	oidcPath     = "/signin/oidc"
	oidcCallback = oidcPath + "/callback"
	oidcPurpose  = "oidc"
	oidcTimeout  = 10 * time.Second
	secretBytes  = 16
)

func (d *providerDoor) add(rt *httpx.Router) {
	rt.Public("GET "+oidcPath, private(d.get))
	rt.Public("GET "+oidcCallback, private(d.getCallback))
}

// step is what is remembered between the two requests.
type step struct{ State, Nonce, Verifier string }

func (d *providerDoor) discover(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		p, err := oidc.NewProvider(ctx, d.Issuer)
		if err != nil {
			return nil, nil, errProviderDown.Because(err)
		}
		d.known = p
	}
	return d.known, &oauth2.Config{
		ClientID: d.ClientID, ClientSecret: d.ClientSecret, Endpoint: d.known.Endpoint(), RedirectURL: d.url + oidcCallback,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"},
	}, nil
}

func (d *providerDoor) cookie(r *http.Request) string {
	if d.auth.cookieFor(r) == cookieName {
		return "__Host-oidc"
	}
	return "oidc"
}

// remember makes the cookie of the step between.
func (d *providerDoor) remember(name, ticket string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is set wherever the connection is
		Name: name, Value: ticket, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: name != "oidc", SameSite: http.SameSiteLaxMode,
	}
}

// get answers GET /signin/oidc.
func (d *providerDoor) get(w http.ResponseWriter, r *http.Request) error {
	if d.auth.cookieFor(r) == "" {
		return errNeedsTLS
	}
	ctx, cancel := context.WithTimeout(r.Context(), oidcTimeout)
	defer cancel()
	_, config, err := d.discover(ctx)
	if err != nil {
		return err
	}
	s := step{random(), random(), oauth2.GenerateVerifier()}
	ticket, err := d.tickets.Give(oidcPurpose, s)
	if err != nil {
		return err
	}
	name := d.cookie(r)
	http.SetCookie(w, d.remember(name, ticket, 300))
	http.Redirect(w, r, config.AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)), http.StatusFound)
	return nil
}

// getCallback answers GET /signin/oidc/callback. What went wrong is told to the console by
// its stable code, behind the #.
func (d *providerDoor) getCallback(w http.ResponseWriter, r *http.Request) error {
	o, err := d.finish(r)
	name := d.cookie(r)
	http.SetCookie(w, d.remember(name, "", -1))
	if f, ok := fault.From(err); ok {
		http.Redirect(w, r, d.url+"/console/#/signin?error="+f.Code, http.StatusFound)
		return nil
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, sessionCookie(d.auth.cookieFor(r), o.Token, o.ExpiresAt.Sub(o.CreatedAt)))
	http.Redirect(w, r, d.url+"/console/", http.StatusFound)
	return nil
}

func (d *providerDoor) finish(r *http.Request) (identity.Opened, error) {
	c, err := r.Cookie(d.cookie(r))
	if err != nil {
		return identity.Opened{}, identity.ErrBadTicket
	}
	var s step
	if err := d.tickets.Take(oidcPurpose, c.Value, &s); err != nil {
		return identity.Opened{}, err
	}
	q := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.State)) != 1 || q.Get("code") == "" {
		return identity.Opened{}, errProviderSaid
	}
	ctx, cancel := context.WithTimeout(r.Context(), oidcTimeout)
	defer cancel()
	who, err := d.vouched(ctx, q.Get("code"), &s)
	if err != nil {
		return identity.Opened{}, err
	}
	return d.svc.SignInProvided(r.Context(), who, d.device(r, deviceAsk{ClientType: identity.Web}))
}

// vouched exchanges the code for what the provider says of the person.
func (d *providerDoor) vouched(ctx context.Context, code string, s *step) (who identity.Provided, _ error) {
	provider, config, err := d.discover(ctx)
	if err != nil {
		return who, err
	}
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return who, errProviderSaid.Because(err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := provider.Verifier(&oidc.Config{ClientID: d.ClientID, Now: d.Now}).Verify(ctx, raw)
	if err != nil {
		return who, errProviderSaid.Because(err)
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(s.Nonce)) != 1 {
		return who, errProviderSaid
	}
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return who, errProviderSaid.Because(fmt.Errorf("read claims: %w", err))
	}
	who = identity.Provided{Issuer: verified.Issuer, Subject: verified.Subject, Tenant: d.Tenant, Role: d.role(claims[d.GroupsClaim])}
	who.Person.Email, _ = claims["email"].(string)
	who.Person.Login, _ = claims["preferred_username"].(string)
	if who.Person.Name, _ = claims["name"].(string); who.Person.Name == "" {
		who.Person.Name = verified.Subject
	}
	return who, nil
}

// role is what the groups give; "" = nothing.
func (d *providerDoor) role(claim any) identity.Role {
	var groups []string
	list, _ := claim.([]any)
	for _, g := range list {
		if text, ok := g.(string); ok {
			groups = append(groups, text)
		}
	}
	for _, r := range d.Roles {
		if slices.Contains(groups, r.Group) {
			return r.Role
		}
	}
	return ""
}

func random() string {
	b := make([]byte, secretBytes)
	rand.Read(b) // never fails: crypto/rand ends the process first
	return base64.RawURLEncoding.EncodeToString(b)
}
