package identityhttp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
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

// codeFlow is a way to learn from a provider who somebody is: OAuth 2.0's code flow.
type codeFlow interface {
	// begin is where the browser is sent.
	begin(ctx context.Context, r *http.Request, s *step, back string) (to string, _ error)
	// vouched exchanges the code for what the provider says of the person.
	vouched(ctx context.Context, code string, s *step, back string) (identity.Provided, error)
}

// door signs somebody in by way of a provider.
type door struct {
	*api
	flow   codeFlow
	path   string
	cookie string // of the step between
	// enter opens the session and says where the browser goes then.
	enter func(w http.ResponseWriter, r *http.Request, who identity.Provided, s *step) (to string, _ error)
	// failed is where the browser is told why not, by a stable code behind it.
	failed string
}

const (
	oidcPath     = "/signin/oidc"
	callbackPath = "/callback"
	doorTimeout  = 10 * time.Second
	secretBytes  = 16
)

func (d *door) add(rt *httpx.Router) {
	rt.Public("GET "+d.path, private(d.get))
	rt.Public("GET "+d.path+callbackPath, private(d.getCallback))
}

// step is what is remembered between the two requests.
type step struct {
	State, Nonce, Verifier string
	Next                   string // where the browser came from; "" = nowhere
}

func (d *door) cookieName(r *http.Request) string {
	if d.auth.cookieFor(r) == cookieName {
		return "__Host-" + d.cookie
	}
	return d.cookie
}

// remember makes the cookie of the step between.
func (d *door) remember(name, ticket string, seconds int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is set wherever the connection is
		Name: name, Value: ticket, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: name != d.cookie, SameSite: http.SameSiteLaxMode,
	}
}

func (d *door) back() string { return d.url + d.path + callbackPath }

// get begins.
func (d *door) get(w http.ResponseWriter, r *http.Request) error {
	if d.auth.cookieFor(r) == "" {
		return errNeedsTLS
	}
	ctx, cancel := context.WithTimeout(r.Context(), doorTimeout)
	defer cancel()
	s := step{random(), random(), oauth2.GenerateVerifier(), ownPath(r.URL.Query().Get("next"))}
	to, err := d.flow.begin(ctx, r, &s, d.back())
	if err != nil {
		return err
	}
	ticket, err := d.tickets.Give(d.cookie, s)
	if err != nil {
		return err
	}
	http.SetCookie(w, d.remember(d.cookieName(r), ticket, 300))
	http.Redirect(w, r, to, http.StatusFound)
	return nil
}

// ownPath is a path of ours; a browser is led nowhere else.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || len(next) > 512 || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}

// getCallback ends it.
func (d *door) getCallback(w http.ResponseWriter, r *http.Request) error {
	to, err := d.finish(w, r)
	http.SetCookie(w, d.remember(d.cookieName(r), "", -1))
	if f, ok := fault.From(err); ok {
		to, err = d.failed+f.Code, nil
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, d.url+to, http.StatusFound)
	return nil
}

func (d *door) finish(w http.ResponseWriter, r *http.Request) (to string, _ error) {
	c, err := r.Cookie(d.cookieName(r))
	if err != nil {
		return "", identity.ErrBadTicket
	}
	var s step
	if err := d.tickets.Take(d.cookie, c.Value, &s); err != nil {
		return "", err
	}
	q := r.URL.Query()
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.State)) != 1 || q.Get("code") == "" {
		return "", errProviderSaid
	}
	ctx, cancel := context.WithTimeout(r.Context(), doorTimeout)
	defer cancel()
	who, err := d.flow.vouched(ctx, q.Get("code"), &s, d.back())
	if err != nil {
		return "", err
	}
	return d.enter(w, r, who, &s)
}

// peopleDoor signs in who works here.
func (a *api) peopleDoor(p *Provider) *door {
	return &door{
		api: a, flow: &oidcFlow{Provider: *p}, path: oidcPath, cookie: "oidc", failed: "/console/#/signin?error=",
		enter: func(w http.ResponseWriter, r *http.Request, who identity.Provided, _ *step) (string, error) {
			o, err := a.svc.SignInProvided(r.Context(), who, a.device(r, deviceAsk{ClientType: identity.Web}))
			if err != nil {
				return "", err
			}
			http.SetCookie(w, sessionCookie(a.auth.cookieFor(r), o.Token, o.ExpiresAt.Sub(o.CreatedAt)))
			return "/console/", nil
		},
	}
}

// oidcFlow is OpenID Connect with PKCE. The provider is asked for its addresses at the first
// sign-in, so that one that is down keeps nobody else out.
type oidcFlow struct {
	Provider

	mu    sync.Mutex
	known *oidc.Provider // guarded by mu
}

func (f *oidcFlow) discover(ctx context.Context, back string) (*oidc.Provider, *oauth2.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		p, err := oidc.NewProvider(ctx, f.Issuer)
		if err != nil {
			return nil, nil, errProviderDown.Because(err)
		}
		f.known = p
	}
	return f.known, &oauth2.Config{
		ClientID: f.ClientID, ClientSecret: f.ClientSecret, Endpoint: f.known.Endpoint(), RedirectURL: back,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"},
	}, nil
}

func (f *oidcFlow) begin(ctx context.Context, _ *http.Request, s *step, back string) (string, error) {
	_, config, err := f.discover(ctx, back)
	if err != nil {
		return "", err
	}
	return config.AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)), nil
}

func (f *oidcFlow) vouched(ctx context.Context, code string, s *step, back string) (who identity.Provided, _ error) {
	provider, config, err := f.discover(ctx, back)
	if err != nil {
		return who, err
	}
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return who, errProviderSaid.Because(err)
	}
	raw, _ := token.Extra("id_token").(string)
	verified, err := provider.Verifier(&oidc.Config{ClientID: f.ClientID, Now: f.Now}).Verify(ctx, raw)
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
	who = identity.Provided{Issuer: verified.Issuer, Subject: verified.Subject, Tenant: f.Tenant, Role: f.role(claims[f.GroupsClaim])}
	who.Person.Email, _ = claims["email"].(string)
	who.Person.Login, _ = claims["preferred_username"].(string)
	if who.Person.Name, _ = claims["name"].(string); who.Person.Name == "" {
		who.Person.Name = verified.Subject
	}
	return who, nil
}

// role is what the groups give; "" = nothing.
func (p *Provider) role(claim any) identity.Role {
	var groups []string
	list, _ := claim.([]any)
	for _, g := range list {
		if text, ok := g.(string); ok {
			groups = append(groups, text)
		}
	}
	for _, r := range p.Roles {
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
