package identity

import (
	"context"

	"github.com/chopmark/chopmark/internal/ids"
)

// Me is the caller's own account.
func (s *Service) Me(ctx context.Context, p *Principal) (User, error) {
	if !p.IsUser() {
		return User{}, ErrKeysOnly
	}
	return s.store.User(ctx, UserID(p.ID))
}

// ChangePassword takes the present one for proof. Every other device is signed out.
func (s *Service) ChangePassword(ctx context.Context, p *Principal, present, next string) error {
	u, err := s.Me(ctx, p)
	if err != nil {
		return err
	}
	if err := s.prove(ctx, &u, present); err != nil {
		return err
	}
	if err := s.setPassword(ctx, &u, next); err != nil {
		return err
	}
	_, err = s.keep(ctx, u, Ending{Reason: EndPassword, Keep: p.Session, At: s.clock.Now()})
	return err
}

// prove wants the present password of who does what a stolen session must not.
func (s *Service) prove(ctx context.Context, u *User, password string) error {
	if u.Password == "" { // signs in elsewhere; there is none to ask for
		return nil
	}
	if len(password) > passwordMax {
		return ErrWrongOld
	}
	name := s.secrets.lookup("prove", string(u.ID))
	wait, err := s.store.Attempt(ctx, s.clock.Now(), []Try{{name, attemptsFree}})
	if err != nil {
		return wrap("count a try", err)
	}
	if wait > 0 {
		return ErrTooFast.After(wait)
	}
	right, err := s.hasPassword(ctx, u, password)
	if err != nil {
		return err
	}
	if !right {
		return ErrWrongOld
	}
	return wrap("clear tries", s.store.Forgive(ctx, name))
}

// BeginTOTP gives the secret of a new authenticator; it counts once a code of it was given.
func (s *Service) BeginTOTP(ctx context.Context, p *Principal, password string) (secret, uri string, _ error) {
	u, err := s.Me(ctx, p)
	if err != nil {
		return "", "", err
	}
	if err := s.prove(ctx, &u, password); err != nil {
		return "", "", err
	}
	person, err := s.Person(&u)
	if err != nil {
		return "", "", err
	}
	raw := newTOTPSecret()
	if u.TOTP, err = s.secrets.wrap(raw, "totp "+string(u.ID)); err != nil {
		return "", "", err
	}
	u.TOTPOn = false
	if _, err := s.keep(ctx, u, Ending{}); err != nil {
		return "", "", err
	}
	return base32Text(raw), totpURI(raw, person.Login), nil
}

// ConfirmTOTP takes the first code, and gives the recovery codes, this once.
func (s *Service) ConfirmTOTP(ctx context.Context, p *Principal, code string) (recovery []string, _ error) {
	u, err := s.Me(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(u.TOTP) == 0 || u.TOTPOn {
		return nil, ErrNoTOTP
	}
	ok, err := s.checkCode(ctx, &u, code)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrWrongCode
	}
	shown, kept := newRecoveryCodes()
	if err := s.store.SetRecovery(ctx, u.ID, kept); err != nil {
		return nil, wrap("store recovery codes", err)
	}
	u.TOTPOn = true
	_, err = s.keep(ctx, u, Ending{})
	return shown, err
}

// RecoveryLeft tells how many recovery codes are unused.
func (s *Service) RecoveryLeft(ctx context.Context, p *Principal) (int, error) {
	return s.store.RecoveryLeft(ctx, UserID(p.ID))
}

// NewRecovery replaces the recovery codes.
func (s *Service) NewRecovery(ctx context.Context, p *Principal, password string) ([]string, error) {
	u, err := s.Me(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := s.prove(ctx, &u, password); err != nil {
		return nil, err
	}
	if !u.Enrolled() {
		return nil, ErrNoTOTP
	}
	shown, kept := newRecoveryCodes()
	return shown, wrap("store recovery codes", s.store.SetRecovery(ctx, u.ID, kept))
}

// DropTOTP removes the authenticator. An administrator then has to set up a second factor
// before anything else.
func (s *Service) DropTOTP(ctx context.Context, p *Principal, password string) error {
	u, err := s.Me(ctx, p)
	if err != nil {
		return err
	}
	if err := s.prove(ctx, &u, password); err != nil {
		return err
	}
	u.TOTP, u.TOTPOn = nil, false
	_, err = s.keep(ctx, u, Ending{Reason: EndChanged, Keep: p.Session, At: s.clock.Now()})
	return err
}

// AddPasskey keeps a credential that an edge has verified, and gives recovery codes with
// the first second factor.
func (s *Service) AddPasskey(ctx context.Context, p *Principal, k Passkey) (recovery []string, _ error) {
	u, err := s.Me(ctx, p)
	if err != nil {
		return nil, err
	}
	if k.Name == "" {
		k.Name = "passkey"
	}
	if err := checkName("name", k.Name); err != nil {
		return nil, err
	}
	k.User, k.CreatedAt = u.ID, s.clock.Now()
	if err := s.store.AddPasskey(ctx, k, passkeysMax); err != nil {
		return nil, wrap("store a passkey", err)
	}
	s.changed(ctx)
	if u.Enrolled() {
		return nil, nil
	}
	shown, kept := newRecoveryCodes()
	return shown, wrap("store recovery codes", s.store.SetRecovery(ctx, u.ID, kept))
}

// Passkeys lists a user's.
func (s *Service) Passkeys(ctx context.Context, id UserID) ([]Passkey, error) {
	return s.store.Passkeys(ctx, id)
}

// Passkey finds one by its id.
func (s *Service) Passkey(ctx context.Context, id string) (Passkey, error) {
	return s.store.Passkey(ctx, id)
}

// UsedPasskey keeps the record as it is after a use.
func (s *Service) UsedPasskey(ctx context.Context, k Passkey) error {
	k.UsedAt = s.clock.Now()
	return s.store.TouchPasskey(ctx, k)
}

// DropPasskey removes one of the caller's.
func (s *Service) DropPasskey(ctx context.Context, p *Principal, id, password string) error {
	u, err := s.Me(ctx, p)
	if err != nil {
		return err
	}
	if err := s.prove(ctx, &u, password); err != nil {
		return err
	}
	if err := s.store.DropPasskey(ctx, u.ID, id); err != nil {
		return err
	}
	s.changed(ctx)
	return nil
}

// Provided is who a provider of identities says that somebody is.
type Provided struct {
	Issuer, Subject string
	Person          Person
	Tenant          TenantID
	Role            Role // "" = none of the groups gives one
}

// SignInProvided opens a session for who a provider vouches for. The first time makes the
// account; each time it has the role that the groups give now.
func (s *Service) SignInProvided(ctx context.Context, who Provided, from Device) (Opened, error) {
	if who.Role == "" {
		return Opened{}, ErrRefused
	}
	if err := from.check(); err != nil {
		return Opened{}, err
	}
	who.Person.Login = "oidc " + who.Person.Login + " " + ids.New("x")[2:10]
	u, err := s.provided(ctx, who, "")
	if err != nil {
		return Opened{}, err
	}
	return s.open(ctx, &u, from)
}

// provided finds the account of who is vouched for, or makes it, with the role that the groups
// give now.
func (s *Service) provided(ctx context.Context, who Provided, password string) (User, error) {
	external := s.secrets.lookup("external", who.Issuer+"\x00"+who.Subject)
	u, err := s.store.UserBy(ctx, "external", external)
	switch {
	case isUnknownUser(err):
		if u, err = s.newUser(NewUser{Person: who.Person, Tenant: who.Tenant, Role: who.Role}); err != nil {
			return u, err
		}
		u.State, u.External, u.Password = Active, external, password
		if _, _, err = s.store.AddUser(ctx, ids.Request{}, u, nil); err != nil {
			return u, wrap("store a provided user", err)
		}
	case err != nil:
		return u, wrap("look up a provided user", err)
	case u.State != Active:
		return u, ErrRefused
	case u.Role != who.Role:
		u.Role = who.Role
		if u, err = s.keep(ctx, u, Ending{Reason: EndChanged, At: s.clock.Now()}); err != nil {
			return u, err
		}
	}
	return u, nil
}

// Prove gives the caller's account to who knows its password.
func (s *Service) Prove(ctx context.Context, p *Principal, password string) (User, error) {
	u, err := s.Me(ctx, p)
	if err != nil {
		return u, err
	}
	err = s.prove(ctx, &u, password)
	return u, err
}
