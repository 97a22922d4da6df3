package keysetsql

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysettest"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func kek(t *testing.T, fill byte) *keyset.KEK {
	t.Helper()
	k, err := keyset.ParseKEK(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVault(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]*keyset.KEK{"plain": nil, "wrapped": kek(t, 1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
				keysettest.RunVault(t, func(t *testing.T) (keyset.Vault, func() keyset.Vault) {
					t.Helper()
					open := fresh(t)
					another := func() keyset.Vault { return NewVault(migrated(t, open), key) }
					return another(), another
				})
			})
		})
	}
}

// TestWrappedTellsNothing: who reads the database learns no key, and who lacks the key
// that wraps, or has another, is told so and cannot go on.
func TestWrappedTellsNothing(t *testing.T) {
	t.Parallel()
	db, set := migrated(t, sqldbtest.SQLite(t)), keysettest.NewSet()
	v := NewVault(db, kek(t, 1))
	if err := v.Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	if wrapped, err := v.Wrapped(t.Context()); err != nil || !wrapped {
		t.Errorf("wrapped = %v, %v", wrapped, err)
	}
	var row []byte
	if err := db.Reader().QueryRowContext(t.Context(), `SELECT data FROM keyset_vault WHERE id = 1`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	plain, err := keyset.Encode(set)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+16 <= len(plain); i++ {
		if bytes.Contains(row, plain[i:i+16]) {
			t.Fatalf("the row holds %q of the keyset", plain[i:i+16])
		}
	}
	for name, c := range map[string]struct {
		kek  *keyset.KEK
		want error
	}{"none": {nil, keyset.ErrLocked}, "another": {kek(t, 2), keyset.ErrWrongKEK}} {
		if _, err := NewVault(db, c.kek).Load(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, damage := range [][]byte{row[:len(row)-1], row[:20], nil, []byte("chopmark wrapped keyset 1\n"), append(row[:len(row)-1:len(row)-1], row[len(row)-1]^1)} {
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE keyset_vault SET data = ? WHERE id = 1`, append([]byte{}, damage...))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Load(t.Context()); !errors.Is(err, keyset.ErrDamaged) && !errors.Is(err, keyset.ErrWrongKEK) {
			t.Errorf("%d bytes of %d: %v", len(damage), len(row), err)
		}
	}
}

// TestWrapsWhatWasPlain: a plain keyset is read with a key at hand, and wrapped by the
// next Replace.
func TestWrapsWhatWasPlain(t *testing.T) {
	t.Parallel()
	db, set := migrated(t, sqldbtest.SQLite(t)), keysettest.NewSet()
	if err := NewVault(db, nil).Create(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	v := NewVault(db, kek(t, 1))
	if wrapped, err := v.Wrapped(t.Context()); err != nil || wrapped {
		t.Errorf("wrapped = %v, %v", wrapped, err)
	}
	if err := v.Replace(t.Context(), set, set); err != nil {
		t.Fatal(err)
	}
	got, err := v.Load(t.Context())
	if wrapped, werr := v.Wrapped(t.Context()); err != nil || werr != nil || !wrapped || !got.Equal(set) {
		t.Errorf("after Replace: wrapped = %v, %v, %v", wrapped, err, werr)
	}
}

func TestParseKEK(t *testing.T) {
	t.Parallel()
	raw := bytes.Repeat([]byte{0xfe}, 32)
	for _, good := range [][]byte{raw, []byte(hex.EncodeToString(raw)), []byte(hex.EncodeToString(raw) + "\n"), []byte("/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=\r\n")} {
		if _, err := keyset.ParseKEK(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]byte{nil, raw[:31], append(raw[:32:32], 1), []byte(hex.EncodeToString(raw[:31])), []byte("not a key at all, by any means")} {
		if _, err := keyset.ParseKEK(bad); !errors.Is(err, keyset.ErrBadKEK) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
