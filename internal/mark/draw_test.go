package mark

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// draw turns the path of an SVG back into modules.
func draw(t *testing.T, svg string, size int) []bool {
	t.Helper()
	path := regexp.MustCompile(`stroke="#000" d="([^"]*)"`).FindStringSubmatch(svg)
	if path == nil {
		t.Fatalf("no path in %s", svg)
	}
	dark := make([]bool, size*size)
	x, y := 0, 0
	for _, op := range regexp.MustCompile(`M(\d+) (\d+)\.5|m(\d+) 0|h(\d+)`).FindAllStringSubmatch(path[1], -1) {
		number := func(i int) int { n, _ := strconv.Atoi(op[i]); return n }
		switch op[0][0] {
		case 'M':
			x, y = number(1), number(2)
		case 'm':
			x += number(3)
		case 'h':
			for range number(4) {
				dark[(y-quiet)*size+x-quiet] = true
				x++
			}
		}
	}
	return dark
}

func TestSVG(t *testing.T) {
	t.Parallel()
	s, err := New(printURL)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.SVG(&b, SVGOptions{Title: `"<&`}); err != nil {
		t.Fatal(err)
	}
	svg := b.String()
	for i, dark := range draw(t, svg, s.size) {
		if dark != s.dark[i] {
			t.Fatalf("module %d is drawn %v", i, dark)
		}
	}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	for _, want := range []string{`viewBox="0 0 37 37"`, "crispEdges", "<title>&#34;&lt;&amp;</title>", "xmlns="} {
		if !strings.Contains(svg, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if b.Len() > 2048 {
		t.Errorf("%d bytes", b.Len())
	}
	b.Reset()
	if err := s.SVG(&b, SVGOptions{Inline: true}); err != nil || strings.Contains(b.String(), "xmlns") {
		t.Errorf("inline, %v: %.80s", err, b.String())
	}
}

func TestPNG(t *testing.T) {
	t.Parallel()
	s, err := New(printURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{PNGSizeMin, 100, 300, 301, PNGSizeMax} {
		var b bytes.Buffer
		if err := s.PNG(&b, size); err != nil {
			t.Fatal(err)
		}
		if depth := b.Bytes()[24]; depth != 1 {
			t.Errorf("size %d: %d bits a pixel", size, depth)
		}
		if w := binary.BigEndian.Uint32(b.Bytes()[16:]); int(w) != size {
			t.Errorf("size %d: %d wide", size, w)
		}
		img, err := png.Decode(&b)
		if err != nil {
			t.Fatal(err)
		}
		scale := size / (s.size + 2*quiet)
		offset := (size - scale*s.size) / 2
		if offset < quiet*scale {
			t.Errorf("size %d: a quiet zone of %d pixels at scale %d", size, offset, scale)
		}
		for y := range size {
			for x := range size {
				r, _, _, _ := img.At(x, y).RGBA()
				inside := x >= offset && y >= offset
				if want := inside && s.Dark((x-offset)/scale, (y-offset)/scale); (r == 0) != want {
					t.Fatalf("size %d: pixel %d,%d is %x", size, x, y, r)
				}
			}
		}
	}
}

func TestPNGRefusesSizes(t *testing.T) {
	t.Parallel()
	small, err := New("1")
	if err != nil {
		t.Fatal(err)
	}
	big, err := New(strings.Repeat("a", 2331))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		symbol *Symbol
		size   int
	}{{small, -1}, {small, 0}, {small, 63}, {small, 2049}, {big, 184}} {
		var b bytes.Buffer
		err := tt.symbol.PNG(&b, tt.size)
		f, ok := fault.From(err)
		if !ok || f.Code != "mark.bad_size" || f.Details[0].Field != "size" || b.Len() > 0 {
			t.Errorf("size %d: %v, %d bytes", tt.size, err, b.Len())
		}
	}
	if err := big.PNG(io.Discard, 185); err != nil {
		t.Errorf("177 + 8 modules in 185 pixels: %v", err)
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	s, err := New(printURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []bool{true, false} {
		var b strings.Builder
		if err := s.Terminal(&b, colour); err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile("\x1b[^m]*m").ReplaceAllString(b.String(), "")
		rows := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(rows) != (s.size+2*quiet+1)/2 {
			t.Fatalf("%d rows", len(rows))
		}
		for i, row := range rows {
			cells := []rune(row)
			if len(cells) != s.size+2*quiet {
				t.Fatalf("row %d has %d cells", i, len(cells))
			}
			for x, c := range cells {
				ink := strings.ContainsRune("▀█", c)
				if dark := s.Dark(x-quiet, 2*i-quiet); dark != (ink == colour) {
					t.Fatalf("cell %d,%d is %q", x, i, c)
				}
			}
		}
	}
}

func BenchmarkSVG(b *testing.B) {
	s, err := New(printURL)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.SVG(io.Discard, SVGOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPNG300(b *testing.B) {
	s, err := New(printURL)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.PNG(io.Discard, 300); err != nil {
			b.Fatal(err)
		}
	}
}
