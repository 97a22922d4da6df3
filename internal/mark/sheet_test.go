package mark

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

func sampleLabel(i int) Label {
	code := fmt.Sprintf("%018d", 123456789012345678+int64(i))
	return Label{Code: code, URL: "https://q.example.com/" + code, Product: "霁蓝釉茶盏 250g", BatchNo: "LOT-7", No: int64(i + 1)}
}

func made() time.Time { return time.Date(2026, 3, 18, 9, 0, 0, 0, time.UTC) }

// sheet makes a PDF of n labels.
func sheet(t *testing.T, layout Layout, n int, change func(*Label)) []byte {
	t.Helper()
	s, err := NewSheet(layout, made())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		l := sampleLabel(i)
		if change != nil {
			change(&l)
		}
		if err := s.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	written, err := s.WriteTo(&b)
	if err != nil || written != int64(b.Len()) || s.Count() != n {
		t.Fatalf("wrote %d of %d bytes, %d labels: %v", written, b.Len(), s.Count(), err)
	}
	return b.Bytes()
}

// content is every stream of the PDF, inflated.
func content(t *testing.T, pdf []byte) string {
	t.Helper()
	var all strings.Builder
	for rest := pdf; ; {
		_, after, ok := bytes.Cut(rest, []byte("stream\n"))
		if !ok {
			return all.String()
		}
		rest = after
		r, err := zlib.NewReader(bytes.NewReader(after))
		if err != nil {
			continue // endstream, or a stream that is not compressed
		}
		if _, err := io.Copy(&all, r); err != nil {
			t.Fatal(err)
		}
	}
}

// shown is how a text stands in a content stream.
func shown(text string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(text)) {
		for _, c := range []byte{byte(u >> 8), byte(u)} {
			switch c { // as PDF strings are escaped
			case '(', ')', '\\':
				b.WriteByte('\\')
			case '\r':
				b.WriteString(`\`)
				c = 'r'
			}
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestSheet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		layout   Layout
		labels   int
		pages    int
		mediaBox string
	}{
		{A4, 0, 1, "595.28 841.89"},
		{A4, 1, 1, "595.28 841.89"},
		{A4, 32, 1, "595.28 841.89"},
		{A4, 33, 2, "595.28 841.89"},
		{Roll50x30, 3, 3, "141.73 85.04"},
	} {
		pdf := sheet(t, tt.layout, tt.labels, nil)
		if n := len(regexp.MustCompile(`/Type /Page\b[^s]`).FindAll(pdf, -1)); n != tt.pages {
			t.Errorf("%d labels on layout %d: %d pages, want %d", tt.labels, tt.layout, n, tt.pages)
		}
		if !bytes.Contains(pdf, []byte(tt.mediaBox)) {
			t.Errorf("layout %d: the page is not %s points", tt.layout, tt.mediaBox)
		}
		text := content(t, pdf)
		for i := range tt.labels {
			code := sampleLabel(i).Code
			if !strings.Contains(text, shown(code[:6]+"  "+code[6:12]+"  "+code[12:])) {
				t.Errorf("layout %d: label %d is missing", tt.layout, i)
			}
		}
		if n := strings.Count(text, shown("霁蓝釉茶盏")); n != tt.labels {
			t.Errorf("layout %d: the product is named %d times", tt.layout, n)
		}
		if n := strings.Count(text, "\nf Q"); n != tt.labels {
			t.Errorf("layout %d: %d symbols", tt.layout, n)
		}
		if bytes.Contains(pdf, []byte("/Subtype /Image")) {
			t.Error("there is an image")
		}
	}
}

func TestSheetSaysWhatIsWhere(t *testing.T) {
	t.Parallel()
	text := content(t, sheet(t, A4, 40, nil))
	for _, want := range []string{"LOT-7 · 1 – 32", "LOT-7 · 33 – 40", "批号 Lot LOT-7"} {
		if !strings.Contains(text, shown(want)) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(text, shown("Scratch")) {
		t.Error("a scratch frame without an inner code")
	}
	text = content(t, sheet(t, Roll50x30, 1, func(l *Label) { l.Inner = "7K3F9QWX" }))
	for _, want := range []string{"7K3F 9QWX", "Scratch"} {
		if !strings.Contains(text, shown(want)) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestSheetTakesAnyText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", " ", "\x00\r\n", "(\\)", "\U00020000𠀀 \uffff \U0010ffff", "\xff\xfe",
		strings.Repeat("长", 500), strings.Repeat("W", 500), strings.Repeat("a b ", 500),
	} {
		for _, inner := range []string{"", text} {
			sheet(t, Roll50x30, 2, func(l *Label) { l.Product, l.BatchNo, l.Code, l.Inner = text, text, text, inner })
		}
	}
	long := content(t, sheet(t, Roll50x30, 1, func(l *Label) { l.Product = strings.Repeat("长", 500) }))
	if n := strings.Count(long, shown("长")); n > 60 {
		t.Errorf("%d characters of an endless name are printed", n)
	}
	if !strings.Contains(long, shown("长…")) {
		t.Error("an endless name is cut without a sign")
	}
	framed := content(t, sheet(t, Roll50x30, 1, func(l *Label) { l.Product, l.Inner = strings.Repeat("长", 500), "7K3F9QWX" }))
	if n, m := strings.Count(framed, shown("长")), strings.Count(long, shown("长")); n == 0 || n > m/2+1 {
		t.Errorf("%d characters stand above the scratch frame, %d without one", n, m)
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	s, err := NewSheet(A4, made())
	if err != nil {
		t.Fatal(err)
	}
	s.setFont(productSize)
	for _, text := range []string{"Aged tangerine peel, 20 years", "西湖龙井明前特级狮峰山核心产区", "龙井 Dragon Well 250g 礼盒"} {
		lines := s.wrap(text, 20, 9)
		strip := strings.NewReplacer(" ", "")
		if strip.Replace(strings.Join(lines, "")) != strip.Replace(text) {
			t.Errorf("%q became %q", text, lines)
		}
		for _, line := range lines {
			if w := s.pdf.GetStringWidth(line); w > 20 {
				t.Errorf("%q is %.1f mm wide", line, w)
			}
		}
		for _, word := range []string{"tangerine", "Dragon"} {
			if strings.Contains(text, word) && !strings.Contains(strings.Join(lines, "\n"), word) {
				t.Errorf("%q is broken in %q", word, lines)
			}
		}
	}
}

func TestSheetIsReproducible(t *testing.T) {
	t.Parallel()
	if a, b := sheet(t, A4, 5, nil), sheet(t, A4, 5, nil); !bytes.Equal(a, b) {
		t.Error("the same labels gave other bytes")
	}
}

func TestSheetRefuses(t *testing.T) {
	t.Parallel()
	if _, err := NewSheet(Layout(9), made()); fault.KindOf(err) != fault.Invalid {
		t.Errorf("layout 9: %v", err)
	}
	s, err := NewSheet(Roll50x30, made())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(Label{Code: "1"}); fault.KindOf(err) != fault.Invalid || s.Count() != 0 {
		t.Errorf("a label without a URL: %v, count %d", err, s.Count())
	}
	s.count = LabelsMax - 1
	if err := s.Add(sampleLabel(0)); err != nil {
		t.Errorf("the last label: %v", err)
	}
	f, ok := fault.From(s.Add(sampleLabel(1)))
	if !ok || f.Code != "mark.too_many_labels" || s.Count() != LabelsMax {
		t.Errorf("one too many: %v, count %d", f, s.Count())
	}
}

// One page of A4, 32 labels.
func BenchmarkSheetA4(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s, err := NewSheet(A4, made())
		if err != nil {
			b.Fatal(err)
		}
		for i := range 32 {
			if err := s.Add(sampleLabel(i)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := s.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSheetRoll1000(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s, err := NewSheet(Roll50x30, made())
		if err != nil {
			b.Fatal(err)
		}
		for i := range 1000 {
			if err := s.Add(sampleLabel(i)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := s.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
