package codebook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
)

// referenceToken is the token by crypto/hmac and big integers.
func referenceToken(key []byte, s ids.Serial, version uint16, period uint32, epoch uint64) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("chopmark/link/1"))
	for _, x := range []any{uint64(s), version, period, epoch} {
		_ = binary.Write(h, binary.BigEndian, x) // a hash never fails
	}
	cut := new(big.Int).SetBytes(h.Sum(nil)[:9])
	cut.Rsh(cut, 7) // 72 bits to 65
	return referenceBase32(new(big.Int).SetUint64(epoch), 5) + referenceBase32(cut, 13)
}

func referenceBase32(n *big.Int, chars int) string {
	text := strings.ToUpper(n.Text(32)) // 0-9A-V
	out := strings.Repeat("0", chars-len(text))
	for _, c := range text {
		out += string(crockford[strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUV", c)])
	}
	return out
}

func mustToken(t testing.TB, l *Links, s ids.Serial, version uint16, period uint32, epoch uint64) Token {
	t.Helper()
	token, err := l.Token(s, version, period, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenAgainstReference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "key")
		s := ids.Serial(rapid.Uint64().Draw(rt, "serial"))
		version, period := rapid.Uint16().Draw(rt, "version"), rapid.Uint32().Draw(rt, "period")
		epoch := rapid.Uint64Range(0, EpochMax).Draw(rt, "epoch")
		links := NewLinks([32]byte(key))
		token := mustToken(t, links, s, version, period, epoch)
		if want := referenceToken(key, s, version, period, epoch); token.String() != want {
			rt.Fatalf("token %s, reference %s", token, want)
		}
		if token.Epoch() != epoch {
			rt.Fatalf("epoch %d, want %d", token.Epoch(), epoch)
		}
		if !links.Check(token, s, version, period) {
			rt.Fatal("our own token does not verify")
		}
		for name, ok := range map[string]bool{
			"serial":  links.Check(token, s^1, version, period),
			"version": links.Check(token, s, version^1, period),
			"period":  links.Check(token, s, version, period^1),
		} {
			if ok {
				rt.Fatalf("verifies for another %s", name)
			}
		}
	})
}

func TestTokenChangedAnywhereFails(t *testing.T) {
	t.Parallel()
	links := NewLinks(key3(t))
	token := mustToken(t, links, 42, 3, 3600, 123456)
	for i := range token {
		forged := token
		forged[i] = crockford[(crockfordValue[forged[i]])&31] // the next character
		if links.Check(forged, 42, 3, 3600) {
			t.Errorf("verifies with character %d changed", i)
		}
	}
	if NewLinks([32]byte{}).Check(token, 42, 3, 3600) {
		t.Error("verifies under another key")
	}
	if links.Check(Token{}, 42, 3, 3600) {
		t.Error("the zero token verifies")
	}
}

func TestTokenEpochRange(t *testing.T) {
	t.Parallel()
	links := NewLinks(key3(t))
	if token := mustToken(t, links, 1, 0, 60, EpochMax); !strings.HasPrefix(token.String(), "ZZZZZ") {
		t.Errorf("the last epoch gives %s", token)
	}
	for _, epoch := range []uint64{EpochMax + 1, math.MaxUint64} {
		if token, err := links.Token(1, 0, 60, epoch); err == nil {
			t.Errorf("epoch %d gave %s", epoch, token)
		}
	}
}

func TestParseToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in, want string // want "" = refused
	}{
		{"canonical", "0123456789ABCDEFGH", "0123456789ABCDEFGH"},
		{"rest of the alphabet", "JKMNPQRSTVWXYZ0000", "JKMNPQRSTVWXYZ0000"},
		{"lower case", "jkmnpqrstvwxyz0abc", "JKMNPQRSTVWXYZ0ABC"},
		{"aliases", "oOiIlL000000000000", "001111000000000000"},
		{"U", "0123456789ABCDEFGU", ""},
		{"u", "u123456789ABCDEFGH", ""},
		{"short", "0123456789ABCDEFG", ""},
		{"long", "0123456789ABCDEFGHJ", ""},
		{"empty", "", ""},
		{"hyphen", "01234-6789ABCDEFGH", ""},
		{"NUL", "01234\x006789ABCDEFGH", ""},
		{"full-width", "ＡＢＣＤＥＦ", ""},
		{"10 KB", strings.Repeat("A", 10240), ""},
	} {
		got, ok := ParseToken(c.in)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%s: ParseToken = %q, %v; want %q", c.name, got, ok, c.want)
		}
		if !ok && got != (Token{}) {
			t.Errorf("%s: a refused input gave a token", c.name)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	for _, s := range []string{"", "0123456789ABCDEFGH", "oOiIlL000000000000", "ＡＢＣＤＥＦ"} {
		f.Add(s)
	}
	links := NewLinks([32]byte{1})
	f.Fuzz(func(t *testing.T, s string) {
		token, ok := ParseToken(s)
		if !ok {
			return
		}
		again, ok := ParseToken(token.String())
		if !ok || again != token {
			t.Fatalf("%q is not canonical: %s then %s", s, token, again)
		}
		if token.Epoch() > EpochMax {
			t.Fatalf("epoch %d", token.Epoch())
		}
		if want := mustToken(t, links, 1, 1, 60, token.Epoch()); links.Check(token, 1, 1, 60) != (token == want) {
			t.Fatalf("Check(%s) disagrees with the token %s", token, want)
		}
	})
}

func TestEpoch(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 3, 1, 8, 30, 15, 0, time.UTC)
	at := created.Add
	for _, c := range []struct {
		name   string
		now    time.Time
		period time.Duration
		want   uint64
	}{
		{"off", at(100 * time.Hour), 0, 0},
		{"negative period", at(100 * time.Hour), -time.Hour, 0},
		{"at creation", created, time.Hour, 0},
		{"before creation", at(-time.Nanosecond), time.Hour, 0},
		{"some periods before", at(-10 * time.Minute), time.Minute, 0},
		{"long before", at(-100 * time.Hour), time.Hour, 0},
		{"just before the change", at(time.Hour - time.Nanosecond), time.Hour, 0},
		{"at the change", at(time.Hour), time.Hour, 1},
		{"later", at(49 * time.Hour), 24 * time.Hour, 2},
		{"another zone", at(time.Hour).In(time.FixedZone("", 8*3600)), time.Hour, 1},
	} {
		if got := Epoch(c.now, created, c.period); got != c.want {
			t.Errorf("%s: Epoch = %d, want %d", c.name, got, c.want)
		}
	}
}

func TestEpochStart(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 3, 1, 8, 30, 15, 0, time.UTC)
	if got := EpochStart(created, 0, 77); !got.Equal(created) {
		t.Errorf("off: %v", got)
	}
	for _, period := range []time.Duration{time.Nanosecond, time.Minute, 24 * time.Hour, math.MaxInt64} {
		for _, epoch := range []uint64{EpochMax, math.MaxInt64, math.MaxUint64} {
			if got := EpochStart(created, period, epoch); got.Before(created) {
				t.Errorf("epoch %d of %v starts at %v, before the creation", epoch, period, got)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		period := time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "period"))
		since := time.Duration(rapid.Int64Range(0, int64(50*365*24*time.Hour)).Draw(t, "since"))
		epoch := Epoch(created.Add(since), created, period)
		if EpochStart(created, period, epoch).After(created.Add(since)) ||
			!EpochStart(created, period, epoch+1).After(created.Add(since)) {
			t.Fatalf("%v lies outside epoch %d of %v", since, epoch, period)
		}
	})
}

func BenchmarkLinks(b *testing.B) {
	links, inner := NewLinks(key3(b)), NewInner(key3(b))
	token := mustToken(b, links, 7, 1, 3600, 5)
	tokenText, innerText := token.String(), inner.Code(7).String()
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"Token", func() { _, _ = links.Token(7, 1, 3600, 5) }},
		{"Check", func() { _ = links.Check(token, 7, 1, 3600) }},
		{"ParseToken", func() { _, _ = ParseToken(tokenText) }},
		{"Inner.Code", func() { _ = inner.Code(7) }},
		{"Inner.Check", func() { _ = inner.Check(7, innerText) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.f()
			}
		})
	}
}
