package identitysql

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	waitMin      = time.Second
	waitMax      = 15 * time.Minute
	triesForgive = time.Hour
)

// Attempt implements identity.Store. Its rows are taken in the order of their hashes.
func (s *Store) Attempt(ctx context.Context, now time.Time, tries []identity.Try) (wait time.Duration, _ error) {
	tries = slices.Clone(tries)
	slices.SortFunc(tries, func(a, b identity.Try) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		wait = 0
		for _, t := range tries {
			must, err := attempt(ctx, tx, now, t)
			if err != nil {
				return err
			}
			if must > 0 {
				wait = must
				return errWait
			}
		}
		return nil
	})
	if errors.Is(err, errWait) {
		err = nil
	}
	return wait, err
}

// errWait rolls back: who has to wait is not counted.
var errWait = errors.New("identitysql: has to wait")

func attempt(ctx context.Context, tx *sqldb.Tx, now time.Time, t identity.Try) (wait time.Duration, _ error) {
	us := sqldb.Micros(now)
	const take = `UPDATE identity_attempts SET tries = CASE WHEN tried_at < ? THEN 1 ELSE tries + 1 END, tried_at = ? WHERE hash = ? AND wait_until <= ?`
	ok, err := changed(tx.ExecContext(ctx, take, us-triesForgive.Microseconds(), us, t.Hash[:], us))
	if err != nil {
		return 0, fmt.Errorf("count a try: %w", err)
	}
	var count, until int64
	err = tx.QueryRowContext(ctx, `SELECT tries, wait_until FROM identity_attempts WHERE hash = ?`, t.Hash[:]).Scan(&count, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = tx.ExecContext(ctx, `INSERT INTO identity_attempts (hash, tries, tried_at, wait_until) VALUES (?,1,?,0)`, t.Hash[:], us)
		if sqldb.IsDuplicate(err) {
			return waitMin, nil // another made it this moment
		}
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("read tries: %w", err)
	case !ok:
		return max(time.Duration(until-us)*time.Microsecond, time.Millisecond), nil
	case count < int64(t.Free):
		return 0, nil
	}
	next := min(waitMin<<min(count-int64(t.Free), 20), waitMax)
	if _, err := tx.ExecContext(ctx, `UPDATE identity_attempts SET wait_until = ? WHERE hash = ?`, us+next.Microseconds(), t.Hash[:]); err != nil {
		return 0, fmt.Errorf("let tries wait: %w", err)
	}
	return 0, nil
}

// Forgive implements identity.Store.
func (s *Store) Forgive(ctx context.Context, h identity.Hash) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE identity_attempts SET tries = 0, wait_until = 0 WHERE hash = ?`, h[:])
		return err
	})
}

// TakeStep implements identity.Store.
func (s *Store) TakeStep(ctx context.Context, id identity.UserID, step int64) (ok bool, _ error) {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		ok, err = changed(tx.ExecContext(ctx, `UPDATE identity_users SET totp_step = ? WHERE user_id = ? AND totp_step < ?`, step, string(id), step))
		return err
	})
	return ok && err == nil, err
}

// SetRecovery implements identity.Store.
func (s *Store) SetRecovery(ctx context.Context, id identity.UserID, codes []identity.Hash) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_recovery WHERE user_id = ?`, string(id)); err != nil {
			return fmt.Errorf("delete recovery codes: %w", err)
		}
		for _, h := range codes {
			if _, err := tx.ExecContext(ctx, `INSERT INTO identity_recovery (user_id, hash, used_at) VALUES (?,?,0)`, string(id), h[:]); err != nil {
				return fmt.Errorf("insert recovery code: %w", err)
			}
		}
		return nil
	})
}

// UseRecovery implements identity.Store.
func (s *Store) UseRecovery(ctx context.Context, id identity.UserID, code identity.Hash, now time.Time) (ok bool, _ error) {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		ok, err = changed(tx.ExecContext(ctx, `UPDATE identity_recovery SET used_at = ? WHERE user_id = ? AND hash = ? AND used_at = 0`,
			sqldb.Micros(now), string(id), code[:]))
		return err
	})
	return ok && err == nil, err
}

// RecoveryLeft implements identity.Store.
func (s *Store) RecoveryLeft(ctx context.Context, id identity.UserID) (n int, _ error) {
	err := s.db.Reader().QueryRowContext(ctx, `SELECT COUNT(*) FROM identity_recovery WHERE user_id = ? AND used_at = 0`, string(id)).Scan(&n)
	return n, err
}

// AddPasskey implements identity.Store.
func (s *Store) AddPasskey(ctx context.Context, p identity.Passkey, most int) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		const count = `UPDATE identity_users SET passkeys = passkeys + 1, version = version + 1 WHERE user_id = ? AND passkeys < ?`
		ok, err := changed(tx.ExecContext(ctx, count, string(p.User), most))
		switch {
		case err != nil:
			return fmt.Errorf("count passkeys: %w", err)
		case !ok:
			return identity.ErrManyPasskeys
		}
		const insert = `INSERT INTO identity_passkeys (passkey_id, user_id, name, data, created_at, used_at) VALUES (?,?,?,?,?,0)`
		if _, err := tx.ExecContext(ctx, insert, p.ID, string(p.User), p.Name, p.Data, sqldb.Micros(p.CreatedAt)); err != nil {
			return fmt.Errorf("insert passkey: %w", err)
		}
		return tell(ctx, tx, identity.UserNews, string(p.User), "")
	})
}

const passkeyColumns = `passkey_id, user_id, name, data, created_at, used_at` //nolint:gosec // names of columns

func scanPasskey(r *sql.Rows) (p identity.Passkey, err error) {
	var created, used int64
	err = r.Scan(&p.ID, &p.User, &p.Name, &p.Data, &created, &used)
	p.CreatedAt, p.UsedAt = sqldb.Time(created), sqldb.Time(used)
	return p, err
}

// Passkeys implements identity.Store.
func (s *Store) Passkeys(ctx context.Context, id identity.UserID) ([]identity.Passkey, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanPasskey, `SELECT `+passkeyColumns+` FROM identity_passkeys WHERE user_id = ? ORDER BY created_at, passkey_id`, string(id))
}

// Passkey implements identity.Store.
func (s *Store) Passkey(ctx context.Context, id string) (identity.Passkey, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanPasskey, `SELECT `+passkeyColumns+` FROM identity_passkeys WHERE passkey_id = ?`, id)
	if err == nil && len(all) == 0 {
		return identity.Passkey{}, identity.ErrNoPasskey
	}
	if err != nil {
		return identity.Passkey{}, err
	}
	return all[0], nil
}

// TouchPasskey implements identity.Store.
func (s *Store) TouchPasskey(ctx context.Context, p identity.Passkey) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE identity_passkeys SET data = ?, used_at = ? WHERE passkey_id = ?`, p.Data, sqldb.Micros(p.UsedAt), p.ID)
		return err
	})
}

// DropPasskey implements identity.Store.
func (s *Store) DropPasskey(ctx context.Context, user identity.UserID, id string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE identity_users SET passkeys = passkeys - 1, version = version + 1 WHERE user_id = ?`, string(user)); err != nil {
			return fmt.Errorf("count passkeys: %w", err)
		}
		ok, err := changed(tx.ExecContext(ctx, `DELETE FROM identity_passkeys WHERE passkey_id = ? AND user_id = ?`, id, string(user)))
		switch {
		case err != nil:
			return fmt.Errorf("delete passkey: %w", err)
		case !ok:
			return identity.ErrNoPasskey
		}
		return tell(ctx, tx, identity.UserNews, string(user), "")
	})
}
