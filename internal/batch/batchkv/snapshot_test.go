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
	label := batch.Label{Product: 2001, Name: "龙井", BrandID: 1001, Brand: "Tea house", Help: "400", GTIN: "09506000134352"}
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
	if brand, ok, err := s.BrandOf(label.GTIN); brand != 1001 || !ok || err != nil {
		t.Errorf("the brand of a GTIN %d, %v, %v", brand, ok, err)
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

// TestBrandOfGTIN: the first product that was made names the brand, in whatever order
// labels come; a GTIN that its product no longer has names none.
func TestBrandOfGTIN(t *testing.T) {
	t.Parallel()
	s := openAt(t, filepath.Join(t.TempDir(), "projection"), "key_1")
	defer closed(t, s)
	const gtin, other = gs1.GTIN("09506000134352"), gs1.GTIN("09506000134369")
	put := func(labels ...batch.Label) {
		t.Helper()
		if err := s.PutLabels(labels); err != nil {
			t.Fatal(err)
		}
	}
	want := func(gtin gs1.GTIN, want ids.BrandID) {
		t.Helper()
		if got, ok, err := s.BrandOf(gtin); got != want || ok != (want != 0) || err != nil {
			t.Errorf("(01)%s is of brand %d, %v, %v, want %d", gtin, got, ok, err, want)
		}
	}
	want(gtin, 0)
	put(batch.Label{Product: 9, BrandID: 3, GTIN: gtin}, batch.Label{Product: 5, BrandID: 2, GTIN: gtin}, batch.Label{Product: 7, BrandID: 4, GTIN: gtin})
	want(gtin, 2)
	put(batch.Label{Product: 5, BrandID: 2, GTIN: other}, batch.Label{Product: 6, GTIN: gtin}) // of a version that told no brand
	want(gtin, 0)
	want(other, 2)
	put(batch.Label{Product: 7, BrandID: 4, GTIN: gtin}) // its next label brings it back
	want(gtin, 4)
	put(batch.Label{Product: 7, BrandID: 4})
	want(gtin, 0)
}
