package identityhttp

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountSignIn(rt *httpx.Router) {
	rt.Public("GET /api/v1/signin", private(a.getSignIn))
	rt.Public("POST /api/v1/signin", private(a.ours(a.postSignIn)))
	rt.Public("POST /api/v1/signin/first", private(a.ours(a.postFirst)))
	rt.Public("POST /api/v1/signin/accept", private(a.ours(a.postAccept)))
	rt.Public("POST /api/v1/signin/passkey", private(a.ours(a.postPasskeyOptions)))
	rt.Public("POST /api/v1/signin/passkey/finish", private(a.ours(a.postPasskeySignIn)))
	rt.Public("POST /api/v1/oauth/token", private(a.postToken))
	rt.Signed("POST /api/v1/signout", a.postSignOut)
}

// ours refuses pages of other origins: a session is opened for nobody else's.
func (a *api) ours(h httpx.Handler) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := a.auth.cross.Check(r); err != nil {
			return ErrCrossOrigin
		}
		return h(w, r)
	}
}

type deviceAsk struct {
	ClientType identity.ClientType `json:"client_type"` // web when absent
	Device     string              `json:"device"`      // what the program calls itself; the browser's own name when absent
}

func (a *api) device(r *http.Request, ask deviceAsk) identity.Device {
	d := identity.Device{Client: ask.ClientType, Name: ask.Device, Net: netOf(r, a.proxies)}
	if d.Name == "" {
		d.Name = r.UserAgent()
	}
	return d
}

type signInAsk struct {
	Login        string `json:"login"`
	Password     string `json:"password"`
	Code         string `json:"code"`
	RecoveryCode string `json:"recovery_code"`
	deviceAsk
}

// sessionMade tells of a new session. A browser's token is in its cookie alone.
type sessionMade struct {
	Token      string              `json:"token,omitempty"`
	SessionID  identity.SessionID  `json:"session_id"`
	UserID     identity.UserID     `json:"user_id"`
	ClientType identity.ClientType `json:"client_type"`
	ExpiresAt  time.Time           `json:"expires_at"`
	EndsAt     time.Time           `json:"ends_at"`
	// EnrollFirst: an administrator without a second factor; nothing but setting one up works.
	EnrollFirst bool `json:"enroll_first"`
}

var errNeedsTLS = fault.New(fault.Denied, "signin.needs_https", "sign in over HTTPS: this connection would show the session to others")

// open answers with a new session.
func (a *api) open(w http.ResponseWriter, r *http.Request, o identity.Opened) error {
	made := sessionMade{
		SessionID: o.ID, UserID: o.User, ClientType: o.Client, ExpiresAt: o.ExpiresAt, EndsAt: o.EndsAt, EnrollFirst: !o.Enrolled,
	}
	if o.Client != identity.Web {
		made.Token = o.Token
		return done(w, made)
	}
	http.SetCookie(w, sessionCookie(a.auth.cookieFor(r), o.Token, o.ExpiresAt.Sub(o.CreatedAt)))
	return done(w, made)
}

// canOpen refuses a browser on a connection that others can read, before anything happens.
func (a *api) canOpen(r *http.Request, ask deviceAsk) error {
	if (ask.ClientType == identity.Web || ask.ClientType == "") && a.auth.cookieFor(r) == "" {
		return errNeedsTLS
	}
	return nil
}

// ways are the ways to sign in beside a password.
type ways struct {
	Passkeys bool `json:"passkeys"`
	Provider bool `json:"provider"` // GET /signin/oidc
}

// getSignIn answers GET /api/v1/signin, for a page that offers no more than there is.
func (a *api) getSignIn(w http.ResponseWriter, _ *http.Request) error {
	return httpx.OK(w, ways{Passkeys: a.keys.party != nil, Provider: a.provider})
}

// postSignIn answers POST /api/v1/signin.
func (a *api) postSignIn(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[signInAsk](w, r)
	if err != nil {
		return err
	}
	if err := a.canOpen(r, ask.deviceAsk); err != nil {
		return err
	}
	o, err := a.svc.SignInWith(r.Context(), identity.Ask{
		Login: ask.Login, Password: ask.Password, Code: ask.Code, Recovery: ask.RecoveryCode, From: a.device(r, ask.deviceAsk),
	})
	if err != nil {
		return err
	}
	return a.open(w, r, o)
}

type firstAsk struct {
	Token    string `json:"token"`
	Login    string `json:"login"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
	deviceAsk
}

// postFirst answers POST /api/v1/signin/first: the link of the first start makes an
// administrator instead of a key.
func (a *api) postFirst(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[firstAsk](w, r)
	if err != nil {
		return err
	}
	if err := a.canOpen(r, ask.deviceAsk); err != nil {
		return err
	}
	o, err := a.svc.First(r.Context(), ask.Token, identity.Person{Login: ask.Login, Name: ask.Name, Email: ask.Email}, ask.Password, a.device(r, ask.deviceAsk))
	if err != nil {
		return err
	}
	return a.open(w, r, o)
}

type acceptAsk struct {
	Token    string `json:"token"`
	Password string `json:"password"`
}

type accepted struct {
	UserID identity.UserID `json:"user_id"`
}

// postAccept answers POST /api/v1/signin/accept: an invitation or a reset.
func (a *api) postAccept(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[acceptAsk](w, r)
	if err != nil {
		return err
	}
	id, err := a.svc.Accept(r.Context(), ask.Token, ask.Password)
	if err != nil {
		return err
	}
	return done(w, accepted{id})
}

// postSignOut answers POST /api/v1/signout.
func (a *api) postSignOut(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	if err := a.svc.SignOut(r.Context(), a.who(r)); err != nil {
		return err
	}
	if name := a.auth.cookieFor(r); name != "" {
		http.SetCookie(w, sessionCookie(name, "", -time.Second))
	}
	return done(w, nothing{})
}

// tokenMade is RFC 6749's answer, which has no envelope.
type tokenMade struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

type tokenError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// postToken answers POST /api/v1/oauth/token (RFC 6749 section 4.4): a machine exchanges
// its key for a session of an hour. The key's id is its client_id, the key its secret.
func (a *api) postToken(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, formMax)
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		return tokenFail(w, http.StatusBadRequest, "invalid_request", "send the parameters as a form")
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return tokenFail(w, http.StatusBadRequest, "unsupported_grant_type", "only client_credentials is taken")
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	o, err := a.svc.OpenMachine(r.Context(), id, secret, netOf(r, a.proxies))
	if errors.Is(err, identity.ErrBadKey) {
		w.Header().Set("WWW-Authenticate", "Basic")
		return tokenFail(w, http.StatusUnauthorized, "invalid_client", "the client is not known or its secret is wrong")
	}
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, tokenMade{o.Token, "Bearer", int(o.ExpiresAt.Sub(o.CreatedAt) / time.Second)})
}

const formMax = 4 << 10

func tokenFail(w http.ResponseWriter, status int, code, format string, args ...any) error {
	return httpx.JSON(w, status, tokenError{code, fmt.Sprintf(format, args...)})
}
