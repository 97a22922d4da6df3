package mark

import (
	"bufio"
	"bytes"
	"html"
	"image"
	"image/color"
	"image/png"
	"io"
	"strconv"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The sizes of a PNG, in pixels on a side.
const (
	PNGSizeMin = 64
	PNGSizeMax = 2048
)

// SVGOptions says how an SVG is drawn. The zero value is an image of its own, as large
// as its place, black on white.
type SVGOptions struct {
	Title  string // read out by screen readers; empty = the image is decoration
	Inline bool   // for the body of an HTML page: no XML namespace
}

// SVG writes the symbol as one path in module units: a reader may scale it freely.
func (s *Symbol) SVG(w io.Writer, o SVGOptions) error {
	side := strconv.Itoa(s.size + 2*quiet)
	b := make([]byte, 0, 2048)
	b = append(b, "<svg "...)
	if !o.Inline {
		b = append(b, `xmlns="http://www.w3.org/2000/svg" `...)
	}
	b = append(b, `viewBox="0 0 `+side+` `+side+`" shape-rendering="crispEdges"`...)
	if o.Title == "" {
		b = append(b, ` aria-hidden="true">`...)
	} else {
		title := html.EscapeString(o.Title)
		b = append(b, ` role="img" aria-label="`+title+`"><title>`+title+`</title>`...)
	}
	b = append(b, `<path fill="#fff" d="M0 0h`+side+`v`+side+`H0z"/><path stroke="#000" d="`...)
	b = s.appendPath(b)
	b = append(b, `"/></svg>`...)
	_, err := w.Write(b)
	return err
}

// appendPath draws each run of dark modules as a line one module thick, which takes half
// the bytes of a closed outline: "h3" for the run, "m2 0" to the next one.
func (s *Symbol) appendPath(b []byte) []byte {
	for y := range s.size {
		pen := -1 // where the last run of this row ended
		for _, r := range s.runs(y) {
			if pen < 0 {
				b = append(b, 'M')
				b = strconv.AppendInt(b, int64(r.x+quiet), 10)
				b = append(b, ' ')
				b = strconv.AppendInt(b, int64(y+quiet), 10)
				b = append(b, ".5"...)
			} else {
				b = append(b, 'm')
				b = strconv.AppendInt(b, int64(r.x-pen), 10)
				b = append(b, " 0"...)
			}
			b = append(b, 'h')
			b = strconv.AppendInt(b, int64(r.n), 10)
			pen = r.x + r.n
		}
	}
	return b
}

// run is n dark modules from column x on.
type run struct{ x, n int }

// runs are the dark runs of a row, from the left.
func (s *Symbol) runs(y int) []run {
	runs := make([]run, 0, s.size/3)
	for x := 0; x < s.size; x++ {
		if !s.Dark(x, y) {
			continue
		}
		start := x
		for s.Dark(x, y) {
			x++
		}
		runs = append(runs, run{x: start, n: x - start})
	}
	return runs
}

// PNG writes a square image of sizePixels on a side, one bit a pixel. Modules are a
// whole number of pixels, so the rest widens the quiet zone. Fault: mark.bad_size outside
// PNGSizeMin..PNGSizeMax or when the symbol has more modules than that.
func (s *Symbol) PNG(w io.Writer, sizePixels int) error {
	if sizePixels < PNGSizeMin || sizePixels > PNGSizeMax {
		return fault.Field("mark.bad_size", "size", "must be %d to %d", PNGSizeMin, PNGSizeMax)
	}
	modules := s.size + 2*quiet
	scale := sizePixels / modules
	if scale == 0 {
		return fault.Field("mark.bad_size", "size", "must be at least %d for this code", modules)
	}
	const dark = 1
	palette := color.Palette{color.Gray{Y: 0xff}, color.Gray{}}
	img := image.NewPaletted(image.Rect(0, 0, sizePixels, sizePixels), palette)
	offset := (sizePixels - scale*s.size) / 2
	for y := range s.size {
		first := img.Pix[(offset+y*scale)*img.Stride:][:img.Stride]
		for _, r := range s.runs(y) {
			line := first[offset+r.x*scale:][:r.n*scale]
			for i := range line {
				line[i] = dark
			}
		}
		for i := 1; i < scale; i++ {
			copy(img.Pix[(offset+y*scale+i)*img.Stride:], first)
		}
	}
	return png.Encode(w, img)
}

// Terminal writes the symbol in half blocks, two modules to a character. In colour it
// can be scanned from any terminal; without, only from light text on a dark ground.
func (s *Symbol) Terminal(w io.Writer, colour bool) error {
	const black, white, reset = "\x1b[38;5;16m", "\x1b[48;5;231m", "\x1b[0m"
	blocks := [...]string{" ", "▄", "▀", "█"} // bit 1: the upper half is inked, bit 0: the lower
	out := bufio.NewWriter(w)
	for y := -quiet; y < s.size+quiet; y += 2 {
		var line bytes.Buffer
		for x := -quiet; x < s.size+quiet; x++ {
			ink := 0
			if s.Dark(x, y) == colour {
				ink |= 2
			}
			if below := s.Dark(x, y+1); below == colour && (colour || y+1 < s.size+quiet) {
				ink |= 1
			}
			line.WriteString(blocks[ink])
		}
		if colour {
			out.WriteString(black + white + line.String() + reset + "\n")
			continue
		}
		out.WriteString(line.String() + "\n")
	}
	return out.Flush()
}
