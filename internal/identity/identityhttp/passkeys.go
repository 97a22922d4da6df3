package identityhttp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// passkeys is the relying party of WebAuthn; party is nil where the installation has no
// name that browsers let passkeys be made for.
type passkeys struct{ party *webauthn.WebAuthn }

var (
	errNoDomain   = fault.New(fault.Conflict, "passkey.no_domain", "passkeys need a domain name: start with --public-url https://NAME")
	errBadPasskey = fault.New(fault.Denied, "passkey.refused", "the authenticator's answer does not hold")
)

// newPasskeys makes the relying party of a public address.
func newPasskeys(publicURL string) (*passkeys, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return &passkeys{}, fmt.Errorf("passkeys: %w", err)
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil || u.Hostname() == "" {
		return &passkeys{}, nil
	}
	party, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Chopmark", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return &passkeys{}, fmt.Errorf("passkeys: %w", err)
	}
	return &passkeys{party}, nil
}

// account shows a user to the relying party.
type account struct {
	id          identity.UserID
	name, shown string
	credentials []webauthn.Credential
}

// WebAuthnID implements webauthn.User.
func (a *account) WebAuthnID() []byte { return []byte(a.id) }

// WebAuthnName implements webauthn.User.
func (a *account) WebAuthnName() string { return a.name }

// WebAuthnDisplayName implements webauthn.User.
func (a *account) WebAuthnDisplayName() string { return a.shown }

// WebAuthnCredentials implements webauthn.User.
func (a *account) WebAuthnCredentials() []webauthn.Credential { return a.credentials }

func (a *api) account(ctx context.Context, id identity.UserID) (*account, error) {
	all, err := a.svc.Passkeys(ctx, id)
	if err != nil {
		return nil, err
	}
	acc := &account{id: id}
	for _, p := range all {
		var c webauthn.Credential
		if err := json.Unmarshal(p.Data, &c); err != nil {
			return nil, fmt.Errorf("read passkey %s: %w", p.ID, err)
		}
		acc.credentials = append(acc.credentials, c)
	}
	return acc, nil
}

// ceremony is what a browser needs for its part, and the ticket that it gives back.
type ceremony struct {
	Ticket  string `json:"ticket"`
	Options any    `json:"options"` // for navigator.credentials
}

const (
	makeCeremony = "passkey make"
	openCeremony = "passkey open"
)

type made struct {
	User    identity.UserID      `json:"user"`
	Session webauthn.SessionData `json:"session"`
}

// postPasskeyBegin answers POST /api/v1/me/passkeys.
func (a *api) postPasskeyBegin(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[proofAsk](w, r)
	if err != nil {
		return err
	}
	if a.keys.party == nil {
		return errNoDomain
	}
	p := a.who(r)
	u, err := a.svc.Prove(r.Context(), p, ask.Password)
	if err != nil {
		return err
	}
	acc, err := a.account(r.Context(), u.ID)
	if err != nil {
		return err
	}
	person, err := a.svc.Person(&u)
	if err != nil {
		return err
	}
	acc.name, acc.shown = person.Login, person.Name
	var known []protocol.CredentialDescriptor
	for _, c := range acc.credentials {
		known = append(known, c.Descriptor())
	}
	options, session, err := a.keys.party.BeginRegistration(acc, webauthn.WithExclusions(known))
	if err != nil {
		return fmt.Errorf("begin a passkey: %w", err)
	}
	return a.ceremony(w, makeCeremony, made{u.ID, *session}, options)
}

func (a *api) ceremony(w http.ResponseWriter, purpose string, body, options any) error {
	ticket, err := a.tickets.Give(purpose, body)
	if err != nil {
		return err
	}
	return done(w, ceremony{ticket, options})
}

type finishAsk struct {
	Ticket     string          `json:"ticket"`
	Credential json.RawMessage `json:"credential"` // what navigator.credentials gave, as JSON
	Name       string          `json:"name"`       // of a new one
	deviceAsk
}

type passkeyMade struct {
	PasskeyID     string   `json:"passkey_id"`
	RecoveryCodes []string `json:"recovery_codes"` // with the first second factor, shown this once; else empty
}

// postPasskeyFinish answers POST /api/v1/me/passkeys/finish.
func (a *api) postPasskeyFinish(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[finishAsk](w, r)
	if err != nil {
		return err
	}
	p := a.who(r)
	var m made
	if err := a.tickets.Take(makeCeremony, ask.Ticket, &m); err != nil {
		return err
	}
	if string(m.User) != p.ID || a.keys.party == nil {
		return identity.ErrBadTicket
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(ask.Credential)
	if err != nil {
		return errBadPasskey.Because(err)
	}
	acc, err := a.account(r.Context(), m.User)
	if err != nil {
		return err
	}
	c, err := a.keys.party.CreateCredential(acc, m.Session, parsed)
	if err != nil {
		return errBadPasskey.Because(err)
	}
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode a passkey: %w", err)
	}
	id := base64.RawURLEncoding.EncodeToString(c.ID)
	codes, err := a.svc.AddPasskey(r.Context(), p, identity.Passkey{ID: id, Name: ask.Name, Data: data})
	if err != nil {
		return err
	}
	return done(w, passkeyMade{id, orEmpty(codes)})
}

// postPasskeyOptions answers POST /api/v1/signin/passkey. It names nobody: the authenticator
// knows whose it is.
func (a *api) postPasskeyOptions(w http.ResponseWriter, _ *http.Request) error {
	if a.keys.party == nil {
		return errNoDomain
	}
	options, session, err := a.keys.party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return fmt.Errorf("begin a sign-in: %w", err)
	}
	return a.ceremony(w, openCeremony, session, options)
}

// postPasskeySignIn answers POST /api/v1/signin/passkey/finish. A passkey with the user
// verified is both factors.
func (a *api) postPasskeySignIn(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[finishAsk](w, r)
	if err != nil {
		return err
	}
	if err := a.canOpen(r, ask.deviceAsk); err != nil {
		return err
	}
	var session webauthn.SessionData
	if err := a.tickets.Take(openCeremony, ask.Ticket, &session); err != nil {
		return err
	}
	if a.keys.party == nil {
		return errNoDomain
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(ask.Credential)
	if err != nil {
		return identity.ErrRefused
	}
	user, used, err := a.keys.party.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		return a.account(r.Context(), identity.UserID(handle))
	}, session, parsed)
	if err != nil || used.Authenticator.CloneWarning {
		return identity.ErrRefused
	}
	data, err := json.Marshal(used)
	if err != nil {
		return fmt.Errorf("encode a passkey: %w", err)
	}
	if err := a.svc.UsedPasskey(r.Context(), identity.Passkey{ID: base64.RawURLEncoding.EncodeToString(used.ID), Data: data}); err != nil {
		return err
	}
	o, err := a.svc.OpenFor(r.Context(), identity.UserID(user.WebAuthnID()), a.device(r, ask.deviceAsk))
	if err != nil {
		return err
	}
	return a.open(w, r, o)
}

type passkeyView struct {
	PasskeyID string     `json:"passkey_id"`
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at"`
}

type passkeyList struct {
	Passkeys []passkeyView `json:"passkeys"`
}

// getPasskeys answers GET /api/v1/me/passkeys.
func (a *api) getPasskeys(w http.ResponseWriter, r *http.Request) error {
	p := a.who(r)
	if !p.IsUser() {
		return identity.ErrKeysOnly
	}
	all, err := a.svc.Passkeys(r.Context(), identity.UserID(p.ID))
	if err != nil {
		return err
	}
	return done(w, passkeyList{each(all, func(k identity.Passkey) passkeyView {
		return passkeyView{k.ID, k.Name, k.CreatedAt, orNull(k.UsedAt)}
	})})
}

// postPasskeyRemove answers POST /api/v1/me/passkeys/{passkey_id}/remove.
func (a *api) postPasskeyRemove(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[proofAsk](w, r)
	if err != nil {
		return err
	}
	if err := a.svc.DropPasskey(r.Context(), a.who(r), r.PathValue("passkey_id"), ask.Password); err != nil {
		return err
	}
	return done(w, nothing{})
}
