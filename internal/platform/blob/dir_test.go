package blob

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

func openDir(t *testing.T) (d *Dir, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "blobs")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func resume(t *testing.T, d *Dir, name string, offset int64) *Upload {
	t.Helper()
	u, err := d.Resume(t.Context(), name, offset)
	must(t, err)
	return u
}

func wantUnknown(t *testing.T, d *Dir, name string) {
	t.Helper()
	if f, err := d.Open(t.Context(), name); !errors.Is(err, ErrUnknown) {
		t.Errorf("Open(%q) = %v, %v; want it unknown", name, f, err)
	}
}

// TestDirNamesCannotEscape: what lies outside of the directory stays as it was.
func TestDirNamesCannotEscape(t *testing.T) {
	t.Parallel()
	d, path := openDir(t)
	outside := filepath.Join(filepath.Dir(path), "secret")
	must(t, os.WriteFile(outside, []byte("secret"), 0o600))
	must(t, os.WriteFile(outside+".part", []byte("secret"), 0o600))
	must(t, os.Mkdir(filepath.Join(path, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(path, "sub", "file"), []byte("secret"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(path, "link")))
	for _, name := range []string{"", ".", "..", "../secret", "/etc/passwd", outside, "sub/file", `sub\file`, `..\secret`, "a.part", "a\x00b", "sub/../../secret"} {
		wantUnknown(t, d, name)
		if u, err := d.Resume(t.Context(), name, 0); err == nil {
			t.Errorf("Resume(%q) succeeded", name)
			_ = u.Close()
		}
		must(t, d.Remove(t.Context(), name))
	}
	if f, err := d.Open(t.Context(), "link"); err == nil {
		t.Error("a link out of the directory was followed")
		_ = f.Close()
	}
	for _, kept := range []string{outside, outside + ".part", filepath.Join(path, "sub", "file")} {
		if raw, err := os.ReadFile(kept); err != nil || string(raw) != "secret" {
			t.Errorf("%s: %q, %v", kept, raw, err)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", st, err)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	t.Parallel()
	d, path := openDir(t)
	u := resume(t, d, "a", 0)
	must(t, u.Commit(t.Context()))
	u = resume(t, d, "a", 0)
	must(t, u.Close())
	must(t, d.Remove(t.Context(), "a"))
	if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestFullDiskIsSaid(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		err := spaceOr("write file", fmt.Errorf("wrapped: %w", &os.PathError{Op: "write", Path: "a", Err: errno}))
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, errno) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if err := spaceOr("write file", io.ErrUnexpectedEOF); errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "write file") {
		t.Errorf("another failure: %v", err)
	}
	if err := spaceOr("write file", nil); err != nil {
		t.Errorf("no failure: %v", err)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	if _, err := (&Upload{f: full}).Write([]byte("x")); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a write to a full device: %v", err)
	}
}

func TestNamesListsWholeFiles(t *testing.T) {
	t.Parallel()
	d, path := openDir(t)
	for _, name := range []string{"b.zip", "a.pdf"} {
		u := resume(t, d, name, 0)
		_, err := u.Write([]byte(name))
		must(t, err)
		must(t, u.Commit(t.Context()))
	}
	must(t, resume(t, d, "unfinished.zip", 0).Close())
	must(t, os.Mkdir(filepath.Join(path, "folder"), 0o700))
	must(t, os.Symlink("/etc/passwd", filepath.Join(path, "link")))
	names, err := d.Names()
	must(t, err)
	if got := strings.Join(names, " "); got != "a.pdf b.zip" {
		t.Errorf("names %q", got)
	}
}
