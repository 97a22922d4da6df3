package scansql_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
)

// TestCopy copies the engine while it consumes, folds and closes days. Given again
// what was acknowledged last before the copy, the copy has every effect once.
func TestCopy(t *testing.T) {
	t.Parallel()
	log, dir, now := crashLog(), t.TempDir(), scantest.Start()
	e := openAt(t, dir, scantest.Codes{}, &now)
	half := len(log.Records) / 2
	scantest.Consume(t, scan.GroupRecords, e.Records, scansql.Split, log.Records[:half])
	scantest.Consume(t, scan.GroupStatistics, e.Statistics, scansql.Split, log.Records[:half])
	var rest sync.WaitGroup
	rest.Go(func() {
		for _, r := range log.Records[half:] {
			scantest.Consume(t, scan.GroupRecords, e.Records, scansql.Split, []stream.Record{r})
			scantest.Consume(t, scan.GroupStatistics, e.Statistics, scansql.Split, []stream.Record{r})
			if err := errors.Join(e.Statistics.FoldNow(t.Context()), e.Records.CloseDays(t.Context(), scantest.Start().AddDate(0, 0, 1))); err != nil {
				t.Error(err)
			}
		}
	})
	to, tmp, names := t.TempDir(), t.TempDir(), []string(nil)
	put := func(name, file string) error {
		names = append(names, name)
		raw, err := os.ReadFile(file)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700)
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), raw, 0o600)
	}
	if err := e.Copy(t.Context(), tmp, put); err != nil {
		t.Fatal(err)
	}
	rest.Wait()
	if last := len(names) - 1; last < 2 || names[last] != "scans.db" || names[last-1] != "statistics.db" || !slices.IsSorted(names[:last-1]) {
		t.Errorf("copied %q", names)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%d copies stay behind, %v", len(left), err)
	}
	copied := openAt(t, to, scantest.Codes{}, &now)
	scantest.Consume(t, scan.GroupRecords, copied.Records, scansql.Split, log.Records[half:])
	scantest.Consume(t, scan.GroupStatistics, copied.Statistics, scansql.Split, log.Records[half:])
	scantest.CheckStatistics(t, copied.Statistics, log.Sightings)
	checkRecords(t, copied.Records, log.Sightings)
	now = now.AddDate(0, 0, 7)
	ok(t, copied.Records.CloseDays(t.Context(), now))
	days, err := copied.Records.Days(t.Context())
	ok(t, err)
	for _, d := range days {
		if !d.Closed {
			t.Errorf("%s is not closed in the copy", d.Day)
		}
	}
}
