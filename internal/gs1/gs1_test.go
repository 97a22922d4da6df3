package gs1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

func wantFault(t *testing.T, name string, err error, code, field, reason string) {
	t.Helper()
	f, ok := fault.From(err)
	if !ok || f.Code != code || f.Kind != fault.Invalid {
		t.Errorf("%s: err = %v, want the fault %s", name, err, code)
		return
	}
	if diff := cmp.Diff([]fault.Detail{{Field: field, Reason: reason}}, f.Details); diff != "" {
		t.Errorf("%s: details (-want +got):\n%s", name, diff)
	}
}

func TestParseGTIN(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]GTIN{
		"96385074":       "00000096385074", // GTIN-8 of the General Specifications
		"614141000036":   "00614141000036",
		"4006381333931":  "04006381333931",
		"6901234567892":  "06901234567892",
		"09506000134352": "09506000134352", // GS1's Digital Link example
		"00000096385074": "00000096385074",
	} {
		if got, err := ParseGTIN(in); err != nil || got != want {
			t.Errorf("ParseGTIN(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
	for _, c := range []struct{ name, in, reason string }{
		{"check digit", "6901234567893", "check digit is 3, should be 2"},
		{"swapped digits", "6910234567892", "check digit is 2, should be 4"},
		{"empty", "", "length is 0, should be 8, 12, 13 or 14 digits"},
		{"nine digits", "963850741", "length is 9, should be 8, 12, 13 or 14 digits"},
		{"15 digits", "009506000134352", "length is 15, should be 8, 12, 13 or 14 digits"},
		{"10 KB", strings.Repeat("0", 10240), "length is 10240, should be 8, 12, 13 or 14 digits"},
		{"letter", "69012345678O2", "character 12 is not an ASCII digit (0-9)"},
		{"NUL", "9638507\x00", "character 8 is not an ASCII digit (0-9)"},
		{"full-width", "６９０１", "character 1 is not an ASCII digit (0-9)"},
		{"sign", "-6385074", "character 1 is not an ASCII digit (0-9)"},
	} {
		got, err := ParseGTIN(c.in)
		wantFault(t, c.name, err, "gs1.bad_gtin", "gtin", c.reason)
		if got != "" {
			t.Errorf("%s: a refused input gave %s", c.name, got)
		}
	}
}

// TestCheckDigitFindsErrors: every single wrong digit is found.
func TestCheckDigitFindsErrors(t *testing.T) {
	t.Parallel()
	const good = "09506000134352"
	for i := range good {
		for d := byte('0'); d <= '9'; d++ {
			in := good[:i] + string(d) + good[i+1:]
			if _, err := ParseGTIN(in); (err == nil) != (in == good) {
				t.Errorf("ParseGTIN(%s): err = %v", in, err)
			}
		}
	}
	// An SSCC and a GLN of the General Specifications' examples: one algorithm.
	if got := CheckDigit("37610425002123456"); got != '9' {
		t.Errorf("CheckDigit of an SSCC = %c, want 9", got)
	}
	if got := CheckDigit("950600013437"); got != '6' {
		t.Errorf("CheckDigit of a GLN = %c, want 6", got)
	}
}

const set82 = `!"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz`

func TestValidLot(t *testing.T) {
	t.Parallel()
	if len(set82) != 82 {
		t.Fatalf("the set has %d characters", len(set82))
	}
	for c := range 256 {
		s := string([]byte{byte(c)})
		if want := strings.Contains(set82, s); ValidLot(s) != want || ValidSerial(s) != want {
			t.Errorf("ValidLot(%q) = %v, want %v", s, !want, want)
		}
	}
	for s, want := range map[string]bool{
		"":                      false,
		"LOT-2026/03":           true,
		strings.Repeat("A", 20): true,
		strings.Repeat("A", 21): false,
		"with space":            false,
		"批次":                    false,
	} {
		if ValidLot(s) != want {
			t.Errorf("ValidLot(%q) = %v", s, !want)
		}
	}
}

func TestDispositions(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, d := range Dispositions() {
		got, ok := ParseDisposition(d.String())
		if !ok || got != d || !d.Known() || seen[d.String()] {
			t.Errorf("%v reads as %v, %v", d, got, ok)
		}
		seen[d.String()] = true
	}
	for _, s := range []string{"", "Active", "unknown", "disposition(0)"} {
		if d, ok := ParseDisposition(s); ok {
			t.Errorf("ParseDisposition(%q) = %v", s, d)
		}
	}
	if Disposition(0).Known() || (Void + 1).Known() {
		t.Error("a number without a name is known")
	}
}
