package gs1

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestParseEPC has the examples of the Tag Data Standard and of CBV for each scheme.
func TestParseEPC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		urn      string
		want     ID
		class    bool
		instance bool
		prefix   int
	}{
		{"urn:epc:id:sgtin:0614141.112345.400", id("01", "10614141123459", "21", "400"), false, true, 7},
		{"urn:epc:id:sgtin:4012345.077889.a%2Fb.c", id("01", "04012345778892", "21", "a/b.c"), false, true, 7},
		{"urn:epc:id:sscc:0614141.1234567890", id("00", "106141412345678908"), false, true, 7},
		{"urn:epc:id:sgln:0614141.12345.400", id("414", "0614141123452", "254", "400"), false, true, 7},
		{"urn:epc:id:sgln:0614141.12345.0", id("414", "0614141123452"), false, true, 7},
		{"urn:epc:id:sgln:061414112345..0", id("414", "0614141123452"), false, true, 12},
		{"urn:epc:id:grai:0614141.12345.400", id("8003", "00614141123452400"), false, true, 7},
		{"urn:epc:id:giai:0614141.12345400", id("8004", "061414112345400"), false, true, 7},
		{"urn:epc:id:giai:0614141.1.2%2F3", id("8004", "06141411.2/3"), false, true, 7},
		{"urn:epc:id:gsrn:0614141.1234567890", id("8018", "061414112345678902"), false, true, 7},
		{"urn:epc:id:gsrnp:0614141.1234567890", id("8017", "061414112345678902"), false, true, 7},
		{"urn:epc:id:gdti:0614141.12345.400", id("253", "0614141123452400"), false, true, 7},
		{"urn:epc:id:cpi:0614141.123ABC.123456789", id("8010", "0614141123ABC", "8011", "123456789"), false, true, 7},
		{"urn:epc:id:cpi:0614141.5PQ7%2FZ43.12345", id("8010", "06141415PQ7/Z43", "8011", "12345"), false, true, 7},
		{"urn:epc:id:sgcn:4012345.67890.04711", id("255", "401234567890104711"), false, true, 7},
		{"urn:epc:id:ginc:0614141.xyz3311cba", id("401", "0614141xyz3311cba"), false, true, 7},
		{"urn:epc:id:gsin:0614141.123456789", id("402", "06141411234567890"), false, true, 7},
		{"urn:epc:id:itip:4012345.012345.01.02.987", id("8006", "040123451234560102", "21", "987"), false, true, 7},
		{"urn:epc:id:upui:1234567.089456.51qIgY)%3C%26Jp3*j7'SDB", id("01", "01234567894560", "235", "51qIgY)<&Jp3*j7'SDB"), false, true, 7},
		{"urn:epc:id:pgln:1234567.89012", id("417", "1234567890128"), false, true, 7},
		{"urn:epc:class:lgtin:4012345.012345.998877", id("01", "04012345123456", "10", "998877"), true, false, 7},
		{"urn:epc:idpat:sgtin:4012345.012345.*", id("01", "04012345123456"), true, false, 7},
		{"urn:epc:idpat:grai:4012345.55555.*", id("8003", "04012345555554"), true, false, 7},
		{"urn:epc:idpat:gdti:4012345.55555.*", id("253", "4012345555554"), true, false, 7},
		{"urn:epc:idpat:sgcn:4012345.67890.*", id("255", "4012345678901"), true, false, 7},
		{"urn:epc:idpat:cpi:0614141.123ABC.*", id("8010", "0614141123ABC"), true, false, 7},
		{"urn:epc:idpat:itip:4012345.012345.04.04.*", id("8006", "040123451234560404"), true, false, 7},
	} {
		e, err := ParseEPC(c.urn)
		if err != nil || e.ID != c.want || e.Class != c.class || e.PrefixDigits != c.prefix || e.URN != c.urn {
			t.Errorf("ParseEPC(%s) = %+v, %v", c.urn, e, err)
			continue
		}
		if e.ID.Instance() != c.instance {
			t.Errorf("%s: instance = %v", c.urn, e.ID.Instance())
		}
		if back, err := e.ID.EPC(e.PrefixDigits); err != nil || back != e {
			t.Errorf("%s: back is %+v, %v", c.urn, back, err)
		}
		if at, err := ParsePath(e.ID.Path()); err != nil || at != e.ID {
			t.Errorf("%s: path %s, %v", c.urn, e.ID.Path(), err)
		}
	}
	for _, urn := range []string{"urn:epc:id:gid:952056.2718.1414", "urn:epc:id:usdod:CAGEY.5678", "urn:epc:id:adi:35962.PQ7VZ4.M37GXB92", "urn:epc:id:bic:CSQU3054383", "urn:epc:id:imovn:9176187"} {
		if e, err := ParseEPC(urn); err != nil || e.ID != (ID{}) || e.URN != urn || e.Class {
			t.Errorf("ParseEPC(%s) = %+v, %v", urn, e, err)
		}
	}
}

// TestEPCCanonical: one thing has one URN, however it was escaped.
func TestEPCCanonical(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"urn:epc:id:sgtin:0614141.112345.%41%2f": "urn:epc:id:sgtin:0614141.112345.A%2F",
		"urn:epc:id:giai:0614141.%31":            "urn:epc:id:giai:0614141.1",
		"urn:epc:id:cpi:0614141.A#B.1":           "urn:epc:id:cpi:0614141.A%23B.1",
		"urn:epc:idpat:sgln:0614141.12345.*":     "urn:epc:idpat:sgln:0614141.12345.*",
		"urn:epc:idpat:upui:1234567.089456.*":    "urn:epc:idpat:upui:1234567.089456.*",
	} {
		if e, err := ParseEPC(in); err != nil || e.URN != want {
			t.Errorf("%s gives %s, %v", in, e.URN, err)
		}
	}
}

func TestParseEPCRefuses(t *testing.T) {
	t.Parallel()
	const start = "should begin with urn:epc:id:, urn:epc:class: or urn:epc:idpat:"
	for _, c := range []struct{ name, in, reason string }{
		{"empty", "", start},
		{"tag", "urn:epc:tag:sgtin-96:3.0614141.112345.400", start},
		{"upper case", "URN:EPC:ID:SGTIN:0614141.112345.400", start},
		{"unknown scheme", "urn:epc:id:isbn:0614141.112345", `"isbn" is not a scheme of urn:epc:id:`},
		{"lot as an item", "urn:epc:id:lgtin:4012345.012345.998877", `"lgtin" is not a scheme of urn:epc:id:`},
		{"item as a class", "urn:epc:class:sgtin:4012345.012345.1", `"sgtin" is not a scheme of urn:epc:class:`},
		{"pattern of what has no serial", "urn:epc:idpat:sscc:0614141.*", `"sscc" is not a scheme of urn:epc:idpat:`},
		{"pattern of two stars", "urn:epc:idpat:sgtin:0614141.*.*", "company prefix and reference should be 13 digits together"},
		{"pattern of one item", "urn:epc:idpat:sgtin:0614141.112345.400", "a pattern should end with .*"},
		{"too few parts", "urn:epc:id:sgtin:0614141.112345", "sgtin has 3 parts, not 2"},
		{"short prefix", "urn:epc:id:sgtin:06141.11234578.4", "the company prefix should be 6 to 12 digits"},
		{"long prefix", "urn:epc:id:sscc:0614141000000.1234", "the company prefix should be 6 to 12 digits"},
		{"letters in the prefix", "urn:epc:id:sgtin:061414A.112345.400", "the company prefix should be 6 to 12 digits"},
		{"one digit too many", "urn:epc:id:sgtin:0614141.1123456.400", "company prefix and reference should be 13 digits together"},
		{"letter in the reference", "urn:epc:id:sgtin:0614141.11234A.400", "company prefix and reference should be 13 digits together"},
		{"empty serial", "urn:epc:id:sgtin:0614141.112345.", "the serial is empty"},
		{"long serial", "urn:epc:id:sgtin:0614141.112345." + strings.Repeat("1", 21), "(21) length is 21, should be 1 to 20"},
		{"character", "urn:epc:id:sgtin:0614141.112345.a%20b", "(21) character 2 is not of GS1 character set 82"},
		{"NUL", "urn:epc:id:sgtin:0614141.112345.%00", "(21) character 1 is not of GS1 character set 82"},
		{"broken escape", "urn:epc:id:sgtin:0614141.112345.%4", "the serial has a broken percent-escape"},
		{"letters in a coupon", "urn:epc:id:sgcn:4012345.67890.A1", "(255) character 14 is not an ASCII digit (0-9)"},
		{"serial of a component", "urn:epc:id:cpi:0614141.123ABC.0123", "(8011) should not begin with 0"},
		{"empty reference", "urn:epc:id:giai:0614141.", "the reference is empty or has a broken percent-escape"},
		{"long reference", "urn:epc:id:giai:0614141." + strings.Repeat("1", 24), "(8004) length is 31, should be 1 to 30"},
		{"piece", "urn:epc:id:itip:4012345.012345.1.02.987", "piece and total should be 2 digits each"},
		{"piece beyond total", "urn:epc:id:itip:4012345.012345.03.02.987", "(8006) is not a piece of a total"},
		{"space in another's", "urn:epc:id:gid:95 2056.2718", "what follows gid: is not well formed"},
		{"long", "urn:epc:id:gid:" + strings.Repeat("1", 300), "length is 315, at most 256 are read"},
	} {
		_, err := ParseEPC(c.in)
		wantFault(t, c.name, err, "gs1.bad_epc", "epc", c.reason)
	}
	for _, c := range []struct {
		name   string
		id     ID
		prefix int
		reason string
	}{
		{"no prefix known", id("01", riceGTIN), 0, "the company prefix should have 6 to 12 digits, not 0"},
		{"variant alone", id("01", riceGTIN, "22", "A"), 7, "(01) with these qualifiers has no URN"},
		{"model", id("8013", "1987654Ad4X4bL5ttr2310c2K"), 7, "(8013) with these qualifiers has no URN"},
		{"importer", id("417", "9506000134376", "7040", "1ABC"), 7, "(417) with these qualifiers has no URN"},
		{"letters where the prefix is", id("8004", "95060A1"), 7, "(8004) does not begin with a company prefix of 7 digits"},
		{"prefix alone", id("8004", "9506000"), 7, "(8004) does not begin with a company prefix of 7 digits"},
	} {
		_, err := c.id.EPC(c.prefix)
		wantFault(t, c.name, err, "gs1.bad_epc", "epc", c.reason)
	}
}

// TestEPCRoundTrip: whatever has a URN comes back from it as it was, but for what no
// URN tells.
func TestEPCRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := drawID(t)
		e, err := from.EPC(rapid.IntRange(prefixDigitsMin, prefixDigitsMax).Draw(t, "prefix"))
		if err != nil {
			if from.Key.AI != "415" && from.Depth() == 0 {
				t.Fatalf("%s: %v", from.Path(), err)
			}
			return
		}
		again, err := ParseEPC(e.URN)
		if from.Value("254") == "0" { // is how a URN says that there is none
			again.ID, e.ID = ID{}, ID{}
		}
		if err != nil || again != e {
			t.Fatalf("%s: %s reads as %+v, %v", from.Path(), e.URN, again, err)
		}
	})
}

func FuzzParseEPC(f *testing.F) {
	for _, s := range []string{"", "urn:epc:id:sgtin:0614141.112345.400", "urn:epc:idpat:itip:4012345.012345.04.04.*", "urn:epc:id:sgln:061414112345..0", "urn:epc:class:lgtin:4012345.012345.%2F"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEPC(s)
		if err != nil {
			return
		}
		if again, err := ParseEPC(e.URN); err != nil || again != e {
			t.Fatalf("%q is %+v, its form %+v, %v", s, e, again, err)
		}
	})
}
