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

// PutCode implements identity.Store. The rows of the counts are taken in the order of their
// names.
func (s *Store) PutCode(ctx context.Context, c identity.OneTimeCode, pause time.Duration, day string, counts []identity.Count) (wait time.Duration, _ error) {
	counts = slices.Clone(counts)
	slices.SortFunc(counts, func(a, b identity.Count) int { return bytes.Compare(a.Name[:], b.Name[:]) })
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		wait = 0
		for _, one := range counts {
			if err := count(ctx, tx, one, day); err != nil {
				return err
			}
		}
		if wait, err = putCode(ctx, tx, &c, pause); err == nil && wait > 0 {
			err = errWait
		}
		return err
	})
	if errors.Is(err, errWait) {
		err = nil
	}
	return wait, err
}

// count adds one to what was counted on a day.
func count(ctx context.Context, tx *sqldb.Tx, c identity.Count, day string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO identity_counts (name, day, n) VALUES (?,?,0)`, c.Name[:], day)
	if err != nil && !sqldb.IsDuplicate(err) {
		return fmt.Errorf("begin a count: %w", err)
	}
	ok, err := changed(tx.ExecContext(ctx, `UPDATE identity_counts SET n = n + 1 WHERE name = ? AND day = ? AND n < ?`, c.Name[:], day, c.Most))
	if err == nil && !ok {
		err = identity.ErrCodesUsedUp
	}
	return err
}

func putCode(ctx context.Context, tx *sqldb.Tx, c *identity.OneTimeCode, pause time.Duration) (wait time.Duration, _ error) {
	const replace = `UPDATE identity_codes SET code = ?, tries = ?, sent_at = ?, expires_at = ? WHERE target = ? AND sent_at <= ?`
	sent := sqldb.Micros(c.SentAt)
	before := sent - pause.Microseconds()
	ok, err := changed(tx.ExecContext(ctx, replace, c.Code[:], c.Tries, sent, sqldb.Micros(c.ExpiresAt), c.Target[:], before))
	if err != nil || ok {
		return 0, err
	}
	var last int64
	err = tx.QueryRowContext(ctx, `SELECT sent_at FROM identity_codes WHERE target = ?`, c.Target[:]).Scan(&last)
	if err == nil {
		return max(time.Duration(last-before)*time.Microsecond, time.Second), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read a code: %w", err)
	}
	const insert = `INSERT INTO identity_codes (target, code, tries, sent_at, expires_at) VALUES (?,?,?,?,?)`
	if _, err = tx.ExecContext(ctx, insert, c.Target[:], c.Code[:], c.Tries, sent, sqldb.Micros(c.ExpiresAt)); sqldb.IsDuplicate(err) {
		return pause, nil // another was sent this moment
	}
	return 0, err
}

// UseCode implements identity.Store.
func (s *Store) UseCode(ctx context.Context, target, code identity.Hash, now time.Time) (ok bool, _ error) {
	const try = `UPDATE identity_codes SET tries = tries - 1 WHERE target = ? AND tries > 0 AND expires_at > ?`
	const use = `UPDATE identity_codes SET tries = 0, expires_at = 0 WHERE target = ? AND code = ?`
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if ok, err = changed(tx.ExecContext(ctx, try, target[:], sqldb.Micros(now))); err != nil || !ok {
			return err
		}
		ok, err = changed(tx.ExecContext(ctx, use, target[:], code[:]))
		return err
	})
	return ok && err == nil, err
}

// Sweep implements identity.Store. A code stays for the pause after it: its time says when the
// next may be sent.
func (s *Store) Sweep(ctx context.Context, now, decided time.Time) error {
	us, day := sqldb.Micros(now), now.Add(-24*time.Hour).Format(time.DateOnly)
	hour := sqldb.Micros(now.Add(-time.Hour))
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_codes WHERE expires_at < ? AND sent_at < ?`, us, hour); err != nil {
			return fmt.Errorf("sweep codes: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_counts WHERE day < ?`, day); err != nil {
			return fmt.Errorf("sweep counts: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_usage WHERE day < ?`, day); err != nil {
			return fmt.Errorf("sweep counts of tenants: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_links WHERE expires_at < ?`, us); err != nil {
			return fmt.Errorf("sweep links: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_attempts WHERE tried_at < ? AND wait_until < ?`, hour, us); err != nil {
			return fmt.Errorf("sweep tries: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_approvals WHERE state IN ('done', 'rejected') AND decided_at < ?`, sqldb.Micros(decided)); err != nil {
			return fmt.Errorf("sweep approvals: %w", err)
		}
		return nil
	})
}

const consumerColumns = `user_id, state, data_key, sealed, phone, email, external, created_at, seen_at`

func scanConsumer(r *sql.Rows) (c identity.Consumer, err error) {
	var phone, email, external []byte
	var created, seen int64
	err = r.Scan(&c.ID, &c.State, &c.Sealed.Key, &c.Sealed.Data, &phone, &email, &external, &created, &seen)
	copy(c.Phone[:], phone)
	copy(c.Email[:], email)
	copy(c.External[:], external)
	c.CreatedAt, c.SeenAt = sqldb.Time(created), sqldb.Time(seen)
	return c, err
}

func oneConsumer(all []identity.Consumer, err error) (identity.Consumer, error) {
	switch {
	case err != nil:
		return identity.Consumer{}, fmt.Errorf("select consumer: %w", err)
	case len(all) == 0:
		return identity.Consumer{}, identity.ErrUnknownConsumer
	}
	return all[0], nil
}

// AddConsumer implements identity.Store.
func (s *Store) AddConsumer(ctx context.Context, c identity.Consumer) error {
	const insert = `INSERT INTO identity_consumers (` + consumerColumns + `) VALUES (?,?,?,?,?,?,?,?,?)`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, insert, int64(c.ID), string(c.State), some(c.Sealed.Key), some(c.Sealed.Data),
			orNull(c.Phone), orNull(c.Email), orNull(c.External), sqldb.Micros(c.CreatedAt), sqldb.Micros(c.SeenAt))
		if err != nil {
			return taken(err, identity.ErrLoginTaken)
		}
		return nil
	})
}

// Consumer implements identity.Store.
func (s *Store) Consumer(ctx context.Context, id identity.ConsumerID) (identity.Consumer, error) {
	return oneConsumer(sqldb.Collect(ctx, s.db.Reader(), scanConsumer, `SELECT `+consumerColumns+` FROM identity_consumers WHERE user_id = ?`, int64(id)))
}

// ConsumerBy implements identity.Store.
func (s *Store) ConsumerBy(ctx context.Context, kind string, h identity.Hash) (identity.Consumer, error) {
	const byPhone = `SELECT ` + consumerColumns + ` FROM identity_consumers WHERE phone = ?`
	const byEmail = `SELECT ` + consumerColumns + ` FROM identity_consumers WHERE email = ?`
	const byExternal = `SELECT ` + consumerColumns + ` FROM identity_consumers WHERE external = ?`
	query := byPhone
	switch kind {
	case "email":
		query = byEmail
	case "external":
		query = byExternal
	}
	return oneConsumer(sqldb.Collect(ctx, s.db.Reader(), scanConsumer, query, h[:]))
}

// ChangeConsumer implements identity.Store. What is sealed is never sealed alike twice, so it
// tells whether the record is the one that was read.
func (s *Store) ChangeConsumer(ctx context.Context, was identity.Sealed, c identity.Consumer) error {
	const change = `UPDATE identity_consumers SET data_key = ?, sealed = ?, phone = ?, email = ?, external = ?
		WHERE user_id = ? AND state = ? AND sealed = ?`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		ok, err := changed(tx.ExecContext(ctx, change, some(c.Sealed.Key), some(c.Sealed.Data), orNull(c.Phone), orNull(c.Email), orNull(c.External),
			int64(c.ID), string(identity.Active), some(was.Data)))
		switch {
		case err != nil:
			return taken(err, identity.ErrIdentifierTaken)
		case !ok:
			return identity.ErrConsumerRaced
		}
		return nil
	})
}

// EraseConsumer implements identity.Store.
func (s *Store) EraseConsumer(ctx context.Context, id identity.ConsumerID, end identity.Ending) error {
	const erase = `UPDATE identity_consumers SET state = ?, data_key = ?, sealed = ?, phone = NULL, email = NULL, external = NULL WHERE user_id = ?`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var there int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM identity_consumers WHERE user_id = ?`, int64(id)).Scan(&there); err != nil {
			return fmt.Errorf("look for consumer: %w", err)
		}
		if there == 0 {
			return identity.ErrUnknownConsumer
		}
		if _, err := tx.ExecContext(ctx, erase, string(identity.Erased), []byte{}, []byte{}, int64(id)); err != nil {
			return fmt.Errorf("erase consumer: %w", err)
		}
		return endSessions(ctx, tx, id.Owner(), end)
	})
}

// IdleConsumers implements identity.Store.
func (s *Store) IdleConsumers(ctx context.Context, before time.Time, limit int) ([]identity.ConsumerID, error) {
	return sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (id identity.ConsumerID, err error) {
		err = r.Scan(&id)
		return id, err
	}, `SELECT user_id FROM identity_consumers WHERE state = ? AND seen_at < ? ORDER BY seen_at LIMIT ?`, string(identity.Active), sqldb.Micros(before), limit)
}

// EndedSessions implements identity.Store.
func (s *Store) EndedSessions(ctx context.Context, prefix string, now time.Time) ([]identity.Session, error) {
	const query = `SELECT ` + sessionColumns + ` FROM identity_sessions WHERE session_id >= ? AND session_id < ? AND ended_at <> 0 AND expires_at > ?`
	return sqldb.Collect(ctx, s.db.Reader(), scanSession, query, prefix, prefix+"~", sqldb.Micros(now))
}
