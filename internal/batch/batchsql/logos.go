package batchsql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

func scanName(r *sql.Rows) (name string, err error) {
	err = r.Scan(&name)
	return name, err
}

// KeepLogo implements batch.Logos.
func (s *Store) KeepLogo(ctx context.Context, brand ids.BrandID, content, fresh string) (name string, _ error) {
	const (
		touch  = `UPDATE brand_logos SET kept_at = ? WHERE brand_id = ? AND content = ? AND kept_at > 0`
		find   = `SELECT name FROM brand_logos WHERE brand_id = ? AND content = ? AND kept_at > 0 ORDER BY name`
		insert = `INSERT INTO brand_logos (name, brand_id, content, kept_at) VALUES (?,?,?,?)`
	)
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		at := sqldb.Micros(s.clock.Now())
		if _, err := tx.ExecContext(ctx, touch, at, brand, content); err != nil {
			return err
		}
		had, err := sqldb.Collect(ctx, tx, scanName, find, brand, content)
		if err != nil {
			return err
		}
		if len(had) > 0 {
			name = had[0]
			return nil
		}
		name = fresh
		_, err = tx.ExecContext(ctx, insert, name, brand, content, at)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("note a logo of brand %d: %w", brand, err)
	}
	return name, nil
}

// nameLogo takes the rows of a brand's logos: the one that is named, and the one that was, are
// kept for a while from now on. What is being removed cannot be named.
func nameLogo(ctx context.Context, tx *sqldb.Tx, brand ids.BrandID, logo string, now time.Time) error {
	if _, err := tx.ExecContext(ctx, `UPDATE brand_logos SET kept_at = ? WHERE brand_id = ? AND kept_at > 0`, sqldb.Micros(now), brand); err != nil || logo == "" {
		return err
	}
	kept, err := sqldb.Collect(ctx, tx, scanName, `SELECT name FROM brand_logos WHERE name = ? AND brand_id = ? AND kept_at > 0`, logo, brand)
	if err == nil && len(kept) == 0 {
		err = batch.ErrLogoGone
	}
	return err
}

// AbandonedLogos implements batch.Logos.
func (s *Store) AbandonedLogos(ctx context.Context, before time.Time, limit int) (names []string, _ error) {
	const mark = `UPDATE brand_logos SET kept_at = 0 WHERE kept_at > 0 AND kept_at < ?
		AND NOT EXISTS (SELECT 1 FROM brand_settings s WHERE s.brand_id = brand_logos.brand_id AND s.logo = brand_logos.name)`
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if _, err = tx.ExecContext(ctx, mark, sqldb.Micros(before)); err != nil {
			return err
		}
		names, err = sqldb.Collect(ctx, tx, scanName, `SELECT name FROM brand_logos WHERE kept_at = 0 ORDER BY name LIMIT ?`, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for logos that nothing names: %w", err)
	}
	return names, nil
}

// ForgetLogo implements batch.Logos.
func (s *Store) ForgetLogo(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM brand_logos WHERE name = ? AND kept_at = 0`, name)
		return err
	})
}

// KeepLogo implements batch.Logos.
func (s *Sharded) KeepLogo(ctx context.Context, brand ids.BrandID, content, fresh string) (string, error) {
	return s.brand(brand).KeepLogo(ctx, brand, content, fresh)
}

// AbandonedLogos implements batch.Logos.
func (s *Sharded) AbandonedLogos(ctx context.Context, before time.Time, limit int) ([]string, error) {
	lists, err := gather(s.all, func(one *Store) ([]string, error) { return one.AbandonedLogos(ctx, before, limit) })
	return slices.Concat(lists...), err
}

// ForgetLogo implements batch.Logos.
func (s *Sharded) ForgetLogo(ctx context.Context, name string) error {
	_, err := gather(s.all, func(one *Store) (struct{}, error) { return struct{}{}, one.ForgetLogo(ctx, name) })
	return err
}
