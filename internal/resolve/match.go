package resolve

import (
	"iter"
	"slices"
	"strings"
)

// Ranges are what a client prefers, each with its weight in thousandths; nil = it does not say.
type Ranges = iter.Seq2[string, int]

// Wishes are what a request says of the link that it would like.
type Wishes struct {
	Languages Ranges        // Accept-Language
	Media     Ranges        // Accept
	Context   string        // ?context=
	Country   func() string // where the caller is, "" = not known; asked only when a link wants to know
}

// fit is how well a link does what is wished for. Context and country decide first,
// then the language, then the media type; what was set first wins a tie.
type fit struct {
	context, country int
	language, media  int // -1 = other than wished for, 0 = does not say
}

func (f fit) better(o fit) bool {
	switch {
	case f.context != o.context:
		return f.context > o.context
	case f.country != o.country:
		return f.country > o.country
	case f.language != o.language:
		return f.language > o.language
	}
	return f.media > o.media
}

// helps reports that the request has something to tell this link from the default for
// everybody.
func (f fit) helps() bool {
	return f.language >= 0 && f.media >= 0 && f.context+f.country+f.language+f.media > 0
}

// best is the link of a type that does best what is wished for; nil = there is none
// that the caller may have.
func (w *Wishes) best(links [][]Link, kind string) (best *Link, how fit) {
	for _, some := range links {
		for i := range some {
			l := &some[i]
			if l.Type != kind {
				continue
			}
			if f, ok := w.fits(l); ok && (best == nil || f.better(how)) {
				best, how = l, f
			}
		}
	}
	return best, how
}

// fits is false for a link of another context or country than the caller's.
func (w *Wishes) fits(l *Link) (f fit, ok bool) {
	if len(l.Contexts) > 0 {
		if !slices.Contains(l.Contexts, w.Context) {
			return f, false
		}
		f.context = 1
	}
	if len(l.Countries) > 0 {
		country := ""
		if w.Country != nil {
			country = w.Country()
		}
		if country == "" || !slices.ContainsFunc(l.Countries, func(c string) bool { return strings.EqualFold(c, country) }) {
			return f, false
		}
		f.country = 1
	}
	if len(l.Languages) > 0 && w.Languages != nil {
		f.language = languageFit(w.Languages, l.Languages)
	}
	if l.MediaType != "" && w.Media != nil {
		f.media = mediaFit(w.Media, l.MediaType)
	}
	return f, true
}

// languageFit looks languages up as RFC 4647 does: "pt-BR" takes "pt" too, and "pt"
// takes "pt-BR", a little less. "*" says nothing.
func languageFit(wanted Ranges, languages []string) int {
	fit := -1
	for name, weight := range wanted {
		if name == "*" {
			fit = max(fit, 0)
			continue
		}
		for _, l := range languages {
			got := 0
			switch {
			case weight == 0:
			case strings.EqualFold(l, name):
				got = 4*weight + 2
			case narrower(name, l):
				got = 4*weight + 1
			case narrower(l, name):
				got = 4 * weight
			}
			if got > 0 {
				fit = max(fit, got)
			}
		}
	}
	return fit
}

// narrower reports that a is a region of b: "pt-BR" of "pt".
func narrower(a, b string) bool {
	return len(a) > len(b) && a[len(b)] == '-' && strings.EqualFold(a[:len(b)], b)
}

// mediaFit: "*/*" says nothing, "text/*" a little.
func mediaFit(wanted Ranges, media string) int {
	fit := -1
	kind, _, _ := strings.Cut(media, "/")
	for name, weight := range wanted {
		switch {
		case weight == 0:
		case name == "*/*":
			fit = max(fit, 0)
		case strings.EqualFold(name, media):
			fit = max(fit, 2*weight+1)
		case strings.HasSuffix(name, "/*") && strings.EqualFold(name[:len(name)-2], kind):
			fit = max(fit, 2*weight)
		}
	}
	return fit
}
