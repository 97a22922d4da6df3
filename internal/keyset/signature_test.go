package keyset

import (
	"errors"
	"testing"
	"time"
)

// TestRevoke: a revoked key verifies no more, from then on; a new one takes its place, and
// nothing else is touched.
func TestRevoke(t *testing.T) {
	t.Parallel()
	s := newSet()
	first := s.Current(Signature)
	rotated := mustRotate(t, s, Signature, start, 0)
	for name, set := range map[string]*Set{"present": s, "earlier": rotated} {
		next, err := set.Revoke(first.ID, start.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if k, _ := next.ByID(first.ID); k.verifies(start.Add(time.Hour)) || !k.verifies(start.Add(59*time.Minute)) {
			t.Errorf("%s: verifies until %v", name, k.VerifyUntil)
		}
		if next.Current(Signature).ID == first.ID || !next.Current(Signature).VerifyUntil.IsZero() {
			t.Errorf("%s: there is no other key", name)
		}
		if name == "earlier" && next.Current(Signature).ID != rotated.Current(Signature).ID {
			t.Errorf("%s: the present key has changed", name)
		}
		if err := next.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again, err := next.Revoke(first.ID, start.Add(2*time.Hour)); err != nil || again != next {
			t.Errorf("%s: revoked again: %v", name, err)
		}
	}
	if _, err := s.Revoke("key_none", start); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("an unknown key: %v", err)
	}
	for _, p := range []Purpose{Codebook, Link, Inner, Session} {
		if _, err := s.Revoke(s.Current(p).ID, start); !errors.Is(err, ErrNoRevoke) {
			t.Errorf("the %s key: %v", p, err)
		}
	}
}

// TestPublicHalfIsShared: a process whose signature keys are withheld verifies with the true
// public halves, also after it has kept them, and can sign nothing.
func TestPublicHalfIsShared(t *testing.T) {
	t.Parallel()
	s := mustRotate(t, newSet(), Signature, start, 0)
	raw, err := Encode(s.Shared(Link, Inner))
	if err != nil {
		t.Fatal(err)
	}
	shared, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range s.Of(Signature) {
		got, _ := shared.ByID(k.ID)
		if LabelPublic(got) != LabelPublic(k) {
			t.Errorf("another public key of %s", k.ID)
		}
		if _, ok := LabelSeed(got); ok {
			t.Errorf("%s signs", k.ID)
		}
		if seed, ok := LabelSeed(k); !ok || seed == Subkey(k) || seed == Derive(k, "log/1") {
			t.Errorf("the seed of %s is not its own", k.ID)
		}
	}
	if len(s.Of(Signature)) != 2 {
		t.Error("there are not two keys")
	}
}
