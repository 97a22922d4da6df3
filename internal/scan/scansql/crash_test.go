package scansql_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// image copies a folder as a kill at this moment would leave it: open handles, logs
// of the databases, half a transaction and all. The shared memory goes with the
// process.
func image(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		if filepath.Ext(path) == ".db-shm" {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// hookedCodes runs a hook in the middle of a transaction of records: it is asked for
// each row's code.
type hookedCodes struct {
	scantest.Codes

	hook func()
}

func (c *hookedCodes) Code(s ids.Serial) string {
	if c.hook != nil {
		c.hook()
	}
	return c.Codes.Code(s)
}

// crashLog is a small log over two days.
func crashLog() *scantest.Log {
	log := scantest.NewLog()
	traffic := &scantest.Traffic{Dice: 5, Brands: 3, Batches: 3, PerItem: 4}
	for i := range 150 {
		log.Scan(traffic.Next(scantest.Start().Add(time.Duration(i) * 10 * time.Minute)))
		if i%6 == 5 {
			log.Flush()
		}
	}
	log.Flush()
	return log
}

// moment is where a process was killed: its files, and the first record that was not
// acknowledged.
type moment struct {
	name string
	dir  string
	next int
}

// TestCrashes kills both consumers at every step: before a batch, in the middle of
// its transaction (of records), between its commit and its acknowledgement, after
// that, after a fold, after a day was closed. Whatever is given again must have no effect.
func TestCrashes(t *testing.T) {
	t.Parallel()
	log, dir, now := crashLog(), t.TempDir(), scantest.Start()
	codes := &hookedCodes{}
	e := openAt(t, dir, codes, &now)
	var moments []moment
	kill := func(name string, next int) { moments = append(moments, moment{name, image(t, dir), next}) }
	groups := map[string]stream.Handler{scan.GroupRecords: e.Records, scan.GroupStatistics: e.Statistics}
	acked := 0
	for i, r := range log.Records {
		for name, h := range groups {
			rows := 0
			codes.hook = func() {
				if rows++; rows == 3 && i%3 == 0 {
					kill(fmt.Sprintf("in the transaction of record %d", i), acked)
				}
			}
			scantest.Consume(t, name, h, scansql.Split, []stream.Record{r})
		}
		codes.hook = nil
		kill(fmt.Sprintf("record %d is committed and not acknowledged", i), acked)
		if i%2 == 1 { // acknowledgements lag, too
			acked = i + 1
			kill(fmt.Sprintf("record %d is acknowledged", i), acked)
		}
		if i%7 == 6 {
			if err := e.Statistics.FoldNow(t.Context()); err != nil {
				t.Fatal(err)
			}
			kill(fmt.Sprintf("folded after record %d", i), acked)
		}
		now = time.UnixMicro(log.Sightings[min((i+1)*6, len(log.Sightings))-1].At).UTC()
		if err := e.Records.CloseDays(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	kill("at the end", acked)
	for _, m := range moments {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			at := now
			again := openAt(t, m.dir, scantest.Codes{}, &at)
			for name, h := range map[string]stream.Handler{scan.GroupRecords: again.Records, scan.GroupStatistics: again.Statistics} {
				scantest.Consume(t, name, h, scansql.Split, log.Records[m.next:])
			}
			scantest.CheckStatistics(t, again.Statistics, log.Sightings)
			checkRecords(t, again.Records, log.Sightings)
		})
	}
}

// checkRecords wants a record of each sighting and no other.
func checkRecords(t *testing.T, r scan.Records, seen []scan.Seen) {
	t.Helper()
	want := map[verifyevent.Ref]bool{}
	for _, s := range seen {
		want[s.Ref] = true
	}
	days, err := r.Days(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for _, d := range days {
		err := r.Each(t.Context(), d.Day, func(rec scan.Record) error {
			if got++; !want[rec.Ref] || scan.DayAt(rec.At) != d.Day || rec.Place == "" || rec.Agent == "" {
				t.Errorf("record %+v of %s", rec, d.Day)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got != len(want) {
		t.Errorf("%d records, want %d", got, len(want))
	}
}

// TestRandomOperations drives an engine with scans, redelivery, folds, closings and
// kills in any order, and holds it to the sightings themselves.
func TestRandomOperations(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		now := scantest.Start()
		log, traffic := scantest.NewLog(), &scantest.Traffic{Dice: scantest.Dice(rapid.Uint64().Draw(rt, "dice")), Brands: 3, Batches: 2, PerItem: 3}
		e := openAt(t, dir, scantest.Codes{}, &now)
		acked := map[string]int{}
		steps := rapid.IntRange(3, 8).Draw(rt, "steps")
		for range steps {
			switch rapid.SampledFrom([]string{"scan", "scan", "consume", "consume", "redeliver", "fold", "close", "kill"}).Draw(rt, "step") {
			case "scan":
				for range rapid.IntRange(1, 20).Draw(rt, "scans") {
					now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "minutes")) * time.Minute)
					log.Scan(traffic.Next(now))
				}
				log.Flush()
			case "consume":
				consumeBoth(t, e, log.Records, acked)
			case "redeliver":
				for name := range acked {
					acked[name] = rapid.IntRange(0, acked[name]).Draw(rt, "back to")
				}
				consumeBoth(t, e, log.Records, acked)
			case "fold":
				ok(t, e.Statistics.FoldNow(t.Context()))
			case "close":
				floor := now
				if next := acked[scan.GroupRecords]; next < len(log.Records) {
					floor = scantest.Start() // something older may still come
				}
				ok(t, e.Records.CloseDays(t.Context(), floor))
			case "kill":
				dir = image(t, dir)
				e = openAt(t, dir, scantest.Codes{}, &now)
			}
		}
		consumeBoth(t, e, log.Records, acked)
		scantest.CheckStatistics(t, e.Statistics, log.Sightings)
		checkRecords(t, e.Records, log.Sightings)
	})
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func consumeBoth(t *testing.T, e *scansql.Engine, records []stream.Record, acked map[string]int) {
	t.Helper()
	for name, h := range map[string]stream.Handler{scan.GroupRecords: e.Records, scan.GroupStatistics: e.Statistics} {
		scantest.Consume(t, name, h, scansql.Split, records[acked[name]:])
		acked[name] = len(records)
	}
}

// TestRecount holds the statistics to a reading of the whole log, and of the day
// files.
func TestRecount(t *testing.T) {
	t.Parallel()
	log, now := crashLog(), scantest.Start()
	e := openAt(t, t.TempDir(), scantest.Codes{}, &now)
	consumeBoth(t, e, log.Records, map[string]int{})
	ok(t, e.Statistics.FoldNow(t.Context()))
	tally, err := scan.Recount(func(fn func([]byte) error) error {
		for _, r := range log.Records {
			if err := fn(r.Value); err != nil {
				return err
			}
		}
		return nil
	})
	ok(t, err)
	stored := e.Cells(t)
	cells := tally.Days()
	maps.Copy(cells, tally.Cells)
	if diff := cmp.Diff(cells, stored); diff != "" {
		t.Errorf("the log and the tables (-log +tables):\n%s", diff)
	}
	days, err := scan.RecountRecords(t.Context(), e.Records)
	ok(t, err)
	minutes := func(cells map[scan.Cell]*scan.Counts) map[scan.Cell]scan.Counts {
		out := map[scan.Cell]scan.Counts{}
		for cell, c := range cells {
			if cell.Grain == scan.Minute {
				out[cell] = *c
			}
		}
		return out
	}
	if diff := cmp.Diff(minutes(tally.Cells), minutes(days.Cells), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the log and the records (-log +records):\n%s", diff)
	}
}

// TestOneBadActDoesNotHoldUpOthers: acts that share a transaction fail alone.
func TestOneBadActDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	log, now := crashLog(), scantest.Start()
	e := openAt(t, t.TempDir(), scantest.Codes{}, &now)
	messages, err := scansql.Split(log.Records[0])
	ok(t, err)
	bad := messages[0]
	bad.Since, bad.Until = stream.Place{At: bad.At + 5}, stream.Place{At: bad.At + 5} // no good place: the inbox refuses it
	for i := range messages {
		messages[i].Since, messages[i].Until = messages[i].Place(), messages[i].Place()
	}
	errs := make(chan error, 2)
	started := make(chan struct{})
	go func() {
		close(started)
		errs <- e.Statistics.Handle(context.Background(), 1, []stream.Message{bad})
	}()
	<-started
	ok(t, e.Statistics.Handle(t.Context(), 0, messages))
	if err := <-errs; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the bad one: %v", err)
	}
}
