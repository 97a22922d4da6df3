package identitysql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const userColumns = `user_id, tenant_id, role_id, brands, state, data_key, sealed, login, email, phone, external,
	password, totp, totp_on, passkeys, version, created_at, changed_at`

func scanUser(r *sql.Rows) (u identity.User, err error) {
	var brands, login, email, phone, external []byte
	var on int
	var created, changedAt int64
	err = r.Scan(&u.ID, &u.Tenant, &u.Role, &brands, &u.State, &u.Sealed.Key, &u.Sealed.Data, &login, &email, &phone, &external,
		&u.Password, &u.TOTP, &on, &u.Passkeys, &u.Version, &created, &changedAt)
	copy(u.Login[:], login)
	copy(u.Email[:], email)
	copy(u.Phone[:], phone)
	copy(u.External[:], external)
	u.Brands, u.TOTPOn = brandsOf(brands), on != 0
	u.CreatedAt, u.ChangedAt = sqldb.Time(created), sqldb.Time(changedAt)
	return u, err
}

// orNull is a hash that may be absent; absent ones are alike and must not collide.
func orNull(h identity.Hash) []byte {
	if h == (identity.Hash{}) {
		return nil
	}
	return h[:]
}

// some is bytes that may be none, where the column has no null.
func some(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func insertUser(ctx context.Context, tx *sqldb.Tx, u *identity.User) error {
	const insert = `INSERT INTO identity_users (` + userColumns + `, totp_step) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0)`
	_, err := tx.ExecContext(ctx, insert, string(u.ID), string(u.Tenant), string(u.Role), brandText(u.Brands), string(u.State),
		some(u.Sealed.Key), some(u.Sealed.Data), u.Login[:], orNull(u.Email), orNull(u.Phone), orNull(u.External),
		u.Password, some(u.TOTP), bit(u.TOTPOn), u.Passkeys, u.Version, sqldb.Micros(u.CreatedAt), sqldb.Micros(u.ChangedAt))
	if err != nil {
		return taken(err, identity.ErrLoginTaken)
	}
	return nil
}

// AddUser implements identity.Store.
func (s *Store) AddUser(ctx context.Context, r ids.Request, u identity.User, l *identity.UserLink) (identity.UserID, bool, error) {
	id, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if err := insertUser(ctx, tx, &u); err != nil || l == nil {
			return string(u.ID), err
		}
		return string(u.ID), insertLink(ctx, tx, l)
	})
	return identity.UserID(id), replayed, err
}

func oneUser(all []identity.User, err error) (identity.User, error) {
	switch {
	case err != nil:
		return identity.User{}, fmt.Errorf("select user: %w", err)
	case len(all) == 0:
		return identity.User{}, identity.ErrUnknownUser
	}
	return all[0], nil
}

// User implements identity.Store.
func (s *Store) User(ctx context.Context, id identity.UserID) (identity.User, error) {
	return oneUser(sqldb.Collect(ctx, s.db.Reader(), scanUser, `SELECT `+userColumns+` FROM identity_users WHERE user_id = ?`, string(id)))
}

// UserBy implements identity.Store.
func (s *Store) UserBy(ctx context.Context, kind string, h identity.Hash) (identity.User, error) {
	const byLogin = `SELECT ` + userColumns + ` FROM identity_users WHERE login = ?`
	const byEmail = `SELECT ` + userColumns + ` FROM identity_users WHERE email = ? ORDER BY user_id LIMIT 1`
	const byPhone = `SELECT ` + userColumns + ` FROM identity_users WHERE phone = ? ORDER BY user_id LIMIT 1`
	const byExternal = `SELECT ` + userColumns + ` FROM identity_users WHERE external = ?`
	switch kind {
	case "email":
		return oneUser(sqldb.Collect(ctx, s.db.Reader(), scanUser, byEmail, h[:]))
	case "phone":
		return oneUser(sqldb.Collect(ctx, s.db.Reader(), scanUser, byPhone, h[:]))
	case "external":
		return oneUser(sqldb.Collect(ctx, s.db.Reader(), scanUser, byExternal, h[:]))
	}
	return oneUser(sqldb.Collect(ctx, s.db.Reader(), scanUser, byLogin, h[:]))
}

// ListUsers implements identity.Store.
func (s *Store) ListUsers(ctx context.Context, tenant identity.TenantID, after identity.UserID, limit int) ([]identity.User, error) {
	const all = `SELECT ` + userColumns + ` FROM identity_users WHERE user_id > ? ORDER BY user_id LIMIT ?`
	const own = `SELECT ` + userColumns + ` FROM identity_users WHERE tenant_id = ? AND user_id > ? ORDER BY user_id LIMIT ?`
	if tenant == "" {
		return sqldb.Collect(ctx, s.db.Reader(), scanUser, all, string(after), limit)
	}
	return sqldb.Collect(ctx, s.db.Reader(), scanUser, own, string(tenant), string(after), limit)
}

// ChangeUser implements identity.Store.
func (s *Store) ChangeUser(ctx context.Context, u identity.User, end identity.Ending) error {
	return s.inTurn(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return changeUser(ctx, tx, &u, end) })
}

func changeUser(ctx context.Context, tx *sqldb.Tx, u *identity.User, end identity.Ending) error {
	const change = `UPDATE identity_users SET role_id = ?, brands = ?, state = ?, data_key = ?, sealed = ?, login = ?, email = ?, phone = ?, external = ?,
		password = ?, totp = ?, totp_on = ?, version = version + 1, changed_at = ? WHERE user_id = ? AND version = ?`
	before, err := admins(ctx, tx)
	if err != nil {
		return err
	}
	ok, err := changed(tx.ExecContext(ctx, change, string(u.Role), brandText(u.Brands), string(u.State), some(u.Sealed.Key), some(u.Sealed.Data),
		u.Login[:], orNull(u.Email), orNull(u.Phone), orNull(u.External), u.Password, some(u.TOTP), bit(u.TOTPOn), sqldb.Micros(u.ChangedAt),
		string(u.ID), u.Version))
	switch {
	case err != nil:
		return taken(err, identity.ErrLoginTaken)
	case !ok:
		return identity.ErrUserRaced
	}
	if after, err := admins(ctx, tx); err != nil {
		return err
	} else if before > 0 && after == 0 {
		return identity.ErrLastAdmin
	}
	if end.Reason != "" {
		if err := endSessions(ctx, tx, u.ID, end); err != nil {
			return err
		}
	}
	return tell(ctx, tx, identity.UserNews, string(u.ID), "")
}

func insertLink(ctx context.Context, tx *sqldb.Tx, l *identity.UserLink) error {
	const insert = `INSERT INTO identity_links (hash, user_id, kind, created_at, expires_at, used_at) VALUES (?,?,?,?,?,0)`
	if _, err := tx.ExecContext(ctx, insert, l.Hash[:], string(l.User), string(l.Kind), sqldb.Micros(l.CreatedAt), sqldb.Micros(l.ExpiresAt)); err != nil {
		return fmt.Errorf("insert link: %w", err)
	}
	return nil
}

// AddLink implements identity.Store.
func (s *Store) AddLink(ctx context.Context, r ids.Request, l identity.UserLink) (bool, error) {
	_, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		return string(l.User), insertLink(ctx, tx, &l)
	})
	return replayed, err
}

// Link implements identity.Store.
func (s *Store) Link(ctx context.Context, h identity.Hash) (identity.UserLink, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (identity.UserLink, error) {
		l := identity.UserLink{Hash: h}
		var created, expires, used int64
		err := r.Scan(&l.User, &l.Kind, &created, &expires, &used)
		l.CreatedAt, l.ExpiresAt, l.UsedAt = sqldb.Time(created), sqldb.Time(expires), sqldb.Time(used)
		return l, err
	}, `SELECT user_id, kind, created_at, expires_at, used_at FROM identity_links WHERE hash = ?`, h[:])
	switch {
	case err != nil:
		return identity.UserLink{}, fmt.Errorf("select link: %w", err)
	case len(all) == 0:
		return identity.UserLink{}, identity.ErrUnknownLink
	}
	return all[0], nil
}

// UseLink implements identity.Store.
func (s *Store) UseLink(ctx context.Context, h identity.Hash, now time.Time, u identity.User, end identity.Ending) error {
	const use = `UPDATE identity_links SET used_at = ? WHERE hash = ? AND user_id = ? AND used_at = 0 AND expires_at > ?`
	return s.inTurn(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		us := sqldb.Micros(now)
		ok, err := changed(tx.ExecContext(ctx, use, us, h[:], string(u.ID), us))
		switch {
		case err != nil:
			return fmt.Errorf("use link: %w", err)
		case !ok:
			return identity.ErrUnknownLink
		}
		return changeUser(ctx, tx, &u, end)
	})
}
