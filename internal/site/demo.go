package site

import (
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/chopmark/chopmark/internal/mark"
)

// DemoPage is a sheet of codes to try, on the screen or printed.
type DemoPage struct {
	Lang  string
	Cards []DemoCard
}

// DemoCard is one code. Title and Text default to the verdict's own words.
type DemoCard struct {
	Verdict string // what a scan of it answers
	URL     string // an http or https link; what the QR code holds
	Title   string
	Text    string
}

type demoView struct {
	Tone, Title, Text, URL string
	Icon, QR               template.HTML
}

// RenderDemo writes the whole sheet. A card with an unknown verdict is an error.
func (s *Site) RenderDemo(w io.Writer, p DemoPage) error {
	l := s.language(p.Lang)
	encoder := mark.NewEncoder()
	views := make([]demoView, 0, len(p.Cards))
	for _, c := range p.Cards {
		v, ok := l.Verdicts[c.Verdict]
		if !ok {
			return fmt.Errorf("render the demo: no verdict %q", c.Verdict)
		}
		symbol, err := encoder.Encode(c.URL)
		if err != nil {
			return fmt.Errorf("render the demo: %w", err)
		}
		if c.Title == "" {
			c.Title = v.Title
		}
		if c.Text == "" {
			c.Text = v.Shows
		}
		var qr strings.Builder
		if err := symbol.SVG(&qr, mark.SVGOptions{Title: c.Title, Inline: true}); err != nil {
			return fmt.Errorf("render the demo: %w", err)
		}
		views = append(views, demoView{
			Tone: v.Tone, Title: c.Title, Text: c.Text, URL: c.URL,
			Icon: template.HTML(icon(c.Verdict, v.Tone)), //nolint:gosec // a constant of this package
			QR:   template.HTML(qr.String()),             //nolint:gosec // drawn by mark, which escapes the title
		})
	}
	return s.write(w, l.demo, views)
}
