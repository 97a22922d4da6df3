// Package keysetfile keeps a keyset in one file that only its owner can read: the
// vault of an installation without services.
//
// Promise: the file is whole at every instant, the old or the new, also when the
// power fails; a file that others can read, or that is damaged, is never used.
// TestVault holds it to the contract, TestRefusals to the rest.
package keysetfile

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// fileBytesMax is above what keyset.Encode can write.
const fileBytesMax = 1 << 20

// Vault is one file. Several processes may use one file.
type Vault struct {
	path string
	seal cipher.AEAD // nil = the secrets stand in the clear
}

var _ keyset.Vault = (*Vault)(nil)

// New names the file; its directory must exist.
func New(path string) *Vault { return &Vault{path: path} }

// NewSealed is New for a file that only the holder of a key can read: AES-256-GCM.
func NewSealed(path string, key [32]byte) (*Vault, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("seal keyset: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal keyset: %w", err)
	}
	return &Vault{path, seal}, nil
}

// Name implements keyset.Vault.
func (v *Vault) Name() string { return v.path }

// Load implements keyset.Vault.
func (v *Vault) Load(context.Context) (*keyset.Set, error) {
	f, err := os.Open(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, keyset.ErrMissing.Textf("the keyset %s is missing", v.path)
	}
	if err != nil {
		return nil, fmt.Errorf("open keyset: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at keyset: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, v.damaged("it is not a file")
	}
	if open := st.Mode().Perm() & 0o077; open != 0 {
		return nil, keyset.ErrExposed.Textf("others than its owner have access to the keyset %s (mode %04o): run `chmod 600 %s`",
			v.path, st.Mode().Perm(), v.path)
	}
	data, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	if v.seal != nil {
		if data, err = v.seal.Open(nil, nil, data, []byte(sealedAs)); err != nil {
			return nil, keyset.ErrDamaged.Textf("the keyset %s cannot be opened: it is damaged, or was sealed under another key", v.path)
		}
	}
	set, err := keyset.Decode(data)
	if f, ok := fault.From(err); ok {
		return nil, v.damaged(f.Text)
	}
	return set, err
}

func (v *Vault) damaged(why string) error {
	return keyset.ErrDamaged.Textf("the keyset %s cannot be used: %s; restore it with `chopmark keys import`", v.path, why)
}

// Create implements keyset.Vault. A link, unlike a rename, never takes the place
// of a file that is there, and unlike O_EXCL on the name itself it shows the file
// only when it is whole: a crash leaves no half keyset that the next start would
// have to refuse.
func (v *Vault) Create(_ context.Context, s *keyset.Set) (err error) {
	f, err := os.CreateTemp(filepath.Dir(v.path), "."+filepath.Base(v.path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if err := v.fill(f, s); err != nil {
		return err
	}
	if err := os.Link(f.Name(), v.path); errors.Is(err, fs.ErrExist) {
		return keyset.ErrExists.Textf("there is a keyset in %s already", v.path)
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(v.path))
}

// Replace implements keyset.Vault. The new file's fixed name is the lock among
// processes; one that was cut off leaves it behind, and a person removes it.
func (v *Vault) Replace(ctx context.Context, old, next *keyset.Set) (err error) {
	name := v.path + ".new"
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return keyset.ErrChanged.Textf("another process is changing the keyset, or was cut off doing so: when none is, remove %s", name)
	}
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		if !renamed {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	if err := v.fill(f, next); err != nil {
		return err
	}
	if old != nil {
		present, err := v.Load(ctx)
		if err != nil {
			return err
		}
		if !present.Equal(old) {
			return keyset.ErrChanged
		}
	}
	if err := os.Rename(name, v.path); err != nil {
		return err
	}
	renamed = true
	return syncDir(filepath.Dir(v.path))
}

// sealedAs is authenticated with what is sealed.
const sealedAs = "chopmark keyset 1"

// fill writes, syncs and closes f.
func (v *Vault) fill(f *os.File, s *keyset.Set) error {
	data, err := keyset.Encode(s)
	if err == nil && v.seal != nil {
		data = v.seal.Seal(nil, nil, data, []byte(sealedAs)) //nolint:gosec // the AEAD makes its own random nonce
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes a name durable: until then a crash may forget the file.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
