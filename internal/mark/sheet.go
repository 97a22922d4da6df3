package mark

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// LabelsMax bounds one sheet: a PDF is held in memory until it is written.
const LabelsMax = 10_000

//go:embed font/labels.ttf
var labelFont []byte // read only; what it is and how it was made: font/README.md

// Label is what one item's label says.
type Label struct {
	Code    string // 18 digits
	URL     string // what the QR code holds
	Product string // any script that the font covers; cut when it is too long
	BatchNo string
	No      int64  // within the batch: for the operator, beside the labels, never on one
	Inner   string // printed in its own frame, to be covered by the scratch layer; empty = none
}

// Layout is a kind of label stock.
type Layout int

const (
	// A4 is a sheet of 210×297 mm with 4×8 labels of 48.5×34 mm, edge to edge; margins
	// 8 mm left and right, 12.5 mm top and bottom. Short ticks in the margins show where
	// to cut; the bottom margin names the batch and the numbers on the page.
	A4 Layout = iota
	// Roll50x30 is a roll of labels 50×30 mm, one to a page.
	Roll50x30
)

// geometry is a layout's measures in millimetres.
type geometry struct {
	pageWidth, pageHeight   float64
	columns, rows           int
	marginLeft, marginTop   float64
	labelWidth, labelHeight float64
}

func (l Layout) geometry() (geometry, bool) {
	switch l {
	case A4:
		return geometry{210, 297, 4, 8, 8, 12.5, 48.5, 34}, true
	case Roll50x30:
		return geometry{50, 30, 1, 1, 0, 0, 50, 30}, true
	}
	return geometry{}, false
}

// Sheet gathers labels into one PDF. It belongs to one goroutine.
type Sheet struct {
	geometry
	pdf     *fpdf.Fpdf
	encoder *Encoder
	count   int
	page    struct{ first, last Label } // on the present page
}

// NewSheet begins a sheet. made is the PDF's date: the same labels with the same date
// give the same bytes.
func NewSheet(layout Layout, made time.Time) (*Sheet, error) {
	g, ok := layout.geometry()
	if !ok {
		return nil, fault.Field("mark.bad_layout", "layout", "is not a label layout")
	}
	pdf := fpdf.NewCustom(&fpdf.InitType{
		UnitStr: "mm",
		Size:    fpdf.SizeType{Wd: g.pageWidth, Ht: g.pageHeight},
	})
	pdf.SetMargins(0, 0, 0)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetCatalogSort(true)
	pdf.SetCreationDate(made.UTC())
	pdf.SetModificationDate(made.UTC())
	pdf.SetTitle("Chopmark labels", true)
	pdf.SetProducer("Chopmark", true)
	pdf.AddUTF8FontFromBytes(fontName, "", labelFont)
	if err := pdf.Error(); err != nil {
		return nil, fmt.Errorf("load the label font: %w", err)
	}
	return &Sheet{geometry: g, pdf: pdf, encoder: NewEncoder()}, nil
}

// Add draws one more label. Faults: mark.too_many_labels beyond LabelsMax, mark.bad_text
// for a URL that no QR code holds; either way the sheet stays as it was.
func (s *Sheet) Add(l Label) error {
	if s.count == LabelsMax {
		return fault.New(fault.TooLarge, "mark.too_many_labels",
			"a sheet holds %d labels; split the range", LabelsMax)
	}
	symbol, err := s.encoder.Encode(l.URL)
	if err != nil {
		return fmt.Errorf("label of %s: %w", l.Code, err)
	}
	place := s.count % (s.columns * s.rows)
	if place == 0 {
		s.endPage()
		s.pdf.AddPage()
		s.page.first = l
	}
	s.page.last = l
	s.count++
	x := s.marginLeft + float64(place%s.columns)*s.labelWidth
	y := s.marginTop + float64(place/s.columns)*s.labelHeight
	s.drawLabel(l, symbol, x, y)
	return s.pdf.Error()
}

// Count is the number of labels so far.
func (s *Sheet) Count() int { return s.count }

// WriteTo ends the sheet and writes the PDF; nothing can be added after it. A sheet
// without labels is one empty page.
func (s *Sheet) WriteTo(w io.Writer) (int64, error) {
	if s.count == 0 {
		s.pdf.AddPage()
	}
	s.endPage()
	counted := &countingWriter{w: w}
	err := s.pdf.Output(counted)
	return counted.n, err
}

// endPage adds what a page says beside its labels, where there is a margin for it.
func (s *Sheet) endPage() {
	if s.count == 0 || s.marginTop == 0 {
		return
	}
	s.pdf.SetLineWidth(0.1)
	right, bottom := s.pageWidth-s.marginLeft, s.pageHeight-s.marginTop
	const tick = 3 // mm
	for c := range s.columns + 1 {
		x := s.marginLeft + float64(c)*s.labelWidth
		s.pdf.Line(x, s.marginTop-tick-1, x, s.marginTop-1)
		s.pdf.Line(x, bottom+1, x, bottom+1+tick)
	}
	for r := range s.rows + 1 {
		y := s.marginTop + float64(r)*s.labelHeight
		s.pdf.Line(s.marginLeft-tick-1, y, s.marginLeft-1, y)
		s.pdf.Line(right+1, y, right+1+tick, y)
	}
	first, last := s.page.first, s.page.last
	note := fmt.Sprintf("%s · %d – %d", printable(first.BatchNo), first.No, last.No)
	if first.BatchNo != last.BatchNo {
		note = fmt.Sprintf("%s · %d – %s · %d",
			printable(first.BatchNo), first.No, printable(last.BatchNo), last.No)
	}
	s.setFont(6)
	s.pdf.Text(s.marginLeft, s.pageHeight-5, s.clip(note, right-s.marginLeft))
}

// printable keeps what a one-line text of the font can hold: control characters become
// spaces, and characters beyond the basic plane, which the PDF library cannot measure,
// become a box.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return ' '
		case r > 0xffff-1:
			return '□'
		}
		return r
	}, text)
}

// countingWriter counts for io.WriterTo.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
