package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/chopmark/chopmark/internal/platform/archive"
)

const testPassphrase = "correct horse battery"

func testConfig(data string) Config {
	return Config{Data: data, Listen: "127.0.0.1:8080", Version: "test"}
}

func openTest(t *testing.T, data string, log io.Writer) *App {
	t.Helper()
	a, err := Open(t.Context(), testConfig(data), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// ask sends a request for a backup, and holds the answer's status and kind to the
// document.
func ask(t *testing.T, a *App, body string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL+"/api/v1/backup", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := a.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	answer := doc.Paths.Value("/api/v1/backup").Post.Responses.Status(resp.StatusCode)
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if answer == nil || answer.Value.Content.Get(kind) == nil {
		t.Errorf("the document knows no answer %d of %s", resp.StatusCode, kind)
	}
	return resp, raw
}

func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := openTest(t, filepath.Join(t.TempDir(), "data"), &log)
	if _, err := a.BeginBackup("too short", false); err == nil {
		t.Fatal("a short passphrase was taken")
	}
	b, err := a.BeginBackup(testPassphrase, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.BeginBackup(testPassphrase, false); !errors.Is(err, ErrBackupRunning) {
		t.Errorf("a second one: %v", err)
	}
	const body = `{"passphrase":"` + testPassphrase + `"}`
	if resp, raw := ask(t, a, body); resp.StatusCode != http.StatusConflict || !bytes.Contains(raw, []byte("backup.running")) {
		t.Errorf("%d %s", resp.StatusCode, raw)
	}
	b.End()
	if resp, raw := ask(t, a, `{"passphrase":"short"}`); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%d %s", resp.StatusCode, raw)
	}
	resp, raw := ask(t, a, body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, raw)
	}
	file := filepath.Join(t.TempDir(), "a.backup")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := VerifyBackup(t.Context(), file, testPassphrase, &said); err != nil || !strings.Contains(said.String(), "chopmark test, region 0") {
		t.Errorf("%v\n%s", err, &said)
	}
	if l := log.String(); strings.Contains(l, testPassphrase) || !strings.Contains(l, "backup begun") || !strings.Contains(l, "backup done") {
		t.Errorf("logged %s", l)
	}
	secrets, err := os.ReadFile(filepath.Join(a.Data, fileKeys))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := tarOf(raw)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(secrets)) {
		if _, hex, ok := strings.Cut(line, `"secret": "`); ok && bytes.Contains(packed, []byte(hex[:64])) {
			t.Error("a key is plain in the backup")
		}
	}
}

// tarOf gives all members of an archive in a row.
func tarOf(raw []byte) (all []byte, _ error) {
	_, err := archive.Read(context.Background(), bytes.NewReader(raw), archive.Consumer{
		Manifest: func([]byte) error { return nil }, Knows: func(string) bool { return true },
		Member: func(_ archive.Member, r io.Reader) error {
			text, err := io.ReadAll(r)
			all = append(all, text...)
			return err
		},
	})
	return all, err
}

// full is a disk that has no room left after some bytes.
type full struct{ left int }

var errFull = errors.New("no room")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestBackupThatFails leaves nothing behind, wherever it ends, and the next one works.
func TestBackupThatFails(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	tmp := filepath.Join(data, dirCopies)
	if err := os.MkdirAll(filepath.Join(tmp, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := openTest(t, data, io.Discard)
	gone := func(when string) {
		if _, err := os.Stat(tmp); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %s: %v", when, tmp, err)
		}
	}
	gone("after the start that follows a kill")
	write := func(ctx context.Context, w io.Writer) error {
		b, err := a.BeginBackup(testPassphrase, true)
		if err != nil {
			t.Fatal(err)
		}
		defer b.End()
		return b.Write(ctx, w)
	}
	var whole bytes.Buffer
	if err := write(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1000, whole.Len() / 2, whole.Len() - 60, whole.Len() - 200} {
		if err := write(t.Context(), &full{room}); !errors.Is(err, errFull) {
			t.Errorf("with room for %d of %d bytes: %v", room, whole.Len(), err)
		}
		gone("no room")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := write(ended, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("when its time has ended: %v", err)
	}
	gone("its time has ended")
	stray := filepath.Join(data, dirBlobs, "my notes.txt")
	if err := os.WriteFile(stray, []byte("stray"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole.Reset()
	if err := write(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	file, to := filepath.Join(t.TempDir(), "a.backup"), filepath.Join(t.TempDir(), "restored")
	if err := os.WriteFile(file, whole.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Restoration{File: file, Passphrase: testPassphrase, Skip: SkipUsual}
	if err := Restore(t.Context(), testConfig(to), slog.New(slog.DiscardHandler), o, io.Discard); err != nil {
		t.Errorf("with a file that no task made: %v", err)
	}
}

func TestBackupNames(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"keyset.txt", "chopmark.db", "scans/scans.db", "scans/statistics.db", "scans/records/2026-11-27.db",
		"sightings/counts/000004.sst", "sightings/stream/marker.manifest.000001.MANIFEST-000001", "files/task_1.zip",
	} {
		if !backupName.MatchString(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{
		"", ".", "keyset.json", "LOCK", "../chopmark.db", "/chopmark.db", "./chopmark.db", "chopmark.db\n", "chopmark.db-wal", "scans/../chopmark.db",
		"scans/records/../../chopmark.db", "scans/records/x.db", "sightings/other/1.sst", "sightings/counts/../../a", "sightings/counts/.hidden",
		"sightings/counts/a/b", "files/", "files/..", "files/a/b", "files/.part", `files\a`, "files/a\x00", "projection/000004.sst", "tls/key.pem",
	} {
		if backupName.MatchString(bad) {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestCutRestore cuts a real backup at many places: what is left is a message.
func TestCutRestore(t *testing.T) {
	t.Parallel()
	a := openTest(t, filepath.Join(t.TempDir(), "data"), io.Discard)
	b, err := a.BeginBackup(testPassphrase, false)
	if err != nil {
		t.Fatal(err)
	}
	defer b.End()
	var whole bytes.Buffer
	if err := b.Write(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, to := filepath.Join(dir, "cut.backup"), filepath.Join(dir, "to")
	tries := 0
	for n := whole.Len() - 1; n >= 0; n -= max(1, whole.Len()/40) {
		if err := os.WriteFile(file, whole.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		o := Restoration{File: file, Passphrase: testPassphrase, Skip: SkipUsual}
		if err := Restore(t.Context(), testConfig(to), slog.New(slog.DiscardHandler), o, io.Discard); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("the first %d of %d bytes: %v", n, whole.Len(), err)
		}
		if left, err := filepath.Glob(to + "*"); err != nil || len(left) > 0 {
			t.Fatalf("the first %d bytes left %q, %v", n, left, err)
		}
		tries++
	}
	if tries < 40 {
		t.Errorf("only %d cuts were tried", tries)
	}
}
