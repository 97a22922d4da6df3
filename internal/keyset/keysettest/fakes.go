package keysettest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/chopmark/chopmark/internal/keyset"
)

// Store is a keyset.Store in memory. Err, when set, is what Record answers.
type Store struct {
	Err error

	mu    sync.Mutex
	known map[string]keyset.Known // guarded by mu
}

var _ keyset.Store = (*Store)(nil)

// Known implements keyset.Store.
func (s *Store) Known(ctx context.Context) ([]keyset.Known, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.known)), ctx.Err()
}

// Record implements keyset.Store.
func (s *Store) Record(ctx context.Context, keys []keyset.Known) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil {
		return s.Err
	}
	next := map[string]keyset.Known{}
	maps.Copy(next, s.known)
	for _, k := range keys {
		for _, old := range next {
			same := old.Check == k.Check && old.Purpose == k.Purpose && old.CreatedAt.Equal(k.CreatedAt)
			if old.ID == k.ID && !same || old.ID != k.ID && old.Purpose == keyset.Codebook && k.Purpose == keyset.Codebook {
				return keyset.ErrDifferent
			}
		}
		next[k.ID] = k
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.known = next
	return nil
}

// Vault is a keyset.Vault in memory. Err, when set, is what Load answers.
type Vault struct {
	Err error

	mu  sync.Mutex
	set *keyset.Set // guarded by mu
}

var _ keyset.Vault = (*Vault)(nil)

// Name implements keyset.Vault.
func (v *Vault) Name() string { return "memory" }

// Load implements keyset.Vault.
func (v *Vault) Load(context.Context) (*keyset.Set, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.load()
}

func (v *Vault) load() (*keyset.Set, error) {
	switch {
	case v.Err != nil:
		return nil, v.Err
	case v.set == nil:
		return nil, keyset.ErrMissing
	}
	return v.set, nil
}

// Create implements keyset.Vault.
func (v *Vault) Create(_ context.Context, s *keyset.Set) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.set != nil {
		return keyset.ErrExists
	}
	v.set = s
	return nil
}

// Replace implements keyset.Vault.
func (v *Vault) Replace(_ context.Context, old, next *keyset.Set) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if old != nil {
		present, err := v.load()
		if err != nil {
			return err
		}
		if !present.Equal(old) {
			return keyset.ErrChanged
		}
	}
	v.set, v.Err = next, nil
	return nil
}
