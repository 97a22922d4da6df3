package tracesql

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
)

var _ trace.Subscriptions = (*Store)(nil)

const subscriptionColumns = `subscription_id, query, brand_id, dest, schedule, if_empty, from_time, format, created_by, created_at, request,
	version, ran_at, next_at, until_time, told, sent, notified_at`

// micros and timeOf keep the zero time as 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return sqldb.Micros(t)
}

func timeOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return sqldb.Time(us)
}

func scanSubscription(r *sql.Rows) (s trace.Subscription, err error) {
	var schedule, body []byte
	var from, created, ran, next, until, notified int64
	err = r.Scan(&s.ID, &s.Query, &s.Brand, &s.Dest, &schedule, &s.ReportIfEmpty, &from, &s.Format, &s.CreatedBy, &created, &body,
		&s.Version, &ran, &next, &until, &s.Told, &s.Sent, &notified)
	if err != nil {
		return s, err
	}
	copy(s.Body[:], body)
	s.From, s.CreatedAt, s.RanAt, s.NextAt = timeOf(from), timeOf(created), timeOf(ran), timeOf(next)
	s.Until, s.NotifiedAt = timeOf(until), timeOf(notified)
	if err := json.Unmarshal(schedule, &s.Schedule); err != nil {
		return s, fmt.Errorf("decode the schedule of subscription %s: %w", s.ID, err)
	}
	return s, nil
}

// AddSubscription implements trace.Subscriptions. It holds the query's row, so that the query
// is not removed meanwhile, and two at once do not pass the bound.
func (s *Store) AddSubscription(ctx context.Context, sub *trace.Subscription) (made trace.Subscription, replayed bool, _ error) {
	schedule, err := json.Marshal(sub.Schedule)
	if err != nil {
		return made, false, fmt.Errorf("encode schedule: %w", err)
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE trace_named SET created_at = created_at + 0 WHERE brand_id = ? AND name = ?`, sub.Brand, sub.Query); err != nil {
			return err
		}
		if made, err = findSubscription(ctx, tx, sub.ID); !errors.Is(err, trace.ErrNoSubscription) {
			replayed = true
			return err
		}
		var queries, n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM trace_named WHERE brand_id = ? AND name = ?`, sub.Brand, sub.Query).Scan(&queries); err != nil {
			return err
		}
		if queries == 0 {
			return trace.ErrNoQuery
		}
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM trace_subscriptions WHERE brand_id = ?`, sub.Brand).Scan(&n); err != nil {
			return err
		}
		if n >= trace.SubscriptionsMax {
			return trace.ErrManySubscriptions
		}
		made, replayed = *sub, false
		_, err := tx.ExecContext(ctx, `INSERT INTO trace_subscriptions (`+subscriptionColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			sub.ID, sub.Query, sub.Brand, sub.Dest, schedule, sub.ReportIfEmpty, micros(sub.From), sub.Format, sub.CreatedBy, micros(sub.CreatedAt),
			sub.Body[:], sub.Version, micros(sub.RanAt), micros(sub.NextAt), micros(sub.Until), sub.Told, sub.Sent, micros(sub.NotifiedAt))
		return err
	})
	if sqldb.IsDuplicate(err) { // the same request, at once
		made, err = findSubscription(ctx, s.db.Reader(), sub.ID)
		replayed = true
	}
	if err == nil && replayed && made.Body != sub.Body {
		return trace.Subscription{}, false, idem.ErrMismatch
	}
	return made, replayed, err
}

func findSubscription(ctx context.Context, q sqldb.Querier, id string) (trace.Subscription, error) {
	all, err := sqldb.Collect(ctx, q, scanSubscription, `SELECT `+subscriptionColumns+` FROM trace_subscriptions WHERE subscription_id = ?`, id)
	if err != nil {
		return trace.Subscription{}, fmt.Errorf("load subscription: %w", err)
	}
	if len(all) == 0 {
		return trace.Subscription{}, trace.ErrNoSubscription
	}
	return all[0], nil
}

// Subscription implements trace.Subscriptions.
func (s *Store) Subscription(ctx context.Context, id string) (trace.Subscription, error) {
	return findSubscription(ctx, s.db.Reader(), id)
}

// Subscriptions implements trace.Subscriptions.
func (s *Store) Subscriptions(ctx context.Context, brand ids.BrandID, query, after string, limit int) ([]trace.Subscription, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanSubscription, `SELECT `+subscriptionColumns+` FROM trace_subscriptions
		WHERE brand_id = ? AND query = ? AND subscription_id > ? ORDER BY subscription_id LIMIT ?`, brand, query, after, limit)
}

// AllSubscriptions implements trace.Subscriptions.
func (s *Store) AllSubscriptions(ctx context.Context, after string, limit int) ([]trace.Subscription, error) {
	return sqldb.Collect(ctx, s.db.Reader(), scanSubscription,
		`SELECT `+subscriptionColumns+` FROM trace_subscriptions WHERE subscription_id > ? ORDER BY subscription_id LIMIT ?`, after, limit)
}

// RemoveSubscription implements trace.Subscriptions.
func (s *Store) RemoveSubscription(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM trace_subscriptions WHERE subscription_id = ?`, id)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM trace_places WHERE subscription_id = ?`, id)
		}
		return err
	})
}

// Places implements trace.Subscriptions.
func (s *Store) Places(ctx context.Context, id string) (trace.Places, error) {
	type place struct {
		brand ids.BrandID
		trace.Ref
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (p place, err error) {
		var at int64
		err = r.Scan(&p.brand, &at, &p.No)
		p.Time = sqldb.Time(at)
		return p, err
	}, `SELECT brand_id, record_time, event_no FROM trace_places WHERE subscription_id = ?`, id)
	out := trace.Places{}
	for _, p := range all {
		out[p.brand] = p.Ref
	}
	return out, err
}

// Advance implements trace.Subscriptions.
func (s *Store) Advance(ctx context.Context, id string, p trace.Progress, moved trace.Places) (ok bool, _ error) {
	const (
		advance = `UPDATE trace_subscriptions SET version = version + 1, ran_at = ?, next_at = ?, until_time = ?, told = ?, sent = ?, notified_at = ?
			WHERE subscription_id = ? AND version = ?`
		forget = `DELETE FROM trace_places WHERE subscription_id = ? AND brand_id = ?`
		insert = `INSERT INTO trace_places (subscription_id, brand_id, record_time, event_no) VALUES (?,?,?,?)`
	)
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		done, err := tx.ExecContext(ctx, advance, micros(p.RanAt), micros(p.NextAt), micros(p.Until), p.Told, p.Sent, micros(p.NotifiedAt), id, p.Version)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if ok = n == 1; err != nil || !ok {
			return err
		}
		for brand, at := range moved {
			if _, err := tx.ExecContext(ctx, forget, id, brand); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, insert, id, brand, sqldb.Micros(at.Time), at.No); err != nil {
				return err
			}
		}
		return nil
	})
	return ok && err == nil, err
}

// Heads implements trace.Subscriptions.
func (s *Store) Heads(ctx context.Context) (heads trace.Heads, _ error) {
	type head struct {
		shard ids.Shard
		last  int64
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (h head, err error) {
		err = r.Scan(&h.shard, &h.last)
		return h, err
	}, `SELECT shard, last FROM trace_counters`)
	for _, h := range all {
		if h.shard < ids.Shards {
			heads[h.shard] = h.last
		}
	}
	return heads, err
}

// Numbered implements trace.Subscriptions.
func (s *Store) Numbered(ctx context.Context, shard ids.Shard, from, to int64) ([]trace.Stored, error) {
	var numbers []int64
	for n := from; n <= to; n++ {
		numbers = append(numbers, numberOf(n, shard))
	}
	all, err := s.Events(ctx, numbers)
	slices.SortFunc(all, func(a, b trace.Stored) int { return cmp.Compare(a.No, b.No) })
	return all, err
}
