package keysetfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysettest"
)

func newVault(t *testing.T) *Vault { return New(filepath.Join(t.TempDir(), "keyset.json")) }

func TestVault(t *testing.T) {
	t.Parallel()
	keysettest.RunVault(t, func(t *testing.T) (keyset.Vault, func() keyset.Vault) {
		v := newVault(t)
		return v, func() keyset.Vault { return New(v.path) }
	})
}

func stored(t *testing.T) (*Vault, *keyset.Set, []byte) {
	t.Helper()
	v, set := newVault(t), keysettest.NewSet()
	if err := v.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(v.path)
	if err != nil {
		t.Fatal(err)
	}
	return v, set, data
}

// TestOnlyTheKeysetStays: one file, mode 0600, no leftovers with secrets in them.
func TestOnlyTheKeysetStays(t *testing.T) {
	t.Parallel()
	v, set, _ := stored(t)
	next, err := set.Rotate(keyset.Link, keysettest.Start(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		step func() error
		want error
	}{
		{"refused create", func() error { return v.Create(t.Context(), next) }, keyset.ErrExists},
		{"refused replace", func() error { return v.Replace(t.Context(), next, next) }, keyset.ErrChanged},
		{"replace", func() error { return v.Replace(t.Context(), set, next) }, nil},
	} {
		if err := c.step(); !errors.Is(err, c.want) {
			t.Errorf("%s = %v, want %v", c.name, err, c.want)
		}
		entries, err := os.ReadDir(filepath.Dir(v.path))
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 1 || entries[0].Name() != "keyset.json" {
			t.Errorf("%s: the directory holds %v", c.name, entries)
		}
		st, err := os.Stat(v.path)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode() != 0o600 {
			t.Errorf("%s: mode %v, want 0600", c.name, st.Mode())
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(path string, data []byte) error
		want  error
		says  string
	}{
		{"read by the group", func(p string, _ []byte) error { return os.Chmod(p, 0o640) }, keyset.ErrExposed, "chmod 600 "},
		{"read by others", func(p string, _ []byte) error { return os.Chmod(p, 0o604) }, keyset.ErrExposed, "mode 0604"},
		{"written by the group", func(p string, _ []byte) error { return os.Chmod(p, 0o620) }, keyset.ErrExposed, "chmod 600 "},
		{"cut off", func(p string, d []byte) error { return os.WriteFile(p, d[:len(d)/2], 0o600) }, keyset.ErrDamaged, "keys import"},
		{"empty", func(p string, _ []byte) error { return os.WriteFile(p, nil, 0o600) }, keyset.ErrDamaged, "keys import"},
		{"zeros", func(p string, d []byte) error { return os.WriteFile(p, make([]byte, len(d)), 0o600) }, keyset.ErrDamaged, "keys import"},
		{"huge", func(p string, _ []byte) error { return os.Truncate(p, fileBytesMax+100) }, keyset.ErrDamaged, "larger"},
		{"a directory", func(p string, _ []byte) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, keyset.ErrDamaged, "not a file"},
		{"a changed secret", func(p string, d []byte) error {
			i := bytes.Index(d, []byte(`"secret": "`)) + len(`"secret": "`)
			d[i] = '0' + (d[i]-'0'+1)%10
			return os.WriteFile(p, d, 0o600)
		}, keyset.ErrDamaged, "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v, _, data := stored(t)
			if err := c.spoil(v.path, data); err != nil {
				t.Fatal(err)
			}
			set, err := v.Load(t.Context())
			if !errors.Is(err, c.want) || set != nil {
				t.Fatalf("Load = %v, %v; want %v", set, err, c.want)
			}
			if !strings.Contains(err.Error(), v.path) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not name the file and %q", err, c.says)
			}
			if err := v.Create(t.Context(), keysettest.NewSet()); !errors.Is(err, keyset.ErrExists) {
				t.Errorf("Create over it = %v, want ErrExists", err)
			}
		})
	}
}

func TestReplaceTakesTheLock(t *testing.T) {
	t.Parallel()
	v, set, _ := stored(t)
	if err := os.WriteFile(v.path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := v.Replace(t.Context(), set, keysettest.NewSet())
	if !errors.Is(err, keyset.ErrChanged) || !strings.Contains(err.Error(), "remove "+v.path+".new") {
		t.Errorf("Replace beside another = %v", err)
	}
	if got, err := v.Load(t.Context()); err != nil || !got.Equal(set) {
		t.Errorf("the keyset changed: %v", err)
	}
	if _, err := os.Stat(v.path + ".new"); err != nil {
		t.Errorf("the other's lock is gone: %v", err)
	}
}

func TestReplaceOfADamagedFile(t *testing.T) {
	t.Parallel()
	v, set, _ := stored(t)
	if err := os.WriteFile(v.path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Replace(t.Context(), set, set); !errors.Is(err, keyset.ErrDamaged) {
		t.Errorf("Replace of a known set over junk = %v, want ErrDamaged", err)
	}
	if err := v.Replace(t.Context(), nil, set); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Load(t.Context()); err != nil || !got.Equal(set) {
		t.Errorf("Load = %v", err)
	}
}

func TestMissingDirectory(t *testing.T) {
	t.Parallel()
	v := New(filepath.Join(t.TempDir(), "absent", "keyset.json"))
	if err := v.Create(t.Context(), keysettest.NewSet()); err == nil {
		t.Error("Create in a directory that is not there succeeded")
	}
}
