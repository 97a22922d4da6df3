package linesql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Children implements line.Store.
func (s *Store) Children(ctx context.Context, brand ids.BrandID, sscc, after string, limit int) ([]line.Child, error) {
	return sqldb.Collect(ctx, s.of(brand).Reader(), func(r *sql.Rows) (c line.Child, err error) {
		err = r.Scan(&c.Key, &c.EPC, &c.Serial)
		return c, err
	}, `SELECT child, epc, serial FROM line_children WHERE brand_id = ? AND sscc = ? AND child > ? ORDER BY child LIMIT ?`, brand, sscc, after, limit)
}

// Places implements line.Store.
func (s *Store) Places(ctx context.Context, brand ids.BrandID, keys []string) (held map[string]string, closed uint64, _ error) {
	return places(ctx, s.of(brand).Reader(), brand, keys)
}

func places(ctx context.Context, q sqldb.Querier, brand ids.BrandID, keys []string) (held map[string]string, closed uint64, _ error) {
	type place struct {
		child, sscc string
		held        sql.NullInt64
	}
	held = map[string]string{}
	for part := range slices.Chunk(keys, chunk) {
		query := `SELECT child, sscc, held FROM line_children WHERE child IN (?` + strings.Repeat(`,?`, len(part)-1) + `) AND brand_id = ?`
		found, err := sqldb.Collect(ctx, q, func(r *sql.Rows) (p place, err error) {
			err = r.Scan(&p.child, &p.sscc, &p.held)
			return p, err
		}, query, append(anys(part), brand)...)
		if err != nil {
			return nil, 0, fmt.Errorf("look for children: %w", err)
		}
		for _, p := range found {
			if p.held.Valid {
				held[p.child] = p.sscc
			} else {
				sum := fnv.New64a()
				_, _ = io.WriteString(sum, p.child+p.sscc) // a hash takes all
				closed += sum.Sum64()
			}
		}
	}
	return held, closed, nil
}

// effect is what is remembered of a change.
func effect(c line.Change) string { return fmt.Sprintf("%d/%d", c.Changed, c.Children) }

// change brings about a change of what is in an open container, once for each request. fn
// gives the number of children by which it grows; nobody else changes the container meanwhile.
func (s *Store) change(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string, fn func(ctx context.Context, tx *sqldb.Tx, c *line.Container) (int, error)) (done line.Change, replayed bool, _ error) {
	const (
		hold  = `UPDATE line_containers SET version = version + 1 WHERE brand_id = ? AND sscc = ? AND state = 'open'`
		count = `UPDATE line_containers SET children = ? WHERE brand_id = ? AND sscc = ?`
	)
	said, replayed, err := idem.Once(ctx, s.of(brand), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if _, err := tx.ExecContext(ctx, hold, brand, sscc); err != nil {
			return "", err
		}
		c, err := one(ctx, tx, brand, sscc)
		if err == nil && c.State != line.Open {
			err = line.ErrNotOpen
		}
		if err != nil {
			return "", err
		}
		by, err := fn(ctx, tx, &c)
		if err != nil {
			return "", err
		}
		_, err = tx.ExecContext(ctx, count, c.Children+by, brand, sscc)
		return effect(line.Change{Changed: max(by, -by), Children: c.Children + by}), err
	})
	if err != nil {
		return done, false, err
	}
	if _, err := fmt.Sscanf(said, "%d/%d", &done.Changed, &done.Children); err != nil {
		return done, false, fmt.Errorf("read the effect %q: %w", said, err)
	}
	return done, replayed, nil
}

// rowsMax is how many rows go with one statement.
const rowsMax = 64

// Add implements line.Store. That a container was closed meanwhile is seen by the sum after
// the insert: until then its hold on the child let no insert pass.
func (s *Store) Add(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string, children []line.Child, closed uint64) (line.Change, bool, error) {
	const insert = `INSERT INTO line_children (brand_id, sscc, child, epc, serial, held) VALUES (?,?,?,?,?,1)`
	keys := make([]string, len(children))
	for i := range children {
		keys[i] = children[i].Key
	}
	done, replayed, err := s.change(ctx, r, brand, sscc, func(ctx context.Context, tx *sqldb.Tx, c *line.Container) (int, error) {
		held, _, err := places(ctx, tx, brand, keys)
		if err != nil {
			return 0, err
		}
		var rows []any
		for _, child := range children {
			switch held[child.Key] {
			case sscc:
			case "":
				rows = append(rows, brand, sscc, child.Key, child.EPC, int64(child.Serial))
			default:
				return 0, line.ErrRaced
			}
		}
		fresh := len(rows) / 5
		if c.Children+fresh > c.Capacity {
			return 0, line.ErrCapacity.Textf("%d are in it and %d more do not fit: its capacity is %d", c.Children, fresh, c.Capacity)
		}
		for part := range slices.Chunk(rows, 5*rowsMax) {
			if _, err := tx.ExecContext(ctx, insert+strings.Repeat(`,(?,?,?,?,?,1)`, len(part)/5-1), part...); err != nil {
				if sqldb.IsDuplicate(err) {
					err = line.ErrRaced
				}
				return 0, err
			}
		}
		if _, now, err := places(ctx, tx, brand, keys); err != nil || now != closed {
			return 0, errors.Join(err, raced(now != closed))
		}
		return fresh, nil
	})
	if err != nil {
		err = fmt.Errorf("fill container %s: %w", sscc, err)
	}
	return done, replayed, err
}

func raced(is bool) error {
	if is {
		return line.ErrRaced
	}
	return nil
}

// Remove implements line.Store.
func (s *Store) Remove(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string, keys []string) (line.Change, bool, error) {
	done, replayed, err := s.change(ctx, r, brand, sscc, func(ctx context.Context, tx *sqldb.Tx, _ *line.Container) (int, error) {
		gone := 0
		for part := range slices.Chunk(keys, chunk) {
			n, err := remove(ctx, tx, brand, sscc, part)
			if err != nil {
				return 0, err
			}
			gone += n
		}
		return -gone, nil
	})
	if err != nil {
		err = fmt.Errorf("take out of container %s: %w", sscc, err)
	}
	return done, replayed, err
}

func remove(ctx context.Context, tx *sqldb.Tx, brand ids.BrandID, sscc string, keys []string) (int, error) {
	query := `DELETE FROM line_children WHERE child IN (?` + strings.Repeat(`,?`, len(keys)-1) + `) AND brand_id = ? AND sscc = ?`
	done, err := tx.ExecContext(ctx, query, append(anys(keys), brand, sscc)...)
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}
