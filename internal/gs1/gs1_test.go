package gs1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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

func TestParseItemPath(t *testing.T) {
	t.Parallel()
	const gtin GTIN = "09506000134352"
	for in, want := range map[string]ItemPath{
		"/01/09506000134352":                       {GTIN: gtin},
		"/01/9506000134352":                        {GTIN: gtin},
		"/01/96385074":                             {GTIN: "00000096385074"},
		"/01/614141000036":                         {GTIN: "00614141000036"},
		"/01/09506000134352/10/ABC123":             {gtin, "ABC123", ""},
		"/01/09506000134352/21/692931865931847536": {gtin, "", "692931865931847536"},
		"/01/09506000134352/10/A%2Fb/21/%3c1%3E":   {gtin, "A/b", "<1>"},
		"/01/09506000134352/10/21/21/10":           {gtin, "21", "10"},
		"/01/%309506000134352/10/%41":              {gtin, "A", ""},
		"/01/09506000134352/10/a+b":                {gtin, "a+b", ""}, // a plus is a plus in a path
	} {
		got, err := ParseItemPath(in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("ParseItemPath(%s): %v (-want +got):\n%s", in, err, diff)
		}
	}
	const (
		bad82    = "should be 1 to 20 characters of GS1 character set 82"
		trailing = "continues after the GTIN, lot (10) and serial (21), or has them in another order"
		start    = "does not begin with /01/ and a GTIN"
		broken   = "has a broken percent-escape"
	)
	for _, c := range []struct{ name, in, code, field, reason string }{
		{"empty", "", "gs1.bad_path", "path", start},
		{"no GTIN", "/01", "gs1.bad_path", "path", start},
		{"another key", "/00/376104250021234569", "gs1.bad_path", "path", start},
		{"relative", "01/09506000134352", "gs1.bad_path", "path", start},
		{"empty GTIN", "/01/", "gs1.bad_gtin", "gtin", "length is 0, should be 8, 12, 13 or 14 digits"},
		{"wrong check digit", "/01/09506000134351", "gs1.bad_gtin", "gtin", "check digit is 1, should be 2"},
		{"slash at the end", "/01/09506000134352/", "gs1.bad_path", "path", trailing},
		{"wrong order", "/01/09506000134352/21/1/10/2", "gs1.bad_path", "path", trailing},
		{"lot twice", "/01/09506000134352/10/1/10/2", "gs1.bad_path", "path", trailing},
		{"unknown key", "/01/09506000134352/22/1", "gs1.bad_path", "path", trailing},
		{"key without value", "/01/09506000134352/10", "gs1.bad_path", "path", trailing},
		{"empty lot", "/01/09506000134352/10/", "gs1.bad_path", "lot", bad82},
		{"empty lot before a serial", "/01/09506000134352/10//21/1", "gs1.bad_path", "lot", bad82},
		{"empty serial", "/01/09506000134352/21/", "gs1.bad_path", "serial", bad82},
		{"serial and a slash", "/01/09506000134352/21/1/", "gs1.bad_path", "path", trailing},
		{"long serial", "/01/09506000134352/21/" + strings.Repeat("1", 21), "gs1.bad_path", "serial", bad82},
		{"space", "/01/09506000134352/10/a%20b", "gs1.bad_path", "lot", bad82},
		{"NUL", "/01/09506000134352/10/%00", "gs1.bad_path", "lot", bad82},
		{"not ASCII", "/01/09506000134352/10/%E6%89%B9", "gs1.bad_path", "lot", bad82},
		{"half an escape", "/01/09506000134352/10/%4", "gs1.bad_path", "lot", broken},
		{"no hex", "/01/09506000134352/10/%4G", "gs1.bad_path", "lot", broken},
		{"bare percent", "/01/09506000134352/21/%", "gs1.bad_path", "serial", broken},
		{"percent in the GTIN", "/01/0950600013435%", "gs1.bad_gtin", "gtin", broken},
		{"decoded once", "/01/09506000134352/10/%2541%20", "gs1.bad_path", "lot", bad82},
	} {
		got, err := ParseItemPath(c.in)
		wantFault(t, c.name, err, c.code, c.field, c.reason)
		if got != (ItemPath{}) {
			t.Errorf("%s: a refused input gave %+v", c.name, got)
		}
	}
	_, err := ParseItemPath("/01/" + strings.Repeat("0", 10240))
	wantFault(t, "10 KB", err, "gs1.bad_path", "path", "length is 10244, at most 174 are possible")
}

func TestItemPathRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789")), 13, 13, -1).Draw(t, "digits")
		value := rapid.StringOfN(rapid.RuneFrom([]rune(set82)), 0, 20, -1)
		p := ItemPath{
			GTIN:   GTIN(digits + string(CheckDigit(digits))),
			Lot:    value.Draw(t, "lot"),
			Serial: value.Draw(t, "serial"),
		}
		if got, err := ParseItemPath(p.String()); err != nil || got != p {
			t.Fatalf("%s reads as %+v, %v", p, got, err)
		}
	})
	longest := ItemPath{"09506000134352", strings.Repeat("%", 20), strings.Repeat("/", 20)}
	if got, err := ParseItemPath(longest.String()); err != nil || got != longest {
		t.Errorf("the longest path reads as %+v, %v", got, err)
	}
}

func FuzzParseItemPath(f *testing.F) {
	for _, s := range []string{"", "/01/09506000134352", "/01/96385074/10/A%2Fb/21/%3c1%3E", "/01/09506000134352/10/%4", "/01/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseItemPath(s)
		if err != nil {
			return
		}
		if again, err := ParseItemPath(p.String()); err != nil || again != p {
			t.Fatalf("%q reads as %+v, its form %q as %+v, %v", s, p, p.String(), again, err)
		}
	})
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
