package codebook

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

func key3(t testing.TB) [32]byte { return [32]byte(unhex(t, k3)) }

// slowCode is the same code by the general permutation.
func slowCode(t testing.TB, f *FF1, s ids.Serial) string {
	t.Helper()
	x := numerals(fmt.Sprintf("%018d", uint64(s)))
	if err := f.Encrypt(x, x, nil); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(x))
	for i, n := range x {
		out[i] = '0' + byte(n)
	}
	return string(out)
}

func TestItemsVectors(t *testing.T) {
	t.Parallel()
	items := NewItems(key3(t))
	for _, v := range ff1Vectors {
		if v.key != k3 || len(v.plain) != CodeDigits {
			continue
		}
		var s ids.Serial
		if _, err := fmt.Sscanf(v.plain, "%d", &s); err != nil {
			t.Fatal(err)
		}
		if got := items.Code(s).String(); got != v.cipher {
			t.Errorf("Code(%s) = %s, want %s", v.plain, got, v.cipher)
		}
	}
}

// TestItemsRoundTrip covers the edges of the range and of each half, and random
// serials, against the general permutation over big integers.
func TestItemsRoundTrip(t *testing.T) {
	t.Parallel()
	items, slow := NewItems(key3(t)), bigOnly(mustFF1(t, unhex(t, k3), 10, 18))
	coder := items.Coder()
	var serials []ids.Serial
	for _, edge := range []ids.Serial{0, half, ids.ShardCapacity, 2 * ids.ShardCapacity, ids.SerialCount / 2, ids.SerialCount} {
		for d := range ids.Serial(50) {
			serials = append(serials, edge+d, edge-d-1) // those outside are dropped below
		}
	}
	for range 5000 {
		serials = append(serials, ids.Serial(rand.Uint64N(ids.SerialCount)))
	}
	for _, s := range serials {
		if s >= ids.SerialCount {
			continue
		}
		code := items.Code(s)
		if got := items.Serial(code); got != s {
			t.Fatalf("Serial(Code(%d)) = %d", s, got)
		}
		if want := slowCode(t, slow, s); code.String() != want {
			t.Fatalf("Code(%d) = %s, want %s by the general path", s, code, want)
		}
		if coder.Code(s) != code || coder.Serial(code) != s {
			t.Fatalf("Coder and Items differ at %d", s)
		}
		if parsed, err := ParseCode(code.String()); err != nil || parsed != code {
			t.Fatalf("ParseCode(%s) = %s, %v", code, parsed, err)
		}
		// The other way: every code has a serial.
		back := Code([]byte(fmt.Sprintf("%018d", uint64(s))))
		if items.Code(items.Serial(back)) != back {
			t.Fatalf("Code(Serial(%s)) differs", back)
		}
	}
}

func TestItemsAppend(t *testing.T) {
	t.Parallel()
	items := NewItems(key3(t))
	const want = "code:467389443565164028"
	if got := string(items.AppendCode([]byte("code:"), 1)); got != want {
		t.Errorf("Items.AppendCode = %q, want %q", got, want)
	}
	if got := string(items.Coder().AppendCode([]byte("code:"), 1)); got != want {
		t.Errorf("Coder.AppendCode = %q, want %q", got, want)
	}
}

func TestItemsPanicsOutsideTheRange(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a serial of 10^18 got a code")
		}
	}()
	NewItems(key3(t)).Code(ids.SerialCount)
}

func TestItemsConcurrently(t *testing.T) {
	t.Parallel()
	items := NewItems(key3(t))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				s := ids.Serial(g*1_000_000_007 + i)
				if got := items.Serial(items.Code(s)); got != s {
					t.Errorf("Serial(Code(%d)) = %d", s, got)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestParseCode(t *testing.T) {
	t.Parallel()
	const good = "692931865931847536"
	for _, c := range []struct{ name, in, reason string }{
		{"empty", "", "length is 0, should be 18 digits"},
		{"short", good[:17], "length is 17, should be 18 digits"},
		{"long", good + "0", "length is 19, should be 18 digits"},
		{"10 KB of digits", strings.Repeat("7", 10240), "length is 10240, should be 18 digits"},
		{"10 KB of junk", strings.Repeat("<", 10240), "character 1 is not an ASCII digit (0-9)"},
		{"NUL", good[:17] + "\x00", "character 18 is not an ASCII digit (0-9)"},
		{"only NUL", "\x00", "character 1 is not an ASCII digit (0-9)"},
		{"full-width digits", strings.Repeat("７", 18), "character 1 is not an ASCII digit (0-9)"},
		{"one full-width digit", good[:15] + "７", "character 16 is not an ASCII digit (0-9)"},
		{"Arabic digits", strings.Repeat("٧", 9), "character 1 is not an ASCII digit (0-9)"},
		{"sign", "-" + good[:17], "character 1 is not an ASCII digit (0-9)"},
		{"space", " " + good[:17], "character 1 is not an ASCII digit (0-9)"},
		{"newline", good + "\n", "length is 19, should be 18 digits"},
		{"letter", good[:9] + "O" + good[10:], "character 10 is not an ASCII digit (0-9)"},
		{"colon, the byte after 9", good[:17] + ":", "character 18 is not an ASCII digit (0-9)"},
		{"slash, the byte before 0", good[:17] + "/", "character 18 is not an ASCII digit (0-9)"},
	} {
		code, err := ParseCode(c.in)
		f, ok := fault.From(err)
		if !ok || f.Code != "code.malformed" || f.Kind != fault.Invalid {
			t.Errorf("%s: err = %v, want the fault code.malformed", c.name, err)
			continue
		}
		if diff := cmp.Diff([]fault.Detail{{Field: "code", Reason: c.reason}}, f.Details); diff != "" {
			t.Errorf("%s: details (-want +got):\n%s", c.name, diff)
		}
		if code != (Code{}) {
			t.Errorf("%s: a refused input gave a code", c.name)
		}
	}
	if code, err := ParseCode(good); err != nil || code.String() != good {
		t.Errorf("ParseCode(%s) = %s, %v", good, code, err)
	}
}

func FuzzParseCode(f *testing.F) {
	for _, s := range []string{"", "692931865931847536", "00000000000000000\x00", "７７７７７７", strings.Repeat("9", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		digitsOnly := len(s) == CodeDigits && strings.Trim(s, "0123456789") == ""
		code, err := ParseCode(s)
		if (err == nil) != digitsOnly {
			t.Fatalf("ParseCode(%q): err = %v", s, err)
		}
		if err == nil && code.String() != s {
			t.Fatalf("ParseCode(%q) = %s", s, code)
		}
		if err != nil && len(err.Error()) > 100 {
			t.Fatalf("a fault of %d bytes", len(err.Error()))
		}
	})
}

func FuzzItemsAgainstFF1(f *testing.F) {
	f.Add(make([]byte, 32), uint64(0))
	f.Add(unhex(f, k3), uint64(ids.SerialCount-1))
	f.Add(unhex(f, k3), uint64(123456789012345678))
	f.Fuzz(func(t *testing.T, key []byte, n uint64) {
		if len(key) != 32 {
			return
		}
		s := ids.Serial(n % ids.SerialCount)
		items := NewItems([32]byte(key))
		code := items.Code(s)
		if want := slowCode(t, bigOnly(mustFF1(t, key, 10, 18)), s); code.String() != want {
			t.Fatalf("Code(%d) = %s, want %s", s, code, want)
		}
		if got := items.Serial(code); got != s {
			t.Fatalf("Serial(%s) = %d, want %d", code, got, s)
		}
	})
}

func TestNothingAllocates(t *testing.T) {
	items, links, inner := NewItems(key3(t)), NewLinks(key3(t)), NewInner(key3(t))
	coder, code := items.Coder(), items.Code(7)
	token, err := links.Token(7, 1, 3600, 5)
	if err != nil {
		t.Fatal(err)
	}
	tokenText, innerText := token.String(), inner.Code(7).String()
	buf := make([]byte, 0, 64)
	calls := map[string]func(){
		"Coder.AppendCode": func() { buf = coder.AppendCode(buf[:0], 7) },
		"Coder.Serial":     func() { _ = coder.Serial(code) },
		"ParseCode":        func() { _, _ = ParseCode("692931865931847536") },
		"Links.Token":      func() { _, _ = links.Token(7, 1, 3600, 5) },
		"Links.Check":      func() { _ = links.Check(token, 7, 1, 3600) },
		"ParseToken":       func() { _, _ = ParseToken(tokenText) },
		"Inner.Code":       func() { _ = inner.Code(7) },
		"Inner.Check":      func() { _ = inner.Check(7, innerText) },
	}
	if !raceEnabled { // the race detector makes a pool forget, on purpose
		calls["Items.Code"] = func() { _ = items.Code(7) }
		calls["Items.AppendCode"] = func() { buf = items.AppendCode(buf[:0], 7) }
		calls["Items.Serial"] = func() { _ = items.Serial(code) }
	}
	for name, f := range calls {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkItems(b *testing.B) {
	items := NewItems(key3(b))
	coder, code := items.Coder(), items.Code(7)
	buf := make([]byte, 0, 64)
	s := ids.Serial(123_456_789_012_345)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"Code", func() { _ = items.Code(s) }},
		{"AppendCode", func() { buf = items.AppendCode(buf[:0], s) }},
		{"Serial", func() { _ = items.Serial(code) }},
		{"Coder.AppendCode", func() { buf = coder.AppendCode(buf[:0], s) }},
		{"Coder.Serial", func() { _ = coder.Serial(code) }},
		{"ParseCode", func() { _, _ = ParseCode("692931865931847536") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.f()
			}
		})
	}
	b.Run("Parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = items.Serial(code)
			}
		})
	})
}
