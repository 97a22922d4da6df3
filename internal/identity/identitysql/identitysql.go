// Package identitysql keeps tenants, users, sessions, keys and the log of changes in SQL.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told
// apart by platform/sqldb.
package identitysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

//go:embed schema
var schema embed.FS

// Schema is the tables' definition, a directory for each dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// Store implements identity.Store.
type Store struct {
	db    *sqldb.DB
	clock clock.Clock
}

var _ identity.Store = (*Store)(nil)

// New makes the store of a migrated database.
func New(db *sqldb.DB, c clock.Clock) *Store { return &Store{db, c} }

// once ties an effect to its request.
func (s *Store) once(ctx context.Context, r ids.Request, fn func(ctx context.Context, tx *sqldb.Tx) (string, error)) (string, bool, error) {
	return idem.Once(ctx, s.db, s.clock, r, fn)
}

// Keys implements identity.Store.
func (s *Store) Keys(ctx context.Context) ([]identity.Key, error) {
	keys, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (k identity.Key, err error) {
		var hash, brands []byte
		var created, revoked, expires, used int64
		err = r.Scan(&k.ID, &hash, &k.Name, &k.Role, &created, &revoked, &k.Tenant, &brands, &k.CreatedBy, &expires, &used)
		copy(k.Hash[:], hash)
		k.CreatedAt, k.RevokedAt, k.ExpiresAt, k.UsedAt = sqldb.Time(created), sqldb.Time(revoked), sqldb.Time(expires), sqldb.Time(used)
		k.Brands = brandsOf(brands)
		return k, err
	}, `SELECT k.key_id, k.hash, k.name, k.role, k.created_at, k.revoked_at, COALESCE(g.tenant_id, 'platform'), COALESCE(g.brands, ''),
			COALESCE(g.created_by, ''), COALESCE(g.expires_at, 0), COALESCE(g.used_at, 0)
		FROM identity_keys k LEFT JOIN identity_grants g ON g.key_id = k.key_id ORDER BY k.created_at, k.key_id`)
	if err != nil {
		return nil, fmt.Errorf("select keys: %w", err)
	}
	return keys, nil
}

// New implements identity.Store.
func (s *Store) New(ctx context.Context, now time.Time) (bool, error) {
	return isNew(ctx, s.db.Reader(), now)
}

func isNew(ctx context.Context, q sqldb.Querier, now time.Time) (bool, error) {
	const query = `SELECT (SELECT COUNT(*) FROM identity_keys) + (SELECT COUNT(*) FROM identity_users) + (SELECT COUNT(*) FROM identity_sign_ins WHERE used_at = 0 AND expires_at > ?)`
	var credentials int64
	if err := q.QueryRowContext(ctx, query, sqldb.Micros(now)).Scan(&credentials); err != nil {
		return false, fmt.Errorf("count credentials: %w", err)
	}
	return credentials == 0, nil
}

// Found implements identity.Store.
func (s *Store) Found(ctx context.Context, first identity.Credential, now time.Time) (stored bool, _ error) {
	err := s.inTurn(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		stored = false
		ok, err := isNew(ctx, tx, now)
		if err != nil || !ok {
			return err
		}
		stored = true
		if first.Key != nil {
			return insertKey(ctx, tx, first.Key)
		}
		return insertSignIn(ctx, tx, first.SignIn)
	})
	return stored && err == nil, err
}

// inTurn runs fn while no other process can decide about all credentials.
func (s *Store) inTurn(ctx context.Context, fn func(ctx context.Context, tx *sqldb.Tx) error) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := turn(ctx, tx); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

func turn(ctx context.Context, tx *sqldb.Tx) error {
	if _, err := tx.ExecContext(ctx, `UPDATE identity_turns SET turn = turn + 1 WHERE name = 'credentials'`); err != nil {
		return fmt.Errorf("take a turn: %w", err)
	}
	return nil
}

func insertKey(ctx context.Context, tx *sqldb.Tx, k *identity.Key) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO identity_keys (key_id, hash, name, role, created_at, revoked_at) VALUES (?,?,?,?,?,?)`,
		k.ID, k.Hash[:], k.Name, string(k.Role), sqldb.Micros(k.CreatedAt), sqldb.Micros(k.RevokedAt))
	if err != nil {
		return fmt.Errorf("insert key %s: %w", k.ID, err)
	}
	const grant = `INSERT INTO identity_grants (key_id, tenant_id, brands, created_by, expires_at, used_at) VALUES (?,?,?,?,?,?)`
	_, err = tx.ExecContext(ctx, grant, k.ID, string(k.Tenant), brandText(k.Brands), k.CreatedBy, sqldb.Micros(k.ExpiresAt), sqldb.Micros(k.UsedAt))
	if err != nil {
		return fmt.Errorf("insert what key %s may: %w", k.ID, err)
	}
	return tell(ctx, tx, identity.DirectoryNews, "", "")
}

// AddKey implements identity.Store.
func (s *Store) AddKey(ctx context.Context, r ids.Request, k identity.Key, most int) (string, bool, error) {
	return s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if err := turn(ctx, tx); err != nil {
			return "", err
		}
		var living int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM identity_keys WHERE revoked_at = 0`).Scan(&living); err != nil {
			return "", fmt.Errorf("count keys: %w", err)
		}
		if living >= most {
			return "", identity.ErrTooManyKeys
		}
		return k.ID, insertKey(ctx, tx, &k)
	})
}

// TouchKeys implements identity.Store.
func (s *Store) TouchKeys(ctx context.Context, used map[string]time.Time) error {
	const touch = `UPDATE identity_grants SET used_at = ? WHERE key_id = ? AND used_at < ?`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(used)) { // in one order: nobody waits in a circle
			at := sqldb.Micros(used[id])
			if _, err := tx.ExecContext(ctx, touch, at, id, at); err != nil {
				return fmt.Errorf("touch key %s: %w", id, err)
			}
		}
		return nil
	})
}

func insertSignIn(ctx context.Context, tx *sqldb.Tx, s *identity.SignIn) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO identity_sign_ins (hash, created_at, expires_at, used_at, key_id) VALUES (?,?,?,?,?)`,
		s.Hash[:], sqldb.Micros(s.CreatedAt), sqldb.Micros(s.ExpiresAt), sqldb.Micros(s.UsedAt), s.KeyID)
	if err != nil {
		return fmt.Errorf("insert sign-in: %w", err)
	}
	return nil
}

// AddSignIn implements identity.Store.
func (s *Store) AddSignIn(ctx context.Context, signIn identity.SignIn) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return insertSignIn(ctx, tx, &signIn) })
}

// EndSignIns ends every link that was not used: in an older copy, one may have been.
func (s *Store) EndSignIns(ctx context.Context, now time.Time) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE identity_sign_ins SET expires_at = ? WHERE used_at = 0 AND expires_at > ?`, sqldb.Micros(now), sqldb.Micros(now))
		return err
	})
}

// SignIn implements identity.Store.
func (s *Store) SignIn(ctx context.Context, token identity.Hash) (identity.SignIn, error) {
	return findSignIn(ctx, s.db.Reader(), token)
}

func findSignIn(ctx context.Context, q sqldb.Querier, token identity.Hash) (identity.SignIn, error) {
	all, err := sqldb.Collect(ctx, q, func(r *sql.Rows) (identity.SignIn, error) {
		one := identity.SignIn{Hash: token}
		var created, expires, used int64
		err := r.Scan(&created, &expires, &used, &one.KeyID)
		one.CreatedAt, one.ExpiresAt, one.UsedAt = sqldb.Time(created), sqldb.Time(expires), sqldb.Time(used)
		return one, err
	}, `SELECT created_at, expires_at, used_at, key_id FROM identity_sign_ins WHERE hash = ?`, token[:])
	switch {
	case err != nil:
		return identity.SignIn{}, fmt.Errorf("select sign-in: %w", err)
	case len(all) == 0:
		return identity.SignIn{}, identity.ErrUnknownSignIn
	}
	return all[0], nil
}

// UseSignIn implements identity.Store. The update decides: it finds the row unused
// for one caller only.
func (s *Store) UseSignIn(ctx context.Context, token identity.Hash, k identity.Key) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := useSignIn(ctx, tx, token, k.ID, k.CreatedAt); err != nil {
			return err
		}
		return insertKey(ctx, tx, &k)
	})
}

// UseSignInFor implements identity.Store.
func (s *Store) UseSignInFor(ctx context.Context, token identity.Hash, u identity.User) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := useSignIn(ctx, tx, token, string(u.ID), u.CreatedAt); err != nil {
			return err
		}
		return insertUser(ctx, tx, &u)
	})
}

func useSignIn(ctx context.Context, tx *sqldb.Tx, token identity.Hash, by string, at time.Time) error {
	now := sqldb.Micros(at)
	const use = `UPDATE identity_sign_ins SET used_at = ?, key_id = ? WHERE hash = ? AND used_at = 0 AND expires_at > ?`
	ok, err := changed(tx.ExecContext(ctx, use, now, by, token[:], now))
	switch {
	case err != nil:
		return fmt.Errorf("use sign-in: %w", err)
	case !ok:
		return whyNot(ctx, tx, token)
	}
	return nil
}

// whyNot says why a sign-in gave no key.
func whyNot(ctx context.Context, tx *sqldb.Tx, token identity.Hash) error {
	signIn, err := findSignIn(ctx, tx, token)
	switch {
	case err != nil:
		return err
	case !signIn.UsedAt.IsZero():
		return identity.ErrSignInUsed
	}
	return identity.ErrSignInExpired
}

// Revoke implements identity.Store.
func (s *Store) Revoke(ctx context.Context, id string, now time.Time) error {
	return s.inTurn(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		const query = `SELECT role, revoked_at FROM identity_keys WHERE key_id = ?`
		var role string
		var revoked int64
		switch err := tx.QueryRowContext(ctx, query, id).Scan(&role, &revoked); {
		case errors.Is(err, sql.ErrNoRows):
			return identity.ErrUnknownKey
		case err != nil:
			return fmt.Errorf("look up key %s: %w", id, err)
		case revoked != 0:
			return nil
		}
		if role == string(identity.Admin) {
			if n, err := admins(ctx, tx); err != nil {
				return err
			} else if n == 1 {
				return identity.ErrLastKey
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE identity_keys SET revoked_at = ? WHERE key_id = ?`, sqldb.Micros(now), id)
		if err != nil {
			return fmt.Errorf("revoke key %s: %w", id, err)
		}
		return tell(ctx, tx, identity.DirectoryNews, "", "")
	})
}

// admins counts who can still act as administrator; whoever decides by it has the turn.
func admins(ctx context.Context, tx *sqldb.Tx) (n int, _ error) {
	const query = `SELECT (SELECT COUNT(*) FROM identity_keys WHERE role = 'admin' AND revoked_at = 0)
		+ (SELECT COUNT(*) FROM identity_users WHERE role_id = 'admin' AND state = 'active')`
	if err := tx.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return 0, fmt.Errorf("count administrators: %w", err)
	}
	return n, nil
}

// changed reports whether a compare-and-set took effect.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
