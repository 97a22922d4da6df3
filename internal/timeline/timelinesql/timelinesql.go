// Package timelinesql keeps what brands call places, each brand's in its shard, and tells
// how often stories were asked for.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told apart by
// platform/sqldb.
package timelinesql

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/timeline/timelineevent"
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

// Store implements timeline.Store.
type Store struct {
	dbs   *sqldb.Shards
	clock clock.Clock
}

var (
	_ timeline.Store  = (*Store)(nil)
	_ timeline.Places = (*Store)(nil)
)

// Over makes the store of migrated databases.
func Over(dbs *sqldb.Shards, c clock.Clock) *Store { return &Store{dbs, c} }

func (s *Store) of(brand ids.BrandID) *sqldb.DB { return s.dbs.Of(ids.ShardOf(brand)) }

func scanPlace(r *sql.Rows) (p timeline.Place, err error) {
	var id, name []byte
	err = r.Scan(&id, &name, &p.Kind)
	p.ID, p.Name = string(id), string(name)
	return p, err
}

// Places implements timeline.Store.
func (s *Store) Places(ctx context.Context, brand ids.BrandID, after string, limit int) ([]timeline.Place, error) {
	return sqldb.Collect(ctx, s.of(brand).Reader(), scanPlace,
		`SELECT place_id, name, kind FROM timeline_places WHERE brand_id = ? AND place_id > ? ORDER BY place_id LIMIT ?`, brand, after, limit)
}

// chunk is how many keys one statement looks for.
const chunk = 256

// Named implements timeline.Store.
func (s *Store) Named(ctx context.Context, brand ids.BrandID, places []string) (all []timeline.Place, _ error) {
	for len(places) > 0 {
		part := places[:min(chunk, len(places))]
		places = places[len(part):]
		args := []any{brand}
		for _, id := range part {
			args = append(args, id)
		}
		query := `SELECT place_id, name, kind FROM timeline_places WHERE brand_id = ? AND place_id IN (?` + strings.Repeat(`,?`, len(part)-1) + `)`
		found, err := sqldb.Collect(ctx, s.of(brand).Reader(), scanPlace, query, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// ChangePlaces implements timeline.Store.
func (s *Store) ChangePlaces(ctx context.Context, brand ids.BrandID, set []timeline.Place, remove []string, most int) error {
	err := s.of(brand).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		const (
			drop   = `DELETE FROM timeline_places WHERE brand_id = ? AND place_id = ?`
			insert = `INSERT INTO timeline_places (brand_id, place_id, name, kind) VALUES (?,?,?,?)`
			count  = `SELECT COUNT(*) FROM timeline_places WHERE brand_id = ?`
		)
		var changed []string
		for _, id := range remove {
			done, err := tx.ExecContext(ctx, drop, brand, id)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil {
				return err
			} else if n > 0 {
				changed = append(changed, id)
			}
		}
		for _, p := range set {
			if _, err := tx.ExecContext(ctx, drop, brand, p.ID); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, insert, brand, p.ID, p.Name, p.Kind); err != nil {
				return err
			}
			changed = append(changed, p.ID)
		}
		var n int
		if err := tx.QueryRowContext(ctx, count, brand).Scan(&n); err != nil {
			return err
		}
		if n > most && len(set) > 0 {
			return timeline.ErrTooManyPlaces
		}
		return number(ctx, tx, brand, changed)
	})
	if err != nil && !errors.Is(err, timeline.ErrTooManyPlaces) {
		return fmt.Errorf("change places of brand %d: %w", brand, err)
	}
	return err
}

// TellQueried implements timeline.Store: a transaction for each shard.
func (s *Store) TellQueried(ctx context.Context, all []timeline.Queried) error {
	shards := map[ids.Shard][]outbox.Event{}
	for _, q := range all {
		data, err := json.Marshal(timelineevent.Queried{From: q.From, To: q.To, Queries: q.Queries, Signed: q.Signed})
		if err != nil {
			return fmt.Errorf("encode trace.queried: %w", err)
		}
		shard := ids.ShardOf(q.Brand)
		shards[shard] = append(shards[shard], outbox.Event{
			Type: timelineevent.TraceQueried, BrandID: q.Brand, Subject: fmt.Sprintf("brand %d", q.Brand), Data: data,
		})
	}
	var errs []error
	for shard, events := range shards {
		errs = append(errs, s.dbs.Of(shard).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			stamp, err := outbox.Commit(ctx, tx, shard, s.clock.Now())
			if err != nil {
				return err
			}
			return outbox.Append(ctx, tx, stamp, events...)
		}))
	}
	return errors.Join(errs...)
}
