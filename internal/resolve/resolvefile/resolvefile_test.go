package resolvefile

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/resolve"
	"github.com/chopmark/chopmark/internal/resolve/resolvetest"
)

func record(name string, version int64) resolve.Record {
	return resolve.Record{
		Name: name, BrandID: ids.BrandID(7), Body: []byte(`[{"href":"https://a.example/\n"}]`), Version: version,
		ChangedAt: time.Date(2026, 11, 1, 8, 0, 0, 123000, time.UTC),
	}
}

func open(t *testing.T, path string) (*Journal, []resolve.Record) {
	t.Helper()
	j, records, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j, records
}

// TestCutShort cuts the file at every byte of its last line: what was there before is
// read, and goes on to be.
func TestCutShort(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "links")
	j, records := open(t, path)
	if len(records) != 0 {
		t.Fatalf("a new journal has %v", records)
	}
	first := []resolve.Record{record("/01/1", 1), record("/01/2", 2)}
	for _, some := range [][]resolve.Record{first, {record("/01/1", 3)}} {
		if err := j.Append(some); err != nil {
			t.Fatal(err)
		}
	}
	_, records = open(t, path)
	if diff := cmp.Diff([]resolve.Record{record("/01/2", 2), record("/01/1", 3)}, records); diff != "" {
		t.Fatal(diff)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := len(whole) / 2; n < len(whole)-1; n++ {
		cut := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(cut, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		j, records := open(t, cut)
		if diff := cmp.Diff([]resolve.Record{record("/01/2", 2)}, records); diff != "" {
			t.Fatalf("cut at %d: %s", n, diff)
		}
		if err := j.Append([]resolve.Record{record("/01/9", 9)}); err != nil {
			t.Fatal(err)
		}
		if _, records = open(t, cut); len(records) != 2 {
			t.Fatalf("cut at %d and gone on: %v", n, records)
		}
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	resolvetest.RunJournal(t, func(t *testing.T) func() (resolvetest.Journal, []resolve.Record) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "links")
		return func() (resolvetest.Journal, []resolve.Record) {
			j, records := open(t, path)
			return j, records
		}
	})
}
