package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// carrier is where the home's own news of a shard stand in the shard's database: a position
// in the home's outbox.
const carrier = "home"

var errCarried = errors.New("outbox: another process has carried it")

// Carry tells in a shard's database what the home told of that shard: a fact of the home is
// told in the home's transaction, where nobody reads when the shard is elsewhere. Each
// event is told there once, under its id, whoever else carries (TestCarriedOnce).
func (o *Outbox) Carry(ctx context.Context, shard ids.Shard, now func() time.Time) error {
	home, own := o.dbs.Home(), o.dbs.Of(shard)
	for home != own {
		at, events, err := o.stray(ctx, shard)
		if err != nil || len(events) == 0 {
			return err
		}
		err = own.Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := move(ctx, tx, shard, at, events[0].Seq); err != nil {
				return err
			}
			stamp, err := Commit(ctx, tx, shard, now())
			if err != nil {
				return err
			}
			return Append(ctx, tx, stamp, events...)
		})
		if errors.Is(err, errCarried) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("carry what the home told to shard %d: %w", shard, err)
		}
	}
	return nil
}

// stray gives the events of the home's first transaction that were not carried, and where
// the shard stands.
func (o *Outbox) stray(ctx context.Context, shard ids.Shard) (at int64, events []Event, _ error) {
	const (
		where = `SELECT seq FROM outbox_relays WHERE name = ? AND shard = ?`
		next  = `SELECT seq, event_id, type, brand_id, subject, at, data, traceparent FROM outbox WHERE shard = ? AND seq > ? ORDER BY seq, n LIMIT ?`
	)
	err := o.dbs.Of(shard).Reader().QueryRowContext(ctx, where, carrier, shard).Scan(&at)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		events, err = sqldb.Collect(ctx, o.dbs.Home().Reader(), scanEvent(shard), next, shard, at, eventsPerTxMax)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("look for what the home told of shard %d: %w", shard, err)
	}
	return at, slices.DeleteFunc(events, func(e Event) bool { return e.Seq != events[0].Seq }), nil
}

// move notes what is carried. Of several who carry the same, one moves.
func move(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, from, to int64) error {
	if from == 0 {
		_, err := tx.ExecContext(ctx, `INSERT INTO outbox_relays (name, shard, seq, token) VALUES (?,?,?,0)`, carrier, shard, to)
		if sqldb.IsDuplicate(err) {
			return errCarried
		}
		return err
	}
	res, err := tx.ExecContext(ctx, `UPDATE outbox_relays SET seq = ? WHERE name = ? AND shard = ? AND seq = ?`, to, carrier, shard, from)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errCarried
}
