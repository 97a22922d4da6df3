package keyset

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

var start = time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC)

func newSet() *Set { return New(clock.Func(func() time.Time { return start })) }

func mustRotate(t testing.TB, s *Set, p Purpose, at time.Time, keep time.Duration) *Set {
	t.Helper()
	next, err := s.Rotate(p, at, keep)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestNew(t *testing.T) {
	t.Parallel()
	s := newSet()
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	if len(s.keys) != len(Purposes()) {
		t.Errorf("%d keys", len(s.keys))
	}
	for _, p := range Purposes() {
		k := s.Current(p)
		if k.Purpose != p || !k.CreatedAt.Equal(start) || !k.VerifyUntil.IsZero() {
			t.Errorf("present key of %s: %+v", p, k)
		}
		if got, ok := s.ByID(k.ID); !ok || !got.Secret.Equal(k.Secret) {
			t.Errorf("ByID(%s) = %v, %v", k.ID, got, ok)
		}
	}
	if _, ok := s.ByID("key_none"); ok {
		t.Error("found a key that is not there")
	}
	if newSet().Equal(s) || newSet().Current(Link).Secret.Equal(s.Current(Link).Secret) {
		t.Error("two new sets are the same")
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	now := start.Add(time.Hour)
	for _, c := range []struct {
		purpose Purpose
		keep    time.Duration
		until   time.Time
	}{
		{Link, 0, now.Add(30 * 24 * time.Hour)},
		{Link, time.Minute, now.Add(time.Minute)},
		{Session, 0, now.Add(30 * 24 * time.Hour)},
		{Signature, 0, time.Time{}},
		{Signature, time.Hour, now.Add(time.Hour)},
		{Inner, 0, time.Time{}},
		{Inner, time.Hour, time.Time{}}, // printed: never ends, whatever is asked
	} {
		old := newSet()
		s := mustRotate(t, old, c.purpose, now, c.keep)
		was, _ := s.ByID(old.Current(c.purpose).ID)
		if !was.VerifyUntil.Equal(c.until) {
			t.Errorf("%s kept %v: verifies until %v, want %v", c.purpose, c.keep, was.VerifyUntil, c.until)
		}
		k := s.Current(c.purpose)
		if k.ID == was.ID || k.Secret.Equal(was.Secret) || !k.CreatedAt.Equal(now) || !k.VerifyUntil.IsZero() {
			t.Errorf("%s: the new key is %+v", c.purpose, k)
		}
		if old.Current(c.purpose).ID != was.ID || !old.Current(c.purpose).VerifyUntil.IsZero() {
			t.Errorf("%s: Rotate changed the set it was asked of", c.purpose)
		}
		if err := s.check(); err != nil {
			t.Error(err)
		}
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	s := newSet()
	if _, err := s.Rotate(Codebook, start, 0); !errors.Is(err, ErrCodebookFixed) {
		t.Errorf("codebook: %v", err)
	}
	if f, _ := fault.From(ErrCodebookFixed); f.Code != "keyset.codebook_fixed" {
		t.Errorf("code %s", f.Code)
	}
	for name, rotate := range map[string]func() (*Set, error){
		"unknown purpose": func() (*Set, error) { return s.Rotate("campaign", start, 0) },
		"no purpose":      func() (*Set, error) { return s.Rotate("", start, 0) },
		"negative keep":   func() (*Set, error) { return s.Rotate(Link, start, -1) },
		"too many": func() (*Set, error) {
			full := s
			for len(full.keys) < keysMax {
				full = mustRotate(t, full, Session, start, 0)
			}
			return full.Rotate(Session, start, 0)
		},
	} {
		if got, err := rotate(); err == nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestVerifying(t *testing.T) {
	t.Parallel()
	s0 := newSet()
	s1 := mustRotate(t, s0, Link, start.Add(1*time.Hour), 10*time.Hour) // the first ends at 11 h
	s2 := mustRotate(t, s1, Link, start.Add(2*time.Hour), 2*time.Hour)  // the second at 4 h
	a, b, c := s0.Current(Link).ID, s1.Current(Link).ID, s2.Current(Link).ID
	for after, want := range map[time.Duration][]string{
		3 * time.Hour:                   {c, b, a},
		4*time.Hour - time.Microsecond:  {c, b, a},
		4 * time.Hour:                   {c, a},
		11*time.Hour - time.Microsecond: {c, a},
		11 * time.Hour:                  {c},
		24 * 365 * 10 * time.Hour:       {c},
	} {
		var got []string
		for _, k := range s2.Verifying(Link, start.Add(after)) {
			got = append(got, k.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
	if got := s2.Verifying(Inner, start); len(got) != 1 {
		t.Errorf("inner keys: %v", got)
	}
	if got := s2.Verifying("campaign", start); got != nil {
		t.Errorf("keys of no purpose: %v", got)
	}
}

// TestDerivation pins the labels: with another subkey no printed code is ours.
// The values come from a second implementation, in another language.
func TestDerivation(t *testing.T) {
	t.Parallel()
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	k := Key{Secret: secretOf(secret)}
	for p, want := range map[Purpose]string{
		Codebook:  "77e292198440bab0c8e06ea4660a3888d62f7ba6cdf2ef65b67d735266df39f1",
		Link:      "2e2de5bbcca10832b082af392bec5a39f7ee57becbf7789bc73dda6d6141b5a0",
		Inner:     "c6afbe2ebd0f262c5e9a0b779932d5eb81c4293a436db7b5f9e3c2750c93f328",
		Signature: "26061f472449e9c1894b419d1371a47ad0ff90209653dc878634b39b050370a9",
		Session:   "efded2eeed6ef09130841af526e539ef83af49b08e15287f9d70714e1ef38893",
	} {
		k.Purpose = p
		if sub := Subkey(k); hex.EncodeToString(sub[:]) != want {
			t.Errorf("Subkey for %s = %x, want %s", p, sub, want)
		}
	}
	if got := Check(k); got != "905c1dd74a8f9d5d" {
		t.Errorf("Check = %s", got)
	}
}

// TestNoLeaks prints everything that holds a secret in every way, also from
// inside structs that know nothing of it, and looks for the secret in any of the
// forms that a byte array is printed in.
func TestNoLeaks(t *testing.T) {
	t.Parallel()
	s := newSet()
	k := s.Current(Codebook)
	type private struct {
		set    Set
		key    Key
		secret Secret
		list   []Key
	}
	hidden := private{*s, k, k.Secret, s.keys}
	var out strings.Builder
	for _, v := range []any{s, *s, k, &k, k.Secret, &k.Secret, s.keys, hidden, &hidden, map[string]Key{"k": k}, k.Known(), s.Known()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b", "%o", "%c", "%U", "%t", "%p"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("json of %T: %v", v, err)
		}
		out.Write(text)
		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v, slog.Group("g", "v", v))
		}
	}
	fmt.Fprintln(&out, k.Secret.String(), fmt.Errorf("wrapped: %v", k))
	if !strings.Contains(out.String(), redacted) || !strings.Contains(out.String(), "keyset of 5 keys") {
		t.Error("the redacted forms are missing")
	}
	if forms := leaked(s, out.String()); forms != nil {
		t.Errorf("leaked as %v", forms)
	}
	encoded, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if leaked(s, string(encoded)) == nil || leaked(s, fmt.Sprintf("%v", k.Secret.reveal())) == nil {
		t.Error("this test does not see what is there")
	}
}

// leaked names the forms of eight bytes of any secret that text contains.
func leaked(s *Set, text string) (forms []string) {
	for _, k := range s.keys {
		part := k.Secret.reveal()[4:12]
		for _, form := range []string{"%x", "%X", "% x", "%s", "%d", "%o", "%b", "%c", "%U", "%#v", "%q"} {
			want := strings.Trim(fmt.Sprintf(form, part), `[]{}"`)
			want = strings.TrimPrefix(want, "[]byte{")
			if strings.Contains(text, want) {
				forms = append(forms, form)
			}
		}
		quoted, err := json.Marshal(part)
		if err == nil && strings.Contains(text, string(quoted[1:8])) {
			forms = append(forms, "base64")
		}
	}
	return forms
}

func TestEncodeDecode(t *testing.T) {
	t.Parallel()
	s := mustRotate(t, mustRotate(t, newSet(), Link, start.Add(time.Hour), 0), Inner, start.Add(2*time.Hour), 0)
	data, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || !got.Equal(s) {
		t.Fatalf("Decode: %v", err)
	}
	if got.Current(Link).ID != s.Current(Link).ID || got.Current(Link).CreatedAt.Location() != time.UTC {
		t.Error("order or zone was lost")
	}
	again, err := Encode(got)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("encoding what was decoded differs: %v", err)
	}
}

// TestDecodeFindsDamage: no flipped bit and no cut gives another set.
func TestDecodeFindsDamage(t *testing.T) {
	t.Parallel()
	s := newSet()
	data, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			wantDamage(t, s, bad, fmt.Sprintf("bit %d of byte %d", bit, i))
		}
	}
	for n := range len(data) - 1 {
		wantDamage(t, s, data[:n], fmt.Sprintf("cut to %d bytes", n))
	}
	wantDamage(t, s, append(bytes.Clone(data), data...), "written twice")
	wantDamage(t, s, bytes.Replace(data, []byte(encodedFormat), []byte("chopmark keyset 2"), 1), "another version")
	wantDamage(t, s, bytes.Repeat([]byte(" "), encodedBytesMax+1), "too large")
}

// wantDamage wants ErrDamaged, or the very same set where JSON has two spellings.
func wantDamage(t *testing.T, s *Set, data []byte, name string) {
	t.Helper()
	got, err := Decode(data)
	switch {
	case err == nil && !got.Equal(s):
		t.Errorf("%s gives another keyset", name)
	case err != nil && !errors.Is(err, ErrDamaged):
		t.Errorf("%s: %v, want ErrDamaged", name, err)
	case err != nil && leaked(s, err.Error()) != nil:
		t.Errorf("%s: the error tells a secret", name)
	}
}

// TestDecodeHoldsTheInvariant: a whole file with a wrong set in it is refused.
func TestDecodeHoldsTheInvariant(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *Set){
		"two codebook keys": func(s *Set) { s.keys = append(s.keys, newKey(Codebook, start)) },
		"no keys":           func(s *Set) { s.keys = nil },
		"no codebook key":   func(s *Set) { s.keys = s.keys[1:] },
		"no session key":    func(s *Set) { s.keys = s.keys[:4] },
		"ended present key": func(s *Set) { s.keys[1].VerifyUntil = start },
		"unknown purpose":   func(s *Set) { s.keys = append(s.keys, newKey("campaign", start)) },
		"malformed id":      func(s *Set) { s.keys[0].ID = "key_1" },
		"one id twice":      func(s *Set) { s.keys[0].ID = s.keys[1].ID },
		"one secret twice":  func(s *Set) { s.keys[0].Secret = s.keys[1].Secret },
		"no creation time":  func(s *Set) { s.keys[0].CreatedAt = time.Time{} },
		"more than keysMax": func(s *Set) { s.keys = append(s.keys, make([]Key, keysMax)...) },
	} {
		s := newSet()
		spoil(s)
		for i := range s.keys {
			if s.keys[i].Secret.bytes == nil {
				s.keys[i].Secret = newSecret()
			}
		}
		data, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(data); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", name, err)
		}
	}
}

// TestDecodeShortSecret: the checksum fits and a secret is no secret.
func TestDecodeShortSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "00", strings.Repeat("0", 66), strings.Repeat("z", 64)} {
		e := encoded{Format: encodedFormat}
		for _, k := range newSet().keys {
			e.Keys = append(e.Keys, encodedKey{ID: k.ID, Purpose: k.Purpose, Secret: secret, CreatedAt: k.CreatedAt})
		}
		var err error
		if e.Checksum, err = e.sum(); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(data); !errors.Is(err, ErrDamaged) {
			t.Errorf("secret %q: %v, want ErrDamaged", secret, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	data, err := Encode(newSet())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":"chopmark keyset 1","keys":[],"checksum":""}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
	})
}
