// Package resolvehttp is the HTTP side of the resolver: where Digital Links lead,
// linksets, the description file, verification messages, and the routes by which brands
// look after their links.
//
// It follows the GS1-Conformant Resolver standard 1.2 and answers its errors as
// application/problem+json; docs/resolver.md lists what the standard demands.
package resolvehttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/accept"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/resolve"
)

// Deps are what the handlers work with.
type Deps struct {
	Resolver *resolve.Resolver
	Verifier Verifier
	// Item answers for an item with a code when no link type was asked for: it leads to
	// the item's page.
	Item func(w http.ResponseWriter, r *http.Request, id *gs1.ID) int
	// Country is where the caller is; "" = not known.
	Country func(r *http.Request) string
	Pages   Pages
	Proxies httpx.Proxies
	Limits  *httpx.Limits // nil = none
	// BrandOf is the brand whose product has a GTIN, 0 when none has: misses that name it
	// count for it.
	BrandOf func(ctx context.Context, gtin gs1.GTIN) ids.BrandID
	URL     string // what our links begin with
	Clock   clock.Clock
	Log     *slog.Logger
}

// Pages renders what a person sees of a link that cannot be read.
type Pages interface {
	Malformed(w io.Writer, lang, reason string) error
	ContentSecurityPolicy() string
}

// Handler answers Digital Links.
type Handler struct{ Deps }

// New makes the handler.
func New(d Deps) *Handler { return &Handler{d} }

const linkRoute = "/{ai}/{value}"

// Mount adds the public routes. It comes before what takes any path of digits.
func (h *Handler) Mount(rt *httpx.Router) {
	rt.First(isLink, linkRoute, h.resolve)
	for _, key := range gs1.Keys() {
		rt.Hot("/"+string(key)+"/", linkRoute, h.resolve)
	}
	rt.Public("GET /.well-known/gs1resolver", h.getDescription)
	rt.Hot(verifyPrefix, verifyRoute, h.getVerification)
}

// isLink reports whether a path begins with a primary key and has a value.
func isLink(path string) bool {
	const longest = 5 // "/8004"
	if path == "" {
		return false
	}
	end := strings.IndexByte(path[1:min(len(path), longest+1)], '/')
	return end >= 2 && gs1.AI(path[1:end+1]).IsKey()
}

// Compressed answers a path of one segment if it is a compressed Digital Link.
func (h *Handler) Compressed(w http.ResponseWriter, r *http.Request) (status int, taken bool) {
	l, err := gs1.DecompressPath(h.URL, strings.TrimSuffix(r.URL.EscapedPath(), "/"), r.URL.RawQuery)
	if err != nil {
		return 0, false
	}
	return h.answer(w, r, &question{link: l, short: true}), true
}

// question is one request, read.
type question struct {
	link  gs1.Link
	short bool   // it came compressed
	kind  string // link type; "" = none
	all   bool   // a linkset is asked for
	w     resolve.Wishes
}

// resolve answers a Digital Link.
func (h *Handler) resolve(w http.ResponseWriter, r *http.Request) int {
	path := r.URL.EscapedPath()
	if len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	var q question
	var err error
	if q.link.ID, err = gs1.ParsePath(path); err != nil {
		l, compressed := gs1.DecompressPath(h.URL, path, r.URL.RawQuery)
		if compressed != nil {
			return h.fail(w, r, err)
		}
		q.link, q.short = l, true
		return h.answer(w, r, &q)
	}
	if r.URL.RawQuery != "" {
		if q.link.Attributes, q.link.Query, err = gs1.ParseQuery(&q.link.ID, r.URL.RawQuery); err != nil {
			return h.fail(w, r, err)
		}
	}
	return h.answer(w, r, &q)
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, q *question) int {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		return options(w)
	default:
		w.Header().Set("Allow", allowed)
		return h.fail(w, r, httpx.ErrMethod)
	}
	if err := h.read(q, r); err != nil {
		return h.fail(w, r, err)
	}
	from := h.Proxies.Client(r)
	if q.toItem() { // who counts the request
		return h.item(w, r, q)
	}
	if err := h.Limits.Admit(r, from); err != nil {
		return h.fail(w, r, err)
	}
	if q.all {
		return h.linkset(w, r, q, from)
	}
	a, err := h.find(r, q)
	if err != nil {
		return h.missed(w, r, from, q, err)
	}
	if a.ToItem {
		return h.item(w, r, q)
	}
	h.point(w, q)
	if a.ToVerification {
		return redirect(w, h.URL+verifyPrefix[:len(verifyPrefix)-1]+q.link.Path(), h.passedOn(r, q))
	}
	return redirect(w, a.Href, h.passedOn(r, q))
}

// toItem reports that the item's page answers, and nothing else is asked for.
func (q *question) toItem() bool {
	return q.kind == "" && !q.all && resolve.IsCoded(&q.link.ID)
}

func (h *Handler) item(w http.ResponseWriter, r *http.Request, q *question) int {
	h.point(w, q)
	w.Header()["Access-Control-Expose-Headers"] = exposed
	return h.Item(w, r, &q.link.ID)
}

// missed answers an error. A code that does not verify is a guess, at every door.
func (h *Handler) missed(w http.ResponseWriter, r *http.Request, from netip.Addr, q *question, err error) int {
	if errors.Is(err, resolve.ErrNoItem) {
		h.miss(r, from, &q.link.ID)
	}
	return h.fail(w, r, err)
}

// miss counts a guess for the brand that it names, if there is one.
func (h *Handler) miss(r *http.Request, from netip.Addr, id *gs1.ID) {
	h.Limits.Miss(r, from, int32(h.BrandOf(r.Context(), gs1.GTIN(id.Key.Value))))
}

func (h *Handler) find(r *http.Request, q *question) (resolve.Answer, error) {
	if q.kind == "" {
		return h.Resolver.Default(&q.link.ID, &q.w)
	}
	return h.Resolver.Of(r.Context(), &q.link.ID, q.kind, &q.w)
}

const linksetType = "application/linkset+json"

// preferred reads a header that may be absent.
func preferred(header string) resolve.Ranges {
	if header == "" {
		return nil
	}
	return accept.Ranges(header)
}

// read takes out what the request says beside the identifier.
func (h *Handler) read(q *question, r *http.Request) error {
	media := first(r.Header["Accept"])
	q.w = resolve.Wishes{Languages: preferred(first(r.Header["Accept-Language"])), Media: preferred(media), Country: func() string { return h.Country(r) }}
	q.all = strings.Contains(media, linksetType)
	if q.link.Query == "" {
		return nil
	}
	for parameter := range strings.SplitSeq(q.link.Query, "&") {
		name, raw, _ := strings.Cut(parameter, "=")
		if name != "linkType" && name != "context" {
			continue
		}
		value, err := url.QueryUnescape(raw)
		if err != nil {
			return fault.Field("resolve.bad_query", name, "has a broken percent-escape")
		}
		if name == "context" {
			q.w.Context = value
			continue
		}
		if q.kind != "" || q.all && (value == "linkset" || value == "all") {
			return fault.Field("resolve.bad_query", name, "is there twice")
		}
		if value == "linkset" || value == "all" {
			q.all = true
			continue
		}
		kind, ok := resolve.ParseLinkType(value)
		if !ok {
			return fault.Field("resolve.bad_query", name, "must be linkset, or a link type of the GS1 Web Vocabulary such as gs1:pip")
		}
		q.kind = kind
	}
	return nil
}

// passedOn is the query that the target gets: the whole of the request's, and what was
// compressed in the path.
func (h *Handler) passedOn(r *http.Request, q *question) string {
	if !q.short {
		return r.URL.RawQuery
	}
	_, query, _ := strings.Cut(q.link.String(), "?")
	return query
}

// redirect leads on. A query goes behind the target's own and before its fragment.
func redirect(w http.ResponseWriter, to, query string) int {
	if query != "" {
		before, fragment, hasFragment := strings.Cut(to, "#")
		glue := "?"
		if strings.Contains(before, "?") {
			glue = "&"
		}
		to = before + glue + query
		if hasFragment {
			to += "#" + fragment
		}
	}
	head := prepare(w)
	head["Location"] = []string{to}
	w.WriteHeader(http.StatusTemporaryRedirect)
	return http.StatusTemporaryRedirect
}

// point names the linkset, and what a compressed link stands for.
func (h *Handler) point(w http.ResponseWriter, q *question) {
	uri := h.URL + q.link.Path()
	links := "<" + uri + "?linkType=linkset>; rel=\"linkset\"; type=\"application/linkset+json\"; title=\"All links\""
	if q.short {
		links += ", <" + uri + ">; rel=\"owl:sameAs\""
	}
	w.Header()["Link"] = []string{links}
}

const allowed = "GET, HEAD, OPTIONS"

var (
	noStore = []string{"no-store"}
	vary    = []string{"Accept, Accept-Language"}
	origin  = []string{"*"}
	exposed = []string{"Link, Location"}
)

// prepare sets what every answer has: nothing of the resolver's is kept by caches, and
// any origin may read it.
func prepare(w http.ResponseWriter) http.Header {
	head := w.Header()
	head["Cache-Control"], head["Vary"] = noStore, vary
	head["Access-Control-Allow-Origin"], head["Access-Control-Expose-Headers"] = origin, exposed
	return head
}

func options(w http.ResponseWriter) int {
	head := prepare(w)
	head.Set("Allow", allowed)
	head.Set("Access-Control-Allow-Methods", allowed)
	head.Set("Access-Control-Allow-Headers", "Accept, Accept-Language, X-Request-ID")
	head.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return http.StatusNoContent
}

// problem is RFC 9457's form of an error, with our stable code.
type problem struct {
	Type    string         `json:"type"`
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail"`
	Error   string         `json:"error"`
	Details []fault.Detail `json:"details,omitempty"`
}

// fail answers an error: a page for a person whose link cannot be read, else a problem.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) int {
	f, ok := fault.From(err)
	if !ok {
		h.Log.ErrorContext(r.Context(), "resolving failed", "request_id", httpx.RequestID(w), "error", err)
		f = fault.New(fault.Internal, "internal", "internal error")
	}
	status := f.Kind.HTTPStatus()
	head := prepare(w)
	httpx.RetryAfter(w, f)
	if f.Kind == fault.Invalid && wantsPage(r) {
		var page bytes.Buffer
		if err := h.Pages.Malformed(&page, httpx.Language(r), f.Text); err == nil {
			_ = httpx.HTML(w, status, h.Pages.ContentSecurityPolicy(), page.Bytes()) // the client may be gone
			return status
		}
	}
	body, err := json.Marshal(problem{"about:blank", http.StatusText(status), status, f.Text, f.Code, f.Details})
	if err != nil {
		body = nil // cannot be: plain fields
	}
	head.Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
	return status
}

// wantsPage reports that a browser asks.
func wantsPage(r *http.Request) bool {
	media := first(r.Header["Accept"])
	return strings.Contains(media, "text/html") && !strings.Contains(media, "json")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
