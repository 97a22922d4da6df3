package batchfile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/task"
	"github.com/chopmark/chopmark/test/servers"
)

// A test that needs a process of its own runs itself again: with the directory to
// work in, and how.
const (
	childDir  = "BATCHFILE_TEST_DIR"
	childHow  = "BATCHFILE_TEST_HOW"
	childBlob = "BATCHFILE_TEST_BLOB"
)

func child(t *testing.T, dir, how string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir, childHow+"="+how)
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	return cmd, said
}

// TestKillAndGoOn kills the process again and again while it writes a file. Every
// process gets at least one checkpoint further, and dies somewhere behind it.
func TestKillAndGoOn(t *testing.T) {
	t.Parallel()
	crashed := func(dir, blob string) open { return open{dir: dir, blob: blob, chunk: 3 * unitRows, workers: 2} }
	if dir := os.Getenv(childDir); dir != "" {
		w := openWorld(t, crashed(dir, os.Getenv(childBlob)))
		defer w.close()
		w.start()
		w.ended(ids.TaskID(os.Getenv(childHow)))
		return
	}
	t.Run("directory", func(t *testing.T) { killAndGoOn(t, crashed(t.TempDir(), "")) })
	t.Run("S3", func(t *testing.T) { killAndGoOn(t, crashed(t.TempDir(), servers.S3(t))) })
}

func killAndGoOn(t *testing.T, before open) {
	t.Helper()
	dir := before.dir
	before.idle = true
	w := openWorld(t, before)
	defer w.close()
	b := w.batch(batch.BatchSpec{Quantity: 40*unitRows + 77, InnerCode: true}, "")
	id := w.export(&b, batch.FileSpec{})

	kills := 0
	for done := int64(0); kills < 6; kills++ {
		cmd, said := child(t, dir, string(id))
		cmd.Env = append(cmd.Env, childBlob+"="+before.blob)
		must(t, cmd.Start())
		for deadline := time.Now().Add(time.Minute); w.task(id).Done <= done; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				must(t, cmd.Process.Kill())
				t.Fatalf("no checkpoint after %d: %s", done, said)
			}
		}
		time.Sleep(time.Duration(rand.IntN(15_000)) * time.Microsecond)
		must(t, cmd.Process.Kill())
		err := cmd.Wait()
		if done = w.task(id).Done; w.task(id).State == task.Done {
			break
		}
		if err == nil {
			t.Fatalf("a killed process ended well: %s", said)
		}
	}
	if kills < 2 {
		t.Errorf("only %d kills hit the file", kills)
	}
	t.Logf("%d kills, the last at %d of %d", kills, w.task(id).Done, b.Quantity)
	cmd, said := child(t, dir, string(id))
	cmd.Env = append(cmd.Env, childBlob+"="+before.blob)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	sameText(t, unzip(t, w.done(id)), naive(t, w.svc.Linker(&b, ""), batch.Runs{{From: 1, To: b.Quantity}}))
	if n := len(w.told(id)); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestDiskFull fills a disk in a process of its own. A limit on the size of files
// can be set by everybody; a tiny file system by root only, so there it is judged in
// addition.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(childDir); dir != "" {
		fillDisk(t, dir, os.Getenv(childHow))
		return
	}
	for _, how := range []string{"limit", "tmpfs of files", "tmpfs of all"} {
		cmd, said := child(t, t.TempDir(), how)
		if how != "limit" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		}
		err := cmd.Run()
		if os.IsPermission(err) && how != "limit" {
			t.Log("this process may not mount a file system: the limit alone has judged")
			continue
		}
		if err != nil || !strings.Contains(said.String(), "disk was full: "+how) {
			t.Errorf("%s: %v: %s", how, err, said)
		}
	}
}

const fullBytes = 3 << 19

// limit makes a disk end at fullBytes, and gives what ends that. With the database
// on the same disk either of the two may meet the end first.
func limit(t *testing.T, how, dir string) (lift func()) {
	t.Helper()
	mounted := func(at string, size int) func() {
		must(t, os.MkdirAll(at, 0o700))
		must(t, syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%d", size)))
		return func() { must(t, syscall.Mount("tmpfs", at, "tmpfs", syscall.MS_REMOUNT, "size=64m")) }
	}
	switch how {
	case "tmpfs of files":
		return mounted(filepath.Join(dir, "files"), fullBytes)
	case "tmpfs of all":
		return mounted(dir, 2*fullBytes)
	}
	signal.Ignore(syscall.SIGXFSZ) // the write fails; that is enough
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fullBytes, Max: old.Max}))
	return func() { must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) }
}

func fillDisk(t *testing.T, dir, how string) {
	t.Helper()
	lift := limit(t, how, dir)
	w := openWorld(t, open{dir: dir, chunk: unitRows})
	defer w.close()
	w.start()
	b := w.batch(batch.BatchSpec{Quantity: 120 * unitRows}, "")
	id := w.export(&b, batch.FileSpec{})
	got := w.ended(id)
	if got.State != task.Failed || got.ErrorCode != "blob.no_space" || got.Done == 0 {
		t.Errorf("task ended as %s with %s at %d of %d: %s", got.State, got.ErrorCode, got.Done, got.Total, got.ErrorText)
	}
	if !strings.Contains(got.ErrorText, "no space left") || !strings.Contains(got.ErrorText, "pool of batch "+string(b.ID)) {
		t.Errorf("task says %q", got.ErrorText)
	}
	w.wantFiles()
	all := batch.Runs{{From: 1, To: b.Quantity}}
	if diff := cmp.Diff(all, w.free(&b)); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
	if told := w.told(id); len(told) != 1 || told[0].Kind != "failed" {
		t.Errorf("told %+v", told)
	}
	t.Log("disk was full: " + how)
	lift()
	sameText(t, unzip(t, w.done(w.export(&b, batch.FileSpec{}))), naive(t, w.svc.Linker(&b, ""), all))
}
