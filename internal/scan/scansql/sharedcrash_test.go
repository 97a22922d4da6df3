package scansql_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/test/servers"
)

// checkShared holds all that an engine says to the sightings themselves.
func checkShared(t *testing.T, e *scansql.Shared, seen []scan.Seen) {
	t.Helper()
	scantest.CheckStatistics(t, e.Statistics, seen)
	ok(t, e.Statistics.Fold(t.Context()))
	scantest.CheckStatistics(t, e.Statistics, seen)
	checkRecords(t, e.Records, seen)
	for serial, want := range summaries(seen) {
		got, there, err := e.Summary.Tally(t.Context(), serial)
		if diff := cmp.Diff(want, got); !there || err != nil || diff != "" {
			t.Fatalf("summary of %d: %v, %v (-want +got):\n%s", serial, there, err, diff)
		}
	}
	if _, there, err := e.Summary.Tally(t.Context(), ids.SerialCount-1); there || err != nil {
		t.Errorf("an item that nobody scanned has a summary: %v, %v", there, err)
	}
	last := seen[len(seen)-1].Ref.At
	if high, err := e.Highest(t.Context()); err != nil || uint64(high) != last {
		t.Errorf("highest %v, %v, want %v", high, err, stream.Position(last))
	}
}

// summaries is what they must be. The times of scantest's traffic grow.
func summaries(seen []scan.Seen) map[ids.Serial]scansql.Tallied {
	all := map[ids.Serial]scansql.Tallied{}
	for _, s := range seen {
		t, ok := all[s.Serial]
		if !ok {
			t = scansql.Tallied{Serial: s.Serial, FirstAt: s.At, FirstIn: s.Place}
		}
		t.Count++
		if s.What.Has(verifyevent.NewSession) {
			t.Sessions++
		}
		t.LastAt, t.LastIn = s.At, s.Place
		all[s.Serial] = t
	}
	return all
}

// consumeAll lets all groups of a process consume records, side by side.
func consumeAll(t *testing.T, e *scansql.Shared, records []stream.Record) {
	t.Helper()
	var groups sync.WaitGroup
	for name, h := range e.Consumers() {
		groups.Go(func() {
			letters := &scantest.Letters{}
			c := stream.Config{Wait: time.Millisecond, Backoff: time.Millisecond, HandlerTries: 2}
			err := stream.Run(t.Context(), c, scantest.NewGroup(name, records), letters, scansql.Split, h)
			if !errors.Is(err, stream.ErrClosed) || len(letters.Buried) > 0 {
				t.Error(name, err, letters.Buried)
			}
		})
	}
	groups.Wait()
}

// TestSharedHandover: two processes consume at once, are both given some records, and
// one takes over what the other had consumed and not acknowledged.
func TestSharedHandover(t *testing.T) {
	t.Parallel()
	log, now, open := crashLog(), scantest.Start(), sqldbtest.MariaDB(t)
	one := openShared(t, open(), scantest.Codes{}, &now, nil)
	two := openShared(t, open(), scantest.Codes{}, &now, nil)
	n := len(log.Records)
	var both sync.WaitGroup
	both.Go(func() { consumeAll(t, one, log.Records[:2*n/3]) })
	both.Go(func() { consumeAll(t, two, log.Records[n/3:]) })
	both.Wait()
	consumeAll(t, two, log.Records[n/4:2*n/3])
	three := openShared(t, open(), scantest.Codes{}, &now, nil)
	consumeAll(t, three, log.Records)
	for _, e := range []*scansql.Shared{one, two, three} {
		checkShared(t, e, log.Sightings)
	}
}

// TestSharedLostAnswers loses the answer to a commit, of which nobody knows then whether
// it stands, and requests on their way, before and in the middle of transactions.
func TestSharedLostAnswers(t *testing.T) {
	t.Parallel()
	log, now := crashLog(), scantest.Start()
	proxy := sqldbtest.NewProxy(t, servers.MariaDB(t))
	db, err := sqldb.OpenMySQL(t.Context(), proxy.URL, sqldb.MySQLOptions{})
	ok(t, err)
	t.Cleanup(func() { ok(t, db.Close()) })
	e := openShared(t, db, scantest.Codes{}, &now, nil)
	for _, text := range []string{"COMMIT", "INSERT INTO scan_records", "UPDATE inbox_lane", "INSERT INTO scan_counts", "INSERT INTO scan_summaries"} {
		for _, fate := range []sqldbtest.Fate{sqldbtest.ReplyLost, sqldbtest.RequestLost} {
			proxy.Cut(text, fate)
			consumeAll(t, e, log.Records[:5])
		}
	}
	for i := range log.Records {
		proxy.Cut("COMMIT", sqldbtest.ReplyLost)
		consumeAll(t, e, log.Records[i:min(i+3, len(log.Records))])
	}
	if left := proxy.Left(); left > 5 {
		t.Errorf("%d connections were not cut: the test proves little", left)
	}
	proxy.Forget()
	checkShared(t, e, log.Sightings)
}

// TestSharedServerDies kills the server with -9 in the middle of consumption.
func TestSharedServerDies(t *testing.T) {
	t.Parallel()
	server := servers.StartMariaDB(t)
	db, err := sqldb.OpenMySQL(t.Context(), server.Database(t), sqldb.MySQLOptions{})
	ok(t, err)
	t.Cleanup(func() { ok(t, db.Close()) })
	now, log := scantest.Start(), scantest.NewLog()
	traffic := &scantest.Traffic{Dice: 9, Brands: 8, Batches: 3, PerItem: 4}
	for i := range 3000 {
		log.Scan(traffic.Next(scantest.Start().Add(time.Duration(i) * 20 * time.Second)))
		if i%10 == 9 {
			log.Flush()
		}
	}
	log.Flush()
	e := openShared(t, db, scantest.Codes{}, &now, nil)
	third, twoThirds := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	seen, groups := 0, sync.WaitGroup{}
	for name, h := range e.Consumers() {
		counted := stream.HandlerFunc(func(ctx context.Context, lane int, batch []stream.Message) error {
			mu.Lock()
			before := seen
			seen += len(batch)
			for n, at := range map[int]chan struct{}{len(log.Sightings): third, 2 * len(log.Sightings): twoThirds} {
				if before < n && seen >= n {
					close(at)
				}
			}
			mu.Unlock()
			return h.Handle(ctx, lane, batch)
		})
		groups.Go(func() {
			letters := &scantest.Letters{}
			c := stream.Config{Wait: time.Millisecond, BackoffMax: 100 * time.Millisecond}
			err := stream.Run(context.WithoutCancel(t.Context()), c, scantest.NewGroup(name, log.Records), letters, scansql.Split, counted)
			if !errors.Is(err, stream.ErrClosed) || len(letters.Buried) > 0 {
				t.Error(name, err, letters.Buried)
			}
		})
	}
	<-third
	server.Crash(t)
	<-twoThirds
	server.Crash(t)
	groups.Wait()
	checkShared(t, e, log.Sightings)
}

// TestSharedDaysComeAndGo makes and deletes days, in two processes at once, while scans
// of many days are written. What is kept is all there.
func TestSharedDaysComeAndGo(t *testing.T) {
	t.Parallel()
	open, now := sqldbtest.MariaDB(t), scantest.Start()
	writer := openShared(t, open(), scantest.Codes{}, &now, nil)
	log := scantest.NewLog()
	traffic := &scantest.Traffic{Dice: 4, Brands: 3, Batches: 2, PerItem: 3}
	const days = 12
	for i := range 600 {
		log.Scan(traffic.Next(now.Add(time.Duration(i) * days * 24 * time.Hour / 600)))
		if i%5 == 4 {
			log.Flush()
		}
	}
	log.Flush()
	later := []time.Time{now, now}
	var all sync.WaitGroup
	all.Go(func() { consumeAll(t, writer, log.Records) })
	for i := range later {
		keeper := openShared(t, open(), scantest.Codes{}, &later[i], nil)
		all.Go(func() {
			for d := range days {
				later[i] = now.AddDate(0, 0, d)
				ok(t, keeper.Records.MakeDays(t.Context()))
				ok(t, keeper.Records.DropDays(t.Context()))
			}
		})
	}
	all.Wait()
	checkRecords(t, writer.Records, log.Sightings)

	gone := scan.DayAt(scantest.Start()) + 5 // the first that stays
	later[0] = gone.Start().AddDate(0, 0, scansql.RecordDaysUsual).Add(time.Hour)
	later[1] = later[0]
	again := scantest.NewLog()
	again.NextGeneration()
	for i := range 400 {
		again.Scan(traffic.Next(gone.Start().Add(time.Duration(i) * time.Minute)))
		again.Flush()
	}
	keepers := []*scansql.Shared{openShared(t, open(), scantest.Codes{}, &later[0], nil), openShared(t, open(), scantest.Codes{}, &later[1], nil)}
	ok(t, keepers[0].Records.CloseDays(t.Context(), later[0]))
	all.Go(func() { consumeAll(t, writer, again.Records) })
	for _, k := range keepers {
		all.Go(func() { ok(t, k.Records.DropDays(t.Context())) })
	}
	all.Wait()
	kept := slices.DeleteFunc(slices.Concat(log.Sightings, again.Sightings), func(s scan.Seen) bool { return scan.DayOf(s.At) < gone })
	checkRecords(t, writer.Records, kept)
	if ends, err := writer.Records.Ends(t.Context()); err != nil || ends[0] != gone {
		t.Errorf("partitions %v, %v, want %v to be the first", ends, err, gone)
	}
}

// TestSharedWrongClock: a process whose clock was years ahead has made days there, and
// those of today still get their own.
func TestSharedWrongClock(t *testing.T) {
	t.Parallel()
	open, now := sqldbtest.MariaDB(t), scantest.Start().AddDate(9, 0, 0)
	ahead := openShared(t, open(), scantest.Codes{}, &now, nil)
	log := crashLog()
	consumeAll(t, ahead, log.Records)
	now = scantest.Start()
	right := openShared(t, open(), scantest.Codes{}, &now, nil)
	ends, err := right.Records.Ends(t.Context())
	ok(t, err)
	today := scan.DayAt(now)
	if want := []scan.Day{today, today + 1, today + 2, today + 3}; len(ends) != 8 || !slices.Equal(ends[:4], want) {
		t.Errorf("partitions %v, want those of %v and three days on", ends, today)
	}
	checkRecords(t, right.Records, log.Sightings)
	now = now.AddDate(0, 0, scansql.RecordDaysUsual+1)
	ok(t, right.Records.CloseDays(t.Context(), now))
	ok(t, right.Records.DropDays(t.Context()))
	checkRecords(t, right.Records, slices.DeleteFunc(log.Sightings, func(s scan.Seen) bool { return scan.DayOf(s.At) <= today }))
}

// TestSharedHistory compares the history of codes with that of the embedded engine,
// page by page.
func TestSharedHistory(t *testing.T) {
	t.Parallel()
	log, now := crashLog(), scantest.Start().AddDate(0, 0, 2)
	shared := openShared(t, sqldbtest.MariaDB(t)(), scantest.Codes{}, &now, nil)
	consumeAll(t, shared, log.Records)
	embedded := openAt(t, t.TempDir(), scantest.Codes{}, &now)
	consumeBoth(t, embedded, log.Records, map[string]int{})
	deps := scan.Deps{Codes: scantest.Codes{}, Trail: log, Tallies: log}
	embedded.Wire(&deps)
	walked := scan.NewService(deps)
	deps.Clock = clockAt(&now)
	shared.Wire(&deps)
	indexed := scan.NewService(deps)
	for serial := range summaries(log.Sightings) {
		code, from := (scantest.Codes{}).Code(serial), verifyevent.Ref{}
		for {
			want, err := walked.History(t.Context(), code, from, 3)
			ok(t, err)
			got, err := indexed.History(t.Context(), code, from, 3)
			ok(t, err)
			diff := cmp.Diff(want, got, cmpopts.EquateComparable(verifyevent.Ref{}), cmpopts.IgnoreFields(scan.History{}, "Freshness"), cmpopts.IgnoreFields(scan.Record{}, "IP"))
			if diff != "" || got.Freshness == nil || want.Freshness != nil {
				t.Fatalf("history of %s from %v (-walked +indexed):\n%s", code, from, diff)
			}
			if from = got.Next; from == (verifyevent.Ref{}) {
				break
			}
		}
	}
	other := log.Sightings[0]
	code := (scantest.Codes{}).Code(other.Serial + 1)
	if _, err := indexed.History(t.Context(), code, other.Ref, 3); !errors.Is(err, scan.ErrBadCursor) {
		t.Errorf("a cursor of another code: %v", err)
	}
	if h, err := indexed.History(t.Context(), code, verifyevent.Ref{At: 1}, 3); err != nil || len(h.Scans) > 0 {
		t.Errorf("a cursor to what is not here: %v, %v", h, err)
	}
}

// TestSummaryTells: whoever shares counts is told of every batch, is told again when it
// fails, and nothing is counted twice for that.
func TestSummaryTells(t *testing.T) {
	t.Parallel()
	log, now := crashLog(), scantest.Start()
	told, calls, mu := map[ids.Serial]scansql.Tallied{}, 0, sync.Mutex{}
	e := openShared(t, sqldbtest.MariaDB(t)(), scantest.Codes{}, &now, func(_ context.Context, items []scansql.Tallied) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls%3 == 1 {
			return fmt.Errorf("refused %d", calls)
		}
		for _, i := range items {
			told[i.Serial] = i
		}
		return nil
	})
	consumeAll(t, e, log.Records)
	want := summaries(log.Sightings)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	clear(told) // what they shared is lost: another reading of the log brings it back
	consumeAll(t, e, log.Records)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told again (-want +got):\n%s", diff)
	}
	checkShared(t, e, log.Sightings)
}

// TestSharedUpkeep: of many processes one looks after things, until it ends.
func TestSharedUpkeep(t *testing.T) {
	t.Parallel()
	open, now := sqldbtest.MariaDB(t), scantest.Start()
	var did [2]int
	var next [2]int
	var all [2]*scansql.Shared
	for i := range all {
		all[i] = openShared(t, open(), scantest.Codes{}, &now, nil)
	}
	look := func(who int, at time.Duration) {
		now = scantest.Start().Add(at)
		next[who] = all[who].Look(t.Context(), next[who], func() { did[who]++ })
	}
	for at := range 4 {
		look(0, time.Duration(at)*5*time.Second)
		look(1, time.Duration(at)*5*time.Second)
	}
	if did != [2]int{2, 0} {
		t.Errorf("in four looks the step was done %v times", did)
	}
	ok(t, all[0].Release(t.Context()))
	look(1, 20*time.Second)
	look(0, 20*time.Second)
	look(1, 25*time.Second)
	if did != [2]int{2, 1} {
		t.Errorf("after the first has ended the step was done %v times", did)
	}
	look(0, time.Hour) // the second has died without a word
	if did != [2]int{3, 1} {
		t.Errorf("after the second has died the step was done %v times", did)
	}
}
