// Package identityhttp is identity over HTTP: who a request comes from, signing in and out,
// and the routes for tenants, users, roles, keys, approvals and the log of changes.
//
// Promise: whatever is wrong with a credential, the answer is the same (TestAuthenticator,
// TestSignInRefusalsAreAlike); a session that lives in a cookie changes nothing at the word
// of another origin (TestCookieIsOursAlone); no answer shows a secret twice, but to a
// retry of the request that made it.
package identityhttp

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Authenticator reads Authorization: Bearer, or else the session's cookie.
type Authenticator struct {
	svc     *identity.Service
	proxies httpx.Proxies
	cross   *http.CrossOriginProtection
	quotas  Quotas
}

// Quotas count a request of somebody against what the tenant may ask, or say why not.
type Quotas func(p *identity.Principal) error

var (
	_ httpx.Authenticator = (*Authenticator)(nil)
	_ httpx.Access        = access{}
)

// NewAuthenticator makes an Authenticator; without quotas nothing is counted.
func NewAuthenticator(svc *identity.Service, proxies httpx.Proxies, q Quotas) *Authenticator {
	return &Authenticator{svc, proxies, http.NewCrossOriginProtection(), q}
}

// access shows a principal to routes.
type access struct{ p *identity.Principal }

// May implements httpx.Access.
func (a access) May(need httpx.Permission) bool { return a.p.May(identity.Permission(need)) }

// Scope implements httpx.Access.
func (a access) Scope() ids.Scope { return a.p.Scope() }

// ErrCrossOrigin answers a change that another origin's page asks for.
var ErrCrossOrigin = fault.New(fault.Denied, "auth.cross_origin", "a page of another origin asks for this with your session; it is refused")

// ErrEnrollFirst answers an administrator without a second factor.
var ErrEnrollFirst = fault.New(fault.Denied, "auth.second_factor_needed",
	"administrators need a second factor: set one up with POST /api/v1/me/totp or a passkey")

// Authenticate implements httpx.Authenticator. Whatever is wrong with the header or
// the key is ErrNoAuth; a session that ended says so.
func (a *Authenticator) Authenticate(r *http.Request) (httpx.Principal, error) {
	writes := r.Method != http.MethodGet && r.Method != http.MethodHead
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return a.byCookie(r, writes)
	}
	scheme, key, _ := strings.Cut(given[0], " ")
	if len(given) != 1 || !strings.EqualFold(scheme, "Bearer") {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	v, err := a.svc.Caller(r.Context(), strings.Trim(key, " "), writes)
	if err != nil {
		return httpx.Principal{}, refused(err)
	}
	allowed := false
	origin := r.Header.Get("Origin")
	if origin != "" {
		v.Principal, allowed = a.svc.FromOrigin(v.Principal, origin)
	}
	p := PrincipalOf(&v)
	if allowed {
		p.Origin = origin
	}
	return p, a.count(&v)
}

func (a *Authenticator) count(v *identity.Visit) error {
	if a.quotas == nil {
		return nil
	}
	return a.quotas(v.Principal)
}

// refused makes one answer of what is wrong with a credential.
func refused(err error) error {
	f, ok := fault.From(err)
	if !ok || f.Kind == fault.Unavailable || f.Is(identity.ErrSessionOver) {
		return err
	}
	return httpx.ErrNoAuth
}

// PrincipalOf shows who has come to the routes.
func PrincipalOf(v *identity.Visit) httpx.Principal {
	p := httpx.Principal{ID: v.ID, Name: v.Name, Access: access{v.Principal}, Ended: v.Over()}
	if v.MustEnroll {
		p.Refusal = ErrEnrollFirst
	}
	return p
}

// The session's cookie. A browser takes the first name over HTTPS only, and from no
// sibling domain. Over cleartext on this machine, where there is no certificate, it is
// the second.
const (
	cookieName      = "__Host-session_id"
	cookieNamePlain = "session_id"
)

func (a *Authenticator) byCookie(r *http.Request, writes bool) (httpx.Principal, error) {
	name := a.cookieFor(r)
	if name == "" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	c, err := r.Cookie(name)
	if err != nil {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	if err := a.cross.Check(r); err != nil {
		return httpx.Principal{}, ErrCrossOrigin
	}
	v, err := a.svc.Visit(r.Context(), c.Value, writes)
	if err != nil {
		return httpx.Principal{}, refused(err)
	}
	p := PrincipalOf(&v)
	if v.Renewed {
		p.Cookie = sessionCookie(name, c.Value, v.Ends.Sub(a.svc.Now()))
	}
	return p, a.count(&v)
}

// cookieFor is the name of the session's cookie on this connection; "" where a cookie
// would cross a network in the clear.
func (a *Authenticator) cookieFor(r *http.Request) string {
	if secure(r, a.proxies) {
		return cookieName
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && peer.Addr().Unmap().IsLoopback() {
		return cookieNamePlain
	}
	return ""
}

func secure(r *http.Request, proxies httpx.Proxies) bool {
	return r.TLS != nil || proxies.Forwards(r) && r.Header.Get("X-Forwarded-Proto") == "https"
}

// sessionCookie holds a token for its life; a negative life removes it.
func sessionCookie(name, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure is set wherever the connection is
		Name: name, Value: value, Path: "/", MaxAge: cmp.Or(int(life/time.Second), 1), HttpOnly: true,
		Secure: name == cookieName, SameSite: http.SameSiteLaxMode,
	}
}

// Who is the identity of an authorised request.
func Who(ctx context.Context, svc *identity.Service) *identity.Principal {
	if a, ok := httpx.CallerOf(ctx).Access.(access); ok {
		return a.p
	}
	return svc.OperatorOfMachine() // the command line on a data directory
}

// Auditor keeps what authorised requests change in the log of changes.
type Auditor struct {
	svc *identity.Service
	log *slog.Logger
}

var _ httpx.Auditor = (*Auditor)(nil)

// NewAuditor makes an Auditor.
func NewAuditor(svc *identity.Service, log *slog.Logger) *Auditor { return &Auditor{svc, log} }

// Begin implements httpx.Auditor.
func (a *Auditor) Begin(r *http.Request, endpoint, requestID string, p *httpx.Principal) (func(int, []byte, httpx.Note), error) {
	return a.BeginCall(r.Context(), endpoint, r.URL.Path, requestID, p)
}

// BeginCall is Begin of what came in another way.
func (a *Auditor) BeginCall(ctx context.Context, action, subject, requestID string, p *httpx.Principal) (func(int, []byte, httpx.Note), error) {
	who := a.svc.OperatorOfMachine()
	if own, ok := p.Access.(access); ok {
		who = own.p
	}
	end, err := a.svc.Begin(ctx, identity.Change{Actor: who, Action: action, Subject: subject, RequestID: requestID})
	if err != nil {
		return nil, err
	}
	return func(status int, body []byte, note httpx.Note) {
		end(identity.Outcome{
			Subject: note.Subject, Status: status, Before: a.text(note.Before), After: a.after(body, note), Reason: reasonOf(body, note),
		})
	}, nil
}

func (a *Auditor) text(v any) string {
	if v == nil {
		return ""
	}
	raw, err := json.Marshal(v)
	if err != nil {
		a.log.Error("a change cannot be told", "error", err)
		return ""
	}
	return string(raw)
}

func (a *Auditor) after(body []byte, note httpx.Note) string {
	if note.After != nil || note.Private || !json.Valid(body) {
		return a.text(note.After)
	}
	return string(body)
}

// reasonOf is the reason that the handler or the body gives.
func reasonOf(body []byte, note httpx.Note) string {
	if note.Reason != "" {
		return note.Reason
	}
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &said) != nil {
		return "" // a body that is cut off, or no JSON
	}
	return said.Reason
}

// api answers the routes.
type api struct {
	svc      *identity.Service
	auth     *Authenticator
	proxies  httpx.Proxies
	url      string // where people reach the console
	brand    func(ctx context.Context, b ids.BrandID) error
	change   func(ctx context.Context, a identity.Approval, by string) (effect string, _ error)
	keys     *passkeys
	provider bool // of identities
	tickets  *identity.Tickets
	stop     context.Context //nolint:containedctx // the life of the process: streams end with it
}

// Deps is what the routes need.
type Deps struct {
	Service   *identity.Service
	Auth      *Authenticator
	Proxies   httpx.Proxies
	PublicURL string // of the console, for links and passkeys
	// Change makes a change that a second person has approved; it must have one effect for
	// one approval.
	Change func(ctx context.Context, a identity.Approval, by string) (effect string, _ error)
	// Brand reports, by its error, that there is no such brand.
	Brand    func(ctx context.Context, b ids.BrandID) error
	Provider *Provider // of identities; nil = none
	// Consumers are the doors for those who scan.
	Consumers ConsumerDoors
	Log       *slog.Logger
	Stopping  context.Context //nolint:containedctx // the life of the process: streams end with it
}

// Mount adds the routes.
func Mount(rt *httpx.Router, d Deps) {
	a := &api{
		svc: d.Service, auth: d.Auth, proxies: d.Proxies, url: d.PublicURL, brand: d.Brand, change: d.Change,
		tickets: d.Service.Tickets(), stop: d.Stopping, provider: d.Provider != nil,
	}
	keys, err := newPasskeys(d.PublicURL)
	if err != nil {
		d.Log.Warn("there are no passkeys under this address", "url", d.PublicURL, "error", err)
	}
	a.keys = keys
	a.mountSignIn(rt)
	a.mountMe(rt)
	a.mountUsers(rt)
	a.mountTenants(rt)
	a.mountKeys(rt)
	a.mountAudit(rt)
	a.mountApprovals(rt)
	if d.Provider != nil {
		a.peopleDoor(d.Provider).add(rt)
	}
	a.mountConsumers(rt, d.Consumers)
}

// read reads a mutation: its body, who asks, and which request it is. Bodies here hold
// what must not be kept, so the log of changes gets what the handler notes, and no more.
func read[T any](w http.ResponseWriter, r *http.Request) (body T, _ ids.Request, _ error) {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	raw, err := httpx.Decode(w, r, httpx.BodyMax, &body)
	if err != nil {
		return body, ids.Request{}, err
	}
	req, err := httpx.Request(r, httpx.Caller(r).ID, raw)
	return body, req, err
}

func (a *api) who(r *http.Request) *identity.Principal { return Who(r.Context(), a.svc) }

// answer gives the effect of a mutation, and says when it is an earlier one's.
func answer(w http.ResponseWriter, replayed bool, data any) error {
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return done(w, data)
}

// done answers what no cache may keep.
func done(w http.ResponseWriter, data any) error {
	w.Header().Set("Cache-Control", "no-store")
	return httpx.OK(w, data)
}

type nothing struct{}

// orNull is a time that may be absent.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func each[A, B any](in []A, view func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = view(v)
	}
	return out
}

const (
	pageUsual = 100
	pageMax   = 1000
)

// netOf is the network of a client, without the host part.
func netOf(r *http.Request, proxies httpx.Proxies) string {
	addr := proxies.Client(r)
	if !addr.IsValid() {
		return ""
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}
