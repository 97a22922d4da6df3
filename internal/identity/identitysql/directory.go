package identitysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityevent"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// brandText is a list of brands as it is stored.
func brandText(brands []ids.BrandID) []byte {
	words := make([]string, len(brands))
	for i, b := range brands {
		words[i] = strconv.Itoa(int(b))
	}
	return []byte(strings.Join(words, ","))
}

func brandsOf(text []byte) (brands []ids.BrandID) {
	for word := range strings.SplitSeq(string(text), ",") {
		if n, err := strconv.ParseInt(word, 10, 32); err == nil {
			brands = append(brands, ids.BrandID(n))
		}
	}
	return brands
}

func words(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// feedKept is how many entries of the feed are kept: a process that was away for longer
// reads everything again.
const feedKept = 10_000

// tell adds to the feed. It is the last of its transaction: the counter is held until the
// commit, so that a reader never passes an entry that comes later.
func tell(ctx context.Context, tx *sqldb.Tx, kind identity.NewsKind, subject, detail string) error {
	if _, err := tx.ExecContext(ctx, `UPDATE identity_turns SET turn = turn + 1 WHERE name = 'feed'`); err != nil {
		return fmt.Errorf("stamp the feed of people: %w", err)
	}
	var seq int64
	if err := tx.QueryRowContext(ctx, `SELECT turn FROM identity_turns WHERE name = 'feed'`).Scan(&seq); err != nil {
		return fmt.Errorf("read the feed's stamp: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO identity_feed (seq, kind, subject, detail) VALUES (?,?,?,?)`, seq, string(kind), subject, detail); err != nil {
		return fmt.Errorf("tell the feed of people: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM identity_feed WHERE seq <= ?`, seq-feedKept); err != nil {
		return fmt.Errorf("shorten the feed of people: %w", err)
	}
	return nil
}

// Feed implements identity.Store.
func (s *Store) Feed(ctx context.Context, after int64, limit int) (news []identity.News, lost bool, _ error) {
	const query = `SELECT seq, kind, subject, detail FROM identity_feed WHERE seq > ? ORDER BY seq LIMIT ?`
	news, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (n identity.News, err error) {
		err = r.Scan(&n.Seq, &n.Kind, &n.Subject, &n.Detail)
		return n, err
	}, query, after, limit)
	if err != nil {
		return nil, false, fmt.Errorf("select feed: %w", err)
	}
	return news, len(news) > 0 && news[0].Seq != after+1, nil
}

// FeedEnd implements identity.Store.
func (s *Store) FeedEnd(ctx context.Context) (end int64, _ error) {
	if err := s.db.Reader().QueryRowContext(ctx, `SELECT turn FROM identity_turns WHERE name = 'feed'`).Scan(&end); err != nil {
		return 0, fmt.Errorf("read the feed's end: %w", err)
	}
	return end, nil
}

// Tenants implements identity.Store.
func (s *Store) Tenants(ctx context.Context) ([]identity.Tenant, error) {
	const query = `SELECT tenant_id, name, kind, codes_per_day, requests_per_second, requests_per_day, four_eyes_above, origins, created_at, disabled_at, disabled_reason
		FROM identity_tenants ORDER BY created_at, tenant_id`
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (t identity.Tenant, err error) {
		var origins []byte
		var created, disabled int64
		err = r.Scan(&t.ID, &t.Name, &t.Kind, &t.CodesPerDay, &t.Quota.PerSecond, &t.Quota.PerDay, &t.FourEyesAbove, &origins, &created, &disabled, &t.DisabledReason)
		t.Origins, t.CreatedAt, t.DisabledAt = words(origins), sqldb.Time(created), sqldb.Time(disabled)
		return t, err
	}, query)
	if err != nil {
		return nil, fmt.Errorf("select tenants: %w", err)
	}
	type given struct {
		tenant identity.TenantID
		brand  ids.BrandID
	}
	brands, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (g given, err error) {
		err = r.Scan(&g.tenant, &g.brand)
		return g, err
	}, `SELECT tenant_id, brand_id FROM identity_tenant_brands ORDER BY tenant_id, brand_id`)
	if err != nil {
		return nil, fmt.Errorf("select brands of tenants: %w", err)
	}
	for _, g := range brands {
		if i := slices.IndexFunc(all, func(t identity.Tenant) bool { return t.ID == g.tenant }); i >= 0 {
			all[i].Brands = append(all[i].Brands, g.brand)
		}
	}
	return all, nil
}

// AddTenant implements identity.Store.
func (s *Store) AddTenant(ctx context.Context, r ids.Request, t identity.Tenant) (identity.TenantID, bool, error) {
	const insert = `INSERT INTO identity_tenants (tenant_id, name, kind, codes_per_day, requests_per_second, requests_per_day, four_eyes_above, origins, created_at, disabled_at, disabled_reason)
		VALUES (?,?,?,?,?,?,?,?,?,?,?)`
	id, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		_, err := tx.ExecContext(ctx, insert, string(t.ID), t.Name, string(t.Kind), t.CodesPerDay, t.Quota.PerSecond, t.Quota.PerDay, t.FourEyesAbove, []byte(strings.Join(t.Origins, "\n")),
			sqldb.Micros(t.CreatedAt), sqldb.Micros(t.DisabledAt), t.DisabledReason)
		if err != nil {
			return "", fmt.Errorf("insert tenant: %w", err)
		}
		for _, b := range t.Brands {
			if _, err := tx.ExecContext(ctx, `INSERT INTO identity_tenant_brands (tenant_id, brand_id) VALUES (?,?)`, string(t.ID), b); err != nil {
				return "", fmt.Errorf("insert brand of tenant: %w", err)
			}
		}
		return string(t.ID), tellTenant(ctx, tx, t, t.CreatedAt)
	})
	return identity.TenantID(id), replayed, err
}

// tellTenant tells processes, and in the outbox everybody else.
func tellTenant(ctx context.Context, tx *sqldb.Tx, t identity.Tenant, now time.Time) error {
	e := identityevent.Tenant{
		TenantID: string(t.ID), Name: t.Name, Kind: string(t.Kind), CodesPerDay: t.CodesPerDay, Disabled: !t.DisabledAt.IsZero(), Brands: []int32{},
	}
	for _, b := range t.Brands {
		e.Brands = append(e.Brands, int32(b))
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode tenant: %w", err)
	}
	if err := tell(ctx, tx, identity.DirectoryNews, "", ""); err != nil {
		return err
	}
	stamp, err := outbox.Commit(ctx, tx, ids.ShardOf(0), now)
	if err != nil {
		return err
	}
	return outbox.Append(ctx, tx, stamp, outbox.Event{Type: identityevent.TenantUpdated, Subject: string(t.ID), Data: data})
}

// ChangeTenant implements identity.Store.
func (s *Store) ChangeTenant(ctx context.Context, t identity.Tenant, now time.Time) error {
	const change = `UPDATE identity_tenants SET name = ?, codes_per_day = ?, requests_per_second = ?, requests_per_day = ?, four_eyes_above = ?, origins = ?, disabled_at = ?, disabled_reason = ? WHERE tenant_id = ?`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, change, t.Name, t.CodesPerDay, t.Quota.PerSecond, t.Quota.PerDay, t.FourEyesAbove, []byte(strings.Join(t.Origins, "\n")),
			sqldb.Micros(t.DisabledAt), t.DisabledReason, string(t.ID))
		if err != nil {
			return fmt.Errorf("update tenant %s: %w", t.ID, err)
		}
		return tellTenant(ctx, tx, t, now)
	})
}

// SetBrand implements identity.Store.
func (s *Store) SetBrand(ctx context.Context, t identity.TenantID, b ids.BrandID, has bool) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM identity_tenant_brands WHERE tenant_id = ? AND brand_id = ?`, string(t), b)
		if err == nil && has {
			_, err = tx.ExecContext(ctx, `INSERT INTO identity_tenant_brands (tenant_id, brand_id) VALUES (?,?)`, string(t), b)
		}
		if err != nil {
			return fmt.Errorf("set brand %d of tenant %s: %w", b, t, err)
		}
		return tell(ctx, tx, identity.DirectoryNews, "", "")
	})
}

// Roles implements identity.Store.
func (s *Store) Roles(ctx context.Context) ([]identity.CustomRole, error) {
	return sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (c identity.CustomRole, err error) {
		var may []byte
		err = r.Scan(&c.ID, &c.Tenant, &c.Name, &may)
		for _, p := range words(may) {
			c.Permissions = append(c.Permissions, identity.Permission(p))
		}
		return c, err
	}, `SELECT role_id, tenant_id, name, permissions FROM identity_roles ORDER BY role_id`)
}

func permissionText(c *identity.CustomRole) []byte {
	var may []string
	for _, p := range c.Permissions {
		may = append(may, string(p))
	}
	return []byte(strings.Join(may, "\n"))
}

// AddRole implements identity.Store.
func (s *Store) AddRole(ctx context.Context, r ids.Request, c identity.CustomRole) (identity.Role, bool, error) {
	const insert = `INSERT INTO identity_roles (role_id, tenant_id, name, permissions) VALUES (?,?,?,?)`
	id, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if _, err := tx.ExecContext(ctx, insert, string(c.ID), string(c.Tenant), c.Name, permissionText(&c)); err != nil {
			return "", taken(err, identity.ErrRoleTaken)
		}
		return string(c.ID), tell(ctx, tx, identity.DirectoryNews, "", "")
	})
	return identity.Role(id), replayed, err
}

// taken is what the second of two with one name is told.
func taken(err error, as error) error {
	if sqldb.IsDuplicate(err) {
		return as
	}
	return err
}

// ChangeRole implements identity.Store.
func (s *Store) ChangeRole(ctx context.Context, c identity.CustomRole) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		const change = `UPDATE identity_roles SET name = ?, permissions = ? WHERE role_id = ?`
		if _, err := tx.ExecContext(ctx, change, c.Name, permissionText(&c), string(c.ID)); err != nil {
			return taken(err, identity.ErrRoleTaken)
		}
		return tell(ctx, tx, identity.DirectoryNews, "", "")
	})
}

// DropRole implements identity.Store.
func (s *Store) DropRole(ctx context.Context, id identity.Role) error {
	return s.inTurn(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		const query = `SELECT (SELECT COUNT(*) FROM identity_users WHERE role_id = ? AND state <> 'erased') + (SELECT COUNT(*) FROM identity_keys WHERE role = ? AND revoked_at = 0)`
		var used int
		if err := tx.QueryRowContext(ctx, query, string(id), string(id)).Scan(&used); err != nil {
			return fmt.Errorf("count users of role %s: %w", id, err)
		}
		if used > 0 {
			return identity.ErrRoleUsed
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_roles WHERE role_id = ?`, string(id)); err != nil {
			return fmt.Errorf("delete role %s: %w", id, err)
		}
		return tell(ctx, tx, identity.DirectoryNews, "", "")
	})
}

// TakeCodes implements identity.Store. The update decides; the row may have to be made.
func (s *Store) TakeCodes(ctx context.Context, t identity.TenantID, day string, n, most int64) error {
	const add = `UPDATE identity_usage SET codes = codes + ? WHERE tenant_id = ? AND day = ? AND (? < 0 OR codes + ? <= ?)`
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO identity_usage (tenant_id, day, codes) VALUES (?,?,0)`, string(t), day)
		if err != nil && !sqldb.IsDuplicate(err) {
			return fmt.Errorf("begin a day of tenant %s: %w", t, err)
		}
		ok, err := changed(tx.ExecContext(ctx, add, n, string(t), day, n, n, most))
		if err == nil && !ok {
			err = identity.ErrQuota
		}
		return err
	})
}
