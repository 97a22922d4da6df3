package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

const scansUnderBackup = 2000

// TestBackupUnderLoad makes backups of a server that is scanned and changed all the
// time, kills it, and restores the last one: everything that was acknowledged before
// that backup began is there, and of each scan in it there is one record, one count
// and one line in its item's history.
func TestBackupUnderLoad(t *testing.T) {
	ctx := t.Context()
	w, err := newWorld(ctx, options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.server.Kill() })
	w.load(ctx, 500*time.Millisecond)
	if err := w.recover(ctx); err != nil {
		t.Fatal(err)
	}
	known := w.known()
	dir := t.TempDir()
	pass := filepath.Join(dir, "pass")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url, before := w.server.URL, w.acked.scans.Load()
	enough, end := context.WithCancel(ctx)
	defer end()
	var backups atomic.Int32
	failed := make(chan error, 1)
	go func() { // read below
		defer end()
		for w.acked.scans.Load()-before < scansUnderBackup {
			file := filepath.Join(dir, fmt.Sprint(backups.Load()+1, ".backup"))
			if err := w.chopmark(ctx, "backup", "--server", url, "--key", harness.AdminKey, "--passphrase-file", pass, "--out", file); err != nil {
				failed <- err
				return
			}
			backups.Add(1)
		}
		failed <- nil
	}()
	w.load(enough, 2*time.Minute)
	if err := <-failed; err != nil {
		t.Fatalf("%v\n%s", err, w.server.Log())
	}
	scans := w.acked.scans.Load() - before
	file, restored := filepath.Join(dir, fmt.Sprint(backups.Load(), ".backup")), filepath.Join(dir, "restored")
	if err := w.chopmark(ctx, "restore", file, "--data", restored, "--passphrase-file", pass); err != nil {
		t.Fatal(err)
	}
	copied, err := restoredWorld(ctx, w, known, restored)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { copied.server.Kill() })
	if err := copied.checkEffects(ctx); err != nil {
		t.Fatalf("%v\n%s", err, copied.server.Log())
	}
	if found := w.findings() + copied.findings(); found != "" {
		t.Error(found)
	}
	if copied.consumed <= 0 || scans < scansUnderBackup {
		t.Errorf("%d scans are in the copy, %d were made while backups were", copied.consumed, scans)
	}
	t.Logf("%d backups while %d scans were answered; the last one has %d scans in its log, records and statistics", backups.Load(), scans, copied.consumed)
}

func (w *world) chopmark(ctx context.Context, args ...string) error {
	if text, err := exec.CommandContext(ctx, w.Server, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("chopmark %s: %w\n%s", strings.Join(args, " "), err, text)
	}
	return nil
}

// known is what was acknowledged by now: the actors with nothing that may still change.
func (w *world) known() (actors []*actor) {
	for _, a := range w.actors {
		was := &actor{id: a.id, batches: append([]string(nil), a.batches...), claims: append([]claim(nil), a.claims...)}
		for _, it := range a.items {
			frozen := *it
			was.items = append(was.items, &frozen)
		}
		actors = append(actors, was)
	}
	return actors
}

// restoredWorld starts a server on what was restored and holds it to what was known
// before the backup. Items then know the count that the copy tells.
func restoredWorld(ctx context.Context, of *world, known []*actor, data string) (*world, error) {
	o := of.Options
	o.Data = data
	w := &world{Options: o, pool: of.pool, product: of.product, actors: known}
	var err error
	if w.server, err = harness.Start(ctx, w.Server, data); err != nil {
		return nil, err
	}
	if err := w.checkBatches(ctx); err != nil {
		return w, err
	}
	var copied struct {
		Claims []claim `json:"claims"`
	}
	if err := w.server.Must(ctx, http.MethodGet, "/api/v1/batches/"+w.pool+"/claims?limit=1000", nil, &copied); err != nil {
		return w, err
	}
	client := newClient(harness.LookAhead)
	defer client.CloseIdleConnections()
	for _, a := range w.actors {
		for _, c := range a.claims {
			if !slices.Contains(copied.Claims, c) && len(copied.Claims) < 1000 {
				w.reportf("claim %v is lost", c)
			}
		}
		for _, it := range a.items {
			answer, err := w.server.Call(ctx, client, http.MethodGet, verifyPath(it), "", nil)
			if err != nil {
				return w, err
			}
			var v verification
			if err := json.Unmarshal(answer.Data, &v); err != nil {
				return w, fmt.Errorf("%s answered %d %s: %w", it.code, answer.Status, answer.Error, err)
			}
			if v.ScanCount < it.highest || v.Version < it.version || it.first != "" && v.FirstScan.At != it.first {
				w.reportf("%s: the copy has %+v, before the backup it was %+v", it.code, v, *it)
			}
			it.highest = v.ScanCount
		}
	}
	return w, nil
}
