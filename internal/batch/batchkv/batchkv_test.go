package batchkv

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

func openAt(t *testing.T, path, owner string) *Store {
	t.Helper()
	s, err := Open(path, owner, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	batchtest.Local(t, func(t *testing.T) batch.Local {
		s := openAt(t, filepath.Join(t.TempDir(), "projection"), "key_1")
		t.Cleanup(func() { closed(t, s) })
		return s
	})
}

// checkpointed is a store at path with a checkpoint and one page.
func checkpointed(t *testing.T, path string) {
	t.Helper()
	s := openAt(t, path, "key_1")
	snap := batch.Snapshot{First: 7, Segments: []batch.Segment{{From: 1, State: gs1.Active, Seq: 5}}, Pages: map[int64][]byte{3: {1}}}
	if err := s.Checkpoint(batch.Standing{Positions: [ids.Shards]int64{9}}, []batch.Snapshot{snap}); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
}

func TestReopened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "projection")
	checkpointed(t, path)
	s := openAt(t, path, "key_1")
	defer closed(t, s)
	at, fresh, err := s.Load()
	if at.Positions[0] != 9 || fresh || err != nil {
		t.Errorf("Load = %v, fresh %v, %v", at, fresh, err)
	}
	if snap, err := s.LoadBatch(7); len(snap.Segments) != 1 || len(snap.Pages) != 1 || err != nil {
		t.Errorf("LoadBatch = %+v, %v", snap, err)
	}
}

func TestAnotherOwnersIsForgotten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "projection")
	checkpointed(t, path)
	s := openAt(t, path, "key_2")
	defer closed(t, s)
	if at, fresh, err := s.Load(); at.Positions[0] != 0 || !fresh || err != nil {
		t.Errorf("Load = %v, fresh %v, %v; want nothing", at, fresh, err)
	}
}

func TestDamagedIsRefusedWithItsName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "projection")
	checkpointed(t, path)
	manifests, err := filepath.Glob(filepath.Join(path, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("manifests %v, %v", manifests, err)
	}
	for _, m := range manifests {
		if err := os.WriteFile(m, []byte("this is no manifest"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(path, "key_1", slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal(s.Close(), "a damaged store was opened")
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%v: does not name %s", err, path)
	}
}
