package httpx

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/limit"
)

// Limits hold strangers to what one address may ask. A nil Limits bounds nothing.
type Limits struct {
	guard   *limit.Guard
	proxies Proxies
}

// NewLimits counts requests by the address that proxies say they come from.
func NewLimits(g *limit.Guard, p Proxies) *Limits { return &Limits{g, p} }

// Client is the address that a request is counted for.
func (l *Limits) Client(r *http.Request) netip.Addr {
	if l == nil {
		return netip.Addr{}
	}
	return l.proxies.Client(r)
}

// exempt: this machine itself, but not who comes through a proxy on it.
func exempt(r *http.Request, from netip.Addr) bool {
	return from.IsLoopback() && r.Header["X-Forwarded-For"] == nil && r.Header["Forwarded"] == nil && r.Header["X-Real-Ip"] == nil
}

// Admit says whether a request is answered; else why not, as a fault that says when to
// come back.
func (l *Limits) Admit(r *http.Request, from netip.Addr) error {
	if l == nil || exempt(r, from) {
		return nil
	}
	err := l.guard.Admit(from)
	if err != nil && errors.Is(err, limit.ErrProof) && l.guard.Proven(from, proofOf(r)) {
		return nil
	}
	return err
}

// proofCookie is where the page's script puts a proof.
const proofCookie = "proof"

func proofOf(r *http.Request) string {
	if proof := r.Header.Get(limit.ProofHeader); proof != "" {
		return proof
	}
	if c, err := r.Cookie(proofCookie); err == nil {
		return c.Value
	}
	return ""
}

// Miss notes that a request asked for what does not exist; realm is what it named, or 0.
func (l *Limits) Miss(r *http.Request, from netip.Addr, realm int32) {
	if l != nil && !exempt(r, from) {
		l.guard.Miss(from, realm)
	}
}

// known lets in who shows a credential, and holds to the limits who shows none: a valid
// key makes no stranger.
func (l *Limits) known(r *http.Request, from netip.Addr) error {
	switch {
	case l == nil || exempt(r, from):
		return nil
	case r.Header["Authorization"] != nil:
		return l.guard.Key(from)
	default:
		return l.Admit(r, from)
	}
}

// judge notes what an answer says of who asked; status counts where there is no error.
func (l *Limits) judge(r *http.Request, from netip.Addr, status int, err error) {
	if err != nil {
		status = fault.KindOf(err).HTTPStatus()
	}
	switch {
	case l == nil || exempt(r, from):
	case status == http.StatusUnauthorized && r.Header["Authorization"] != nil:
		l.guard.WrongKey(from)
	case status == http.StatusNotFound && r.Header["Authorization"] == nil:
		l.guard.Miss(from, 0)
	}
}
