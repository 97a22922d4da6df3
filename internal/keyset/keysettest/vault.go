package keysettest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/keyset"
)

// RunVault runs the contract of keyset.Vault. open gives an empty vault, and
// reopen the same vault as another process would see it.
func RunVault(t *testing.T, open func(t *testing.T) (v keyset.Vault, reopen func() keyset.Vault)) {
	t.Run("EmptyIsMissing", func(t *testing.T) {
		v, _ := open(t)
		wantMissing(t, v)
		if v.Name() == "" {
			t.Error("the vault has no name")
		}
	})
	t.Run("CreateThenLoad", func(t *testing.T) {
		v, reopen := open(t)
		set := rotated(t)
		create(t, v, set)
		wantSet(t, v, set)
		wantSet(t, reopen(), set)
	})
	t.Run("CreateNeverReplaces", func(t *testing.T) {
		v, reopen := open(t)
		set := NewSet()
		create(t, v, set)
		for _, again := range []*keyset.Set{set, NewSet()} {
			if err := reopen().Create(t.Context(), again); !errors.Is(err, keyset.ErrExists) {
				t.Errorf("a second Create = %v, want ErrExists", err)
			}
		}
		wantSet(t, v, set)
	})
	t.Run("OneCreateWins", func(t *testing.T) { oneCreateWins(t, open) })
	t.Run("Replace", func(t *testing.T) {
		v, reopen := open(t)
		old := NewSet()
		create(t, v, old)
		next, err := old.Rotate(keyset.Link, Start(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Replace(t.Context(), old, next); err != nil {
			t.Fatal(err)
		}
		wantSet(t, reopen(), next)
	})
	t.Run("ReplaceOfAnother", func(t *testing.T) {
		v, _ := open(t)
		set := NewSet()
		create(t, v, set)
		if err := v.Replace(t.Context(), NewSet(), NewSet()); !errors.Is(err, keyset.ErrChanged) {
			t.Errorf("Replace = %v, want ErrChanged", err)
		}
		wantSet(t, v, set)
	})
	t.Run("ReplaceOfNothing", func(t *testing.T) {
		v, _ := open(t)
		if err := v.Replace(t.Context(), NewSet(), NewSet()); err == nil {
			t.Error("Replace of a set that is not there succeeded")
		}
		wantMissing(t, v)
	})
	t.Run("ReplaceOfWhatever", func(t *testing.T) {
		v, _ := open(t)
		create(t, v, NewSet())
		next := NewSet()
		if err := v.Replace(t.Context(), nil, next); err != nil {
			t.Fatal(err)
		}
		wantSet(t, v, next)
	})
}

func oneCreateWins(t *testing.T, open func(t *testing.T) (keyset.Vault, func() keyset.Vault)) {
	v, reopen := open(t)
	sets, errs := make([]*keyset.Set, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range sets {
		sets[i] = NewSet()
		other := reopen()
		wg.Go(func() { errs[i] = other.Create(t.Context(), sets[i]) })
	}
	wg.Wait()
	winners := 0
	for i, err := range errs {
		switch {
		case err == nil:
			winners++
			wantSet(t, v, sets[i])
		case !errors.Is(err, keyset.ErrExists):
			t.Errorf("Create = %v, want nil or ErrExists", err)
		}
	}
	if winners != 1 {
		t.Errorf("%d creations won", winners)
	}
}

func create(t *testing.T, v keyset.Vault, s *keyset.Set) {
	t.Helper()
	if err := v.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func wantSet(t *testing.T, v keyset.Vault, want *keyset.Set) {
	t.Helper()
	got, err := v.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(want) {
		t.Error("the vault holds another keyset")
	}
}

func wantMissing(t *testing.T, v keyset.Vault) {
	t.Helper()
	if _, err := v.Load(t.Context()); !errors.Is(err, keyset.ErrMissing) {
		t.Errorf("Load = %v, want ErrMissing", err)
	}
}
