package notifysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	followBatch = 100
	followPoll  = time.Second
	followLife  = 15 * time.Second // of the lease
)

// Follower puts the events of the store's outbox on their way to the endpoints of their brands,
// each once: deliveries and position are one transaction. Of several processes one works.
// What was told before an endpoint was registered is not sent to it.
type Follower struct {
	store  *Store
	leases *lease.Leases
	source string
	log    *slog.Logger
	woken  chan struct{}
	passed func() // told when something was put on its way
}

// NewFollower makes a follower. source is the installation's public URL.
func NewFollower(s *Store, l *lease.Leases, source string, log *slog.Logger, passed func()) *Follower {
	return &Follower{store: s, leases: l, source: source, log: log, woken: make(chan struct{}, 1), passed: passed}
}

// Wake tells that there may be new events. It never waits.
func (f *Follower) Wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// Lead reports whether it is this process's turn, for the courier: who puts on the way
// also sends.
func (f *Follower) Lead(ctx context.Context) (bool, error) {
	_, ok, err := f.leases.Hold(ctx, notify.Group, followLife)
	return ok, err
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	defer func() { _ = f.leases.Release(context.WithoutCancel(ctx), notify.Group) }() // or it runs out
	for ctx.Err() == nil {
		err := f.lead(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, outbox.ErrFenced) {
			f.log.Warn("events are not put on their way to webhooks, will try again", "error", err)
		}
		f.rest(ctx)
	}
}

func (f *Follower) lead(ctx context.Context) error {
	token, ok, err := f.leases.Hold(ctx, notify.Group, followLife)
	if err != nil || !ok {
		return err
	}
	at, err := f.store.told.Resume(ctx, notify.Group, token)
	for err == nil && ctx.Err() == nil {
		again, ok, err := f.leases.Hold(ctx, notify.Group, followLife)
		if err != nil || !ok || again != token {
			return err
		}
		next, err := f.step(ctx, token, at)
		switch {
		case err != nil:
			return err
		case next == at:
			f.rest(ctx)
		}
		at = next
	}
	return err
}

// step takes the next events and gives the position behind them.
func (f *Follower) step(ctx context.Context, token int64, at outbox.Cursor) (outbox.Cursor, error) {
	events, next, err := f.store.told.Read(ctx, at, followBatch)
	if err != nil || len(events) == 0 {
		return at, err
	}
	of, err := f.endpoints(ctx)
	if err != nil {
		return at, err
	}
	now, sent := f.store.clock.Now(), 0
	err = f.store.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		sent = 0
		for i := range events {
			n, err := f.pass(ctx, tx, &events[i], of[events[i].BrandID], now)
			if err != nil {
				return err
			}
			sent += n
		}
		return outbox.AdvanceIn(ctx, tx, notify.Group, token, at, next)
	})
	if err != nil {
		return at, err
	}
	if sent > 0 {
		f.passed()
	}
	return next, nil
}

func (f *Follower) pass(ctx context.Context, tx *sqldb.Tx, e *outbox.Event, to []listener, now time.Time) (sent int, _ error) {
	d := notify.Delivery{Event: e.ID, DueAt: now, CreatedAt: now}
	for i := range to {
		if !to[i].Wants(e.Type) || e.Seq <= to[i].after {
			continue
		}
		if d.Body == nil {
			var err error
			if d.Body, err = json.Marshal(e.CloudEvent(f.source)); err != nil {
				return 0, fmt.Errorf("encode event %s: %w", e.ID, err)
			}
		}
		if err := add(ctx, tx, to[i].ID, &d); err != nil {
			return 0, err
		}
		sent++
	}
	return sent, nil
}

// listener is an endpoint and from where on events are for it.
type listener struct {
	notify.Endpoint
	after int64
}

const endpointsPage = 1000

// endpoints are all there are, by brand.
func (f *Follower) endpoints(ctx context.Context) (map[ids.BrandID][]listener, error) {
	const query = `SELECT ` + endpointColumns + `, after_seq FROM notify_endpoints WHERE endpoint_id > ? AND types <> '-' ORDER BY endpoint_id LIMIT ?`
	of := map[ids.BrandID][]listener{}
	for after := notify.EndpointID(""); ; {
		page, err := sqldb.Collect(ctx, f.store.db.Reader(), scanListener, query, after, endpointsPage)
		if err != nil {
			return nil, fmt.Errorf("list webhooks: %w", err)
		}
		for _, l := range page {
			of[l.Brand], after = append(of[l.Brand], l), l.ID
		}
		if len(page) < endpointsPage {
			return of, nil
		}
	}
}

func scanListener(r *sql.Rows) (l listener, err error) {
	l.Endpoint, err = scanEndpoint(r, &l.after)
	return l, err
}

func (f *Follower) rest(ctx context.Context) {
	timer := time.NewTimer(followPoll)
	defer timer.Stop()
	select {
	case <-f.woken:
	case <-timer.C:
	case <-ctx.Done():
	}
}
