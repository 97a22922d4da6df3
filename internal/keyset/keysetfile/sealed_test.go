package keysetfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysettest"
)

func sealed(t *testing.T, path string, key byte) *Vault {
	t.Helper()
	v, err := NewSealed(path, [32]byte{key})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedVault(t *testing.T) {
	t.Parallel()
	keysettest.RunVault(t, func(t *testing.T) (keyset.Vault, func() keyset.Vault) {
		v := sealed(t, filepath.Join(t.TempDir(), "keys.sealed"), 1)
		return v, func() keyset.Vault { return sealed(t, v.path, 1) }
	})
}

// TestSealIsNeeded: nothing of the keys stands in the file, and who has another key,
// or changes a bit, gets nothing.
func TestSealIsNeeded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.sealed")
	set := keysettest.NewSet()
	if err := sealed(t, path, 1).Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("key_")) || bytes.Contains(raw, []byte("secret")) {
		t.Error("the file shows what is in it")
	}
	for name, v := range map[string]*Vault{"another key": sealed(t, path, 2), "no key": New(path)} {
		if set, err := v.Load(t.Context()); !errors.Is(err, keyset.ErrDamaged) || set != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range []int{0, len(raw) / 2, len(raw) - 1} {
		bad := bytes.Clone(raw)
		bad[at] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sealed(t, path, 1).Load(t.Context()); !errors.Is(err, keyset.ErrDamaged) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}
