package notifysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// AddFed implements notify.Store. Its row has '-' for types: no event is of that type.
func (s *Store) AddFed(ctx context.Context, e notify.Endpoint, sealedToken []byte) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO notify_endpoints (`+endpointColumns+`, after_seq) VALUES (?,?,?,'-',?,?,0)`,
			e.ID, e.Brand, e.URL, e.CreatedBy, sqldb.Micros(e.CreatedAt))
		if err == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO notify_tokens (endpoint_id, token) VALUES (?,?)`, e.ID, sealedToken)
		}
		if sqldb.IsDuplicate(err) {
			return nil
		}
		return err
	})
}

// Feed implements notify.Store.
func (s *Store) Feed(ctx context.Context, d *notify.Delivery) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return add(ctx, tx, d.Endpoint, d) })
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// OnTheWay implements notify.Store.
func (s *Store) OnTheWay(ctx context.Context, id notify.EndpointID, document string) (waiting, dead bool, _ error) {
	const query = `SELECT dead FROM notify_deliveries WHERE endpoint_id = ? AND (dead = 0 OR event_id = ?)`
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (d bool, err error) {
		err = r.Scan(&d)
		return d, err
	}, query, id, document)
	for _, d := range all {
		waiting, dead = waiting || !d, dead || d
	}
	return waiting, dead, err
}

// GivenUp implements notify.Store.
func (s *Store) GivenUp(ctx context.Context, of []notify.EndpointID) (map[notify.EndpointID]notify.GivenUp, error) {
	out := make(map[notify.EndpointID]notify.GivenUp)
	const query = `SELECT COUNT(*), COALESCE(MAX(reason), '') FROM notify_deliveries WHERE endpoint_id = ? AND dead = 1`
	for _, id := range of {
		var g notify.GivenUp
		if err := s.db.Reader().QueryRowContext(ctx, query, id).Scan(&g.Count, &g.Reason); err != nil {
			return nil, fmt.Errorf("count what was given up of %s: %w", id, err)
		}
		if g.Count > 0 {
			out[id] = g
		}
	}
	return out, nil
}
