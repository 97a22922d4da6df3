package identity

import "context"

// Elsewhere has people who are not known here, with their passwords and groups (LDAP).
type Elsewhere interface {
	// Look must give who has the login and the password, with the role of the groups, or
	// ErrRefused. That nobody answers is another error.
	Look(ctx context.Context, login, password string) (Provided, error)
}

// inDirectory asks the directory about a name that nobody has here, or whose account is of
// the directory. An account that was made here is never the directory's to open.
func (s *Service) inDirectory(ctx context.Context, known User, a *Ask) (u User, right bool, _ error) {
	who, err := s.look(ctx, a.Login, a.Password)
	if err == nil && who.Role == "" {
		err = ErrRefused
	}
	if isRefused(err) {
		return known, false, nil
	}
	if err != nil {
		return known, false, err
	}
	who.Person.Login = a.Login
	if u, err = s.provided(ctx, who, inDirectory); isRefused(err) {
		return known, false, nil
	}
	return u, err == nil, wrap("find an account of the directory", err)
}

// look asks the directory, few at a time as passwords are.
func (s *Service) look(ctx context.Context, login, password string) (Provided, error) {
	if s.cfg.Elsewhere == nil {
		return Provided{}, ErrRefused
	}
	if err := s.passwords.turn(ctx); err != nil {
		return Provided{}, err
	}
	defer func() { <-s.passwords.turns }()
	return s.cfg.Elsewhere.Look(ctx, login, password)
}

// hasPassword reports whether the present password of an account is right.
func (s *Service) hasPassword(ctx context.Context, u *User, password string) (bool, error) {
	if u.Password != inDirectory {
		return s.passwords.check(ctx, u.Password, password)
	}
	person, err := s.Person(u)
	if err != nil {
		return false, err
	}
	who, err := s.look(ctx, person.Login, password)
	if isRefused(err) {
		return false, nil
	}
	return err == nil && u.External == s.secrets.lookup("external", who.Issuer+"\x00"+who.Subject), err
}
