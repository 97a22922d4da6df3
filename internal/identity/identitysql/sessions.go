package identitysql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const sessionColumns = `session_id, hash, user_id, key_id, client, device, net, created_at, seen_at, expires_at, ends_at, ended_at, reason`

func scanSession(r *sql.Rows) (s identity.Session, err error) {
	var hash []byte
	var created, seen, expires, ends, ended int64
	err = r.Scan(&s.ID, &hash, &s.User, &s.Key, &s.Client, &s.Device, &s.Net, &created, &seen, &expires, &ends, &ended, &s.Reason)
	copy(s.Hash[:], hash)
	s.CreatedAt, s.SeenAt, s.ExpiresAt = sqldb.Time(created), sqldb.Time(seen), sqldb.Time(expires)
	s.EndsAt, s.EndedAt = sqldb.Time(ends), sqldb.Time(ended)
	return s, err
}

// OpenSession implements identity.Store. The row of the user, or of the key, is taken first, so
// that two sign-ins of one decide one after the other.
func (s *Store) OpenSession(ctx context.Context, one identity.Session, c identity.Conflict) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := takeOwner(ctx, tx, &one); err != nil {
			return err
		}
		const query = `SELECT ` + sessionColumns + ` FROM identity_sessions
			WHERE user_id = ? AND key_id = ? AND client = ? AND ended_at = 0 AND expires_at > ? ORDER BY created_at, session_id`
		living, err := sqldb.Collect(ctx, tx, scanSession, query, string(one.User), one.Key, string(one.Client), sqldb.Micros(one.CreatedAt))
		if err != nil {
			return fmt.Errorf("select sessions: %w", err)
		}
		over := len(living) - c.Max + 1
		if over > 0 && c.Policy == identity.Refuse {
			return identity.ErrSessionRefused
		}
		for i := range max(0, over) {
			if err := endOne(ctx, tx, living[i].ID, identity.EndReplaced, one.CreatedAt); err != nil {
				return err
			}
		}
		const insert = `INSERT INTO identity_sessions (` + sessionColumns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,0,'')`
		_, err = tx.ExecContext(ctx, insert, string(one.ID), one.Hash[:], string(one.User), one.Key, string(one.Client), one.Device, one.Net,
			sqldb.Micros(one.CreatedAt), sqldb.Micros(one.SeenAt), sqldb.Micros(one.ExpiresAt), sqldb.Micros(one.EndsAt))
		if err != nil {
			return fmt.Errorf("insert session: %w", err)
		}
		for i := range max(0, over) {
			if err := tell(ctx, tx, identity.SessionNews, string(living[i].ID), identity.EndReplaced); err != nil {
				return err
			}
		}
		return nil
	})
}

func takeOwner(ctx context.Context, tx *sqldb.Tx, one *identity.Session) error {
	if id, ok := identity.ConsumerOf(one.User); ok {
		const take = `UPDATE identity_consumers SET seen_at = ? WHERE user_id = ? AND state = ?`
		there, err := changed(tx.ExecContext(ctx, take, sqldb.Micros(one.CreatedAt), int64(id), string(identity.Active)))
		if err == nil && !there { // erased this moment
			err = identity.ErrRefused
		}
		return err
	}
	var err error
	if one.User != "" {
		_, err = tx.ExecContext(ctx, `UPDATE identity_users SET totp_step = totp_step WHERE user_id = ?`, string(one.User))
	} else {
		_, err = tx.ExecContext(ctx, `UPDATE identity_grants SET used_at = used_at WHERE key_id = ?`, one.Key)
	}
	if err != nil {
		return fmt.Errorf("take the owner of a session: %w", err)
	}
	return nil
}

// endOne ends a session that lives; who ends several tells the feed after the last.
func endOne(ctx context.Context, tx *sqldb.Tx, id identity.SessionID, reason string, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE identity_sessions SET ended_at = ?, reason = ? WHERE session_id = ? AND ended_at = 0`,
		sqldb.Micros(now), reason, string(id))
	if err != nil {
		return fmt.Errorf("end session %s: %w", id, err)
	}
	return nil
}

// endSessions ends a user's and tells the feed.
func endSessions(ctx context.Context, tx *sqldb.Tx, id identity.UserID, end identity.Ending) error {
	const query = `SELECT ` + sessionColumns + ` FROM identity_sessions WHERE user_id = ? AND ended_at = 0 AND session_id <> ? ORDER BY session_id`
	living, err := sqldb.Collect(ctx, tx, scanSession, query, string(id), string(end.Keep))
	if err != nil {
		return fmt.Errorf("select sessions: %w", err)
	}
	for i := range living {
		if err := endOne(ctx, tx, living[i].ID, end.Reason, end.At); err != nil {
			return err
		}
	}
	for i := range living {
		if err := tell(ctx, tx, identity.SessionNews, string(living[i].ID), end.Reason); err != nil {
			return err
		}
	}
	return nil
}

// EndSessions implements identity.Store.
func (s *Store) EndSessions(ctx context.Context, id identity.UserID, end identity.Ending) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return endSessions(ctx, tx, id, end) })
}

// EndSession implements identity.Store.
func (s *Store) EndSession(ctx context.Context, id identity.SessionID, reason string, now time.Time) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := endOne(ctx, tx, id, reason, now); err != nil {
			return err
		}
		return tell(ctx, tx, identity.SessionNews, string(id), reason)
	})
}

func oneSession(all []identity.Session, err error) (identity.Session, error) {
	switch {
	case err != nil:
		return identity.Session{}, fmt.Errorf("select session: %w", err)
	case len(all) == 0:
		return identity.Session{}, identity.ErrUnknownSession
	}
	return all[0], nil
}

// SessionByHash implements identity.Store.
func (s *Store) SessionByHash(ctx context.Context, h identity.Hash) (identity.Session, error) {
	return oneSession(sqldb.Collect(ctx, s.db.Reader(), scanSession, `SELECT `+sessionColumns+` FROM identity_sessions WHERE hash = ?`, h[:]))
}

// SessionByID implements identity.Store.
func (s *Store) SessionByID(ctx context.Context, id identity.SessionID) (identity.Session, error) {
	return oneSession(sqldb.Collect(ctx, s.db.Reader(), scanSession, `SELECT `+sessionColumns+` FROM identity_sessions WHERE session_id = ?`, string(id)))
}

// SessionsOf implements identity.Store.
func (s *Store) SessionsOf(ctx context.Context, id identity.UserID, now time.Time) ([]identity.Session, error) {
	const query = `SELECT ` + sessionColumns + ` FROM identity_sessions WHERE user_id = ? AND ended_at = 0 AND expires_at > ? ORDER BY created_at DESC, session_id`
	return sqldb.Collect(ctx, s.db.Reader(), scanSession, query, string(id), sqldb.Micros(now))
}

// Renew implements identity.Store.
func (s *Store) Renew(ctx context.Context, used []identity.Renewed) (over []identity.SessionID, _ error) {
	const renew = `UPDATE identity_sessions SET seen_at = CASE WHEN seen_at < ? THEN ? ELSE seen_at END, expires_at = CASE WHEN expires_at < ? THEN ? ELSE expires_at END
		WHERE session_id = ? AND ended_at = 0`
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		over = nil
		for _, u := range used {
			seen, until := sqldb.Micros(u.SeenAt), sqldb.Micros(u.ExpiresAt)
			switch lives, err := changed(tx.ExecContext(ctx, renew, seen, seen, until, until, string(u.ID))); {
			case err != nil:
				return fmt.Errorf("renew session %s: %w", u.ID, err)
			case !lives:
				over = append(over, u.ID)
			}
		}
		return nil
	})
	return over, err
}

// SweepSessions implements identity.Store.
func (s *Store) SweepSessions(ctx context.Context, before time.Time) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_sessions WHERE expires_at < ?`, sqldb.Micros(before)); err != nil {
			return fmt.Errorf("sweep sessions: %w", err)
		}
		return nil
	})
}
