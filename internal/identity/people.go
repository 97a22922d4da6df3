package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// NewUser asks for an account.
type NewUser struct {
	Person
	Tenant TenantID // "" = the caller's
	Role   Role
	Brands []ids.BrandID
}

func (p *Person) check() error {
	if err := checkName("login", p.Login); err != nil {
		return err
	}
	if len([]rune(p.Login)) < loginMin {
		return fault.Field("input.too_short", "login", "needs at least %d characters", loginMin)
	}
	if err := checkName("name", p.Name); err != nil {
		return err
	}
	for field, text := range map[string]string{"email": p.Email, "phone": p.Phone, "id_number": p.IDNumber} {
		if text != "" {
			if err := checkName(field, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// manages reports whether a caller's word counts in a tenant. Other tenants are absent.
func (p *Principal) manages(t TenantID) bool { return p.Tenant == Platform || p.Tenant == t }

// grantable checks that a caller gives a role and brands of a tenant, and no more than it
// has itself.
func (s *Service) grantable(p *Principal, t TenantID, r Role, brands []ids.BrandID) error {
	d := s.dir.Load()
	tenant, ok := d.tenants[t]
	if !ok || !p.manages(t) {
		return ErrUnknownTenant
	}
	set, ok := d.role(t, r)
	if !ok {
		return ErrUnknownRole
	}
	if !set.Within(p.may) {
		return ErrBeyondYou
	}
	within := tenant.scope(nil)
	for _, b := range brands {
		if !within.Has(b) || !p.scope.Has(b) {
			return fault.Field("role.foreign_brand", "brands", "brand %d is not one of the tenant's", b)
		}
	}
	if len(brands) == 0 && tenant.ID == p.Tenant && !p.scope.All() && len(p.scope.Brands()) < len(tenant.Brands) {
		return ErrBeyondYou.Textf("you act on some of the tenant's brands: name those of the new account")
	}
	return nil
}

// index makes what the user is found by.
func (s *Service) index(u *User, p *Person) {
	u.Login = s.secrets.lookup("login", p.Login)
	u.Email, u.Phone = Hash{}, Hash{}
	if p.Email != "" {
		u.Email = s.secrets.lookup("email", p.Email)
	}
	if p.Phone != "" {
		u.Phone = s.secrets.lookup("phone", p.Phone)
	}
}

// Invite makes an account and the token of a link by which its owner sets the password.
func (s *Service) Invite(ctx context.Context, r ids.Request, p *Principal, n NewUser) (_ User, token string, replayed bool, _ error) {
	if n.Tenant == "" {
		n.Tenant = p.Tenant
	}
	if err := n.check(); err != nil {
		return User{}, "", false, err
	}
	if err := s.grantable(p, n.Tenant, n.Role, n.Brands); err != nil {
		return User{}, "", false, err
	}
	u, err := s.newUser(n)
	if err != nil {
		return User{}, "", false, err
	}
	token, l := s.newLink(r, u.ID, InviteLink)
	id, replayed, err := s.store.AddUser(ctx, r, u, &l)
	if err != nil {
		return User{}, "", false, wrap("store a user", err)
	}
	u, err = s.store.User(ctx, id)
	return u, token, replayed, err
}

func (s *Service) newUser(n NewUser) (u User, err error) {
	now := s.clock.Now()
	u = User{
		ID: UserID(ids.New(userPrefix)), Tenant: n.Tenant, Role: n.Role, Brands: n.Brands, State: Invited,
		Version: 1, CreatedAt: now, ChangedAt: now,
	}
	s.index(&u, &n.Person)
	u.Sealed, err = s.secrets.seal(u.ID, n.Person)
	return u, err
}

// First uses a sign-in link of the installation for its first administrator, with a
// password, and signs in.
func (s *Service) First(ctx context.Context, token string, person Person, password string, from Device) (Opened, error) {
	if len(token) != secretLength {
		return Opened{}, ErrUnknownSignIn
	}
	if err := from.check(); err != nil {
		return Opened{}, err
	}
	if err := person.check(); err != nil {
		return Opened{}, err
	}
	if state, err := s.OpenSignIn(ctx, token); err != nil { // before a password is hashed for it
		return Opened{}, err
	} else if state != Valid {
		return Opened{}, ErrSignInUsed
	}
	u, err := s.newUser(NewUser{Person: person, Tenant: Platform, Role: Admin})
	if err != nil {
		return Opened{}, err
	}
	if err := s.setPassword(ctx, &u, password); err != nil {
		return Opened{}, err
	}
	u.State = Active
	if err := s.store.UseSignInFor(ctx, hashOf(token), u); err != nil {
		return Opened{}, wrap("use a sign-in", err)
	}
	return s.open(ctx, &u, from)
}

// User gives an account that the caller may see.
func (s *Service) User(ctx context.Context, p *Principal, id UserID) (User, error) {
	if !ids.Valid(userPrefix, string(id)) {
		return User{}, ErrUnknownUser
	}
	u, err := s.store.User(ctx, id)
	if err == nil && !p.manages(u.Tenant) && string(u.ID) != p.ID {
		return User{}, ErrUnknownUser
	}
	return u, err
}

// Users lists accounts by id; those of other tenants are there for the platform alone.
func (s *Service) Users(ctx context.Context, p *Principal, t TenantID, after UserID, limit int) ([]User, error) {
	switch {
	case t == "" && p.Tenant != Platform:
		t = p.Tenant
	case t != "" && !p.manages(t):
		return nil, ErrUnknownTenant
	}
	return s.store.ListUsers(ctx, t, after, limit)
}

// FindUser finds an account by a login, a mail address or a phone number, exactly.
func (s *Service) FindUser(ctx context.Context, p *Principal, text string) ([]User, error) {
	var found []User
	for _, kind := range []string{"login", "email", "phone"} {
		u, err := s.store.UserBy(ctx, kind, s.secrets.lookup(kind, text))
		if errors.Is(err, ErrUnknownUser) {
			continue
		}
		if err != nil {
			return nil, wrap("find a user", err)
		}
		if p.manages(u.Tenant) && !slices.ContainsFunc(found, func(o User) bool { return o.ID == u.ID }) {
			found = append(found, u)
		}
	}
	return found, nil
}

// Person opens what is known of a user's person.
func (s *Service) Person(u *User) (Person, error) { return s.secrets.open(u.ID, u.Sealed) }

// UserChange is new values of an account; what is nil stays.
type UserChange struct {
	Role                         *Role
	Brands                       *[]ids.BrandID
	Disabled                     *bool
	Name, Email, Phone, IDNumber *string
}

// ChangeUser changes an account. A new role, other brands and disabling count at once,
// also for who is signed in.
func (s *Service) ChangeUser(ctx context.Context, p *Principal, id UserID, c UserChange) (User, error) {
	u, err := s.User(ctx, p, id)
	if err != nil {
		return u, err
	}
	if u.State == Erased {
		return u, ErrUnknownUser
	}
	if err := s.mayTouch(p, &u); err != nil {
		return u, err
	}
	if err := s.changePerson(&u, c); err != nil {
		return u, err
	}
	end := Ending{At: s.clock.Now()}
	if c.Role != nil {
		u.Role = *c.Role
	}
	if c.Brands != nil {
		u.Brands = *c.Brands
	}
	if c.Role != nil || c.Brands != nil {
		if err := s.grantable(p, u.Tenant, u.Role, u.Brands); err != nil {
			return u, err
		}
	}
	if c.Disabled != nil {
		switch {
		case *c.Disabled:
			u.State, end.Reason = Disabled, EndDisabled
		case u.Password == "":
			u.State = Invited
		default:
			u.State = Active
		}
	}
	return s.keep(ctx, u, end)
}

// mayTouch refuses to change who has more than the caller: his account would be a way to it.
func (s *Service) mayTouch(p *Principal, u *User) error {
	if set, ok := s.dir.Load().role(u.Tenant, u.Role); ok && !set.Within(p.may) {
		return ErrBeyondYou
	}
	return nil
}

func (s *Service) changePerson(u *User, c UserChange) error {
	if c.Name == nil && c.Email == nil && c.Phone == nil && c.IDNumber == nil {
		return nil
	}
	person, err := s.secrets.open(u.ID, u.Sealed)
	if err != nil {
		return err
	}
	for to, from := range map[*string]*string{&person.Name: c.Name, &person.Email: c.Email, &person.Phone: c.Phone, &person.IDNumber: c.IDNumber} {
		if from != nil {
			*to = *from
		}
	}
	if err := person.check(); err != nil {
		return err
	}
	s.index(u, &person)
	u.Sealed, err = s.secrets.seal(u.ID, person)
	return err
}

// keep writes a changed record and shows it.
func (s *Service) keep(ctx context.Context, u User, end Ending) (User, error) {
	u.ChangedAt = s.clock.Now()
	if err := s.store.ChangeUser(ctx, u, end); err != nil {
		return u, wrap("change a user", err)
	}
	u.Version++
	s.changed(ctx)
	return u, nil
}

// ResetLink makes the token of a link by which a user sets a new password. With factors
// the authenticator, passkeys and recovery codes are removed too, for who lost them.
func (s *Service) ResetLink(ctx context.Context, r ids.Request, p *Principal, id UserID, factors bool) (token string, _ UserLink, _ error) {
	u, err := s.User(ctx, p, id)
	if err != nil {
		return "", UserLink{}, err
	}
	if u.State != Active && u.State != Invited {
		return "", UserLink{}, ErrUnknownUser
	}
	if err := s.mayTouch(p, &u); err != nil {
		return "", UserLink{}, err
	}
	if factors {
		if err := s.dropFactors(ctx, &u, EndChanged); err != nil {
			return "", UserLink{}, err
		}
	}
	if u.Password == inDirectory { // what could be removed here was
		return "", UserLink{}, ErrElsewhere
	}
	kind := ResetLink
	if u.State == Invited {
		kind = InviteLink
	}
	token, l := s.newLink(r, id, kind)
	_, err = s.store.AddLink(ctx, r, l)
	return token, l, wrap("store a link", err)
}

func (s *Service) dropFactors(ctx context.Context, u *User, reason string) error {
	keys, err := s.store.Passkeys(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := s.store.DropPasskey(ctx, u.ID, k.ID); err != nil {
			return err
		}
	}
	if err := s.store.SetRecovery(ctx, u.ID, nil); err != nil {
		return err
	}
	fresh, err := s.store.User(ctx, u.ID) // removing passkeys changed it
	if err != nil {
		return err
	}
	fresh.TOTP, fresh.TOTPOn = nil, false
	*u, err = s.keep(ctx, fresh, Ending{Reason: reason, At: s.clock.Now()})
	return err
}

// SignOutAll ends every session of a user.
func (s *Service) SignOutAll(ctx context.Context, p *Principal, id UserID) error {
	u, err := s.User(ctx, p, id)
	if err != nil {
		return err
	}
	if err := s.store.EndSessions(ctx, u.ID, Ending{Reason: EndForced, At: s.clock.Now()}); err != nil {
		return wrap("end sessions", err)
	}
	s.changed(ctx)
	return nil
}

// Erase removes the person from an account for good. Its id stays in histories; what
// the person was called cannot be read any more, here or in the log of changes, which
// names ids alone.
func (s *Service) Erase(ctx context.Context, p *Principal, id UserID) (User, error) {
	u, err := s.User(ctx, p, id)
	if err != nil {
		return u, err
	}
	if u.State == Erased {
		return u, nil
	}
	if err := s.mayTouch(p, &u); err != nil {
		return u, err
	}
	if err := s.dropFactors(ctx, &u, EndErased); err != nil {
		return u, err
	}
	u.State, u.Sealed, u.Password = Erased, Sealed{}, ""
	u.Login, u.Email, u.Phone, u.External = hashOf(newSecret()), Hash{}, Hash{}, Hash{}
	return s.keep(ctx, u, Ending{Reason: EndErased, At: s.clock.Now()})
}

// Record is everything that is kept of a person, for who asks for it.
type Record struct {
	User     User
	Person   Person
	Sessions []Session
	Passkeys []Passkey
}

// Export gives it.
func (s *Service) Export(ctx context.Context, p *Principal, id UserID) (r Record, err error) {
	if r.User, err = s.User(ctx, p, id); err != nil {
		return r, err
	}
	if r.Person, err = s.Person(&r.User); err != nil {
		return r, err
	}
	if r.Sessions, err = s.Sessions(ctx, id); err != nil {
		return r, err
	}
	if r.Passkeys, err = s.store.Passkeys(ctx, id); err != nil {
		return r, fmt.Errorf("read passkeys: %w", err)
	}
	return r, nil
}
