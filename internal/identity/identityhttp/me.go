package identityhttp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountMe(rt *httpx.Router) {
	rt.Signed("GET /api/v1/me", a.getMe)
	rt.Signed("GET /api/v1/me/permissions", a.getPermissions)
	rt.Signed("POST /api/v1/me/password", a.postPassword)
	rt.Signed("POST /api/v1/me/totp", a.postTOTP)
	rt.Signed("POST /api/v1/me/totp/confirm", a.postTOTPConfirm)
	rt.Signed("POST /api/v1/me/totp/remove", a.postTOTPRemove)
	rt.Signed("POST /api/v1/me/recovery-codes", a.postRecovery)
	rt.Signed("GET /api/v1/me/passkeys", a.getPasskeys)
	rt.Signed("POST /api/v1/me/passkeys", a.postPasskeyBegin)
	rt.Signed("POST /api/v1/me/passkeys/finish", a.postPasskeyFinish)
	rt.Signed("POST /api/v1/me/passkeys/{passkey_id}/remove", a.postPasskeyRemove)
	rt.Signed("GET /api/v1/me/sessions", a.getMySessions)
	rt.Signed("POST /api/v1/me/sessions/{session_id}/end", a.postEndMine)
	rt.Signed("GET /api/v1/me/session", a.getSessionEvents)
}

type meView struct {
	ID          string                `json:"id"`
	Kind        string                `json:"kind"` // user, key or operator
	Name        string                `json:"name"`
	Login       string                `json:"login,omitempty"`
	Email       string                `json:"email,omitempty"`
	TenantID    identity.TenantID     `json:"tenant_id"`
	TenantName  string                `json:"tenant_name"`
	Role        identity.Role         `json:"role"`
	SessionID   identity.SessionID    `json:"session_id,omitempty"`
	AllBrands   bool                  `json:"all_brands"`
	Brands      []ids.BrandID         `json:"brands"`
	Permissions []identity.Permission `json:"permissions"`
	EnrollFirst bool                  `json:"enroll_first"`
	TOTP        bool                  `json:"totp"`
	Passkeys    int                   `json:"passkeys"`
	Recovery    int                   `json:"recovery_codes_left"`
}

// getMe answers GET /api/v1/me.
func (a *api) getMe(w http.ResponseWriter, r *http.Request) error {
	p := a.who(r)
	v := meView{
		ID: p.ID, Kind: "key", Name: p.Name, TenantID: p.Tenant, Role: p.Role, SessionID: p.Session, AllBrands: p.Scope().All(),
		Brands: orEmpty(p.Scope().Brands()), Permissions: orEmpty(p.Permissions()), EnrollFirst: p.MustEnroll,
	}
	if t, err := a.svc.Tenant(p, p.Tenant); err == nil {
		v.TenantName = t.Name
	}
	if p.ID == "operator" {
		v.Kind = "operator"
	}
	if !p.IsUser() {
		return done(w, v)
	}
	u, err := a.svc.Me(r.Context(), p)
	if err != nil {
		return err
	}
	person, err := a.svc.Person(&u)
	if err != nil {
		return err
	}
	v.Kind, v.Name, v.Login, v.Email, v.TOTP, v.Passkeys = "user", person.Name, person.Login, person.Email, u.TOTPOn, u.Passkeys
	if v.Recovery, err = a.svc.RecoveryLeft(r.Context(), p); err != nil {
		return err
	}
	return done(w, v)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

type permissionsView struct {
	Role        identity.Role         `json:"role"`
	Permissions []identity.Permission `json:"permissions"`
	AllBrands   bool                  `json:"all_brands"`
	Brands      []ids.BrandID         `json:"brands"`
}

// getPermissions answers GET /api/v1/me/permissions.
func (a *api) getPermissions(w http.ResponseWriter, r *http.Request) error {
	p := a.who(r)
	return done(w, permissionsView{p.Role, orEmpty(p.Permissions()), p.Scope().All(), orEmpty(p.Scope().Brands())})
}

type passwordAsk struct {
	Password    string `json:"password"` // the present one
	NewPassword string `json:"new_password"`
}

// postPassword answers POST /api/v1/me/password.
func (a *api) postPassword(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[passwordAsk](w, r)
	if err != nil {
		return err
	}
	if err := a.svc.ChangePassword(r.Context(), a.who(r), ask.Password, ask.NewPassword); err != nil {
		return err
	}
	return done(w, nothing{})
}

type proofAsk struct {
	Password string `json:"password"`
}

type totpBegun struct {
	Secret string `json:"secret"` // base 32, for who types it
	URI    string `json:"uri"`    // for a QR code
}

// postTOTP answers POST /api/v1/me/totp.
func (a *api) postTOTP(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[proofAsk](w, r)
	if err != nil {
		return err
	}
	secret, uri, err := a.svc.BeginTOTP(r.Context(), a.who(r), ask.Password)
	if err != nil {
		return err
	}
	return done(w, totpBegun{secret, uri})
}

type codeAsk struct {
	Code string `json:"code"`
}

type recoveryMade struct {
	RecoveryCodes []string `json:"recovery_codes"` // shown this once
}

// postTOTPConfirm answers POST /api/v1/me/totp/confirm.
func (a *api) postTOTPConfirm(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[codeAsk](w, r)
	if err != nil {
		return err
	}
	codes, err := a.svc.ConfirmTOTP(r.Context(), a.who(r), ask.Code)
	if err != nil {
		return err
	}
	return done(w, recoveryMade{codes})
}

// postTOTPRemove answers POST /api/v1/me/totp/remove.
func (a *api) postTOTPRemove(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[proofAsk](w, r)
	if err != nil {
		return err
	}
	if err := a.svc.DropTOTP(r.Context(), a.who(r), ask.Password); err != nil {
		return err
	}
	return done(w, nothing{})
}

// postRecovery answers POST /api/v1/me/recovery-codes.
func (a *api) postRecovery(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[proofAsk](w, r)
	if err != nil {
		return err
	}
	codes, err := a.svc.NewRecovery(r.Context(), a.who(r), ask.Password)
	if err != nil {
		return err
	}
	return done(w, recoveryMade{codes})
}

type sessionView struct {
	SessionID  identity.SessionID  `json:"session_id"`
	ClientType identity.ClientType `json:"client_type"`
	Device     string              `json:"device"`
	Network    string              `json:"network"`
	CreatedAt  time.Time           `json:"created_at"`
	LastActive time.Time           `json:"last_active"`
	ExpiresAt  time.Time           `json:"expires_at"`
	IsValid    bool                `json:"is_valid"`
	Present    bool                `json:"present"` // this one
}

type sessionList struct {
	Sessions []sessionView `json:"sessions"`
}

func viewSessions(all []identity.Session, present identity.SessionID) sessionList {
	return sessionList{each(all, func(s identity.Session) sessionView {
		return sessionView{s.ID, s.Client, s.Device, s.Net, s.CreatedAt, s.SeenAt, s.ExpiresAt, true, s.ID == present}
	})}
}

// getMySessions answers GET /api/v1/me/sessions: the caller's devices.
func (a *api) getMySessions(w http.ResponseWriter, r *http.Request) error {
	p := a.who(r)
	if !p.IsUser() {
		return identity.ErrKeysOnly
	}
	all, err := a.svc.Sessions(r.Context(), identity.UserID(p.ID))
	if err != nil {
		return err
	}
	return done(w, viewSessions(all, p.Session))
}

// postEndMine answers POST /api/v1/me/sessions/{session_id}/end.
func (a *api) postEndMine(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true})
	p := a.who(r)
	if !p.IsUser() {
		return identity.ErrKeysOnly
	}
	if err := a.svc.EndSession(r.Context(), identity.UserID(p.ID), identity.SessionID(r.PathValue("session_id")), identity.EndForced); err != nil {
		return err
	}
	return done(w, nothing{})
}

// beatEvery keeps proxies from closing a quiet stream.
const beatEvery = 20 * time.Second

// getSessionEvents answers GET /api/v1/me/session: a stream (WHATWG server-sent events) that
// says when and why this session ends, and ends with it.
func (a *api) getSessionEvents(w http.ResponseWriter, r *http.Request) error {
	p := httpx.Caller(r)
	who := a.who(r)
	if p.Ended == nil {
		return identity.ErrKeysOnly
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // a stream may last; where it cannot be said, nothing ends it
	say := func(text string) bool {
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !say(": session " + string(who.Session) + "\n\n") {
		return nil
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-p.Ended:
			say(a.invalidated(r, who.Session))
			return nil
		case <-beat.C:
			if !say(": still here\n\n") {
				return nil
			}
		case <-a.stop.Done():
			return nil
		case <-r.Context().Done():
			select {
			case <-p.Ended: // the request ends with its session, and is told first
				say(a.invalidated(r, who.Session))
			default:
			}
			return nil
		}
	}
}

func (a *api) invalidated(r *http.Request, id identity.SessionID) string {
	reason := a.svc.WhyEnded(context.WithoutCancel(r.Context()), id)
	return fmt.Sprintf("event: session:invalidated\ndata: {\"session_id\":%q,\"reason\":%q}\n\n", id, reason)
}
