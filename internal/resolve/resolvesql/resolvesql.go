// Package resolvesql keeps links in SQL.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told
// apart by platform/sqldb.
package resolvesql

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/resolve"
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

// Store implements resolve.Store.
type Store struct{ db *sqldb.DB }

var _ resolve.Store = (*Store)(nil)

// New makes the store of a migrated database.
func New(db *sqldb.DB) *Store { return &Store{db} }

// errSame ends a transaction that would change nothing.
var errSame = errors.New("resolvesql: the record is so already")

// Put implements resolve.Store. The head's row comes first: it makes one writer of all
// of them, which is what the order of versions needs.
func (s *Store) Put(ctx context.Context, r resolve.Record, ifVersion int64) (version int64, changed bool, _ error) {
	if r.Body == nil {
		r.Body = []byte{}
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE resolve_heads SET version = version + 1 WHERE name = 'links'`); err != nil {
			return fmt.Errorf("take the next version: %w", err)
		}
		old, err := record(ctx, tx, r.Name)
		known := err == nil
		if err != nil && !errors.Is(err, resolve.ErrUnknown) {
			return err
		}
		had := known && len(old.Body) > 0
		switch {
		case had && old.BrandID != r.BrandID:
			return resolve.ErrTaken
		case ifVersion > 0 && (!had || old.Version != ifVersion), ifVersion == 0 && had:
			return resolve.ErrVersion
		case bytes.Equal(old.Body, r.Body) && (had || len(r.Body) == 0):
			version = old.Version
			return errSame
		}
		if err := tx.QueryRowContext(ctx, `SELECT version FROM resolve_heads WHERE name = 'links'`).Scan(&version); err != nil {
			return fmt.Errorf("read the next version: %w", err)
		}
		return write(ctx, tx, r, version, known)
	})
	if errors.Is(err, errSame) {
		return version, false, nil
	}
	return version, err == nil, err
}

func write(ctx context.Context, tx *sqldb.Tx, r resolve.Record, version int64, known bool) error {
	at := sqldb.Micros(r.ChangedAt)
	var err error
	if known {
		_, err = tx.ExecContext(ctx, `UPDATE resolve_records SET brand_id = ?, body = ?, version = ?, changed_at = ? WHERE name = ?`,
			r.BrandID, r.Body, version, at, r.Name)
	} else {
		_, err = tx.ExecContext(ctx, `INSERT INTO resolve_records (name, brand_id, body, version, changed_at) VALUES (?,?,?,?,?)`,
			r.Name, r.BrandID, r.Body, version, at)
	}
	if err != nil {
		return fmt.Errorf("write links of %s: %w", r.Name, err)
	}
	return nil
}

func scan(rows *sql.Rows) (r resolve.Record, err error) {
	var at int64
	err = rows.Scan(&r.Name, &r.BrandID, &r.Body, &r.Version, &at)
	r.ChangedAt = sqldb.Time(at)
	return r, err
}

// Record implements resolve.Store.
func (s *Store) Record(ctx context.Context, name string) (resolve.Record, error) {
	return record(ctx, s.db.Reader(), name)
}

func record(ctx context.Context, q sqldb.Querier, name string) (resolve.Record, error) {
	all, err := sqldb.Collect(ctx, q, scan, `SELECT name, brand_id, body, version, changed_at FROM resolve_records WHERE name = ?`, name)
	switch {
	case err != nil:
		return resolve.Record{}, fmt.Errorf("read links of %s: %w", name, err)
	case len(all) == 0:
		return resolve.Record{}, resolve.ErrUnknown
	}
	return all[0], nil
}

// List implements resolve.Store.
func (s *Store) List(ctx context.Context, brand ids.BrandID, after string, limit int) ([]resolve.Record, error) {
	const query = `SELECT name, brand_id, body, version, changed_at FROM resolve_records WHERE name > ? AND LENGTH(body) > 0 ORDER BY name LIMIT ?`
	const ofBrand = `SELECT name, brand_id, body, version, changed_at FROM resolve_records WHERE brand_id = ? AND name > ? AND LENGTH(body) > 0 ORDER BY name LIMIT ?`
	var all []resolve.Record
	var err error
	if brand == 0 {
		all, err = sqldb.Collect(ctx, s.db.Reader(), scan, query, after, limit)
	} else {
		all, err = sqldb.Collect(ctx, s.db.Reader(), scan, ofBrand, brand, after, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	return all, nil
}

// Changes implements resolve.Store.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]resolve.Record, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scan,
		`SELECT name, brand_id, body, version, changed_at FROM resolve_records WHERE version > ? ORDER BY version LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read changes of links: %w", err)
	}
	return all, nil
}

// Head implements resolve.Store.
func (s *Store) Head(ctx context.Context) (version int64, _ error) {
	if err := s.db.Reader().QueryRowContext(ctx, `SELECT version FROM resolve_heads WHERE name = 'links'`).Scan(&version); err != nil {
		return 0, fmt.Errorf("read the head of links: %w", err)
	}
	return version, nil
}
