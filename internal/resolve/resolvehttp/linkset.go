package resolvehttp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/resolve"
)

// linksetContext turns a linkset into JSON-LD.
const linksetContext = "https://ref.gs1.org/standards/resolver/linkset-context"

// target is a link target object of RFC 9264.
type target struct {
	Href     string   `json:"href"`
	Title    string   `json:"title"`
	Type     string   `json:"type,omitempty"`
	Hreflang []string `json:"hreflang,omitempty"`
	Context  []string `json:"context,omitempty"`
}

// linkset answers with all links, never with a redirect.
func (h *Handler) linkset(w http.ResponseWriter, r *http.Request, q *question, from netip.Addr) int {
	levels, item, err := h.Resolver.All(r.Context(), &q.link.ID)
	if err != nil {
		return h.missed(w, r, from, q, err)
	}
	if item != nil {
		levels[0].Links = append(h.own(q, item, levels[0].Links), levels[0].Links...)
	}
	var body bytes.Buffer
	kind := linksetType
	body.WriteString(`{`)
	switch accept := first(r.Header["Accept"]); {
	case strings.Contains(accept, linksetType):
	case strings.Contains(accept, "application/ld+json"):
		kind = "application/ld+json"
		body.WriteString(`"@context":"` + linksetContext + `",`)
	case strings.Contains(accept, "application/json"):
		kind = "application/json"
	}
	body.WriteString(`"linkset":[`)
	for i := range levels {
		if i > 0 {
			body.WriteByte(',')
		}
		if err := h.writeLevel(&body, &levels[i]); err != nil {
			return h.fail(w, r, err)
		}
	}
	body.WriteString(`]}`)
	h.point(w, q)
	head := prepare(w)
	head["Link"] = append(head["Link"], `<`+linksetContext+`>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"`)
	head.Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body.Bytes()) // the client may be gone
	return http.StatusOK
}

// own are the links that every item of ours has.
func (h *Handler) own(q *question, item *resolve.Item, links []resolve.Link) []resolve.Link {
	page := resolve.Link{Type: resolve.DefaultLink, Href: h.URL + item.Page, Title: "Is it genuine?", MediaType: ""}
	named := page
	named.Type, named.MediaType = "gs1:pip", "text/html"
	all := []resolve.Link{page, named}
	if !slices.ContainsFunc(links, func(l resolve.Link) bool { return l.Type == resolve.VerificationService }) {
		all = append(all, resolve.Link{
			Type: resolve.VerificationService, Href: h.URL + strings.TrimSuffix(verifyPrefix, "/") + q.link.Path(),
			Title: "Lightweight verification", MediaType: "application/json",
		})
	}
	return all
}

// writeLevel writes one link context object: the anchor, then each link type with its
// targets.
func (h *Handler) writeLevel(b *bytes.Buffer, l *resolve.Level) error {
	anchor, err := json.Marshal(h.URL + l.ID.Path())
	if err != nil {
		return err
	}
	b.WriteString(`{"anchor":`)
	b.Write(anchor)
	for i := range l.Links {
		kind := l.Links[i].Type
		if slices.ContainsFunc(l.Links[:i], func(o resolve.Link) bool { return o.Type == kind }) {
			continue
		}
		var targets []target
		for _, one := range l.Links[i:] {
			if one.Type == kind {
				targets = append(targets, target{one.Href, one.Title, one.MediaType, one.Languages, one.Contexts})
			}
		}
		text, err := json.Marshal(targets)
		if err != nil {
			return err
		}
		b.WriteString(`,"` + resolve.Vocabulary + strings.TrimPrefix(kind, "gs1:") + `":`)
		b.Write(text)
	}
	b.WriteByte('}')
	return nil
}

// description is the resolver description file.
type description struct {
	Name              string      `json:"name"`
	ResolverRoot      string      `json:"resolverRoot"`
	Keys              []string    `json:"supportedPrimaryKeys"`
	LinkTypes         []namespace `json:"supportedLinkType"`
	DefaultCanBeSet   bool        `json:"linkTypeDefaultCanBeLinkset"`
	ContextLocation   string      `json:"jsonLdContextLocation"`
	Contact           contact     `json:"contact"`
	ValidatesElements bool        `json:"validatesAIcombinations"`
}

type namespace struct {
	Namespace string `json:"namespace"`
	Prefix    string `json:"prefix"`
}

type contact struct {
	Name string `json:"fn"`
}

// getDescription answers GET /.well-known/gs1resolver.
func (h *Handler) getDescription(w http.ResponseWriter, _ *http.Request) error {
	body, err := json.Marshal(description{
		Name: "Chopmark", ResolverRoot: h.URL, Keys: []string{"all"},
		LinkTypes: []namespace{{resolve.Vocabulary, "gs1:"}}, ContextLocation: linksetContext, Contact: contact{"Chopmark at " + h.URL},
	})
	if err != nil {
		return err
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "public, max-age=3600")
	_, err = w.Write(body)
	if err != nil {
		h.Log.Debug("the client has gone", "request_id", httpx.RequestID(w))
	}
	return nil
}
