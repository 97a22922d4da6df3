// Package notifysql keeps webhooks in SQL.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told apart by
// platform/sqldb.
package notifysql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
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

// Store implements notify.Store.
type Store struct {
	db    *sqldb.DB
	told  *outbox.Outbox
	clock clock.Clock
}

var _ notify.Store = (*Store)(nil)

// New makes the store of a migrated database, the home of where relays stand. told is
// what endpoints are told of.
func New(db *sqldb.DB, told *outbox.Outbox, c clock.Clock) *Store { return &Store{db, told, c} }

const endpointColumns = `endpoint_id, brand_id, url, types, created_by, created_at`

// scanEndpoint reads an endpoint, and what columns there are behind it.
func scanEndpoint(r *sql.Rows, more ...any) (e notify.Endpoint, err error) {
	var types string
	var created int64
	err = r.Scan(append([]any{&e.ID, &e.Brand, &e.URL, &types, &e.CreatedBy, &created}, more...)...)
	e.CreatedAt = sqldb.Time(created)
	if types != "" {
		e.Types = strings.Split(types, ",")
	}
	return e, err
}

func plain(r *sql.Rows) (notify.Endpoint, error) { return scanEndpoint(r) }

// AddEndpoint implements notify.Store.
func (s *Store) AddEndpoint(ctx context.Context, r ids.Request, e notify.Endpoint) (notify.Endpoint, bool, error) {
	heads, err := s.told.Heads(ctx) // what was told before this is nobody's business there
	if err != nil {
		return e, false, err
	}
	effect, replayed, err := idem.Once(ctx, s.db, s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM notify_endpoints WHERE brand_id = ? AND types <> '-'`, e.Brand).Scan(&n); err != nil {
			return "", err
		}
		if n >= notify.EndpointsMax { // two at once may pass it by one: it bounds work, and nothing depends on it
			return "", notify.ErrTooManyEndpoints
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO notify_endpoints (`+endpointColumns+`, after_seq) VALUES (?,?,?,?,?,?,?)`,
			e.ID, e.Brand, e.URL, strings.Join(e.Types, ","), e.CreatedBy, sqldb.Micros(e.CreatedAt), heads[ids.ShardOf(e.Brand)])
		return string(e.ID), err
	})
	if err != nil || !replayed {
		return e, replayed, err
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), plain, `SELECT `+endpointColumns+` FROM notify_endpoints WHERE endpoint_id = ?`, effect)
	if err == nil && len(all) == 0 {
		err = notify.ErrUnknownEndpoint // it was removed since
	}
	if err != nil {
		return notify.Endpoint{}, false, err
	}
	return all[0], true, nil
}

// Endpoints implements notify.Store.
func (s *Store) Endpoints(ctx context.Context, brand ids.BrandID, after notify.EndpointID, limit int) ([]notify.Endpoint, error) {
	if brand == 0 {
		return sqldb.Collect(ctx, s.db.Reader(), plain,
			`SELECT `+endpointColumns+` FROM notify_endpoints WHERE endpoint_id > ? AND types <> '-' ORDER BY endpoint_id LIMIT ?`, after, limit)
	}
	return sqldb.Collect(ctx, s.db.Reader(), plain,
		`SELECT `+endpointColumns+` FROM notify_endpoints WHERE brand_id = ? AND endpoint_id > ? AND types <> '-' ORDER BY endpoint_id LIMIT ?`, brand, after, limit)
}

// RemoveEndpoint implements notify.Store. The endpoint's row goes first: whoever adds
// deliveries holds it (see Follower), so none is added behind this.
func (s *Store) RemoveEndpoint(ctx context.Context, id notify.EndpointID) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM notify_endpoints WHERE endpoint_id = ?`, id)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM notify_deliveries WHERE endpoint_id = ?`, id)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM notify_tokens WHERE endpoint_id = ?`, id)
		}
		return err
	})
}

const deliveryColumns = `d.endpoint_id, e.url, d.event_id, d.body, d.tries, d.reason, d.due_at, d.created_at, d.dead, COALESCE(t.token, '')`

func scanDelivery(r *sql.Rows) (d notify.Delivery, err error) {
	var due, created int64
	err = r.Scan(&d.Endpoint, &d.URL, &d.Event, &d.Body, &d.Tries, &d.Reason, &due, &created, &d.Dead, &d.Sealed)
	d.DueAt, d.CreatedAt = sqldb.Time(due), sqldb.Time(created)
	return d, err
}

// Due implements notify.Store.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]notify.Delivery, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanDelivery, `SELECT `+deliveryColumns+` FROM notify_deliveries d
		JOIN notify_endpoints e ON e.endpoint_id = d.endpoint_id LEFT JOIN notify_tokens t ON t.endpoint_id = d.endpoint_id
		WHERE d.dead = 0 AND d.due_at <= ? ORDER BY d.due_at, d.created_at, d.event_id LIMIT ?`, sqldb.Micros(now), limit)
}

// Failed implements notify.Store.
func (s *Store) Failed(ctx context.Context, d *notify.Delivery) error {
	return s.exec(ctx, `UPDATE notify_deliveries SET tries = ?, reason = ?, due_at = ?, dead = ? WHERE endpoint_id = ? AND event_id = ?`,
		d.Tries, d.Reason, sqldb.Micros(d.DueAt), d.Dead, d.Endpoint, d.Event)
}

// Postpone implements notify.Store.
func (s *Store) Postpone(ctx context.Context, id notify.EndpointID, now, until time.Time) error {
	return s.exec(ctx, `UPDATE notify_deliveries SET due_at = ? WHERE endpoint_id = ? AND dead = 0 AND due_at <= ?`,
		sqldb.Micros(until), id, sqldb.Micros(now))
}

func (s *Store) exec(ctx context.Context, query string, args ...any) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
}

// Done implements notify.Store.
func (s *Store) Done(ctx context.Context, all ...notify.Delivery) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range all {
			_, err := tx.ExecContext(ctx, `DELETE FROM notify_deliveries WHERE endpoint_id = ? AND event_id = ?`, all[i].Endpoint, all[i].Event)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Dead implements notify.Store.
func (s *Store) Dead(ctx context.Context, event string, endpoint notify.EndpointID, limit int) ([]notify.Delivery, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanDelivery, `SELECT `+deliveryColumns+` FROM notify_deliveries d
		JOIN notify_endpoints e ON e.endpoint_id = d.endpoint_id LEFT JOIN notify_tokens t ON t.endpoint_id = d.endpoint_id
		WHERE d.dead = 1 AND (d.event_id > ? OR d.event_id = ? AND d.endpoint_id > ?) ORDER BY d.event_id, d.endpoint_id LIMIT ?`,
		event, event, endpoint, limit)
}

var errGone = errors.New("notifysql: an endpoint was removed meanwhile")

// add puts an event on its way to an endpoint, whose row it holds until the commit.
func add(ctx context.Context, tx *sqldb.Tx, id notify.EndpointID, d *notify.Delivery) error {
	held, err := tx.ExecContext(ctx, `UPDATE notify_endpoints SET brand_id = brand_id WHERE endpoint_id = ?`, id)
	if err != nil {
		return fmt.Errorf("hold endpoint %s: %w", id, err)
	}
	if n, err := held.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errGone)
	}
	const insert = `INSERT INTO notify_deliveries (endpoint_id, event_id, body, tries, reason, due_at, dead, created_at) VALUES (?,?,?,0,'',?,0,?)`
	_, err = tx.ExecContext(ctx, insert, id, d.Event, d.Body, sqldb.Micros(d.DueAt), sqldb.Micros(d.CreatedAt))
	if err != nil {
		return fmt.Errorf("send event %s to %s: %w", d.Event, id, err)
	}
	return nil
}
