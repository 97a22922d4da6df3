package keyset

import "testing"

// TestShared: what is left out is of no use, the rest is as it was, and the set may be
// stored like any other.
func TestShared(t *testing.T) {
	t.Parallel()
	s := mustRotate(t, newSet(), Link, start, 0)
	shared := s.Shared(Link, Inner)
	if !shared.Equal(s.Shared(Link, Inner)) {
		t.Error("two times the same is not the same")
	}
	for _, k := range s.keys {
		got, ok := shared.ByID(k.ID)
		if !ok {
			t.Fatalf("the %s key is missing", k.Purpose)
		}
		kept := k.Purpose == Codebook || k.Purpose == Link || k.Purpose == Inner
		if got.Secret.Equal(k.Secret) != kept {
			t.Errorf("the %s key is shared: %v", k.Purpose, !kept)
		}
	}
	raw, err := Encode(shared)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Decode(raw); err != nil || !back.Equal(shared) {
		t.Errorf("read back: %v", err)
	}
}
