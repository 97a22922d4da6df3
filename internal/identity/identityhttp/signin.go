package identityhttp

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Pages draws the sign-in page.
type Pages interface {
	// SignIn writes the whole page. lang is "zh" or "en"; key is given with
	// StateShown only.
	SignIn(w io.Writer, lang string, state State, key string) error
	// CSP is the Content-Security-Policy that fits the page.
	CSP() string
}

// State is what the page shows.
type State string

// The states of the page.
const (
	StateOffer State = "offer" // a form that posts to the same address
	StateShown State = "shown" // the key, this once
	StateSpent State = "spent" // used, expired, or never given out: a reader is not told which
)

// SignIn serves /signin/{token}. Looking at the page uses nothing up, so a link
// preview or a prefetch cannot spend the link; the form's POST does.
type SignIn struct {
	svc   *identity.Service
	pages Pages
	cross *http.CrossOriginProtection
}

// NewSignIn makes the pages' handler.
func NewSignIn(svc *identity.Service, pages Pages) *SignIn {
	return &SignIn{svc, pages, http.NewCrossOriginProtection()}
}

const path = "/signin/{token}"

// Add adds the routes.
func (s *SignIn) Add(rt *httpx.Router) {
	rt.Public("GET "+path, private(s.get))
	rt.Public("POST "+path, private(s.post))
}

// private keeps an answer, errors too, from caches and referrers, and takes back
// that any origin may read a public route.
func private(h httpx.Handler) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		head := w.Header()
		head.Del("Access-Control-Allow-Origin")
		head.Set("Cache-Control", "no-store")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("X-Robots-Tag", "noindex")
		return h(w, r)
	}
}

// errCrossOrigin answers a form that another site sent.
var errCrossOrigin = fault.New(fault.Denied, "signin.cross_origin", "open the sign-in link itself; another site's form is refused")

func (s *SignIn) get(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Has("console") { // the page's link to it: the page itself repeats no token
		w.Header().Set("Location", "/console/#/first?token="+url.QueryEscape(r.PathValue("token")))
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	switch state, err := s.svc.OpenSignIn(r.Context(), r.PathValue("token")); {
	case errors.Is(err, identity.ErrUnknownSignIn):
		return s.page(w, r, http.StatusNotFound, StateSpent, "")
	case err != nil:
		return err
	case state != identity.Valid:
		return s.page(w, r, http.StatusGone, StateSpent, "")
	}
	return s.page(w, r, http.StatusOK, StateOffer, "")
}

func (s *SignIn) post(w http.ResponseWriter, r *http.Request) error {
	if err := s.checkOrigin(r); err != nil {
		return err
	}
	key, err := s.svc.UseSignIn(r.Context(), r.PathValue("token"))
	switch {
	case errors.Is(err, identity.ErrUnknownSignIn):
		return s.page(w, r, http.StatusNotFound, StateSpent, "")
	case errors.Is(err, identity.ErrSignInUsed), errors.Is(err, identity.ErrSignInExpired):
		return s.page(w, r, http.StatusGone, StateSpent, "")
	case err != nil:
		return err
	}
	return s.page(w, r, http.StatusOK, StateShown, key)
}

// checkOrigin refuses forms of other sites. Our own page asks for no referrer, and
// a browser then calls its origin "null"; over plain HTTP on a network it says
// nothing else either (Fetch standard, "append a request Origin header", and Fetch
// Metadata, which needs a trustworthy URL). That is let through: whoever can name
// the path has the token already.
func (s *SignIn) checkOrigin(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "null" {
		return nil
	}
	if err := s.cross.Check(r); err != nil {
		return errCrossOrigin
	}
	return nil
}

// page renders first and answers then, so that a failure is still an error answer.
func (s *SignIn) page(w http.ResponseWriter, r *http.Request, status int, state State, key string) error {
	var b bytes.Buffer
	if err := s.pages.SignIn(&b, httpx.Language(r), state, key); err != nil {
		return err
	}
	return httpx.HTML(w, status, s.pages.CSP(), b.Bytes())
}
