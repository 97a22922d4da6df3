package site

import "io"

// Notice is a small page for what is not the answer to a scan.
type Notice struct {
	Lang      string
	Status    int    // 400 a malformed code, 404, 429, 500, 503; others show as 500
	Detail    string // what exactly is wrong; may be empty
	Reference string // the request's id, to be told to support; may be empty
	Again     int    // after so many seconds the page asks again by itself; 0 = not
	Challenge string // the page's script solves it and asks again; see ProofCSP. "" = none
}

// RenderNotice writes the whole notice.
func (s *Site) RenderNotice(w io.Writer, n Notice) error {
	l := s.language(n.Lang)
	t, ok := l.notices[n.Status]
	if !ok {
		t = l.notices[500]
	}
	n.Detail, n.Reference = clip(n.Detail, reasonMax), clip(n.Reference, textMax)
	return s.write(w, t, n)
}

// RenderFront writes the page at "/": where a code can be typed.
func (s *Site) RenderFront(w io.Writer, lang string) error {
	return s.write(w, s.language(lang).front, nil)
}
