package codebook

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	k1 = "2B7E151628AED2A6ABF7158809CF4F3C"
	k2 = k1 + "EF4359D8D580AA4F"
	k3 = k2 + "7F036D6F04FC6A94"

	t2 = "39383736353433323130"
	t3 = "3737373770717273373737"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// numerals reads the alphabet 0-9a-z of the NIST samples.
func numerals(s string) []uint16 {
	out := make([]uint16, len(s))
	for i := range s {
		out[i] = uint16(strings.IndexByte("0123456789abcdefghijklmnopqrstuvwxyz", s[i]))
	}
	return out
}

func mustFF1(t testing.TB, key []byte, radix, length int) *FF1 {
	t.Helper()
	f, err := NewFF1(key, radix, length)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bigOnly is f without its word path.
func bigOnly(f *FF1) *FF1 {
	g := *f
	g.wordU, g.wordV = 0, 0
	return &g
}

var ff1Vectors = []struct {
	name, key     string
	radix         int
	tweak         string
	plain, cipher string
}{
	{"nist1", k1, 10, "", "0123456789", "2433477484"},
	{"nist2", k1, 10, t2, "0123456789", "6124200773"},
	{"nist3", k1, 36, t3, "0123456789abcdefghi", "a9tv40mll9kdu509eum"},
	{"nist4", k2, 10, "", "0123456789", "2830668132"},
	{"nist5", k2, 10, t2, "0123456789", "2496655549"},
	{"nist6", k2, 36, t3, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"},
	{"nist7", k3, 10, "", "0123456789", "6657667009"},
	{"nist8", k3, 10, t2, "0123456789", "1001623463"},
	{"nist9", k3, 36, t3, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"},
	{"ours1", k3, 10, "", "000000000000000000", "692931865931847536"},
	{"ours2", k3, 10, "", "000000000000000001", "467389443565164028"},
	{"ours3", k3, 10, "", "000000000000000002", "242409412144916858"},
	{"ours4", k3, 10, "", "123456789012345678", "397110324155187379"},
	{"ours5", k3, 10, "", "999999999999999999", "726550093903708886"},
}

func TestFF1Vectors(t *testing.T) {
	t.Parallel()
	for _, v := range ff1Vectors {
		t.Run(v.name, func(t *testing.T) {
			words := mustFF1(t, unhex(t, v.key), v.radix, len(v.plain))
			if words.wordV == 0 {
				t.Fatal("the vector does not reach the word path")
			}
			for _, f := range []*FF1{words, bigOnly(words)} {
				got := make([]uint16, len(v.plain))
				if err := f.Encrypt(got, numerals(v.plain), unhex(t, v.tweak)); err != nil {
					t.Fatal(err)
				}
				if want := numerals(v.cipher); !slices.Equal(got, want) {
					t.Errorf("Encrypt = %v, want %v", got, want)
				}
				if err := f.Decrypt(got, got, unhex(t, v.tweak)); err != nil {
					t.Fatal(err)
				}
				if want := numerals(v.plain); !slices.Equal(got, want) {
					t.Errorf("Decrypt = %v, want %v", got, want)
				}
			}
		})
	}
}

// TestFF1Shapes covers what the samples of NIST do not: halves of a whole number
// of bytes, an u that is not v, long tweaks, rounds of several blocks of output.
// The values come from a second implementation, in another language, which
// reproduces the nine samples.
func TestFF1Shapes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		radix, length, tweakBytes int
		sum                       string // of the numerals as u16, SHA-256, 16 bytes
	}{
		{2, 32, 0, "f78bc5f03fb3199e944d4a47098d7f2b"},
		{2, 33, 3, "5274ea567cf3a4cc9a738fa3334e124f"},
		{256, 8, 0, "3d97d578b230e59792f6449ebdd1e573"},
		{65536, 2, 0, "35ba583b629037b02a019fab78a2fbaa"},
		{65536, 9, 16, "3c718b5c3e2a02f97d9b0ed7df88370d"},
		{10, 57, 11, "8256ae26ef48618b9a50c996ae57bd97"},
		{10, 18, 11, "b0e54f51e1330e6c2bd8df45445140bc"},
		{10, 100, 0, "daeb41f9447f2003c3cdd11d9b390770"},
		{36, 151, 40, "2ed69e5bf2d65ca7f3d12eb233c14200"},
		{10, 600, 5, "5f93917ff3a3eeee2d4828f4f2bd77f0"},
	} {
		f := mustFF1(t, unhex(t, k3), c.radix, c.length)
		plain, tweak := make([]uint16, c.length), make([]byte, c.tweakBytes)
		for i := range plain {
			plain[i] = uint16((i*7919 + 3) % c.radix)
		}
		for i := range tweak {
			tweak[i] = byte(i)
		}
		for _, f := range []*FF1{f, bigOnly(f)} {
			got := make([]uint16, c.length)
			if err := f.Encrypt(got, plain, tweak); err != nil {
				t.Fatal(err)
			}
			h := sha256.New()
			_ = binary.Write(h, binary.BigEndian, got) // a hash never fails
			if sum := hex.EncodeToString(h.Sum(nil)[:16]); sum != c.sum {
				t.Errorf("radix %d, length %d, tweak of %d: sum %s, want %s", c.radix, c.length, c.tweakBytes, sum, c.sum)
			}
			if err := f.Decrypt(got, got, tweak); err != nil || !slices.Equal(got, plain) {
				t.Errorf("radix %d, length %d: Decrypt = %v, %v", c.radix, c.length, got, err)
			}
		}
	}
}

func TestNewFF1Refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		key           int
		radix, length int
		ok            bool
	}{
		{"smallest domain", 32, 10, 6, true},
		{"domain of 10^5", 32, 10, 5, false},
		{"binary, 20 bits", 16, 2, 20, true},
		{"binary, 19 bits", 16, 2, 19, false},
		{"largest radix", 24, 65536, 2, true},
		{"radix beyond", 32, 65537, 2, false},
		{"radix 1", 32, 1, 100, false},
		{"radix negative", 32, -10, 18, false},
		{"one numeral", 32, 65536, 1, false},
		{"length negative", 32, 10, -18, false},
		{"longest", 32, 10, ff1LengthMax, true},
		{"too long", 32, 10, ff1LengthMax + 1, false},
		{"short key", 31, 10, 18, false},
		{"no key", 0, 10, 18, false},
	} {
		if _, err := NewFF1(make([]byte, c.key), c.radix, c.length); (err == nil) != c.ok {
			t.Errorf("%s: err = %v, want ok = %v", c.name, err, c.ok)
		}
	}
}

func TestFF1RefusesInput(t *testing.T) {
	t.Parallel()
	f := mustFF1(t, make([]byte, 32), 10, 8)
	good, out := make([]uint16, 8), make([]uint16, 8)
	for name, err := range map[string]error{
		"short src":       f.Encrypt(out, good[:7], nil),
		"short dst":       f.Encrypt(out[:7], good, nil),
		"numeral = radix": f.Encrypt(out, []uint16{0, 0, 0, 10, 0, 0, 0, 0}, nil),
		"decrypt too":     f.Decrypt(out, []uint16{0, 0, 0, 0, 0, 0, 0, 65535}, nil),
		"long tweak":      f.Encrypt(out, good, make([]byte, ff1TweakBytesMax+1)),
	} {
		if !errors.Is(err, ErrNumerals) {
			t.Errorf("%s: err = %v, want ErrNumerals", name, err)
		}
	}
	if !slices.Equal(out, make([]uint16, 8)) {
		t.Error("a refused call wrote to dst")
	}
	if err := f.Encrypt(out, good, make([]byte, ff1TweakBytesMax)); err != nil {
		t.Errorf("longest tweak: %v", err)
	}
}

// TestFF1IsABijection walks one smallest domain whole.
func TestFF1IsABijection(t *testing.T) {
	t.Parallel()
	f := mustFF1(t, unhex(t, k1), 10, 6)
	seen := make([]bool, ff1DomainMin)
	x := make([]uint16, 6)
	for n := range uint64(ff1DomainMin) {
		f.putWord(x, n)
		if err := f.Encrypt(x, x, []byte("t")); err != nil {
			t.Fatal(err)
		}
		y := f.word(x)
		if seen[y] {
			t.Fatalf("%d is the image of two numbers", y)
		}
		seen[y] = true
	}
}

// TestFF1Paths holds both paths to each other and to their inverses over every
// shape: odd lengths, large radixes, tweaks, halves of several AES blocks.
func TestFF1Paths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		radix := rapid.OneOf(rapid.IntRange(2, 64), rapid.IntRange(2, ff1RadixMax)).Draw(t, "radix")
		length := rapid.OneOf(rapid.IntRange(2, 24), rapid.IntRange(2, 300)).Draw(t, "length")
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		tweak := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "tweak")
		f, err := NewFF1(key, radix, length)
		if err != nil {
			return // too small a domain for FF1
		}
		plain := make([]uint16, length)
		for i := range plain {
			plain[i] = uint16(rapid.IntRange(0, radix-1).Draw(t, "numeral"))
		}
		words, bigs := make([]uint16, length), make([]uint16, length)
		if err := errors.Join(f.Encrypt(words, plain, tweak), bigOnly(f).Encrypt(bigs, plain, tweak)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(words, bigs) {
			t.Fatalf("word path %v, big path %v", words, bigs)
		}
		if err := errors.Join(f.Decrypt(words, words, tweak), bigOnly(f).Decrypt(bigs, bigs, tweak)); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(words, plain) || !slices.Equal(bigs, plain) {
			t.Fatalf("round trip of %v: words %v, bigs %v", plain, words, bigs)
		}
	})
}

func FuzzFF1(f *testing.F) {
	f.Add(bytes.Repeat([]byte{7}, 32), uint16(10), []byte("0123456789"), []byte{})
	f.Add(unhex(f, k1), uint16(36), []byte("0123456789abcdefghi"), unhex(f, t3))
	f.Add(make([]byte, 24), uint16(65535), []byte("ab"), bytes.Repeat([]byte{1}, 17))
	f.Fuzz(func(t *testing.T, key []byte, radix uint16, text, tweak []byte) {
		perm, err := NewFF1(key, int(radix), len(text))
		if err != nil {
			return
		}
		plain := make([]uint16, len(text))
		for i, c := range text {
			plain[i] = uint16(c) % radix
		}
		got := make([]uint16, len(text))
		if err := perm.Encrypt(got, plain, tweak); err != nil {
			if len(tweak) > ff1TweakBytesMax {
				return
			}
			t.Fatal(err)
		}
		if err := bigOnly(perm).Decrypt(got, got, tweak); err != nil || !slices.Equal(got, plain) {
			t.Fatalf("round trip of %v: %v, %v", plain, got, err)
		}
	})
}

func BenchmarkFF1(b *testing.B) {
	for _, c := range []struct {
		name          string
		radix, length int
	}{{"words/radix10x18", 10, 18}, {"words/radix32x12", 32, 12}, {"big/radix36x40", 36, 40}} {
		b.Run(c.name, func(b *testing.B) {
			f := mustFF1(b, make([]byte, 32), c.radix, c.length)
			x := make([]uint16, c.length)
			for i := range x {
				x[i] = uint16(rand.N(c.radix))
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := f.Encrypt(x, x, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
