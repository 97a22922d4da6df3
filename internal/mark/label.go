package mark

import (
	"fmt"
	"strings"
	"unicode"
)

const fontName = "labels"

// What a label is made of, in millimetres; type sizes are in points.
const (
	labelPadding = 1.8
	footHeight   = 7.2  // the digits and the batch, below the symbol
	symbolShare  = 0.47 // of the label's width, at most
	columnGap    = 0.8

	codeSize    = 10.0
	batchSize   = 5.6
	productSize = 7.6
	captionSize = 4.6
	innerSize   = 9.5
	innerHeight = 7.6
	millimetres = 25.4 / 72 // in one point
)

// drawLabel draws one label with its corner at x, y: the symbol on the left, the product
// on its right, below both the code and its batch.
func (s *Sheet) drawLabel(l Label, symbol *Symbol, x, y float64) {
	// The symbol's own quiet zone may reach one millimetre into the padding.
	high := s.labelHeight - 2*labelPadding - footHeight + 1
	side := min(high, s.labelWidth*symbolShare)
	border := side * quiet / float64(symbol.size+2*quiet)
	spare := (high - side) / 3 // above, between and below, when the width was the limit
	top := y + labelPadding - 1 + spare
	s.drawSymbol(symbol, x+labelPadding-1, top, side)

	left := x + labelPadding - 1 + side + columnGap
	width := x + s.labelWidth - labelPadding - left
	lines := 4
	if l.Inner != "" {
		lines = 2
		s.drawInner(l.Inner, left, top+side-border-innerHeight, width)
	}
	s.setFont(productSize)
	baseline := top + border + productSize*millimetres*0.78
	for i, line := range s.wrap(printable(l.Product), width, lines) {
		s.pdf.Text(left, baseline+float64(i)*productSize*millimetres*1.25, line)
	}

	baseline = y + s.labelHeight - labelPadding - spare
	s.setFont(batchSize)
	s.centre(s.clip("批号 Lot "+printable(l.BatchNo), s.labelWidth-2*labelPadding), x, s.labelWidth, baseline)
	s.setFont(codeSize)
	s.centre(groups(printable(l.Code), 6, "  "), x, s.labelWidth, baseline-batchSize*millimetres*1.45)
}

// centre sets one line in the middle of a width.
func (s *Sheet) centre(text string, x, width, baseline float64) {
	s.pdf.Text(x+(width-s.pdf.GetStringWidth(text))/2, baseline, text)
}

// drawInner draws the inner code in a dashed frame with its caption: where the scratch
// layer goes.
func (s *Sheet) drawInner(inner string, x, y, width float64) {
	s.pdf.SetLineWidth(0.15)
	s.pdf.SetDashPattern([]float64{0.8, 0.6}, 0)
	s.pdf.Rect(x, y, width, innerHeight, "D")
	s.pdf.SetDashPattern(nil, 0)
	s.setFont(captionSize)
	s.pdf.Text(x+0.8, y+2.1, s.clip("刮开验证 Scratch to check", width-1.2))
	s.setFont(innerSize)
	s.centre(groups(printable(inner), 4, " "), x, width, y+innerHeight-1.3)
}

// drawSymbol fills the dark modules as one vector path in module units, y downwards, so
// that no printer or viewer shows a seam between two rows.
func (s *Sheet) drawSymbol(symbol *Symbol, x, y, side float64) {
	module := side / float64(symbol.size+2*quiet) / millimetres
	var path strings.Builder
	fmt.Fprintf(&path, "q %.5f 0 0 %.5f %.4f %.4f cm\n", module, -module,
		x/millimetres, (s.pageHeight-y)/millimetres)
	for row := range symbol.size {
		for _, r := range symbol.runs(row) {
			fmt.Fprintf(&path, "%d %d %d 1 re\n", r.x+quiet, row+quiet, r.n)
		}
	}
	path.WriteString("f Q")
	s.pdf.RawWriteStr(path.String())
}

func (s *Sheet) setFont(points float64) { s.pdf.SetFont(fontName, "", points) }

// wrap breaks a text into at most so many lines of a width: after a space where there is
// one, else between any two characters, as Chinese is set. What is left over ends in "…".
func (s *Sheet) wrap(text string, width float64, most int) []string {
	var lines []string
	rest := []rune(strings.TrimSpace(text))
	for len(rest) > 0 {
		if len(lines) == most-1 {
			return append(lines, s.clip(string(rest), width))
		}
		n := s.fitting(rest, width)
		end := n
		if n < len(rest) && !wide(rest[n]) {
			for end > 0 && !unicode.IsSpace(rest[end]) && !wide(rest[end-1]) {
				end--
			}
		}
		if end == 0 { // one word wider than the line
			end = n
		}
		lines = append(lines, strings.TrimSpace(string(rest[:end])))
		rest = []rune(strings.TrimSpace(string(rest[end:])))
	}
	return lines
}

// wide tells whether a line may break beside r without a space.
func wide(r rune) bool { return r >= 0x2e80 }

// clip cuts a text to a width and ends it in "…" when something was cut.
func (s *Sheet) clip(text string, width float64) string {
	if s.pdf.GetStringWidth(text) <= width {
		return text
	}
	runes := []rune(text)
	n := s.fitting(runes, width-s.pdf.GetStringWidth("…"))
	return strings.TrimSpace(string(runes[:n])) + "…"
}

// fitting is how many of the runes fit a width, at least one.
func (s *Sheet) fitting(runes []rune, width float64) int {
	used := 0.0
	for i, r := range runes {
		used += s.pdf.GetStringWidth(string(r))
		if used > width {
			return max(i, 1)
		}
	}
	return len(runes)
}

// groups sets a separator between every n characters.
func groups(text string, n int, separator string) string {
	var b strings.Builder
	for i, r := range []rune(text) {
		if i > 0 && i%n == 0 {
			b.WriteString(separator)
		}
		b.WriteRune(r)
	}
	return b.String()
}
