package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// ErrFenced answers a relay that a later one of its name has taken over from.
var ErrFenced = errors.New("outbox: another relay has taken over")

// Resume takes a relay's positions over: from now on Advance refuses every smaller
// token (TestFencedRelayMovesNothing). It gives the cursor after the last event that
// the relay is known to have delivered.
func (o *Outbox) Resume(ctx context.Context, relay string, token int64) (Cursor, error) {
	var c Cursor
	err := o.dbs.Home().Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		there, err := positions(ctx, tx, relay)
		for shard := range ids.Shard(ids.Shards) {
			if _, ok := there[shard]; err == nil && !ok {
				_, err = tx.ExecContext(ctx, `INSERT INTO outbox_relays (name, shard, seq, token) VALUES (?,?,0,?)`, relay, shard, token)
			}
		}
		if err != nil {
			return err
		}
		// Taken before they are read: where many write at once, the one who is fenced off
		// may move them until here.
		if _, err := tx.ExecContext(ctx, `UPDATE outbox_relays SET token = ? WHERE name = ? AND token <= ?`, token, relay, token); err != nil {
			return err
		}
		if there, err = positions(ctx, tx, relay); err != nil {
			return err
		}
		for shard, at := range there {
			if at.token != token {
				return ErrFenced
			}
			c[shard] = at.seq
		}
		return nil
	})
	if err != nil {
		return Cursor{}, fmt.Errorf("resume relay %s: %w", relay, err)
	}
	return c, nil
}

// Advance notes that everything up to the cursor was delivered. from is where the
// relay stood: only what moved is written.
func (o *Outbox) Advance(ctx context.Context, relay string, token int64, from, to Cursor) error {
	return o.dbs.Home().Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error { return AdvanceIn(ctx, tx, relay, token, from, to) })
}

// AdvanceIn is Advance for a relay whose effect is in the same database: both are one
// transaction, and the effect is there once.
func AdvanceIn(ctx context.Context, tx *sqldb.Tx, relay string, token int64, from, to Cursor) error {
	for shard := range ids.Shard(ids.Shards) {
		if from[shard] == to[shard] {
			continue
		}
		if err := moveOne(ctx, tx, relay, shard, to[shard], token); err != nil {
			return fmt.Errorf("advance relay %s: %w", relay, err)
		}
	}
	return nil
}

func moveOne(ctx context.Context, tx *sqldb.Tx, relay string, shard ids.Shard, seq, token int64) error {
	res, err := tx.ExecContext(ctx, `UPDATE outbox_relays SET seq = ? WHERE name = ? AND shard = ? AND token = ? AND seq < ?`,
		seq, relay, shard, token, seq)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return ErrFenced
}

// position is where a relay stands in a shard, and who moved it there.
type position struct{ seq, token int64 }

func positions(ctx context.Context, q sqldb.Querier, relay string) (map[ids.Shard]position, error) {
	there := map[ids.Shard]position{}
	_, err := sqldb.Collect(ctx, q, func(r *sql.Rows) (p position, err error) {
		var shard ids.Shard
		err = r.Scan(&shard, &p.seq, &p.token)
		there[shard] = p
		return p, err
	}, `SELECT shard, seq, token FROM outbox_relays WHERE name = ?`, relay)
	return there, err
}

// Backlog is what a relay has not delivered yet.
type Backlog struct {
	Events int64     // at most backlogMax of each shard are counted
	Oldest time.Time // of them; zero = none
}

const backlogMax = 100_000

// Backlog tells how far behind a relay is.
func (o *Outbox) Backlog(ctx context.Context, relay string) (b Backlog, _ error) {
	const query = `SELECT COUNT(*), COALESCE(MIN(at), 0) FROM (SELECT at FROM outbox WHERE shard = ? AND seq > ? ORDER BY seq, n LIMIT ?) AS waiting`
	at, err := positions(ctx, o.dbs.Home().Reader(), relay)
	if err != nil {
		return b, fmt.Errorf("read positions of relay %s: %w", relay, err)
	}
	for shard := range ids.Shard(ids.Shards) {
		var n, oldest int64
		if err := o.dbs.Of(shard).Reader().QueryRowContext(ctx, query, shard, at[shard].seq, backlogMax).Scan(&n, &oldest); err != nil {
			return b, fmt.Errorf("count what waits for relay %s: %w", relay, err)
		}
		b.Events += n
		if t := sqldb.Time(oldest); n > 0 && (b.Oldest.IsZero() || t.Before(b.Oldest)) {
			b.Oldest = t
		}
	}
	return b, nil
}
