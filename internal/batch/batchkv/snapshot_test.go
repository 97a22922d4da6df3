package batchkv

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// carry copies a snapshot's files into a restorer.
func carry(t *testing.T, dir string, to *Restorer) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		f, err := to.File(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSnapshotIsRestored(t *testing.T) {
	t.Parallel()
	from := openAt(t, filepath.Join(t.TempDir(), "projection"), "key_1")
	defer closed(t, from)
	snap := batch.Snapshot{First: 7, Segments: []batch.Segment{{From: 1, State: gs1.Active, Seq: 5}}, Pages: map[int64][]byte{}}
	want := batch.Batch{ID: "bat_1", First: 7, Quantity: 9}
	for _, err := range []error{
		from.PutBatch(&want), from.PutItems(7, batch.Runs{{From: 2, To: 3}}, 8),
		from.Checkpoint(batch.Standing{Positions: [ids.Shards]int64{9}}, []batch.Snapshot{snap}),
		from.PutExtra(8, batch.Extra{Version: 2}), // after the checkpoint
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := from.Snapshot(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "projection")
	checkpointed(t, path) // what was there before
	r, err := Restore(path, "key_1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	carry(t, dir, r)
	label := batch.Label{Product: 2001, Name: "龙井", Brand: "Tea house", Help: "400", GTIN: "09506000134352"}
	if err := r.PutLabels([]batch.Label{label}); err != nil {
		t.Fatal(err)
	}
	if err := r.Done(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, "key_1")
	defer closed(t, s)
	at, fresh, err := s.Load()
	if at.Positions[0] != 9 || fresh || err != nil {
		t.Errorf("it stands at %+v, fresh %v, %v", at, fresh, err)
	}
	if got, err := s.Batches(0, 10); len(got) != 1 || got[0] != want || err != nil {
		t.Errorf("batches %+v, %v", got, err)
	}
	if extra, ok, err := s.Extra(8); extra.Version != 2 || !ok || err != nil {
		t.Errorf("extra %+v, %v, %v", extra, ok, err)
	}
	if got, ok, err := s.Label(2001); got != label || !ok || err != nil {
		t.Errorf("label %+v, %v, %v", got, ok, err)
	}
	if _, ok, err := s.Label(2002); ok || err != nil {
		t.Errorf("a label that is not there: %v, %v", ok, err)
	}
}

// TestBrokenSnapshotChangesNothing: what was there is used until the other is whole.
func TestBrokenSnapshotChangesNothing(t *testing.T) {
	t.Parallel()
	from := openAt(t, filepath.Join(t.TempDir(), "projection"), "key_2")
	defer closed(t, from)
	if err := from.Checkpoint(batch.Standing{}, nil); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := from.Snapshot(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "projection")
	checkpointed(t, path)
	r, err := Restore(path, "key_1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "..", "../x", "a/b", "/etc/x"} {
		if f, err := r.File(name); err == nil {
			t.Errorf("a file named %q was taken: %v", name, f.Close())
		}
	}
	carry(t, dir, r)
	if err := r.Done(); err == nil {
		t.Error("another installation's snapshot was taken")
	}
	if left, err := filepath.Glob(path + newSuffix + "/*"); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
	s := openAt(t, path, "key_1")
	defer closed(t, s)
	if at, fresh, err := s.Load(); at.Positions[0] != 9 || fresh || err != nil {
		t.Errorf("it stands at %+v, fresh %v, %v", at, fresh, err)
	}
}
