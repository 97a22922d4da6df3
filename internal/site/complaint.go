package site

import "io"

// Complaint is the page where somebody says that an item looks wrong.
type Complaint struct {
	Lang, Code, Token, Text, Place string // as they were given
	Request                        string // names what the form sends
	Wrong                          string // what was wrong with it
	Thanks                         bool   // it was taken: nothing else is shown
}

// RenderComplaint writes the whole page. The thank-you depends on the language alone.
func (s *Site) RenderComplaint(w io.Writer, c Complaint) error {
	c.Wrong = clip(c.Wrong, reasonMax)
	if c.Thanks {
		c = Complaint{Lang: c.Lang, Thanks: true}
	}
	return s.write(w, s.language(c.Lang).complain, c)
}
