// Package site draws the pages that people see after a scan, and the few others that
// are served without the console: notices, the demo sheet and the admin sign-in.
//
// The promise: a consumer page is one response of at most 6 KB compressed with nothing
// to fetch but the brand's logo, which comes after the verdict and is kept for 30 days, whatever is put into it; the verdict stands in its first 2 KB, in colour,
// shape and words; it works without JavaScript, in Chinese and English. The refusal
// (verdict "unknown") depends on the language alone, so it tells nothing about the code
// that was asked. TestSizes, TestRefusalTellsNothing and TestNothingIsFetched pin these.
//
// The package knows no request, no clock and no store: it turns plain values into HTML.
package site

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
	texttemplate "text/template"
)

//go:embed html
var files embed.FS // read only

// Site holds the parsed pages. It is safe for concurrent use.
type Site struct {
	languages map[string]*language
	csp       string
	proofCSP  string
	deskCSP   string
	formCSP   string
	buffers   sync.Pool // of *bytes.Buffer
}

// language is every page in one language.
type language struct {
	words
	verdicts map[string]*template.Template
	notices  map[int]*template.Template
	refusal  []byte // the page of verdict "unknown", rendered once
	demo     *template.Template
	story    *template.Template
	signIn   *template.Template
	front    *template.Template
	complain *template.Template
}

// assets are the constant texts within the pages. Their hashes are what the content
// security policy allows, so they hold no data.
type assets struct{ Head, Tail, Form, Script, Proof, Desk, Copying string }

// New parses the pages. An error means that the program was built wrong.
func New() (*Site, error) {
	var a assets
	for name, text := range map[string]*string{
		"head.css": &a.Head, "tail.css": &a.Tail, "form.css": &a.Form, "page.js": &a.Script, "proof.js": &a.Proof, "desk.css": &a.Desk, "copy.js": &a.Copying,
	} {
		b, err := files.ReadFile("html/" + name)
		if err != nil {
			return nil, err
		}
		*text = strings.ReplaceAll(string(b), "\n", "")
	}
	s := &Site{
		languages: make(map[string]*language),
		csp:       strings.Replace(policy([]string{a.Head, a.Tail}, a.Script), "img-src data:", "img-src data: 'self'", 1), // the logo
		proofCSP:  policy([]string{a.Head, a.Tail}, a.Proof),
		formCSP:   policy([]string{a.Head, a.Tail, a.Form}, ""),
		deskCSP:   policy([]string{a.Desk}, a.Copying),
		buffers:   sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	for _, w := range []words{chinese(), english()} {
		l, err := newLanguage(w, a)
		if err != nil {
			return nil, err
		}
		s.languages[w.Lang] = l
	}
	return s, nil
}

// newLanguage parses each page twice: first the words and assets are set into it, once
// and for all, then it becomes the template that is filled at each scan. So a scan pays
// only for what differs between two items.
func newLanguage(w words, a assets) (*language, error) {
	l := &language{words: w, verdicts: make(map[string]*template.Template), notices: make(map[int]*template.Template)}
	type fixed struct {
		assets
		W    words
		V    phrase
		N    noticePhrase
		Icon string
		Done string
	}
	var err error
	parse := func(name string, f fixed) *template.Template {
		if err != nil {
			return nil
		}
		f.W, f.assets = w, a
		var t *template.Template
		t, err = parsePage(name, f)
		return t
	}
	for verdict, v := range w.Verdicts {
		l.verdicts[verdict] = parse("page.html", fixed{V: v, Icon: icon(verdict, v.Tone)})
	}
	for status, n := range w.Notices {
		l.notices[status] = parse("notice.html", fixed{N: n, Icon: noticeIcon(status, n.Tone)})
	}
	l.demo = parse("demo.html", fixed{})
	l.story = parse("story.html", fixed{})
	l.signIn = parse("signin.html", fixed{})
	l.complain = parse("complaint.html", fixed{Icon: svg(question, "wait"), Done: svg(check, "good")})
	l.front = parse("front.html", fixed{Icon: svg(question, "wait")})
	if err != nil {
		return nil, err
	}
	var refusal bytes.Buffer
	if err := l.verdicts[unknown].Execute(&refusal, view{Help: w.HelpDefault}); err != nil {
		return nil, err
	}
	l.refusal = refusal.Bytes()
	return l, nil
}

func parsePage(name string, fixed any) (*template.Template, error) {
	source, err := files.ReadFile("html/" + name)
	if err != nil {
		return nil, err
	}
	outer, err := texttemplate.New(name).Delims("[[", "]]").Parse(strings.TrimSpace(string(source)))
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if err := outer.Execute(&text, fixed); err != nil {
		return nil, err
	}
	return template.New(name).Parse(text.String())
}

// CSP is the Content-Security-Policy of Render and RenderNotice.
func (s *Site) CSP() string { return s.csp }

// ProofCSP is that of a notice with a challenge.
func (s *Site) ProofCSP() string { return s.proofCSP }

// ComplaintCSP is that of RenderComplaint.
func (s *Site) ComplaintCSP() string { return s.formCSP }

// DeskCSP is the Content-Security-Policy of RenderDemo and RenderSignIn.
func (s *Site) DeskCSP() string { return s.deskCSP }

// policy allows exactly these inline styles and this script, and nothing else.
func policy(styles []string, script string) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; style-src")
	for _, text := range styles {
		b.WriteString(" " + hash(text))
	}
	if script != "" {
		b.WriteString("; script-src " + hash(script))
	}
	b.WriteString("; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	return b.String()
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// language is that of a page: "en", or Chinese for everything else.
func (s *Site) language(lang string) *language {
	if l, ok := s.languages[lang]; ok {
		return l
	}
	return s.languages["zh"]
}

// write renders into memory first, so that w gets a whole page or none, in one piece.
func (s *Site) write(w io.Writer, t *template.Template, data any) error {
	b := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(b)
	b.Reset()
	if err := t.Execute(b, data); err != nil {
		return fmt.Errorf("render a page: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
