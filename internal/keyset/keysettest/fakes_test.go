package keysettest

import (
	"testing"

	"github.com/chopmark/chopmark/internal/keyset"
)

func TestFakes(t *testing.T) {
	t.Parallel()
	t.Run("Store", func(t *testing.T) {
		RunStore(t, func(*testing.T) (keyset.Store, func() keyset.Store) {
			s := &Store{}
			return s, func() keyset.Store { return s }
		})
	})
	t.Run("Vault", func(t *testing.T) {
		RunVault(t, func(*testing.T) (keyset.Vault, func() keyset.Vault) {
			v := &Vault{}
			return v, func() keyset.Vault { return v }
		})
	})
}
