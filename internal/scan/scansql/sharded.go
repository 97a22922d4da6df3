package scansql

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Sharded keeps what became of scans in the databases of an installation: all of a brand
// in its own, in a Shared each. What spans brands is gathered.
type Sharded struct {
	dbs   *sqldb.Shards
	all   []*Shared // as dbs.All
	of    map[*sqldb.DB]*Shared
	codes scan.Codes
}

// Over brings the tables to their newest form. The databases stay the caller's.
func Over(ctx context.Context, dbs *sqldb.Shards, cfg SharedConfig, codes scan.Codes, c clock.Clock, log *slog.Logger) (*Sharded, error) {
	s := &Sharded{dbs: dbs, of: map[*sqldb.DB]*Shared{}, codes: codes}
	for _, db := range dbs.All() {
		one, err := OpenShared(ctx, db, cfg, codes, c, log)
		if err != nil {
			return nil, err
		}
		if len(dbs.All()) > 1 {
			mine := func(b ids.BrandID) bool { return dbs.Of(ids.ShardOf(b)) == db }
			one.Statistics.mine, one.Summary.mine = mine, mine
		}
		s.of[db] = one
		s.all = append(s.all, one)
	}
	return s, nil
}

// KeepRecords is Shared's, in all databases.
func (s *Sharded) KeepRecords(days int) {
	for _, one := range s.all {
		one.KeepRecords(days)
	}
}

// Config is Shared's.
func (s *Sharded) Config() stream.Config { return s.all[0].Config() }

func (s *Sharded) brand(b ids.BrandID) *Shared { return s.of[s.dbs.Of(ids.ShardOf(b))] }

// own leaves those whose brand is kept here; nil = all are.
func own(seen []*scan.Seen, mine func(ids.BrandID) bool) []*scan.Seen {
	if mine == nil {
		return seen
	}
	return slices.DeleteFunc(seen, func(s *scan.Seen) bool { return !mine(s.Brand) })
}

// ask asks all databases at once.
func ask[T any](s *Sharded, fn func(*Shared) (T, error)) ([]T, error) {
	answers, errs := make([]T, len(s.all)), make([]error, len(s.all))
	var asked sync.WaitGroup
	for i, one := range s.all {
		asked.Go(func() { answers[i], errs[i] = fn(one) })
	}
	asked.Wait()
	return answers, errors.Join(errs...)
}

// Wire fills in what the service needs of this engine.
func (s *Sharded) Wire(d *scan.Deps) {
	d.Records, d.ByCode, d.Statistics, d.Policies = shardedRecords{s}, shardedRecords{s}, shardedStatistics{s}, shardedPolicies{s}
}

// Consumers are the groups that read the log, and their effects.
func (s *Sharded) Consumers() map[string]stream.Handler {
	return map[string]stream.Handler{
		scan.GroupRecords: shardedRecords{s}, scan.GroupStatistics: shardedStatistics{s},
		scan.GroupSummary: stream.HandlerFunc(func(ctx context.Context, lane int, batch []stream.Message) error {
			return s.each(batch, func(one *Shared) error { return one.Summary.Handle(ctx, lane, batch) })
		}),
	}
}

// each hands a batch to every database. Each has an inbox of its own and counts what is
// its own, but notes all of the lane as consumed: otherwise others' scans would leave gaps.
func (s *Sharded) each(batch []stream.Message, handle func(*Shared) error) error {
	if _, err := seenOfAll(batch); err != nil { // from now on they are only read
		return err
	}
	_, err := ask(s, func(one *Shared) (struct{}, error) { return struct{}{}, handle(one) })
	return err
}

// Highest is the last position of any log that something here knows of.
func (s *Sharded) Highest(ctx context.Context) (stream.Position, error) {
	all, err := ask(s, func(one *Shared) (stream.Position, error) { return one.Highest(ctx) })
	return slices.Max(all), err
}

// Keep looks after each database until ctx ends.
func (s *Sharded) Keep(ctx context.Context, floor func(context.Context) (time.Time, error), log *slog.Logger) {
	_ = s.each(nil, func(one *Shared) error { one.Keep(ctx, floor, log); return nil })
}

// Tally is Summary's.
func (s *Sharded) Tally(ctx context.Context, serial ids.Serial) (Tallied, bool, error) {
	return s.of[s.dbs.Of(serial.Shard())].Summary.Tally(ctx, serial)
}

// OpenFrom tells that no log must keep anything for questions.
func (*Sharded) OpenFrom() (stream.Position, bool) { return 0, false }

// Close ends nothing: the databases are the caller's.
func (*Sharded) Close() error { return nil }

type shardedRecords struct{ *Sharded }

var (
	_ scan.Records   = shardedRecords{}
	_ scan.ByCode    = shardedRecords{}
	_ stream.Handler = shardedRecords{}
)

// Handle implements stream.Handler.
func (s shardedRecords) Handle(ctx context.Context, _ int, batch []stream.Message) error {
	seen, err := seenOfAll(batch)
	if err != nil {
		return err
	}
	return outOfReach(s.Add(ctx, seen))
}

// Add implements scan.Records: within a day of a database all or nothing, and what is
// there already is left alone.
func (s shardedRecords) Add(ctx context.Context, seen []*scan.Seen) error {
	parts := map[*Shared][]*scan.Seen{}
	for _, v := range seen {
		one := s.brand(v.Brand)
		parts[one] = append(parts[one], v)
	}
	return s.each(nil, func(one *Shared) error { return one.Records.Add(ctx, parts[one]) })
}

// Find implements scan.Records.
func (s shardedRecords) Find(ctx context.Context, ref verifyevent.Ref) (found scan.Record, ok bool, _ error) {
	for _, one := range s.all {
		if rec, ok, err := one.Records.Find(ctx, ref); err != nil || ok {
			return rec, ok, err
		}
	}
	return found, false, nil
}

// OfDay implements scan.Records.
func (s shardedRecords) OfDay(ctx context.Context, day scan.Day, code string, limit int) ([]scan.Record, error) {
	lists, err := ask(s.Sharded, func(one *Shared) ([]scan.Record, error) { return one.Records.OfDay(ctx, day, code, limit) })
	all := slices.Concat(lists...)
	return all[:min(limit, len(all))], err
}

// OfCode implements scan.ByCode.
func (s shardedRecords) OfCode(ctx context.Context, code string, from verifyevent.Ref, limit int) ([]scan.Record, verifyevent.Ref, error) {
	serial, err := s.codes.Serial(ctx, code)
	if err != nil {
		return nil, verifyevent.Ref{}, err
	}
	return s.of[s.dbs.Of(serial.Shard())].Records.OfCode(ctx, code, from, limit)
}

// Each implements scan.Records: the databases' records, each in order, merged.
func (s shardedRecords) Each(ctx context.Context, day scan.Day, fn func(scan.Record) error) error {
	var heads []head
	var stops []func()
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	for _, one := range s.all {
		next, stop := iter.Pull2(recordsOf(ctx, one, day))
		heads, stops = append(heads, head{next: next}), append(stops, stop)
	}
	for i := range heads {
		heads[i].step()
	}
	for {
		heads = slices.DeleteFunc(heads, func(h head) bool { return !h.ok })
		if len(heads) == 0 {
			return nil
		}
		first := &heads[0]
		for i := range heads {
			if compareRefs(heads[i].rec.Ref, first.rec.Ref) < 0 {
				first = &heads[i]
			}
		}
		if first.err == nil {
			first.err = fn(first.rec)
		}
		if first.err != nil {
			return first.err
		}
		first.step()
	}
}

// head is the next record of one database.
type head struct {
	next func() (scan.Record, error, bool)
	rec  scan.Record
	err  error
	ok   bool
}

func (h *head) step() { h.rec, h.err, h.ok = h.next() }

func recordsOf(ctx context.Context, one *Shared, day scan.Day) iter.Seq2[scan.Record, error] {
	return func(yield func(scan.Record, error) bool) {
		err := one.Records.Each(ctx, day, func(rec scan.Record) error {
			if !yield(rec, nil) {
				return errNotHere
			}
			return nil
		})
		if err != nil && !errors.Is(err, errNotHere) {
			yield(scan.Record{}, err)
		}
	}
}

// Days implements scan.Records: a day is closed when it is everywhere.
func (s shardedRecords) Days(ctx context.Context) (days []scan.DayInfo, _ error) {
	lists, err := ask(s.Sharded, func(one *Shared) ([]scan.DayInfo, error) { return one.Records.Days(ctx) })
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b scan.DayInfo) int { return cmp.Compare(a.Day, b.Day) })
	for _, d := range all {
		if n := len(days); n > 0 && days[n-1].Day == d.Day {
			days[n-1].Closed = days[n-1].Closed && d.Closed
			continue
		}
		days = append(days, d)
	}
	return days, err
}

type shardedStatistics struct{ *Sharded }

var (
	_ scan.Statistics = shardedStatistics{}
	_ stream.Handler  = shardedStatistics{}
)

// Handle implements stream.Handler.
func (s shardedStatistics) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	return s.each(batch, func(one *Shared) error { return one.Statistics.Handle(ctx, lane, batch) })
}

// Sum implements scan.Statistics.
func (s shardedStatistics) Sum(ctx context.Context, q scan.SumAsk) ([]scan.Sum, error) {
	if q.Brand != 0 {
		return s.brand(q.Brand).Statistics.Sum(ctx, q)
	}
	lists, err := ask(s.Sharded, func(one *Shared) ([]scan.Sum, error) { return one.Statistics.Sum(ctx, q) })
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, compareSums)
	var sums []scan.Sum
	for _, sum := range all {
		if n := len(sums); n > 0 && compareSums(sums[n-1], sum) == 0 {
			sums[n-1].Add(sum.Counts)
			continue
		}
		sums = append(sums, sum)
	}
	if len(sums) > q.RowsMax {
		return nil, scan.ErrTooMuch
	}
	return sums, nil
}

// Distinct implements scan.Statistics.
func (s shardedStatistics) Distinct(ctx context.Context, f scan.Filter, from, to scan.Day) (*scan.Sketch, bool, error) {
	if f.Brand != 0 {
		return s.brand(f.Brand).Statistics.Distinct(ctx, f, from, to)
	}
	all, err := ask(s.Sharded, func(one *Shared) (*scan.Sketch, error) {
		k, _, err := one.Statistics.Distinct(ctx, f, from, to)
		return k, err
	})
	if err != nil || slices.Contains(all, nil) {
		return nil, false, err
	}
	for _, k := range all[1:] {
		all[0].Unite(k)
	}
	return all[0], true, nil
}

// TopCodes implements scan.Statistics.
func (s shardedStatistics) TopCodes(ctx context.Context, brand ids.BrandID, limit int) ([]scan.TopCode, error) {
	return s.brand(brand).Statistics.TopCodes(ctx, brand, limit)
}

// Items implements scan.Statistics.
func (s shardedStatistics) Items(ctx context.Context, brand ids.BrandID, since, before time.Time, beforeSerial ids.Serial, limit int) ([]scan.Item, error) {
	return s.brand(brand).Statistics.Items(ctx, brand, since, before, beforeSerial, limit)
}

// Newest implements scan.Statistics.
func (s shardedStatistics) Newest() time.Time {
	all, _ := ask(s.Sharded, func(one *Shared) (time.Time, error) { return one.Statistics.Newest(), nil })
	return slices.MaxFunc(all, time.Time.Compare)
}

type shardedPolicies struct{ *Sharded }

var _ scan.Policies = shardedPolicies{}

// Policy implements scan.Policies.
func (s shardedPolicies) Policy(ctx context.Context, brand ids.BrandID) (scan.Policy, error) {
	return s.brand(brand).Vault.Policy(ctx, brand)
}

// SetPolicy implements scan.Policies.
func (s shardedPolicies) SetPolicy(ctx context.Context, r ids.Request, p scan.Policy) (scan.Policy, bool, error) {
	return s.brand(p.Brand).Vault.SetPolicy(ctx, r, p)
}

// MayShow implements scan.Policies.
func (s shardedPolicies) MayShow(ctx context.Context, brand ids.BrandID, day scan.Day) (bool, error) {
	return s.brand(brand).Vault.MayShow(ctx, brand, day)
}
