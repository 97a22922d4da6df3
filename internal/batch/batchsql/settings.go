package batchsql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Settings implements batch.Catalog.
func (s *Store) Settings(ctx context.Context, brand ids.BrandID) (batch.Settings, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (b batch.Settings, err error) {
		var changed int64
		var rules, prefixes []byte
		if err := r.Scan(&b.BrandID, &b.Version, &b.MissesPerHour, &b.HidePlaces, &rules, &prefixes, &b.Logo, &changed); err != nil {
			return b, err
		}
		b.ChangedAt = sqldb.Time(changed)
		if rules != nil {
			err = json.Unmarshal(rules, &b.Trace)
		}
		if prefixes != nil && err == nil {
			err = json.Unmarshal(prefixes, &b.GS1Prefixes)
		}
		return b, err
	}, `SELECT brand_id, version, misses_per_hour, hide_places, trace_rules, gs1_prefixes, logo, changed_at FROM brand_settings WHERE brand_id = ?`, brand)
	if err != nil || len(all) == 0 {
		return batch.Settings{BrandID: brand}, err
	}
	return all[0], nil
}

// ChangeSettings implements batch.Catalog. The shard's stamp is taken first: of two who
// make a brand's first settings one waits for the other there.
func (s *Store) ChangeSettings(ctx context.Context, r ids.Request, c batch.SettingsChange) (version int64, replayed bool, _ error) {
	const (
		update = `UPDATE brand_settings SET version = version + 1, misses_per_hour = COALESCE(?, misses_per_hour),
			hide_places = COALESCE(?, hide_places), trace_rules = COALESCE(?, trace_rules), gs1_prefixes = COALESCE(?, gs1_prefixes), logo = COALESCE(?, logo), changed_at = ? WHERE brand_id = ?`
		insert = `INSERT INTO brand_settings (brand_id, version, misses_per_hour, hide_places, trace_rules, gs1_prefixes, logo, changed_at)
			VALUES (?, 1, COALESCE(?, 0), COALESCE(?, 0), ?, ?, COALESCE(?, ''), ?)`
		read = `SELECT version FROM brand_settings WHERE brand_id = ?`
	)
	rules, err := optional(c.Trace)
	if err != nil {
		return 0, false, fmt.Errorf("encode trace rules: %w", err)
	}
	prefixes, err := optional(c.GS1Prefixes)
	if err != nil {
		return 0, false, fmt.Errorf("encode company prefixes: %w", err)
	}
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if c.Logo != nil {
			if err := nameLogo(ctx, tx, c.BrandID, *c.Logo, s.clock.Now()); err != nil {
				return "", err
			}
		}
		stamp, err := announce(ctx, tx, ids.ShardOf(c.BrandID), s.clock)
		if err != nil {
			return "", err
		}
		at := sqldb.Micros(stamp.At)
		was, err := changed(tx.ExecContext(ctx, update, c.MissesPerHour, c.HidePlaces, rules, prefixes, c.Logo, at, c.BrandID))
		if err == nil && !was {
			_, err = tx.ExecContext(ctx, insert, c.BrandID, c.MissesPerHour, c.HidePlaces, rules, prefixes, c.Logo, at)
		}
		var now int64
		if err == nil {
			err = tx.QueryRowContext(ctx, read, c.BrandID).Scan(&now)
		}
		if err != nil {
			return "", err
		}
		return strconv.FormatInt(now, 10), insertEntry(ctx, tx, stamp, feedRow{kind: batch.SettingsChanged, id: ids.New("set"), brand: c.BrandID})
	})
	if err != nil {
		return 0, false, fmt.Errorf("change settings of brand %d: %w", c.BrandID, err)
	}
	return number(effect), replayed, nil
}

// optional is what a column of JSON is given; nil leaves it as it is.
func optional[T any](v *T) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}
