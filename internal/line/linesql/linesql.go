// Package linesql keeps what packing lines fill in SQL, each container in the database of
// its brand.
//
// Whoever changes a container holds its row first. That a child is in one container at most
// is a unique index's doing.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told apart by
// platform/sqldb.
package linesql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
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

// Store implements line.Store.
type Store struct {
	dbs   *sqldb.Shards
	clock clock.Clock
}

var (
	_ line.Store   = (*Store)(nil)
	_ line.Numbers = (*Store)(nil)
	_ line.Upkeep  = (*Store)(nil)
)

// New makes the store of migrated databases.
func New(dbs *sqldb.Shards, c clock.Clock) *Store { return &Store{dbs, c} }

func (s *Store) of(b ids.BrandID) *sqldb.DB { return s.dbs.Of(ids.ShardOf(b)) }

const columns = `brand_id, sscc, epc, kind, state, capacity, children, location, read_point, opened_by, opened_at, closed_at, event_id, listed`

func scan(r *sql.Rows) (c line.Container, err error) {
	var opened, closed int64
	var listed bool
	err = r.Scan(&c.Brand, &c.SSCC, &c.EPC, &c.Kind, &c.State, &c.Capacity, &c.Children, &c.Location, &c.ReadPoint, &c.OpenedBy, &opened, &closed, &c.EventID, &listed)
	c.OpenedAt, c.ClosedAt, c.Forgotten = sqldb.Time(opened), sqldb.Time(closed), !listed
	return c, err
}

// Next implements line.Numbers.
func (s *Store) Next(ctx context.Context, prefix string) (n int64, _ error) {
	err := s.dbs.Home().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE line_numbers SET last = last + 1 WHERE prefix = ?`, prefix)
		if err != nil {
			return err
		}
		if rows, err := done.RowsAffected(); err != nil || rows > 0 {
			return errors.Join(err, tx.QueryRowContext(ctx, `SELECT last FROM line_numbers WHERE prefix = ?`, prefix).Scan(&n))
		}
		n = 1
		_, err = tx.ExecContext(ctx, `INSERT INTO line_numbers (prefix, last) VALUES (?,1)`, prefix)
		return err
	})
	if sqldb.IsDuplicate(err) { // somebody was first with the first
		return s.Next(ctx, prefix)
	}
	if err != nil {
		return 0, fmt.Errorf("take the next SSCC: %w", err)
	}
	return n, nil
}

// Did implements line.Store.
func (s *Store) Did(ctx context.Context, brand ids.BrandID, r ids.Request) (effect string, ok bool, _ error) {
	return idem.Find(ctx, s.of(brand).Reader(), r)
}

// Open implements line.Store.
func (s *Store) Open(ctx context.Context, r ids.Request, c *line.Container) (replayed bool, _ error) {
	const insert = `INSERT INTO line_containers (` + columns + `, version) VALUES (?,?,?,?,?,?,0,?,?,?,?,0,'',1,1)`
	const again = `UPDATE line_containers SET epc = ?, kind = ?, state = ?, capacity = ?, children = 0, location = ?, read_point = ?, opened_by = ?, opened_at = ?, version = version + 1
		WHERE brand_id = ? AND sscc = ? AND state = 'discarded'`
	at := sqldb.Micros(c.OpenedAt)
	_, replayed, err := idem.Once(ctx, s.of(c.Brand), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		_, err := tx.ExecContext(ctx, insert, c.Brand, c.SSCC, c.EPC, string(c.Kind), string(line.Open), c.Capacity, c.Location, c.ReadPoint, c.OpenedBy, at)
		if !sqldb.IsDuplicate(err) {
			return c.SSCC, err
		}
		done, err := tx.ExecContext(ctx, again, c.EPC, string(c.Kind), string(line.Open), c.Capacity, c.Location, c.ReadPoint, c.OpenedBy, at, c.Brand, c.SSCC)
		if err != nil {
			return "", err
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return c.SSCC, err
		}
		had, err := one(ctx, tx, c.Brand, c.SSCC)
		switch {
		case err != nil:
			return "", err
		case had.State == line.Open:
			return "", line.ErrOpen
		}
		return "", line.ErrClosed
	})
	if err != nil {
		return false, fmt.Errorf("open container %s: %w", c.SSCC, err)
	}
	return replayed, nil
}

func one(ctx context.Context, q sqldb.Querier, brand ids.BrandID, sscc string) (line.Container, error) {
	all, err := sqldb.Collect(ctx, q, scan, `SELECT `+columns+` FROM line_containers WHERE brand_id = ? AND sscc = ?`, brand, sscc)
	if err == nil && len(all) == 0 {
		err = line.ErrUnknown
	}
	if err != nil {
		return line.Container{}, err
	}
	return all[0], nil
}

// chunk is how many keys one statement looks for.
const chunk = 256

// Containers implements line.Store.
func (s *Store) Containers(ctx context.Context, brand ids.BrandID, ssccs ...string) (all []line.Container, _ error) {
	dbs := s.dbs.All()
	if brand != 0 {
		dbs = []*sqldb.DB{s.of(brand)}
	}
	for part := range slices.Chunk(ssccs, chunk) {
		query := `SELECT ` + columns + ` FROM line_containers WHERE sscc IN (?` + strings.Repeat(`,?`, len(part)-1) + `) AND (? = 0 OR brand_id = ?)`
		for _, db := range dbs {
			found, err := sqldb.Collect(ctx, db.Reader(), scan, query, append(anys(part), brand, brand)...)
			if err != nil {
				return nil, fmt.Errorf("look for containers: %w", err)
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

func anys(all []string) []any {
	out := make([]any, len(all), len(all)+2)
	for i, one := range all {
		out[i] = one
	}
	return out
}

// Fix implements line.Store.
func (s *Store) Fix(ctx context.Context, brand ids.BrandID, sscc string, at time.Time) (c line.Container, _ error) {
	const fix = `UPDATE line_containers SET state = 'closing', closed_at = ?, version = version + 1 WHERE brand_id = ? AND sscc = ? AND state = 'open' AND children > 0`
	err := s.of(brand).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if _, err = tx.ExecContext(ctx, fix, sqldb.Micros(at), brand, sscc); err != nil {
			return err
		}
		if c, err = one(ctx, tx, brand, sscc); err != nil {
			return err
		}
		switch c.State {
		case line.Open:
			return line.ErrEmpty
		case line.Discarded:
			return line.ErrNotOpen
		default:
			return nil
		}
	})
	if err != nil {
		return c, fmt.Errorf("close container %s: %w", sscc, err)
	}
	return c, nil
}

// Finish implements line.Store.
func (s *Store) Finish(ctx context.Context, brand ids.BrandID, sscc, eventID string) (changed bool, _ error) {
	const (
		finish  = `UPDATE line_containers SET state = 'closed', event_id = ?, version = version + 1 WHERE brand_id = ? AND sscc = ? AND state = 'closing'`
		release = `UPDATE line_children SET held = NULL WHERE brand_id = ? AND sscc = ? AND held = 1`
	)
	err := s.of(brand).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		done, err := tx.ExecContext(ctx, finish, eventID, brand, sscc)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if changed = n > 0; err != nil || !changed {
			return err
		}
		_, err = tx.ExecContext(ctx, release, brand, sscc)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("finish container %s: %w", sscc, err)
	}
	return changed, nil
}

// Discard implements line.Store.
func (s *Store) Discard(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string) (replayed bool, _ error) {
	const (
		discard = `UPDATE line_containers SET state = 'discarded', children = 0, version = version + 1 WHERE brand_id = ? AND sscc = ? AND state = 'open'`
		empty   = `DELETE FROM line_children WHERE brand_id = ? AND sscc = ?`
	)
	_, replayed, err := idem.Once(ctx, s.of(brand), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		done, err := tx.ExecContext(ctx, discard, brand, sscc)
		if err != nil {
			return "", err
		}
		n, err := done.RowsAffected()
		if err != nil {
			return "", err
		}
		if n == 0 {
			c, err := one(ctx, tx, brand, sscc)
			if err == nil && c.State != line.Discarded {
				err = line.ErrNotOpen
			}
			return sscc, err
		}
		_, err = tx.ExecContext(ctx, empty, brand, sscc)
		return sscc, err
	})
	if err != nil {
		return false, fmt.Errorf("discard container %s: %w", sscc, err)
	}
	return replayed, nil
}

// List implements line.Store.
func (s *Store) List(ctx context.Context, brand ids.BrandID, state line.State, before *line.Container, limit int) ([]line.Container, error) {
	const query = `SELECT ` + columns + ` FROM line_containers
		WHERE brand_id = ? AND (opened_at < ? OR (opened_at = ? AND sscc < ?)) AND (? = '' OR state = ?) ORDER BY opened_at DESC, sscc DESC LIMIT ?`
	at, sscc := int64(1<<58), ""
	if before != nil {
		at, sscc = sqldb.Micros(before.OpenedAt), before.SSCC
	}
	return sqldb.Collect(ctx, s.of(brand).Reader(), scan, query, brand, at, at, sscc, string(state), string(state), limit)
}
