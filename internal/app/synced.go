package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scanevent"
)

const (
	syncedLook  = 5 * time.Second // how often a group is asked
	syncedEvery = time.Minute     // how often it is told while there are scans
	syncedIdle  = time.Hour       // and while there are none
)

// tellSynced tells up to when records and statistics have every scan.
func (a *App) tellSynced() {
	what := map[string]string{scan.GroupRecords: scanevent.Records, scan.GroupStatistics: scanevent.Statistics}
	for _, c := range a.consumers {
		if what[c.group.Name()] == "" {
			continue
		}
		t := &syncedTeller{what: what[c.group.Name()], newest: a.newest, tell: a.tellAll, clock: a.clock}
		t.at = a.clock.Now().Add(-syncedEvery)
		t.through = func(ctx context.Context) (time.Time, error) {
			at, err := c.group.Through(ctx)
			if at.IsZero() {
				return at, err
			}
			return at.Add(-a.dbs.StaleBy()), err // answers may come from replicas
		}
		t.turn = func(ctx context.Context) (bool, error) {
			// Each telling is another owner, so that the lease of the last one must end first.
			_, ok, err := lease.New(a.db, ids.New("told"), a.clock).Hold(ctx, "synced-"+t.what, syncedEvery)
			return ok, err
		}
		a.work.Go(func() {
			look := time.NewTicker(syncedLook)
			defer look.Stop()
			for {
				select {
				case <-look.C:
				case <-a.background.Done():
					return
				}
				if err := t.look(a.background); err != nil && a.background.Err() == nil {
					a.log.Warn("it cannot be told up to when scans are consumed", "what", t.what, "error", err)
				}
			}
		})
	}
}

const carryEvery = time.Second

// carryTold brings what was told at home to those who read: tenants are the home's, and what
// is of no brand is read in shard 0.
func (a *App) carryTold() {
	shard := ids.ShardOf(0)
	if a.dbs.Of(shard) == a.db {
		return
	}
	a.work.Go(func() {
		look := time.NewTicker(carryEvery)
		defer look.Stop()
		for {
			if err := a.outbox.Carry(a.background, shard, a.clock.Now); err != nil && a.background.Err() == nil {
				a.log.Warn("what was told at home is not read yet, will try again", "error", err)
			}
			select {
			case <-look.C:
			case <-a.background.Done():
				return
			}
		}
	})
}

// tellAll writes an event that is of no brand.
func (a *App) tellAll(ctx context.Context, e scanevent.Synced) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	shard := ids.ShardOf(0)
	return a.dbs.Of(shard).Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		stamp, err := outbox.Commit(ctx, tx, shard, a.clock.Now())
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, stamp, outbox.Event{Type: scanevent.DataSynced, Subject: e.What, Data: data})
	})
}

// syncedTeller tells of one group.
type syncedTeller struct {
	what    string
	through func(context.Context) (time.Time, error)
	newest  func() time.Time                    // the newest scan that was counted
	turn    func(context.Context) (bool, error) // false: it was told a short while ago
	tell    func(context.Context, scanevent.Synced) error
	clock   clock.Clock

	at   time.Time // of the last turn
	told time.Time // through which time
}

// look tells how far the group has come: every minute while that says something of new scans.
func (t *syncedTeller) look(ctx context.Context) error {
	through, err := t.through(ctx) // also when nothing will be told: it follows who asks
	since := t.clock.Now().Sub(t.at)
	if err != nil || !through.After(t.told) || since < syncedEvery {
		return err
	}
	if since < syncedIdle && !t.newest().After(t.told) {
		return nil
	}
	ok, err := t.turn(ctx)
	if err != nil {
		return err
	}
	t.at = t.clock.Now()
	if !ok {
		return nil
	}
	if err := t.tell(ctx, scanevent.Synced{What: t.what, Through: through}); err != nil {
		return err
	}
	t.told = through
	return nil
}
