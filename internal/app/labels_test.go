package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// TestLabelKeys: an edge verifies what others sign and signs nothing; a key that is younger
// than others may know of it signs nothing yet; a revoked one signs no more, and what it
// signed verifies at a server as before.
func TestLabelKeys(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := start
	c := clock.Func(func() time.Time { return now })
	set := keyset.New(c)
	ring := newKeyring(set, c)
	first := ring.SignatureKeyID()
	signer, err := ring.LabelSigner(first)
	if err != nil {
		t.Fatal(err)
	}
	code := codebook.Code([]byte("692931865931847536"))
	text := string(signer.Batch(codebook.LabelClaims{Lot: "L"}).AppendSignature(nil, code))
	label, err := codebook.ParseLabel(code, text)
	if err != nil {
		t.Fatal(err)
	}

	edge := newKeyring(set.Shared(keyset.Link, keyset.Inner), c)
	if key := edge.Label(label.KeyID); key == nil || !key.Check(label) {
		t.Error("an edge does not verify a label")
	}
	if _, err := edge.LabelSigner(first); !errors.Is(err, errNoLabelKey) {
		t.Errorf("an edge signs: %v", err)
	}
	if edge.Label(codebook.LabelKeyID{}) != nil {
		t.Error("an unknown key is known")
	}

	now = now.Add(time.Hour)
	rotated, err := set.Rotate(keyset.Signature, now, 0)
	if err != nil {
		t.Fatal(err)
	}
	ring.settle(time.Minute)
	ring.renew(rotated)
	if ring.SignatureKeyID() != first {
		t.Error("a key signs that others may not know")
	}
	now = now.Add(time.Minute)
	ring.refresh()
	if ring.SignatureKeyID() == first {
		t.Error("a key that has settled does not sign")
	}

	revoked, err := rotated.Revoke(set.Current(keyset.Signature).ID, now)
	if err != nil {
		t.Fatal(err)
	}
	ring.renew(revoked)
	if _, err := ring.LabelSigner(first); !errors.Is(err, errLabelRevoked) {
		t.Errorf("a revoked key signs: %v", err)
	}
	if key := ring.Label(label.KeyID); key == nil || !key.Check(label) {
		t.Error("what a revoked key signed is refused")
	}
	raw, err := ring.labelKeys()
	if err != nil || strings.Count(string(raw), `"kid"`) != 2 || strings.Count(string(raw), "revoked_at") != 1 {
		t.Errorf("%s, %v", raw, err)
	}
}
