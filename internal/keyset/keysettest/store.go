// Package keysettest holds every engine of keyset to its contract, and has the
// fakes for tests that are not about engines. The fakes pass the same suites:
// TestFakes.
package keysettest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Start is when the suites' keys are made.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// NewSet makes a set at Start.
func NewSet() *keyset.Set { return keyset.New(clock.Func(Start)) }

// RunStore runs the contract of keyset.Store. open gives an empty store, and
// reopen the same store as another process would see it.
func RunStore(t *testing.T, open func(t *testing.T) (s keyset.Store, reopen func() keyset.Store)) {
	t.Run("EmptyKnowsNothing", func(t *testing.T) {
		s, _ := open(t)
		wantKnown(t, s, nil)
	})
	t.Run("RecordsAll", func(t *testing.T) {
		s, reopen := open(t)
		known := rotated(t).Known()
		record(t, s, known)
		wantKnown(t, s, known)
		wantKnown(t, reopen(), known)
	})
	t.Run("RecordOfNothing", func(t *testing.T) {
		s, _ := open(t)
		record(t, s, nil)
		wantKnown(t, s, nil)
	})
	t.Run("RecordIsIdempotent", func(t *testing.T) {
		s, _ := open(t)
		known := rotated(t).Known()
		for range 3 {
			record(t, s, known)
		}
		wantKnown(t, s, known)
	})
	t.Run("RecordMovesTheEnd", func(t *testing.T) {
		s, _ := open(t)
		known := NewSet().Known()
		record(t, s, known)
		known[1].VerifyUntil = Start().Add(time.Hour)
		record(t, s, known[1:2])
		wantKnown(t, s, known)
		known[1].VerifyUntil = time.Time{}
		record(t, s, known[1:2])
		wantKnown(t, s, known)
	})
	t.Run("RefusesWhatContradicts", func(t *testing.T) { refusesWhatContradicts(t, open) })
	t.Run("IdsAreByteExact", func(t *testing.T) {
		s, _ := open(t)
		a := keyset.Known{ID: "key_a", Purpose: keyset.Link, Check: "1", CreatedAt: Start()}
		b := a
		b.ID = "key_A"
		record(t, s, []keyset.Known{a, b})
		wantKnown(t, s, []keyset.Known{a, b})
	})
	t.Run("CancelledWritesNothing", func(t *testing.T) {
		s, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Record(ctx, NewSet().Known()); err == nil {
			t.Error("a cancelled Record reports success")
		}
		wantKnown(t, s, nil)
	})
}

func refusesWhatContradicts(t *testing.T, open func(t *testing.T) (keyset.Store, func() keyset.Store)) {
	for name, change := range map[string]func(k *keyset.Known){
		"check":    func(k *keyset.Known) { k.Check = "0123456789abcdef" },
		"purpose":  func(k *keyset.Known) { k.Purpose = keyset.Session },
		"creation": func(k *keyset.Known) { k.CreatedAt = k.CreatedAt.Add(time.Second) },
		"second codebook key": func(k *keyset.Known) {
			*k = NewSet().Current(keyset.Codebook).Known()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t)
			known := NewSet().Known()
			record(t, s, known)
			// The sound keys before the bad one must not stay either.
			bad := append(NewSet().Known()[1:], known[1])
			change(&bad[len(bad)-1])
			if err := s.Record(t.Context(), bad); !errors.Is(err, keyset.ErrDifferent) {
				t.Errorf("Record = %v, want ErrDifferent", err)
			}
			wantKnown(t, s, known)
		})
	}
}

// rotated is a set with keys that end and keys that do not.
func rotated(t *testing.T) *keyset.Set {
	t.Helper()
	s := NewSet()
	for i, p := range []keyset.Purpose{keyset.Link, keyset.Inner, keyset.Link} {
		next, err := s.Rotate(p, Start().Add(time.Duration(i+1)*time.Hour), 0)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

func record(t *testing.T, s keyset.Store, known []keyset.Known) {
	t.Helper()
	if err := s.Record(t.Context(), known); err != nil {
		t.Fatal(err)
	}
}

func wantKnown(t *testing.T, s keyset.Store, want []keyset.Known) {
	t.Helper()
	got, err := s.Known(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byID := cmpopts.SortSlices(func(a, b keyset.Known) bool { return a.ID < b.ID })
	if diff := cmp.Diff(want, got, byID, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("known keys (-want +got):\n%s", diff)
	}
}
