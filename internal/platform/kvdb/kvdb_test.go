package kvdb

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

func open(t *testing.T, path string, fs vfs.FS) *pebble.DB {
	t.Helper()
	db, err := Open(path, Options{CacheBytes: 1 << 20, MemTableBytes: 1 << 20, FS: fs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestGet(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer db.Close()
	if err := db.Set([]byte("a"), []byte("1"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	value, ok, err := Get(db, []byte("a"))
	if string(value) != "1" || !ok || err != nil {
		t.Errorf("Get = %q, %v, %v", value, ok, err)
	}
	if value, ok, err = Get(db, []byte("b")); value != nil || ok || err != nil {
		t.Errorf("Get of nothing = %q, %v, %v", value, ok, err)
	}
}

// TestSyncedCommitCoversWhatWasPutBefore is what the projection's checkpoint stands
// on: after a loss of power everything is there that was put before the last synced
// commit, also what filled several write buffers.
func TestSyncedCommitCoversWhatWasPutBefore(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	db := open(t, "kv", disk)
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i) }
	const synced = 20_000
	value := []byte(strings.Repeat("x", 200)) // four write buffers full
	for i := range synced {
		if err := db.Set(key(i), value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Set([]byte("checkpoint"), []byte("1"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("late"), []byte("1"), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, "kv", after)
	defer db.Close()
	for i := range synced {
		if _, ok, err := Get(db, key(i)); !ok || err != nil {
			t.Fatalf("key %d: %v, %v", i, ok, err)
		}
	}
	if _, ok, _ := Get(db, []byte("checkpoint")); !ok {
		t.Error("the synced commit is lost")
	}
	if _, ok, _ := Get(db, []byte("late")); ok {
		t.Error("an unsynced write survived the loss of power: this test proves nothing")
	}
}

func TestDamagedIsRefusedWithItsName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kv")
	db := open(t, path, nil)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob(filepath.Join(path, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("manifests %v, %v", manifests, err)
	}
	for _, m := range manifests {
		if err := os.WriteFile(m, []byte("this is no manifest"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err = Open(path, Options{CacheBytes: 1 << 20, MemTableBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal(db.Close(), "it was opened")
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%v: does not name %s", err, path)
	}
}
