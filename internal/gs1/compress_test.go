package gs1

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestDecompress has links that other implementations made.
func TestDecompress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://id.gs1.org/ARHKVAdpQg":                            "https://id.gs1.org/01/09780345418913",
		"http://example.org/AQnYUc1gmiERBhQ0ytiyZuAGOLc1TXgpNWCv1": "http://example.org/01/05412345000013/10/ABC%26%2B123?7003=1903061658&k1=v1",
		"https://id.gs1.org/ABeRcNWtKMPA":                          "https://id.gs1.org/00/106141412345678908",
		"https://id.gs1.org/QUCO_anbfA":                            "https://id.gs1.org/414/0614141123452",
		"https://id.gs1.org/JAaasHt_dNNt4ADESMALumsUfMAm34":        "https://id.gs1.org/8003/09421012301014f9804dbf?240=qwe390023",
		"https://id.gs1.org/AREjalurbiAUO-cgohCz45Z67b8A":          "https://id.gs1.org/01/09421902960055/10/2010005828/21/xyz1234",
		"https://id.gs1.org/AQEd-1O2-GIGAD6A":                      "https://id.gs1.org/01/00614141123452?3103=000500",
		"https://id.gs1.org/AQnYUc1gmiCNV4JGYgYAF6ckaEPg?a=b":      "https://id.gs1.org/01/05412345000013/10/ABC123?3103=000189&3923=2172&a=b",
	} {
		if l, err := Decompress(in); err != nil || l.String() != want {
			t.Errorf("Decompress(%s) = %s, %v", in, l.String(), err)
		}
	}
	// Both orders of a sequence are read: (414)(254), and (254)(414).
	for _, ais := range [][2]Element{{{"414", "9506000134376"}, {"254", "A"}}, {{"254", "A"}, {"414", "9506000134376"}}} {
		b := appendKey(nil, "9D")
		b = appendValue(appendValue(b, ais[0]), ais[1])
		if l, err := Decompress("https://a.example/" + segmentOf(b)); err != nil || l.Path() != "/414/9506000134376/254/A" {
			t.Errorf("%s, %v", l.Path(), err)
		}
	}
	whole, err := ParseLink("https://a.example/01/09506000134352/10/AB12/21/xyz?17=261231")
	if err != nil {
		t.Fatal(err)
	}
	partial := strings.TrimPrefix((&Link{ID: ID{Key: Element{"10", "AB12"}, Qualifiers: [3]Element{{"21", "xyz"}}}}).Compressed(), "/")
	l, err := Decompress("https://a.example/01/9506000134352/" + partial + "?17=261231")
	if diff := cmp.Diff(whole, l); err != nil || diff != "" {
		t.Errorf("behind its key: %v\n%s", err, diff)
	}
}

func segmentOf(b []byte) string {
	b = append(b, make([]byte, (6-len(b)%6)%6)...)
	s := ""
	for i := 0; i < len(b); i += 6 {
		six := 0
		for _, bit := range b[i : i+6] {
			six = six<<1 | int(bit)
		}
		s += base64Alphabet[six : six+1]
	}
	return s
}

func TestDecompressRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, code, field, reason string }{
		{"no segment", "https://a.example/", "gs1.bad_compressed", "path", "is not a compressed path"},
		{"not compressed", "https://a.example/01/09506000134352", "gs1.bad_compressed", "path", "is not a compressed path"},
		{"alphabet", "https://a.example/AR%48K", "gs1.bad_compressed", "path", "character 3 is not of the compressed alphabet"},
		{"cut short", "https://a.example/ARHKVAdp", "gs1.bad_compressed", "path", "ends within a value"},
		{"no such code", "https://a.example/8AAAAAAAAA", "gs1.bad_compressed", "path", "has a pair for the query that cannot be read"},
		{"reserved code", "https://a.example/tAAAAAAAAA", "gs1.bad_compressed", "path", "has the code B4, which stands for nothing"},
		{"check digit", "https://a.example/ARHKVAdpQA", "gs1.bad_elements", "(01)", "check digit is 2, should be 3"},
		{"twice", "https://a.example/AQnYUc1gmiERBhQ0ytiyZuAGOLc1TXgpNWCv1?7003=1903061658", "gs1.bad_link", "(7003)", "is there twice"},
		{"long", "https://a.example/" + strings.Repeat("A", 5000), "gs1.bad_link", "uri", "length is 5018, at most 4096 are read"},
	} {
		_, err := Decompress(c.in)
		wantFault(t, c.name, err, c.code, c.field, c.reason)
	}
}

func TestCompressRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := Link{ID: drawID(t), Stem: "https://a.example"}
		if rapid.Bool().Draw(t, "attributes") {
			l.Attributes = []Element{{"17", "261231"}, {"240", "x/" + drawSet(t, 'X', 0, 28, "more")}, {"8008", "26123110"}}
			l.Query = "k=v"
		}
		short := l.Compressed()
		again, err := Decompress(short)
		if err != nil || again.ID != l.ID || again.Canonical() != l.Canonical() || again.Query != l.Query {
			t.Fatalf("%s compressed to %s is %s, %v", l.String(), short, again.String(), err)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, s := range []string{"", "ARHKVAdpQg", "AQnYUc1gmiERBhQ0ytiyZuAGOLc1TXgpNWCv1", "JAaasHt_dNNt4ADESMALumsUfMAm34", "ehfb342cde795211411234538566cb0afc4", "eh3d76451fd75411def6b4cc00000003039000", "ee3952114132e83c2bf1494197c61dbc3665b600"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Decompress("https://a.example/" + s)
		if err != nil {
			return
		}
		if again, err := Decompress(l.Compressed()); err != nil || again.Canonical() != l.Canonical() {
			t.Fatalf("%q is %s, compressed again %s, %v", s, l.String(), l.Compressed(), err)
		}
		if _, err := ParseLink(l.String()); err != nil {
			t.Fatalf("%q is %s: %v", s, l.String(), err)
		}
	})
}
