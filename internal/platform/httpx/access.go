package httpx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Permission is what a route asks of its caller, as "resource:action".
type Permission string

// System is what routes ask that are for those who run the installation.
const System Permission = "system:manage"

// Access is what a caller may do, and whose objects with it.
type Access interface {
	May(p Permission) bool
	Scope() ids.Scope
}

// Everything is the access of the program's own work and of other roles of it.
type Everything struct{}

// May implements Access.
func (Everything) May(Permission) bool { return true }

// Scope implements Access.
func (Everything) Scope() ids.Scope { return ids.AllBrands() }

// Principal is who a request comes from.
type Principal struct {
	ID      string          // names the credential in idempotency scopes
	Name    string          // what history shows as the actor
	Access  Access          // nil = nothing
	Cookie  *http.Cookie    // to be set with the answer; nil = none
	Ended   <-chan struct{} // closed when the credential ends while it is used; nil = never told
	Refusal error           // what it is told of what it may not do; nil = the usual
	Origin  string          // the other origin that may read the answer; "" = none
}

// May reports whether the caller may do it; "" is what every known caller may.
func (p *Principal) May(need Permission) bool {
	return need == "" || p.Access != nil && p.Access.May(need)
}

// Allowed gives the context under which the caller acts, or why it may not.
func (p *Principal) Allowed(ctx context.Context, need Permission) (context.Context, error) {
	if !p.May(need) && p.Refusal != nil {
		return nil, p.Refusal
	}
	if !p.May(need) {
		return nil, ErrDenied.Textf("your role does not allow this: it needs %s", need)
	}
	scope := ids.Scope{}
	if p.Access != nil {
		scope = p.Access.Scope()
	}
	return ids.WithScope(context.WithValue(ctx, principalKey{}, *p), scope), nil
}

// ErrDenied answers a caller who is known and may not.
var ErrDenied = fault.New(fault.Denied, "auth.denied", "your role does not allow this")

// Authenticator tells who a request comes from, or ErrNoAuth.
type Authenticator interface {
	Authenticate(r *http.Request) (Principal, error)
}

type principalKey struct{}

// Caller is who an authorised request comes from.
func Caller(r *http.Request) Principal { return CallerOf(r.Context()) }

// CallerOf is Caller by the request's context.
func CallerOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// Admin adds a route for those who run the installation.
func (rt *Router) Admin(pattern string, h Handler) { rt.Allow(pattern, System, h) }

// Signed adds a route for every known caller: what it shows is the caller's own.
func (rt *Router) Signed(pattern string, h Handler) { rt.Allow(pattern, "", h) }

// Allow adds a route for callers with the permission. Its handler works under the
// caller's scope: what is foreign to it is answered as absent.
func (rt *Router) Allow(pattern string, need Permission, h Handler) {
	rt.add(pattern, rt.guarded(pattern, need, h))
}

// AllowAs is Allow for routes whose errors have another form than the envelope: fail
// answers them, that of a missing key and of another method too.
func (rt *Router) AllowAs(pattern string, need Permission, h Handler, fail Failing) {
	_, path, _ := strings.Cut(pattern, " ")
	rt.fails[path] = fail
	rt.add(pattern, fail.of(rt.guarded(pattern, need, h)))
}

// Failing answers an error in a form of its own.
type Failing func(w http.ResponseWriter, r *http.Request, err error)

// of answers the errors of h; without a form of its own they are left to the router.
func (f Failing) of(h Handler) Handler {
	if f == nil {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := h(w, r); err != nil && !errors.Is(err, errClientGone) {
			f(w, r, err)
		}
		return nil
	}
}

func (rt *Router) guarded(pattern string, need Permission, h Handler) Handler {
	rt.needs[pattern] = need
	return rt.limited(func(w http.ResponseWriter, r *http.Request) error {
		p, err := rt.auth.Authenticate(r)
		if err != nil {
			return err
		}
		ctx, err := p.Allowed(r.Context(), need)
		if err != nil {
			return err
		}
		if p.Cookie != nil {
			http.SetCookie(w, p.Cookie)
		}
		if p.Origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", p.Origin)
			w.Header().Add("Vary", "Origin")
		}
		if p.Ended != nil && r.Method == http.MethodGet {
			var cancel context.CancelFunc
			ctx, cancel = endWith(ctx, p.Ended)
			defer cancel()
		}
		r = r.WithContext(ctx)
		return rt.alone(p, r, func() error { return rt.audited(w, r, pattern, &p, h) })
	})
}

// endWith ends a context when the channel is closed: a stream does not outlive what
// opened it.
func endWith(ctx context.Context, ended <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with the context, which the caller cancels
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Note is what a handler adds to the audit of its request.
type Note struct {
	Subject       string
	Before, After any    // nil = the request's body tells it
	Reason        string // "" = the body's
	Private       bool   // the body holds what must not be kept
}

type noteKey struct{}

// Annotate adds to the audit of the request whose context it is.
func Annotate(ctx context.Context, n Note) {
	if at, ok := ctx.Value(noteKey{}).(*Note); ok {
		*at = n
	}
}

// Audit lets an auditor keep what is changed by authorised requests.
func (rt *Router) Audit(a Auditor) { rt.audit = a }

// LetOrigins names the other origins that may send authorised requests. The answer can
// be read only where the caller's own credential allows that origin (Principal.Origin).
func (rt *Router) LetOrigins(origins func(origin string) bool) { rt.origins = origins }

// auditBodyMax is how much of a body is kept.
const auditBodyMax = 4 << 10

// audited keeps who asked for a change before it is made, and then what came of it.
func (rt *Router) audited(w http.ResponseWriter, r *http.Request, pattern string, p *Principal, h Handler) error {
	if rt.audit == nil || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return h(w, r)
	}
	end, err := rt.audit.Begin(r, pattern, RequestID(w), p)
	if err != nil {
		return err
	}
	var note Note
	body := &capture{ReadCloser: r.Body}
	r = r.WithContext(context.WithValue(r.Context(), noteKey{}, &note))
	r.Body = body
	rec := recorder{ResponseWriter: w}
	status := http.StatusInternalServerError // of a handler that panics
	defer func() { end(status, body.kept.Bytes(), note) }()
	err = h(&rec, r)
	status = rec.code()
	if err != nil {
		status = fault.KindOf(err).HTTPStatus()
	}
	return err
}

// capture keeps the beginning of a body that is read.
type capture struct {
	io.ReadCloser

	kept bytes.Buffer
}

func (c *capture) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.kept.Write(p[:min(n, max(0, auditBodyMax+1-c.kept.Len()))])
	return n, err
}

// Needs gives what each authorised route asks for, by its pattern.
func (rt *Router) Needs() map[string]Permission { return maps.Clone(rt.needs) }
