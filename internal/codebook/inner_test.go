package codebook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
)

func TestInnerAgainstReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		s := ids.Serial(rapid.Uint64().Draw(t, "serial"))
		h := hmac.New(sha256.New, key)
		h.Write([]byte("chopmark/inner/1"))
		_ = binary.Write(h, binary.BigEndian, uint64(s)) // a hash never fails
		want := referenceBase32(new(big.Int).SetBytes(h.Sum(nil)[:5]), 8)
		inner := NewInner([32]byte(key))
		if got := inner.Code(s).String(); got != want {
			t.Fatalf("Code = %s, reference %s", got, want)
		}
		if !inner.Check(s, want) || inner.Check(s+1, want) {
			t.Fatal("Check does not follow Code")
		}
	})
}

func TestInnerCheckReadsWhatPeopleType(t *testing.T) {
	t.Parallel()
	inner := NewInner(key3(t))
	// A serial whose code has a 0 and a 1, so that the aliases show.
	var s ids.Serial
	for ; ; s++ {
		if c := inner.Code(s).String(); strings.Contains(c, "0") && strings.Contains(c, "1") {
			break
		}
	}
	c := inner.Code(s).String()
	for name, in := range map[string]string{
		"as printed":   c,
		"lower case":   strings.ToLower(c),
		"hyphen":       c[:4] + "-" + c[4:],
		"spaces":       " " + c[:2] + "  " + c[2:] + " ",
		"aliases O, I": strings.NewReplacer("0", "O", "1", "I").Replace(c),
		"aliases o, l": strings.NewReplacer("0", "o", "1", "l").Replace(c),
		"32 bytes":     c + strings.Repeat("-", 24),
	} {
		if !inner.Check(s, in) {
			t.Errorf("%s: %q is refused", name, in)
		}
	}
	for name, in := range map[string]string{
		"empty":       "",
		"only spaces": "        ",
		"short":       c[:7],
		"long":        c + "0",
		"33 bytes":    c + strings.Repeat("-", 25),
		"10 KB":       strings.Repeat(c, 1280),
		"U":           c[:7] + "U",
		"NUL":         c[:4] + "\x00" + c[4:],
		"underscore":  c[:4] + "_" + c[4:],
		"full-width":  "１２３４５６７８",
		"another":     inner.Code(s + 1).String(),
	} {
		if inner.Check(s, in) {
			t.Errorf("%s: %q is accepted", name, in)
		}
	}
}

func FuzzInnerCheck(f *testing.F) {
	inner := NewInner([32]byte{1})
	f.Add(uint64(0), inner.Code(0).String())
	f.Add(uint64(1), "oOiI-lL00")
	f.Add(uint64(2), "１２３４５６７８")
	f.Fuzz(func(t *testing.T, n uint64, in string) {
		s := ids.Serial(n)
		plain := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(in))
		// ToUpper maps two non-ASCII letters into ASCII; Check must not.
		ascii := strings.IndexFunc(in, func(r rune) bool { return r > 127 }) < 0
		want := ascii && len(in) <= 32 && plain == inner.Code(s).String()
		if got := inner.Check(s, in); got != want {
			t.Fatalf("Check(%d, %q) = %v, want %v", s, in, got, want)
		}
	})
}
