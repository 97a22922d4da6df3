package gs1

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const riceGTIN = "09506000134352" // GS1's own example

func id(pairs ...string) ID {
	id := ID{Key: Element{AI(pairs[0]), pairs[1]}}
	for i := 2; i < len(pairs); i += 2 {
		id.Qualifiers[i/2-1] = Element{AI(pairs[i]), pairs[i+1]}
	}
	return id
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]ID{
		"/01/09506000134352":                          id("01", riceGTIN),
		"/01/9506000134352":                           id("01", riceGTIN),
		"/01/96385074":                                id("01", "00000096385074"),
		"/01/614141000036":                            id("01", "00614141000036"),
		"/01/09506000134352/10/ABC123":                id("01", riceGTIN, "10", "ABC123"),
		"/01/09506000134352/22/2A/10/ABC123/21/12345": id("01", riceGTIN, "22", "2A", "10", "ABC123", "21", "12345"),
		"/01/09506000134352/235/TPX":                  id("01", riceGTIN, "235", "TPX"),
		"/01/09506000134352/10/A%2Fb/21/%3c1%3E":      id("01", riceGTIN, "10", "A/b", "21", "<1>"),
		"/01/09506000134352/10/21/21/10":              id("01", riceGTIN, "10", "21", "21", "10"),
		"/01/%309506000134352/10/%41":                 id("01", riceGTIN, "10", "A"),
		"/01/09506000134352/10/a+b":                   id("01", riceGTIN, "10", "a+b"), // a plus is a plus in a path
		"/01/09506000134352/10/%2541":                 id("01", riceGTIN, "10", "%41"), // decoded once
		"/00/376104250021234569":                      id("00", "376104250021234569"),
		"/414/9506000134376/254/32a%2Fb":              id("414", "9506000134376", "254", "32a/b"),
		"/417/9506000134376/7040/1ABC":                id("417", "9506000134376", "7040", "1ABC"),
		"/253/9506000134376DOC-1":                     id("253", "9506000134376DOC-1"),
		"/255/9506000134376123":                       id("255", "9506000134376123"),
		"/401/0952012345":                             id("401", "0952012345"),
		"/402/95060001343520000":                      id("402", "95060001343520000"),
		"/8003/09506000134376XYZ":                     id("8003", "09506000134376XYZ"),
		"/8004/9506000134370-1":                       id("8004", "9506000134370-1"),
		"/8006/095060001343520203/21/1":               id("8006", "095060001343520203", "21", "1"),
		"/8010/9506000134%23A/8011/12":                id("8010", "9506000134#A", "8011", "12"),
		"/8013/1987654Ad4X4bL5ttr2310c2K":             id("8013", "1987654Ad4X4bL5ttr2310c2K"),
		"/8017/950600013437600004/8019/1":             id("8017", "950600013437600004", "8019", "1"),
		"/8018/950600013437600004":                    id("8018", "950600013437600004"),
		"/415/9506000134376/8020/INV-1":               id("415", "9506000134376", "8020", "INV-1"),
	} {
		got, err := ParsePath(in)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("ParsePath(%s): %v (-want +got):\n%s", in, err, diff)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	t.Parallel()
	const start = "does not begin with a primary key of GS1 and its value"
	for _, c := range []struct{ name, in, field, reason string }{
		{"empty", "", "path", start},
		{"a qualifier first", "/10/A/01/09506000134352", "path", start},
		{"relative", "01/09506000134352", "path", start},
		{"no such key", "/99/1", "path", start},
		{"no value", "/01", "(01)", "length is 0, should be 14"},
		{"empty value", "/01/", "(01)", "length is 0, should be 14"},
		{"check digit", "/01/09506000134351", "(01)", "check digit is 1, should be 2"},
		{"check digit of a short GTIN", "/01/96385075", "(01)", "check digit is 5, should be 4"},
		{"nine digits", "/01/963850741", "(01)", "length is 9, should be 14"},
		{"letter O", "/01/0950600O134352", "(01)", "character 8 is not an ASCII digit (0-9)"},
		{"digits of another script", "/01/%EF%BC%90%EF%BC%91%EF%BC%92%EF%BC%93xx", "(01)", "character 1 is not an ASCII digit (0-9)"},
		{"slash at the end", "/01/09506000134352/", "path", `has "" where an Application Identifier should be`},
		{"wrong order", "/01/09506000134352/21/1/10/2", "(10)", "is out of order: it comes before (21)"},
		{"wrong order of three", "/01/09506000134352/10/1/21/2/22/3", "(22)", "is out of order: it comes before (21)"},
		{"lot twice", "/01/09506000134352/10/1/10/2", "(10)", "is there twice"},
		{"key twice", "/01/09506000134352/01/09506000134352", "(01)", "is there twice"},
		{"unknown AI", "/01/09506000134352/89/1", "path", `has "89" where an Application Identifier should be`},
		{"not a qualifier of it", "/01/09506000134352/8011/1", "(8011)", "does not qualify (01)"},
		{"qualifier of a key without any", "/00/376104250021234569/21/1", "(21)", "does not qualify (00)"},
		{"two sequences", "/01/09506000134352/10/1/235/2", "(235)", "does not go with (10)"},
		{"AI without value", "/01/09506000134352/10", "(10)", "has no value"},
		{"empty lot", "/01/09506000134352/10/", "(10)", "length is 0, should be 1 to 20"},
		{"empty lot before a serial", "/01/09506000134352/10//21/1", "(10)", "length is 0, should be 1 to 20"},
		{"long serial", "/01/09506000134352/21/" + strings.Repeat("1", 21), "(21)", "length is 21, should be 1 to 20"},
		{"space", "/01/09506000134352/10/a%20b", "(10)", "character 2 is not of GS1 character set 82"},
		{"NUL", "/01/09506000134352/10/%00", "(10)", "character 1 is not of GS1 character set 82"},
		{"not ASCII", "/01/09506000134352/10/%E6%89%B9", "(10)", "character 1 is not of GS1 character set 82"},
		{"half an escape", "/01/09506000134352/10/%4", "(10)", "has a broken percent-escape"},
		{"no hex", "/01/09506000134352/10/%4G", "(10)", "has a broken percent-escape"},
		{"encoded twice", "/01/%2530" + riceGTIN[1:], "(01)", "length is 16, should be 14"},
		{"lower case in set 39", "/8010/9506000134a", "(8010)", "character 11 is not of GS1 character set 39"},
		{"leading zero", "/8010/9506000134A/8011/012", "(8011)", "should not begin with 0"},
		{"piece beyond total", "/8006/095060001343520302", "(8006)", "is not a piece of a total"},
		{"GRAI without 0", "/8003/19506000134376", "(8003)", "should begin with 0"},
		{"model number", "/8013/1987654Ad4X4bL5ttr2310c2L", "(8013)", "the pair of check characters at its end is wrong"},
		{"10 KB", "/01/" + strings.Repeat("0", 10240), "path", "length is 10244, at most 4096 are read"},
	} {
		_, err := ParsePath(c.in)
		wantFault(t, c.name, err, "gs1.bad_link", c.field, c.reason)
	}
}

func TestParseLink(t *testing.T) {
	t.Parallel()
	got, err := ParseLink("https://Example.com/some/path/01/9506000134352/10/A%2Fb?17=261231&utm=x%20y&3103=000195;linkType=gs1:pip#top")
	want := Link{
		ID: id("01", riceGTIN, "10", "A/b"), Stem: "https://Example.com/some/path",
		Attributes: []Element{{"17", "261231"}, {"3103", "000195"}}, Query: "utm=x%20y&linkType=gs1:pip",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if s := got.String(); s != "https://Example.com/some/path/01/09506000134352/10/A%2Fb?17=261231&3103=000195&utm=x%20y&linkType=gs1:pip" {
		t.Errorf("written: %s", s)
	}
	got.Attributes = []Element{{"3103", "000195"}, {"17", "261231"}}
	if s := got.Canonical(); s != "https://id.gs1.org/01/09506000134352/10/A%2Fb?17=261231&3103=000195" {
		t.Errorf("canonical: %s", s)
	}
	// A stem may look like a key, and so may a value.
	for in, stem := range map[string]string{
		"https://a.example/01/x/01/09506000134352":             "https://a.example/01/x",
		"https://a.example/00/01/09506000134352/10/01":         "https://a.example/00",
		"http://a.example:8080/01/09506000134352/10/00/21/414": "http://a.example:8080",
		"https://a.example/8004/9506000134370?8008=26112708":   "https://a.example",
	} {
		if l, err := ParseLink(in); err != nil || l.Stem != stem {
			t.Errorf("ParseLink(%s) = stem %s, %v", in, l.Stem, err)
		}
	}
	for _, c := range []struct{ name, in, field, reason string }{
		{"scheme", "ftp://a.example/01/09506000134352", "uri", "should begin with https:// or http://"},
		{"no path", "https://a.example", "uri", "has no host before its path"},
		{"no host", "https:///01/09506000134352", "uri", "has no host before its path"},
		{"space in the host", "https://a b/01/09506000134352", "uri", "has no host before its path"},
		{"bad key behind a stem", "https://a.example/x/01/09506000134351", "(01)", "check digit is 1, should be 2"},
		{"odd segments", "https://a.example/01/09506000134352/10", "(10)", "has no value"},
		{"unknown AI in the query", "https://a.example/01/09506000134352?89=1", "query", "89 is not a GS1 Application Identifier"},
		{"twice in the query", "https://a.example/01/09506000134352?17=261231&17=261231", "(17)", "is there twice"},
		{"in path and query", "https://a.example/01/09506000134352/10/A?10=A", "(10)", "is there twice"},
		{"serial in the query", "https://a.example/01/09506000134352?21=A", "(21)", "cannot stand in the query"},
		{"date", "https://a.example/01/09506000134352?17=261331", "(17)", "is not a date YYMMDD"},
		{"plus is a space", "https://a.example/01/09506000134352?240=a+b", "(240)", "character 2 is not of GS1 character set 82"},
		{"time", "https://a.example/01/09506000134352?7003=2612312460", "(7003)", "is not a time HHMM"},
		{"cut short", "https://a.example/01/09506000134352?8008=2612311", "(8008)", "length is 7, should be 8 to 12"},
		{"half a component", "https://a.example/01/09506000134352?8008=261231101", "(8008)", "has a component that is cut short"},
		{"IBAN", "https://a.example/01/09506000134352?8007=GB82WEST12345698765431", "(8007)", "is not an IBAN"},
		{"long", "https://a.example/01/09506000134352?x=" + strings.Repeat("y", 4096), "uri", "length is 4134, at most 4096 are read"},
	} {
		_, err := ParseLink(c.in)
		wantFault(t, c.name, err, "gs1.bad_link", c.field, c.reason)
	}
	if _, err := ParseLink("https://a.example/01/09506000134352?8007=GB82WEST12345698765432&4326=260230"); err == nil {
		t.Error("30 February is a date")
	}
	if _, err := ParseLink("https://a.example/01/09506000134352?8007=GB82WEST12345698765432&17=280200&4326=240229"); err != nil {
		t.Error(err)
	}
	many := "https://a.example/01/09506000134352?"
	for _, ai := range dictionaryAIs()[:100] {
		many += string(ai) + "=000000&"
	}
	if _, err := ParseLink(many); err == nil {
		t.Error("a hundred attributes were read")
	}
}

// dictionaryAIs are those of six digits that may stand in a query.
func dictionaryAIs() (ais []AI) {
	for ai, e := range entries() {
		if e.attribute && len(ai) == 4 && ai[0] == '3' && e.max == 6 {
			ais = append(ais, ai)
		}
	}
	slices.Sort(ais)
	return ais
}

// TestDictionary: no AI is the beginning of another, so that an element string can be
// read from the left, and every qualifier is an AI that the table has.
func TestDictionary(t *testing.T) {
	t.Parallel()
	all := entries()
	for ai, e := range all {
		for n := 2; n < len(ai); n++ {
			if all[ai[:n]] != nil {
				t.Errorf("(%s) begins with (%s)", ai, ai[:n])
			}
		}
		if e.fixed && (e.min != e.max) {
			t.Errorf("(%s) has a length known in advance, from %d to %d", ai, e.min, e.max)
		}
		for _, sequence := range e.sequences {
			if len(sequence) > qualifiersMax {
				t.Errorf("(%s) has %d qualifiers", ai, len(sequence))
			}
			for _, q := range sequence {
				if all[q] == nil || all[q].key {
					t.Errorf("(%s) has the qualifier (%s)", ai, q)
				}
			}
		}
		for _, p := range e.parts {
			if p.max == 0 || !strings.ContainsRune("NXYZ", rune(p.set)) {
				t.Errorf("(%s) has a part %+v", ai, p)
			}
		}
	}
	if n := len(all); n != 536 {
		t.Errorf("%d AIs", n)
	}
}

func drawSet(t *rapid.T, set byte, least, most int, name string) string {
	var runes []rune
	for c := range rune(128) {
		if inSet(set, byte(c)) {
			runes = append(runes, c)
		}
	}
	return rapid.StringOfN(rapid.RuneFrom(runes), least, most, -1).Draw(t, name)
}

// drawID makes any ID of any key.
func drawID(t *rapid.T) ID {
	digits := func(n int) string {
		s := drawSet(t, 'N', n-1, n-1, "digits")
		return s + string(CheckDigit(s))
	}
	serial := func(most int) string { return drawSet(t, 'X', 0, most, "serial") }
	q := func(id ID, ais ...AI) ID {
		n := 0
		for _, ai := range ais {
			if v := drawSet(t, 'X', 0, 20, string(ai)); v != "" {
				id.Qualifiers[n] = Element{ai, v}
				n++
			}
		}
		return id
	}
	keys := []AI{"00", "01", "253", "255", "401", "402", "414", "415", "417", "8003", "8004", "8006", "8010", "8017", "8018"}
	switch key := rapid.SampledFrom(keys).Draw(t, "key"); key {
	case "00", "8017", "8018":
		return id(string(key), digits(18))
	case "01":
		if rapid.Bool().Draw(t, "third party") {
			return q(id("01", digits(14)), "235")
		}
		return q(id("01", digits(14)), "22", "10", "21")
	case "253":
		return id("253", digits(13)+serial(17))
	case "255":
		return id("255", digits(13)+drawSet(t, 'N', 0, 12, "coupon"))
	case "401", "8004":
		return id(string(key), drawSet(t, 'N', 12, 12, "prefix")+drawSet(t, 'X', 1, 18, "reference"))
	case "402":
		return id("402", digits(17))
	case "414":
		return q(id("414", digits(13)), "254")
	case "415":
		return q(id("415", digits(13)), "8020")
	case "8003":
		return id("8003", "0"+digits(13)+serial(16))
	case "8006":
		return q(id("8006", digits(14)+"0203"), "22", "10", "21")
	case "8010":
		out := id("8010", drawSet(t, 'N', 12, 12, "prefix")+drawSet(t, 'Y', 1, 18, "reference"))
		if n := rapid.Uint32().Draw(t, "serial"); n > 0 {
			out.Qualifiers[0] = Element{"8011", "1" + drawSet(t, 'N', 0, 11, "more")}
		}
		return out
	default:
		return id(string(key), digits(13))
	}
}

func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawID(t)
		if got, err := ParsePath(want.Path()); err != nil || got != want {
			t.Fatalf("%s reads as %+v, %v", want.Path(), got, err)
		}
		l, err := ParseLink("https://a.example/b" + want.Path())
		if err != nil || l.ID != want || l.Stem != "https://a.example/b" {
			t.Fatalf("%s reads as %+v, %v", want.Path(), l, err)
		}
		for _, form := range []string{Printed(l.Elements()), Scanned(l.Elements()), "]d2" + Scanned(l.Elements())} {
			elements, err := ParseElements(form)
			if err != nil {
				t.Fatalf("%q: %v", form, err)
			}
			again, err := LinkOf(elements)
			if err != nil || again.ID != want {
				t.Fatalf("%q reads as %+v, %v", form, again, err)
			}
		}
	})
}

func FuzzParseLink(f *testing.F) {
	for _, s := range []string{"", "https://a.example/01/09506000134352?17=261231&a=b", "https://a/x/01/96385074/10/A%2Fb/21/%3c1%3E", "http://a/8003/09506000134376%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			return
		}
		again, err := ParseLink(l.String())
		if diff := cmp.Diff(l, again); err != nil || diff != "" {
			t.Fatalf("%q, its form %q: %v\n%s", s, l.String(), err, diff)
		}
		one, err := ParseLink(l.Canonical())
		if err != nil || one.ID != l.ID || one.Canonical() != l.Canonical() {
			t.Fatalf("%q, canonical %q: %v", s, l.Canonical(), err)
		}
	})
}

func TestWalkUp(t *testing.T) {
	t.Parallel()
	at, steps := id("01", riceGTIN, "22", "A", "10", "B", "21", "C"), []string{}
	for ok := true; ok; at, ok = at.Up() {
		steps = append(steps, at.Path())
	}
	if diff := cmp.Diff([]string{"/01/09506000134352/22/A/10/B/21/C", "/01/09506000134352/22/A/10/B", "/01/09506000134352/22/A", "/01/09506000134352"}, steps); diff != "" {
		t.Error(diff)
	}
	if got, want := ItemID(riceGTIN, "", "1"), id("01", riceGTIN, "21", "1"); got != want {
		t.Errorf("%+v", got)
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, printed, scanned, link string }{
		{"(01)09506000134352(10)ABC(21)12", "(01)09506000134352(10)ABC(21)12", "010950600013435210ABC\x1d2112", "https://id.gs1.org/01/09506000134352/10/ABC/21/12"},
		{"]C1010950600013435210ABC\x1d17261231", "(01)09506000134352(10)ABC(17)261231", "01095060001343521726123110ABC", "https://id.gs1.org/01/09506000134352/10/ABC?17=261231"},
		{"\x1d0109506000134352\x1d17261231", "(01)09506000134352(17)261231", "010950600013435217261231", "https://id.gs1.org/01/09506000134352?17=261231"},
		{`(414)9506000134376(254)a\(1)`, `(414)9506000134376(254)a\(1)`, "4149506000134376254a(1)", "https://id.gs1.org/414/9506000134376/254/a%281%29"},
		{"(21)1(01)09506000134352", "(21)1(01)09506000134352", "0109506000134352211", "https://id.gs1.org/01/09506000134352/21/1"},
	} {
		got, err := ParseElements(c.in)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
			continue
		}
		l, err := LinkOf(got)
		if Printed(got) != c.printed || Scanned(got) != c.scanned || err != nil || l.String() != c.link {
			t.Errorf("%q gives %s, %q, %s, %v", c.in, Printed(got), Scanned(got), l.String(), err)
		}
	}
	for _, c := range []struct{ name, in, field, reason string }{
		{"empty", "", "elements", "is empty"},
		{"open bracket", "(01", "elements", "has a bracket that is not closed"},
		{"unknown AI", "(89)1", "elements", `"89" is not a GS1 Application Identifier`},
		{"no AI", "0109506000134352x", "elements", `has "x" where an Application Identifier should be`},
		{"twice", "(10)A(10)A", "(10)", "is there twice"},
		{"check digit", "0109506000134351", "(01)", "check digit is 1, should be 2"},
		{"cut short", "01095060001343", "(01)", "length is 12, should be 14"},
		{"separator inside", "010950\x1d6000134352", "(01)", "character 5 is not an ASCII digit (0-9)"},
		{"padding is for links", "(01)96385074", "(01)", "length is 8, should be 14"},
		{"long", strings.Repeat("1", 5000), "elements", "length is 5000, at most 4096 are read"},
	} {
		_, err := ParseElements(c.in)
		wantFault(t, c.name, err, "gs1.bad_elements", c.field, c.reason)
	}
	for _, c := range []struct {
		name, field, reason string
		in                  []Element
	}{
		{"no key", "elements", "hold no primary key of GS1", []Element{{"10", "A"}}},
		{"qualifier of another", "(254)", "does not go with (01)", []Element{{"01", riceGTIN}, {"254", "A"}}},
		{"two sequences", "(235)", "does not go with (01)", []Element{{"01", riceGTIN}, {"21", "A"}, {"235", "B"}}},
		{"twice", "(01)", "is there twice", []Element{{"01", riceGTIN}, {"01", riceGTIN}}},
		{"bad attribute", "(17)", "is not a date YYMMDD", []Element{{"01", riceGTIN}, {"17", "261301"}}},
	} {
		_, err := LinkOf(c.in)
		wantFault(t, c.name, err, "gs1.bad_link", c.field, c.reason)
	}
}

func FuzzParseElements(f *testing.F) {
	for _, s := range []string{"", "(01)09506000134352(10)ABC(21)12", "]C1010950600013435210ABC\x1d17261231", `(254)a\(1)`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		elements, err := ParseElements(s)
		if err != nil {
			return
		}
		if again, err := ParseElements(Printed(elements)); err != nil || !slices.Equal(again, elements) {
			t.Fatalf("%q printed as %q reads as %v, %v", s, Printed(elements), again, err)
		}
		again, err := ParseElements(Scanned(elements))
		if err != nil || Scanned(again) != Scanned(elements) {
			t.Fatalf("%q sent as %q reads as %v, %v", s, Scanned(elements), again, err)
		}
	})
}

func BenchmarkParsePath(b *testing.B) {
	for name, path := range map[string]string{
		"01_21":       "/01/09506000134352/21/692931865931847536",
		"01_22_10_21": "/01/09506000134352/22/2A/10/ABC123/21/12345",
		"escaped":     "/01/9506000134352/10/A%2Fb/21/%3C1%3E",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParsePath(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestParsePathDoesNotAllocate holds what the hot path of the resolver counts on.
func TestParsePathDoesNotAllocate(t *testing.T) { //nolint:paralleltest // counts allocations
	n := testing.AllocsPerRun(100, func() {
		if _, err := ParsePath("/01/09506000134352/21/692931865931847536"); err != nil {
			t.Error(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
