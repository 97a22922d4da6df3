// Package lease lets one of several processes do leader work: a relay, a sweep, the
// upkeep of partitions.
//
// Promise: of all who Hold a name, one at a time is told that it does, as far as their
// clocks agree, and each new holder gets a larger token than every one before it, whatever
// the clocks say (TestTokensGrow). A process may be paused while it believes to hold a
// lease, so a lease never makes anything correct: whoever writes as its holder writes
// under the token, and what it writes to refuses a smaller one.
package lease

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
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

// Leases hands out leases of one database to one process.
type Leases struct {
	db    *sqldb.DB
	owner string
	clock clock.Clock
}

// New makes the leases of a process. owner tells it from all others that there ever
// are, also from its own earlier run: a random word.
func New(db *sqldb.DB, owner string, c clock.Clock) *Leases { return &Leases{db, owner, c} }

// aheadMax is how many lives a lease may still last. One that lasts longer was taken by a
// clock that was far ahead, and must not hold up everybody until then.
const aheadMax = 2

// Hold takes a lease that nobody holds, or keeps one that this process holds for
// another life from now. ok is false when another process holds it.
func (l *Leases) Hold(ctx context.Context, name string, life time.Duration) (token int64, ok bool, _ error) {
	now := l.clock.Now()
	err := l.db.Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		const take = `UPDATE leases SET token = CASE WHEN owner = ? THEN token ELSE token + 1 END, owner = ?, expires_at = ?
			WHERE name = ? AND (owner = ? OR expires_at <= ? OR expires_at > ?)`
		until, absurd := sqldb.Micros(now.Add(life)), sqldb.Micros(now.Add(aheadMax*life))
		if _, err := tx.ExecContext(ctx, take, l.owner, l.owner, until, name, l.owner, sqldb.Micros(now), absurd); err != nil {
			return err
		}
		var owner string
		err := tx.QueryRowContext(ctx, `SELECT owner, token FROM leases WHERE name = ?`, name).Scan(&owner, &token)
		if errors.Is(err, sql.ErrNoRows) {
			owner, token = l.owner, 1
			_, err = tx.ExecContext(ctx, `INSERT INTO leases (name, owner, token, expires_at) VALUES (?,?,1,?)`, name, l.owner, until)
		}
		ok = owner == l.owner
		return err
	})
	switch {
	case sqldb.IsDuplicate(err): // another process made the first row just now
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("hold lease %s: %w", name, err)
	case !ok:
		return 0, false, nil
	}
	return token, true, nil
}

// Release gives a lease back, so that the next holder need not wait for its end. One
// that another process holds by now is left alone.
func (l *Leases) Release(ctx context.Context, name string) error {
	err := l.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		// The owner goes, so that holding it again gives a new token.
		_, err := tx.ExecContext(ctx, `UPDATE leases SET expires_at = 0, owner = '' WHERE name = ? AND owner = ?`, name, l.owner)
		return err
	})
	if err != nil {
		return fmt.Errorf("release lease %s: %w", name, err)
	}
	return nil
}
