package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/limit/limitredis"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/platform/stream/streamredis"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/internal/verify/verifyredis"
)

// shared is what processes share about scans: counts of items, and the way of every
// process's log to the consumers. Without Redis there is none of it, and one process.
type shared struct {
	redis    *redisdb.DB
	streams  *streamredis.Streams
	counts   *verifyredis.Counts
	producer string // names this process's log, for good
}

const (
	fileProducer = "log-name"
	streamName   = "sightings"
)

// openShared opens Redis; summary is what its counts are loaded from.
func (a *App) openShared(ctx context.Context, summary verifyredis.Summary) (err error) {
	s := &shared{}
	if s.redis, err = redisdb.Open(ctx, redisdb.Config{URL: a.Redis, AllowUnsafe: a.AllowUnsafe, Budget: a.CountWait, Log: a.log}); err != nil {
		return err
	}
	a.closers = append(a.closers, func() error { s.redis.Close(); return nil })
	groups := []string{scan.GroupRecords, scan.GroupStatistics, scan.GroupSummary}
	if s.streams, err = streamredis.Open(s.redis, streamredis.Options{Name: streamName, Groups: groups, Clock: a.clock, Log: a.log}); err != nil {
		return err
	}
	a.closers = append(a.closers, s.streams.Close)
	if s.producer, err = producerName(filepath.Join(a.Data, fileProducer)); err != nil {
		return err
	}
	s.counts = verifyredis.New(s.redis, summary, verifyredis.Options{})
	peers := limitredis.New(s.redis, a.guard.Heard)
	a.guard.Join(peers)
	a.work.Go(func() { peers.Run(a.background) })
	a.shared = s
	a.metrics.Registry.MustRegister(redisMetrics{s.redis})
	return nil
}

// producerName is the name of this data directory's log among all of an installation, and
// of who works on tasks in it.
func producerName(path string) (string, error) {
	raw, err := os.ReadFile(path)
	switch name := strings.TrimSpace(string(raw)); {
	case err == nil && name != "":
		return name, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("read the log's name: %w", err)
	}
	name := ids.New("log")
	next := path + ".new"
	if err := os.WriteFile(next, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the log's name: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return "", fmt.Errorf("write the log's name: %w", err)
	}
	return name, nil
}

// generation is verifykv.Options.Generation: unique over all processes.
func (s *shared) generation(ctx context.Context) func(after uint32) (uint32, error) {
	if s == nil {
		return nil
	}
	return func(after uint32) (uint32, error) { return s.streams.Generation(ctx, s.producer, after) }
}

// counts is verifykv.Options.Shared; nil where this process has all scans.
func (a *App) counts() verify.Shared {
	if a.shared == nil {
		return nil
	}
	return a.shared.counts
}

// ship brings this process's log to the consumers of all.
func (a *App) ship() {
	if a.shared == nil {
		return
	}
	a.work.Go(func() {
		if err := a.shared.streams.Ship(a.background, a.shared.producer, a.sightings.Stream()); err != nil && a.background.Err() == nil {
			a.log.Error("the log of scans is no longer shipped; it stays on this machine", "error", err)
		}
	})
}

// raise is scansql.SharedConfig's Raise: what is known for good corrects what is shared.
func (a *App) raise(ctx context.Context, items []scansql.Tallied) error {
	if a.shared == nil {
		return nil
	}
	raised := make([]verifyredis.Raised, len(items))
	for i := range items {
		raised[i] = verifyredis.Raised{Serial: items[i].Serial, Sum: sumOf(&items[i])}
	}
	return a.shared.counts.Raise(ctx, raised...)
}

func sumOf(t *scansql.Tallied) verify.Sum {
	return verify.Sum{
		Count: t.Count, Sessions: t.Sessions, FirstAt: t.FirstAt, LastAt: t.LastAt,
		FirstIn: verify.Place{Place: t.FirstIn}, LastIn: verify.Place{Place: t.LastIn},
	}
}

// sqlSummary loads counts from SQL.
type sqlSummary struct{ scans *scansql.Sharded }

var _ verifyredis.Summary = sqlSummary{}

// Tally implements verifyredis.Summary.
func (s sqlSummary) Tally(ctx context.Context, serial ids.Serial) (verify.Sum, bool, error) {
	t, ok, err := s.scans.Tally(ctx, serial)
	return sumOf(&t), ok, err
}

// tally tells edges what is known for good; nil where no counts are shared.
func (a *App) tally() func(context.Context, ids.Serial) (feed.Tally, bool, error) {
	engine, ok := a.scans.(*scansql.Sharded)
	if !ok || a.shared == nil {
		return nil
	}
	return func(ctx context.Context, s ids.Serial) (feed.Tally, bool, error) {
		t, known, err := engine.Tally(ctx, s)
		return feed.Tally{
			Count: t.Count, Sessions: t.Sessions, FirstAt: t.FirstAt, LastAt: t.LastAt,
			FirstIn: [3]string{t.FirstIn.Country, t.FirstIn.Province, t.FirstIn.City},
			LastIn:  [3]string{t.LastIn.Country, t.LastIn.Province, t.LastIn.City},
		}, known, err
	}
}

// joinSummary loads counts from the process that an edge joins.
type joinSummary struct{ join *feed.Client }

var _ verifyredis.Summary = joinSummary{}

// Tally implements verifyredis.Summary.
func (j joinSummary) Tally(ctx context.Context, s ids.Serial) (verify.Sum, bool, error) {
	t, known, err := j.join.Tally(ctx, s)
	place := func(p [3]string) verify.Place {
		return verify.Place{Place: verifyevent.Place{Country: p[0], Province: p[1], City: p[2]}}
	}
	return verify.Sum{
		Count: t.Count, Sessions: t.Sessions, FirstAt: t.FirstAt, LastAt: t.LastAt, FirstIn: place(t.FirstIn), LastIn: place(t.LastIn),
	}, known, err
}

const (
	leaseAlone = "scans-counted-alone"
	aloneLife  = 30 * time.Second
)

// errNotAlone says that counts would differ by process.
var errNotAlone = fault.New(fault.Conflict, "scans.not_alone",
	"another process counts scans with this database, each would know only its own: give all of them --redis, or wait until the other has ended for 30 seconds")

// stayAlone holds others off who would count the same items' scans apart from this
// process.
func (a *App) stayAlone(ctx context.Context) error {
	if a.SQL == "" || a.shared != nil || a.AllowUnsafe || !a.Runs(RoleEdge) {
		return nil
	}
	leases := lease.New(a.db, ids.New("proc"), a.clock)
	if _, ok, err := leases.Hold(ctx, leaseAlone, aloneLife); err != nil || !ok {
		return errors.Join(err, errIf(!ok && err == nil, errNotAlone))
	}
	a.closers = append(a.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = leases.Release(ctx, leaseAlone) // it ends by itself
		return nil
	})
	a.work.Go(func() {
		t := time.NewTicker(aloneLife / 3)
		defer t.Stop()
		for {
			select {
			case <-t.C:
			case <-a.background.Done():
				return
			}
			if _, ok, err := leases.Hold(a.background, leaseAlone, aloneLife); err == nil && !ok {
				a.log.Error("another process counts scans with this database; counts of items differ by process", "fix", "give all of them --redis")
			}
		}
	})
	return nil
}

func errIf(is bool, err error) error {
	if is {
		return err
	}
	return nil
}

// redisMetrics shows the connections, by server.
type redisMetrics struct{ db *redisdb.DB }

// Describe implements prometheus.Collector: servers come and go.
func (redisMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m redisMetrics) Collect(out chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("redis_connections_active", "Connections to Redis that are open.", []string{"instance"}, nil)
	for instance, n := range m.db.Connections() {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), instance)
	}
}
