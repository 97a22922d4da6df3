package identity

import (
	"context"
	"errors"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Ask is a try to sign in with a password.
type Ask struct {
	Login, Password string
	Code            string // of the authenticator
	Recovery        string // instead of it
	From            Device
}

// Device is what a session is opened on.
type Device struct {
	Client ClientType
	Name   string // what the program calls itself
	Net    string // the network, without the host part
}

func (d *Device) check() error {
	switch d.Client {
	case "":
		d.Client = Web
	case Web, App, MiniApp, API:
	default:
		return ErrBadClient
	}
	d.Name, d.Net = cut(d.Name, deviceMax), cut(d.Net, deviceMax)
	if d.Name != "" && checkName("device", d.Name) != nil {
		d.Name = ""
	}
	return nil
}

// Opened is a new session with its token, which nobody can be shown again.
type Opened struct {
	Token string
	Session
	Enrolled bool // false for an administrator who must set up a second factor first
}

// SignInWith opens a session for who knows the password and has the second factor.
// Whatever is wrong, the answer is ErrRefused; only who knows the password is told that a
// code is asked for.
func (s *Service) SignInWith(ctx context.Context, a Ask) (Opened, error) {
	if err := a.From.check(); err != nil {
		return Opened{}, err
	}
	if len(a.Login) > nameMax || len(a.Password) > passwordMax {
		return Opened{}, ErrRefused
	}
	name, err := s.attempt(ctx, a.Login, a.From.Net)
	if err != nil {
		return Opened{}, err
	}
	u, err := s.store.UserBy(ctx, "login", s.secrets.lookup("login", a.Login))
	if err != nil && !errors.Is(err, ErrUnknownUser) {
		return Opened{}, wrap("look up a user", err)
	}
	right, err := s.passwords.check(ctx, u.Password, a.Password)
	if err != nil {
		return Opened{}, err
	}
	if s.cfg.Elsewhere != nil && (u.ID == "" || u.Password == inDirectory) {
		if u, right, err = s.inDirectory(ctx, u, &a); err != nil {
			return Opened{}, err
		}
	}
	if !right || u.State != Active {
		if u.ID != "" {
			s.note(u.Tenant, string(u.ID), u.Role, "sign_in_refused", "", "password")
		}
		return Opened{}, ErrRefused
	}
	if err := s.secondFactor(ctx, &u, a.Code, a.Recovery); err != nil {
		if errors.Is(err, ErrSecondFactor) { // the password was right: no guess was made
			return Opened{}, errors.Join(err, s.store.Forgive(ctx, name))
		}
		s.note(u.Tenant, string(u.ID), u.Role, "sign_in_refused", "", "second factor")
		return Opened{}, err
	}
	if err := s.store.Forgive(ctx, name); err != nil {
		return Opened{}, wrap("clear tries", err)
	}
	return s.open(ctx, &u, a.From)
}

// attempt counts a try under the name and the network before it is looked at, so that
// tries side by side count too. Names that nobody has wait like any other.
func (s *Service) attempt(ctx context.Context, login, net string) (name Hash, _ error) {
	name = s.secrets.lookup("try", login)
	tries := []Try{{name, attemptsFree}}
	if net != "" {
		tries = append(tries, Try{s.secrets.lookup("net", net), netFree})
	}
	wait, err := s.store.Attempt(ctx, s.clock.Now(), tries)
	if err != nil {
		return name, wrap("count a try", err)
	}
	if wait > 0 {
		return name, ErrTooFast.After(wait)
	}
	return name, nil
}

// secondFactor wants a code of who has an authenticator. A passkey is a sign-in of its own.
func (s *Service) secondFactor(ctx context.Context, u *User, code, recovery string) error {
	switch {
	case !u.Enrolled():
		return nil
	case recovery != "":
		ok, err := s.store.UseRecovery(ctx, u.ID, recoveryHash(recovery), s.clock.Now())
		if err == nil && !ok {
			err = ErrRefused
		}
		return err
	case code != "" && u.TOTPOn:
		ok, err := s.checkCode(ctx, u, code)
		if err == nil && !ok {
			err = ErrRefused
		}
		return err
	case code != "":
		return ErrRefused
	}
	return ErrSecondFactor
}

// checkCode reports whether a code is right and was never used.
func (s *Service) checkCode(ctx context.Context, u *User, code string) (bool, error) {
	secret, err := s.secrets.unwrap(u.TOTP, "totp "+string(u.ID))
	if err != nil {
		return false, wrap("open an authenticator's secret", err)
	}
	step, ok := matchTOTP(secret, code, s.clock.Now())
	if !ok {
		return false, nil
	}
	return s.store.TakeStep(ctx, u.ID, step)
}

// open makes a session of a user who has proved to be one.
func (s *Service) open(ctx context.Context, u *User, from Device) (Opened, error) {
	if _, ok := s.dir.Load().principal(string(u.ID), "", u.Tenant, u.Role, u.Brands); !ok {
		return Opened{}, ErrRefused // its tenant is disabled or its role is gone
	}
	now := s.clock.Now()
	o := Opened{Token: s.secrets.newToken(), Enrolled: u.Role != Admin || u.Enrolled() || u.vouched()}
	o.Session = Session{
		ID: SessionID(ids.New(sessionPrefix)), Hash: hashOf(o.Token), User: u.ID, Client: from.Client, Device: from.Name, Net: from.Net,
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(min(s.cfg.Life, s.cfg.Longest)), EndsAt: now.Add(s.cfg.Longest),
	}
	if err := s.store.OpenSession(ctx, o.Session, s.cfg.Conflicts[from.Client]); err != nil {
		return Opened{}, wrap("open a session", err)
	}
	s.note(u.Tenant, string(u.ID), u.Role, "sign_in", string(o.ID), string(from.Client))
	s.changed(ctx)
	return o, nil
}

// OpenFor opens a session for a user whom an edge has recognised otherwise: by a passkey
// or by a provider of identities.
func (s *Service) OpenFor(ctx context.Context, id UserID, from Device) (Opened, error) {
	if err := from.check(); err != nil {
		return Opened{}, err
	}
	u, err := s.store.User(ctx, id)
	if err != nil {
		return Opened{}, ErrRefused.Because(err)
	}
	if u.State != Active {
		return Opened{}, ErrRefused
	}
	return s.open(ctx, &u, from)
}

// OpenMachine gives a program with an API key a session instead (OAuth 2.0, client
// credentials): the key's id and the key are its name and its secret.
func (s *Service) OpenMachine(ctx context.Context, id, key, net string) (Opened, error) {
	p, err := s.Authenticate(ctx, key)
	if err != nil {
		return Opened{}, err
	}
	if p.ID != id {
		return Opened{}, ErrBadKey
	}
	now := s.clock.Now()
	o := Opened{Token: s.secrets.newToken(), Enrolled: true}
	o.Session = Session{
		ID: SessionID(ids.New(sessionPrefix)), Hash: hashOf(o.Token), Key: p.ID, Client: API, Device: cut(p.Name, deviceMax), Net: net,
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(machineLife), EndsAt: now.Add(machineLife),
	}
	if err := s.store.OpenSession(ctx, o.Session, s.cfg.Conflicts[API]); err != nil {
		return Opened{}, wrap("open a machine's session", err)
	}
	s.note(p.Tenant, p.ID, p.Role, "token", string(o.ID), "client credentials")
	s.changed(ctx)
	return o, nil
}

// SignOut ends the caller's own session.
func (s *Service) SignOut(ctx context.Context, p *Principal) error {
	if p.Session == "" {
		return ErrKeysOnly
	}
	if err := s.store.EndSession(ctx, p.Session, EndSignedOut, s.clock.Now()); err != nil {
		return wrap("end a session", err)
	}
	s.changed(ctx)
	return nil
}

// Sessions lists the living sessions of a user.
func (s *Service) Sessions(ctx context.Context, id UserID) ([]Session, error) {
	return s.store.SessionsOf(ctx, id, s.clock.Now())
}

// EndSession ends one session of a user; reason says who wanted it.
func (s *Service) EndSession(ctx context.Context, user UserID, id SessionID, reason string) error {
	if !ids.Valid(sessionPrefix, string(id)) {
		return ErrUnknownSession
	}
	one, err := s.store.SessionByID(ctx, id)
	if err != nil {
		return err
	}
	if one.User != user {
		return ErrUnknownSession
	}
	if err := s.store.EndSession(ctx, id, reason, s.clock.Now()); err != nil {
		return wrap("end a session", err)
	}
	s.changed(ctx)
	return nil
}

// Accept sets the password that an invitation or a reset asks for, once.
func (s *Service) Accept(ctx context.Context, token, password string) (UserID, error) {
	if len(token) != len(linkPrefix)+secretLength {
		return "", ErrUnknownLink
	}
	hash, now := hashOf(token), s.clock.Now()
	l, err := s.store.Link(ctx, hash)
	if err != nil {
		return "", err
	}
	if !l.UsedAt.IsZero() || !now.Before(l.ExpiresAt) {
		return "", ErrUnknownLink
	}
	u, err := s.store.User(ctx, l.User)
	if err != nil {
		return "", err
	}
	if u.State != Invited && u.State != Active {
		return "", ErrUnknownLink
	}
	if err := s.setPassword(ctx, &u, password); err != nil {
		return "", err
	}
	u.State = Active
	if err := s.store.UseLink(ctx, hash, now, u, Ending{Reason: EndPassword, At: now}); err != nil {
		return "", wrap("use a link", err)
	}
	s.note(u.Tenant, string(u.ID), u.Role, "password_set", string(u.ID), string(l.Kind))
	s.changed(ctx)
	return u.ID, nil
}

func (s *Service) setPassword(ctx context.Context, u *User, password string) error {
	if u.Password == inDirectory {
		return ErrElsewhere
	}
	person, err := s.secrets.open(u.ID, u.Sealed)
	if err != nil {
		return err
	}
	if err := checkPassword(password, person.Login); err != nil {
		return err
	}
	u.Password, err = s.passwords.hash(ctx, password)
	return err
}

// newLink makes a link of a user.
func (s *Service) newLink(r ids.Request, user UserID, kind LinkKind) (token string, _ UserLink) {
	life := inviteLife
	if kind == ResetLink {
		life = resetLife
	}
	token = linkPrefix + s.secrets.secretFor(r, "link")
	now := s.clock.Now()
	return token, UserLink{Hash: hashOf(token), User: user, Kind: kind, CreatedAt: now, ExpiresAt: now.Add(life)}
}

// WhyEnded tells why a session ended; "" while it lives or when nobody knows any more.
func (s *Service) WhyEnded(ctx context.Context, id SessionID) string {
	one, err := s.store.SessionByID(ctx, id)
	if err != nil {
		return ""
	}
	if one.Reason == "" && !one.lives(s.clock.Now()) {
		return EndExpired
	}
	return one.Reason
}

// Now is the time that sessions are held against.
func (s *Service) Now() time.Time { return s.clock.Now() }
