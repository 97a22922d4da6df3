// Package sourcesql keeps systems, and what was pushed, in SQL.
//
// Systems are in the home of an installation: some are of all brands. What was pushed is
// with its brand.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told apart by
// platform/sqldb.
package sourcesql

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/source"
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

// Store implements source.Store.
type Store struct {
	dbs   *sqldb.Shards
	clock clock.Clock
}

var _ source.Store = (*Store)(nil)

// Over makes the store of migrated databases.
func Over(dbs *sqldb.Shards, c clock.Clock) *Store { return &Store{dbs, c} }

func (s *Store) brand(b ids.BrandID) *sqldb.DB { return s.dbs.Of(ids.ShardOf(b)) }

const systemColumns = `source_id, brand_id, kind, name, url, token, enabled, version, created_by, created_at, removed`

func scanSystem(r *sql.Rows) (s source.System, err error) {
	var created int64
	err = r.Scan(&s.ID, &s.Brand, &s.Kind, &s.Name, &s.URL, &s.Token, &s.Enabled, &s.Version, &s.CreatedBy, &created, &s.Removed)
	s.CreatedAt = sqldb.Time(created)
	if len(s.Token) == 0 {
		s.Token = nil
	}
	return s, err
}

// sealed is a token as it is stored: none is empty.
func sealed(token []byte) []byte {
	if token == nil {
		return []byte{}
	}
	return token
}

// AddSystem implements source.Store.
func (s *Store) AddSystem(ctx context.Context, r ids.Request, sys source.System) (source.System, bool, error) {
	effect, replayed, err := idem.Once(ctx, s.dbs.Home(), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM trace_sources WHERE brand_id = ? AND removed = 0`, sys.Brand).Scan(&n); err != nil {
			return "", err
		}
		if n >= source.SystemsMax { // two at once may pass it by one: it bounds work, and nothing depends on it
			return "", source.ErrTooMany
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO trace_sources (`+systemColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,0)`,
			sys.ID, sys.Brand, sys.Kind, sys.Name, sys.URL, sealed(sys.Token), sys.Enabled, sys.Version, sys.CreatedBy, sqldb.Micros(sys.CreatedAt))
		return string(sys.ID), err
	})
	if err != nil || !replayed {
		return sys, false, err
	}
	sys, err = s.System(ctx, source.SystemID(effect))
	return sys, true, err
}

// System implements source.Store.
func (s *Store) System(ctx context.Context, id source.SystemID) (source.System, error) {
	all, err := sqldb.Collect(ctx, s.dbs.Home().Reader(), scanSystem, `SELECT `+systemColumns+` FROM trace_sources WHERE source_id = ?`, id)
	if err == nil && len(all) == 0 {
		err = source.ErrUnknown
	}
	if err != nil {
		return source.System{}, err
	}
	return all[0], nil
}

// Systems implements source.Store.
func (s *Store) Systems(ctx context.Context, brand ids.BrandID, after source.SystemID, limit int) ([]source.System, error) {
	if brand == 0 {
		return sqldb.Collect(ctx, s.dbs.Home().Reader(), scanSystem,
			`SELECT `+systemColumns+` FROM trace_sources WHERE source_id > ? AND removed = 0 ORDER BY source_id LIMIT ?`, after, limit)
	}
	return sqldb.Collect(ctx, s.dbs.Home().Reader(), scanSystem,
		`SELECT `+systemColumns+` FROM trace_sources WHERE brand_id = ? AND source_id > ? AND removed = 0 ORDER BY source_id LIMIT ?`, brand, after, limit)
}

// Asked implements source.Store.
func (s *Store) Asked(ctx context.Context, brand ids.BrandID) ([]source.System, error) {
	return sqldb.Collect(ctx, s.dbs.Home().Reader(), scanSystem,
		`SELECT `+systemColumns+` FROM trace_sources WHERE brand_id IN (0, ?) AND enabled = 1 AND removed = 0 ORDER BY source_id LIMIT ?`,
		brand, 2*source.SystemsMax+2)
}

// ChangeSystem implements source.Store.
func (s *Store) ChangeSystem(ctx context.Context, r ids.Request, sys source.System) (bool, error) {
	_, replayed, err := idem.Once(ctx, s.dbs.Home(), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		done, err := tx.ExecContext(ctx, `UPDATE trace_sources SET name = ?, url = ?, token = ?, enabled = ?, version = ?
			WHERE source_id = ? AND version = ? AND removed = 0`,
			sys.Name, sys.URL, sealed(sys.Token), sys.Enabled, sys.Version, sys.ID, sys.Version-1)
		if err != nil {
			return "", err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return "", or(err, source.ErrChanged)
		}
		return string(sys.ID), nil
	})
	return replayed, err
}

func or(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// RemoveSystem implements source.Store.
func (s *Store) RemoveSystem(ctx context.Context, id source.SystemID) error {
	return s.dbs.Home().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE trace_sources SET removed = 1, token = ? WHERE source_id = ?`, []byte{}, id)
		if err != nil {
			return fmt.Errorf("remove source %s: %w", id, err)
		}
		return nil
	})
}
