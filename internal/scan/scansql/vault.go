package scansql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// Vault keeps the brands' policies and the keys of sealed addresses. Forgetting is
// deleting keys: no record is written again.
type Vault struct {
	db    *sqldb.DB
	wrap  [32]byte
	clock clock.Clock
	log   *slog.Logger

	mu      sync.Mutex
	kept    map[brandDay]kept // guarded by mu
	unclean bool              // guarded by mu; deleted keys may still stand in the log of the database
}

type brandDay struct {
	brand ids.BrandID
	day   scan.Day
}

// kept is what memory knows of a brand and day. A nil sealer says that nothing is
// to be sealed; either is asked again after a minute, for other processes.
type kept struct {
	sealer *scan.Sealer
	until  time.Time
}

const (
	keptLife = time.Minute
	keptMax  = 10_000
)

var _ scan.Policies = (*Vault)(nil)

// NewVault makes the vault of a migrated database. A file of SQLite should be its own:
// deleting keys for good empties the database's log. A server keeps what was deleted in
// its undo and binary logs for as long as its operator lets it.
func NewVault(ctx context.Context, db *sqldb.DB, wrap [32]byte, c clock.Clock, log *slog.Logger) (*Vault, error) {
	v := &Vault{db: db, wrap: wrap, clock: c, log: log, kept: map[brandDay]kept{}, unclean: db.Dialect() == sqldb.SQLite}
	err := v.clean(ctx)
	return v, err
}

// Policy implements scan.Policies.
func (v *Vault) Policy(ctx context.Context, brand ids.BrandID) (scan.Policy, error) {
	p := scan.Policy{Brand: brand, IPDays: scan.IPDaysUsual}
	var changed int64
	err := v.db.Reader().QueryRowContext(ctx, `SELECT ip_days, changed_at FROM scan_policies WHERE brand_id = ?`, brand).Scan(&p.IPDays, &changed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("read scan policy of brand %d: %w", brand, err)
	}
	p.ChangedAt = sqldb.Time(changed)
	return p, nil
}

// SetPolicy implements scan.Policies.
func (v *Vault) SetPolicy(ctx context.Context, r ids.Request, p scan.Policy) (scan.Policy, bool, error) {
	now := v.clock.Now()
	effect, replayed, err := idem.Once(ctx, v.db, v.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		query := upsertPolicy
		if v.db.Dialect() == sqldb.MySQL {
			query = upsertPolicyMySQL
		}
		_, err := tx.ExecContext(ctx, query, p.Brand, p.IPDays, sqldb.Micros(now))
		return strconv.Itoa(p.IPDays), err
	})
	if err != nil {
		return p, false, fmt.Errorf("set scan policy of brand %d: %w", p.Brand, err)
	}
	if replayed {
		p.IPDays, err = strconv.Atoi(effect)
		return p, true, err
	}
	_, err = v.Forget(ctx)
	p.ChangedAt = now
	return p, false, err
}

// MayShow implements scan.Policies.
func (v *Vault) MayShow(ctx context.Context, brand ids.BrandID, day scan.Day) (bool, error) {
	p, err := v.Policy(ctx, brand)
	return p.Keeps(day, scan.DayAt(v.clock.Now())), err
}

// Forget deletes the keys that are older than their brand's policy, so that the
// addresses that they sealed are noise from now on.
func (v *Vault) Forget(ctx context.Context) (keys int64, _ error) {
	today := scan.DayAt(v.clock.Now())
	err := v.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if v.db.Dialect() == sqldb.SQLite {
			if err := secureDelete(ctx, tx); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM scan_keys WHERE day < ? - COALESCE((SELECT ip_days FROM scan_policies WHERE scan_policies.brand_id = scan_keys.brand_id), ?)
			OR brand_id IN (SELECT brand_id FROM scan_policies WHERE ip_days = 0)`, today, scan.IPDaysUsual)
		if err != nil {
			return err
		}
		keys, err = res.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget addresses: %w", err)
	}
	v.mu.Lock()
	clear(v.kept) // whoever seals asks again, and gets none for what was forgotten
	v.unclean = v.unclean || keys > 0 && v.db.Dialect() == sqldb.SQLite
	v.mu.Unlock()
	if keys > 0 {
		v.log.InfoContext(ctx, "addresses of scans forgotten", "brand_days", keys)
	}
	return keys, v.clean(ctx)
}

// clean takes deleted keys out of the database's log too. When a reader is in the
// way the next Forget tries again.
func (v *Vault) clean(ctx context.Context) error {
	v.mu.Lock()
	unclean := v.unclean
	v.mu.Unlock()
	if !unclean {
		return nil
	}
	done, err := emptyLog(ctx, v.db)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.unclean = !done
	v.mu.Unlock()
	if !done {
		v.log.WarnContext(ctx, "deleted keys of addresses may still be in the log of the database; it is tried again", "database", v.db.Name())
	}
	return nil
}

// Sealer gives the sealer for a brand's addresses of a day, and makes its key when
// it is the first; nil when the policy says that they are not to be kept.
func (v *Vault) Sealer(ctx context.Context, brand ids.BrandID, day scan.Day) (*scan.Sealer, error) {
	id, now := brandDay{brand, day}, v.clock.Now()
	v.mu.Lock()
	k, ok := v.kept[id]
	v.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.sealer, nil
	}
	p, err := v.Policy(ctx, brand)
	if err != nil {
		return nil, err
	}
	k = kept{until: now.Add(keptLife)}
	if p.Keeps(day, scan.DayAt(now)) {
		if k.sealer, err = v.key(ctx, id, true); err != nil {
			return nil, err
		}
	}
	v.mu.Lock()
	if len(v.kept) >= keptMax {
		clear(v.kept)
	}
	v.kept[id] = k
	v.mu.Unlock()
	return k.sealer, nil
}

// Opener gives the sealer of a brand and day when its key still is there.
func (v *Vault) Opener(ctx context.Context, brand ids.BrandID, day scan.Day) (*scan.Sealer, error) {
	return v.key(ctx, brandDay{brand, day}, false)
}

// key reads a key, and makes it when it is not there and is wanted.
func (v *Vault) key(ctx context.Context, id brandDay, create bool) (*scan.Sealer, error) {
	wrapped, err := readKey(ctx, v.db.Reader(), id)
	if err == nil && wrapped == nil && create {
		err = v.db.Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
			fresh := scan.Wrap(v.wrap, id.brand, id.day, scan.NewSealKey())
			query := insertKey
			if v.db.Dialect() == sqldb.MySQL {
				query = insertKeyMySQL
			}
			if _, err := tx.ExecContext(ctx, query, id.brand, id.day, fresh); err != nil {
				return err
			}
			wrapped, err = readKey(ctx, tx, id) // another process may have been first
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("key of brand %d on %s: %w", id.brand, id.day, err)
	}
	if wrapped == nil {
		return nil, nil
	}
	k, err := scan.Unwrap(v.wrap, id.brand, id.day, wrapped)
	if err != nil {
		return nil, fmt.Errorf("key of brand %d on %s (was the installation's key changed?): %w", id.brand, id.day, err)
	}
	return scan.NewSealer(k), nil
}

func readKey(ctx context.Context, q sqldb.Querier, id brandDay) (wrapped []byte, _ error) {
	err := q.QueryRowContext(ctx, `SELECT wrapped FROM scan_keys WHERE brand_id = ? AND day = ?`, id.brand, id.day).Scan(&wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return wrapped, err
}
