package site

import (
	"fmt"
	"io"
)

// The states of the sign-in page.
const (
	SignInOffer = "offer" // a button, by POST to the same address, shows the key
	SignInShown = "shown" // the key, this once
	SignInSpent = "spent" // the link was used or has expired
)

// SignIn is the page behind the one-time admin link. It asks before it shows the key,
// so that a link preview or a prefetch cannot spend the link.
type SignIn struct {
	Lang    string
	State   string // SignInOffer, SignInShown or SignInSpent
	Key     string // for SignInShown
	BaseURL string // of the API, for the example; no slash at the end
	Next    string // for SignInSpent: the command that makes a new link; empty = not said
}

// RenderSignIn writes the whole page. Serve it with Cache-Control: no-store.
func (s *Site) RenderSignIn(w io.Writer, p SignIn) error {
	switch p.State {
	case SignInOffer, SignInShown, SignInSpent:
		return s.write(w, s.language(p.Lang).signIn, p)
	}
	return fmt.Errorf("render the sign-in page: no state %q", p.State)
}
