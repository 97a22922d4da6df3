// Package verifyhttp answers scans: the verify route in JSON, and what marks link
// to, /{code} and /{code}/{token}, as a page or as the same JSON.
//
// It is the hottest path of the product, so it is written by hand: no reflection,
// pooled buffers, one header map.
package verifyhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/verify"
)

// Links makes the present token link of an item.
type Links interface {
	// TokenPath is "/{code}/{token}" of this moment, "" when the item's link does
	// not rotate or may not be told.
	TokenPath(item *verify.Item) (string, error)
}

// Pages renders what people see.
type Pages interface {
	Verdict(w io.Writer, v *View) error
	Refused(w io.Writer, lang string) error
	Malformed(w io.Writer, lang, reason string) error
	Unavailable(w io.Writer, lang string) error
	// Limited asks to come back later; a challenge that is not "" is solved by the
	// page's script, which needs the policy that comes back.
	Limited(w io.Writer, lang string, again time.Duration, challenge string) (csp string, _ error)
	Front(w io.Writer, lang string) error
	ContentSecurityPolicy() string
}

// View is what a page is made of.
type View struct {
	Lang      string
	Code      string
	Answer    *verify.Answer
	TokenPath string
	Zone      *time.Location
}

// Observer counts verdicts.
type Observer interface {
	Verified(brand ids.BrandID, verdict verify.Verdict)
}

// Handler answers scans.
type Handler struct {
	Deps

	pool      sync.Pool // *scratch
	fragments fragments
	packer    httpx.Packer
}

// Deps are what the handler works with.
type Deps struct {
	Service  *verify.Service
	Links    Links
	Pages    Pages
	Observer Observer
	Proxies  httpx.Proxies
	Limits   *httpx.Limits // nil = none
	Gate     *httpx.Gate
	Tracer   Tracer // nil = no traces
	// Consumer tells the account of a consumer who is signed in, from a secret that the
	// request carries; 0 = none. It must not wait; nil = there are no accounts.
	Consumer func(secret string) int64
	Log      *slog.Logger

	// BrandOf is the brand whose product has a GTIN, 0 when none has.
	BrandOf func(ctx context.Context, gtin gs1.GTIN) ids.BrandID

	// Compressed answers a path of one segment when that is a compressed Digital Link;
	// nil = none is.
	Compressed func(w http.ResponseWriter, r *http.Request) (status int, taken bool)
}

// Tracer makes spans of the few scans that are sampled.
type Tracer interface {
	// Scan begins a span when the scan is sampled; trace is nil when it is not. The
	// caller's word on that counts only when it is trusted. end must be called then,
	// with the status of the answer.
	Scan(endpoint, traceparent string, trusted bool) (trace *verify.Trace, end func(status int))
}

// scratch is what one answer needs; it is reused.
type scratch struct {
	query  verify.Query
	answer verify.Answer
	out    []byte
	page   bytes.Buffer
	packed bytes.Buffer
	zone   *time.Location // asked for; nil = none
	proven httpx.Proven   // of a scan in early data; nil = it is none
}

// New makes the handler.
func New(d Deps) *Handler {
	h := &Handler{Deps: d}
	h.pool.New = func() any { return &scratch{out: make([]byte, 0, 1024)} }
	return h
}

// Mount adds the routes. "/" takes every path that no other route has.
func (h *Handler) Mount(rt *httpx.Router) {
	rt.First(isVerify, verifyRoute, func(w http.ResponseWriter, r *http.Request) int { return h.getVerify(w, r, verifyCode(r.URL.Path)) })
	rt.First(isCode, codeRoute, h.root)
	rt.Hot("GET "+verifyRoute, verifyRoute, func(w http.ResponseWriter, r *http.Request) int { return h.getVerify(w, r, r.PathValue("code")) })
	rt.Hot("OPTIONS "+verifyRoute, verifyRoute, options)
	rt.Hot("/", codeRoute, h.root)
}

const (
	verifyRoute  = "/api/v1/codes/{code}/verify"
	codeRoute    = "/{code}"
	verifyPrefix = "/api/v1/codes/"
	verifySuffix = "/verify"
)

// verifyCode is the code in a path of the verify route; "" = another path.
func verifyCode(path string) string {
	rest, ok := strings.CutPrefix(path, verifyPrefix)
	if code, route := strings.CutSuffix(rest, verifySuffix); ok && route && strings.IndexByte(code, '/') < 0 {
		return code
	}
	return ""
}

func isVerify(path string) bool {
	code := verifyCode(path)
	return code != "" && code[0] != '.' // dots are steps: the router refuses them
}

// isCode reports whether a path looks like one that a mark links to, well-formed or
// not: digits, and perhaps a token.
func isCode(path string) bool {
	code, token, deeper := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	for i := range len(token) {
		if c := token[i] | 0x20; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(code) > 2 && deeper == (token != "")
}

// getVerify answers GET /api/v1/codes/{code}/verify.
func (h *Handler) getVerify(w http.ResponseWriter, r *http.Request, text string) int {
	return h.admitted(w, r, verifyRoute, func(s *scratch) int {
		err := h.read(s, r, verify.FromAPI, text, "")
		return h.answerJSON(w, r, s, err)
	})
}

// admitted lets a scan in when its address may ask and there is room for it; else it is
// told to come back.
func (h *Handler) admitted(w http.ResponseWriter, r *http.Request, endpoint string, answer func(s *scratch) int) int {
	s := h.take()
	defer h.pool.Put(s)
	s.query.Client.IP = h.Proxies.Client(r)
	refuse := h.answer
	if endpoint == verifyRoute {
		refuse = h.answerJSON
	}
	if err := h.Limits.Admit(r, s.query.Client.IP); err != nil {
		return refuse(w, r, s, err)
	}
	if !h.Gate.Enter() {
		h.Gate.Hold(r.Context())
		return refuse(w, r, s, errBusy)
	}
	defer h.Gate.Leave()
	if h.Tracer == nil {
		return answer(s)
	}
	parent := first(r.Header["Traceparent"])
	trace, end := h.Tracer.Scan(endpoint, parent, parent != "" && h.Proxies.Forwards(r))
	if trace == nil {
		return answer(s)
	}
	s.query.Client.Trace = trace
	status := answer(s)
	end(status)
	return status
}

var errBusy = fault.New(fault.Unavailable, "server.busy", "too many scans at once; try again in a moment").After(time.Second)

// read takes the question out of a request.
func (h *Handler) read(s *scratch, r *http.Request, from verify.Source, text, token string) error {
	s.query.Source = from
	code, err := codebook.ParseCode(text)
	if err != nil {
		return err
	}
	s.query.Code = code
	c := &s.query.Client
	c.Agent, c.Language = first(r.Header["User-Agent"]), first(r.Header["Accept-Language"])
	if h.Consumer != nil && (r.Header["Cookie"] != nil || r.Header["Authorization"] != nil) {
		c.User = h.consumer(r)
	}
	err = s.readQuery(r)
	if token != "" {
		s.query.Token = token
	}
	return err
}

func (h *Handler) take() *scratch {
	s := h.pool.Get().(*scratch)
	s.query, s.out, s.zone, s.proven = verify.Query{}, s.out[:0], nil, nil
	s.page.Reset()
	return s
}

var errBadVersion = fault.Field("verify.bad_version", "version", "must be a whole number between 1 and 65535")

// readQuery takes the optional parameters. Most scans have none.
func (s *scratch) readQuery(r *http.Request) error {
	s.count(r)
	if r.URL.RawQuery == "" && r.Header["Time-Zone"] == nil {
		return nil
	}
	var err error
	if s.zone, err = httpx.Zone(r); err != nil {
		return err
	}
	if s.zone != nil {
		s.query.Client.Zone = s.zone.String()
	}
	q := r.URL.Query()
	s.query.Token, s.query.Inner, s.query.Label = q.Get("token"), q.Get("inner"), q.Get(codebook.LabelParam)
	if text := q.Get("version"); text != "" {
		v, err := strconv.ParseUint(text, 10, 16)
		if err != nil || v == 0 {
			return errBadVersion
		}
		s.query.Version = uint16(v)
	}
	return nil
}

// root dispatches by shape what no fixed prefix took. Segments are cut before they
// are unescaped: a slash inside one is no border.
func (h *Handler) root(w http.ResponseWriter, r *http.Request) int {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	first, rest, deeper := strings.Cut(path, "/")
	first = unescaped(first)
	if r.Method == http.MethodOptions {
		return options(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		if reserved(first) && !strings.HasSuffix(path, "/verify") {
			return h.fail(w, r, httpx.ErrNoRoute)
		}
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		return h.fail(w, r, httpx.ErrMethod)
	}
	switch {
	case path == "":
		return h.front(w, r)
	case reserved(first):
		return h.fail(w, r, httpx.ErrNoRoute)
	case !deeper && h.Compressed != nil && maybeCompressed(first):
		if status, taken := h.Compressed(w, r); taken {
			return status
		}
		return h.scan(w, r, first, "")
	case !deeper:
		return h.scan(w, r, first, "")
	case !strings.Contains(rest, "/") && rest != "":
		token := unescaped(rest)
		_, ours := codebook.ParseToken(token)
		if _, err := codebook.ParseCode(first); err != nil && !ours && !isCode(first+"/"+token) {
			return h.fail(w, r, httpx.ErrNoRoute)
		}
		return h.scan(w, r, first, token)
	default:
		return h.fail(w, r, httpx.ErrNoRoute)
	}
}

// scan answers /{code} and /{code}/{token}.
func (h *Handler) scan(w http.ResponseWriter, r *http.Request, text, token string) int {
	return h.admitted(w, r, codeRoute, func(s *scratch) int {
		err := h.read(s, r, verify.FromPage, text, token)
		return h.answer(w, r, s, err)
	})
}

// answer is JSON or a page, as the caller asks; err is what was wrong before.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, s *scratch, err error) int {
	if httpx.PrefersJSON(r) {
		return h.answerJSON(w, r, s, err)
	}
	return h.answerPage(w, r, s, err)
}

// first is a header's value, without looking its name up in canonical form.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// verify answers the scan, counts its verdict, and notes what was not ours.
func (h *Handler) verify(w http.ResponseWriter, r *http.Request, s *scratch) error {
	err := h.Service.Verify(s.behalf(w, r), &s.query, &s.answer)
	switch {
	case err == nil:
		h.Observer.Verified(s.answer.Item.BrandID, s.answer.Verdict)
		if s.query.Early {
			h.countOnceProven(r, s)
		}
	case errors.Is(err, verify.ErrRefused):
		h.Observer.Verified(0, verify.Unknown)
		h.Limits.Miss(r, s.query.Client.IP, int32(s.answer.Item.BrandID))
	}
	return err
}

// answerJSON verifies and writes the seed's envelope.
func (h *Handler) answerJSON(w http.ResponseWriter, r *http.Request, s *scratch, err error) int {
	status := http.StatusOK
	if err == nil {
		err = h.verify(w, r, s)
	}
	if err != nil {
		return h.fail(w, r, err)
	}
	if kind := s.answer.Verdict.Kind(); kind != fault.Internal {
		status = kind.HTTPStatus()
	}
	if err := h.linkHeader(w, s); err != nil {
		return h.fail(w, r, err)
	}
	s.out = appendAnswer(s.out, status, s.query.Code, &s.answer, h.fragments.of(&s.answer), s.zone)
	head := noStore(w)
	head["Content-Type"] = jsonType
	w.WriteHeader(status)
	_, _ = w.Write(s.out) // the client may be gone; the scan is counted all the same
	return status
}

var jsonType = []string{"application/json; charset=utf-8"}

// linkHeader tells the present token link of an item whose link rotates, unless
// the scan came with one.
func (h *Handler) linkHeader(w http.ResponseWriter, s *scratch) error {
	path, err := h.tokenPath(s)
	if err == nil && path != "" {
		w.Header().Set("Content-Location", path)
	}
	return err
}

func (h *Handler) tokenPath(s *scratch) (string, error) {
	if s.query.Token != "" || s.query.Source != verify.FromPage || s.answer.Item.RotateEvery == 0 || s.answer.Item.Display {
		return "", nil
	}
	return h.Links.TokenPath(&s.answer.Item)
}

// answerPage verifies and writes the page.
func (h *Handler) answerPage(w http.ResponseWriter, r *http.Request, s *scratch, err error) int {
	lang := httpx.Language(r)
	if err == nil {
		err = h.verify(w, r, s)
	}
	var status int
	switch f, isFault := fault.From(err); {
	case err == nil:
		status, err = h.renderVerdict(w, s, lang)
	case errors.Is(err, verify.ErrRefused):
		status, err = http.StatusNotFound, h.Pages.Refused(&s.page, lang)
	case isFault && f.Kind == fault.Invalid:
		status, err = http.StatusBadRequest, h.Pages.Malformed(&s.page, lang, f.Text)
	case isFault && f.Kind == fault.Limited:
		return h.limitedPage(w, r, s, lang, f)
	case errors.Is(err, errBusy):
		status = http.StatusServiceUnavailable
		httpx.RetryAfter(w, errBusy)
		err = h.Pages.Unavailable(&s.page, lang)
	default:
		h.Log.ErrorContext(r.Context(), "scan failed", "request_id", httpx.RequestID(w), "error", err)
		status = http.StatusInternalServerError
		if isFault {
			status = f.Kind.HTTPStatus()
			httpx.RetryAfter(w, f)
		}
		err = h.Pages.Unavailable(&s.page, lang)
	}
	if err != nil {
		return h.fail(w, r, err)
	}
	return h.writePage(w, r, s, status)
}

// limitedPage asks to come back, or to solve a challenge.
func (h *Handler) limitedPage(w http.ResponseWriter, r *http.Request, s *scratch, lang string, f *fault.Error) int {
	csp, err := h.Pages.Limited(&s.page, lang, f.RetryAfter, limit.Challenge(f))
	if err != nil {
		return h.fail(w, r, err)
	}
	httpx.RetryAfter(w, f)
	noStore(w)
	_ = httpx.HTML(w, http.StatusTooManyRequests, csp, h.packer.Pack(w, r, s.page.Bytes(), &s.packed)) // the client may be gone
	return http.StatusTooManyRequests
}

func (h *Handler) renderVerdict(w http.ResponseWriter, s *scratch, lang string) (int, error) {
	status := http.StatusOK
	if kind := s.answer.Verdict.Kind(); kind != fault.Internal {
		status = kind.HTTPStatus()
	}
	path, err := h.tokenPath(s)
	if err != nil {
		return status, err
	}
	if path != "" {
		w.Header().Set("Content-Location", path)
	}
	return status, h.Pages.Verdict(&s.page, &View{
		Lang: lang, Code: s.query.Code.String(), Answer: &s.answer, TokenPath: path, Zone: s.zone,
	})
}

func (h *Handler) writePage(w http.ResponseWriter, r *http.Request, s *scratch, status int) int {
	noStore(w)
	_ = httpx.HTML(w, status, h.Pages.ContentSecurityPolicy(), h.packer.Pack(w, r, s.page.Bytes(), &s.packed)) // the client may be gone
	return status
}

// front is the page at "/": where a person can type a code.
func (h *Handler) front(w http.ResponseWriter, r *http.Request) int {
	if code := r.URL.Query().Get("code"); code != "" {
		digits := strings.Map(func(c rune) rune {
			if c == ' ' || c == '-' {
				return -1
			}
			return c
		}, code)
		if _, err := codebook.ParseCode(digits); err == nil {
			to := "/" + digits
			if lang := r.URL.Query().Get("lang"); lang == "zh" || lang == "en" {
				to += "?lang=" + lang
			}
			return redirect(w, to, http.StatusSeeOther)
		}
		return h.scan(w, r, digits, "")
	}
	s := h.take()
	defer h.pool.Put(s)
	if err := h.Limits.Admit(r, h.Proxies.Client(r)); err != nil {
		return h.answer(w, r, s, err)
	}
	if err := h.Pages.Front(&s.page, httpx.Language(r)); err != nil {
		return h.fail(w, r, err)
	}
	return h.writePage(w, r, s, http.StatusOK)
}

// Item answers the Digital Link of an item with a code: a 307 to the item's page with
// its present token. A serial that does not verify goes to its own refusal, never to
// the product.
func (h *Handler) Item(w http.ResponseWriter, r *http.Request, id *gs1.ID) int {
	from := h.Proxies.Client(r)
	err := h.Limits.Admit(r, from)
	var to string
	if err == nil {
		to, err = h.target(r, from, id)
	}
	if err != nil {
		s := h.take()
		defer h.pool.Put(s)
		return h.answer(w, r, s, err)
	}
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	return redirect(w, to, http.StatusTemporaryRedirect)
}

// target is where an item leads. A GTIN that is not the item's is a guess that missed,
// about the item's brand; a serial that does not verify is one about the GTIN's.
func (h *Handler) target(r *http.Request, from netip.Addr, id *gs1.ID) (string, error) {
	code, err := codebook.ParseCode(id.Value("21"))
	if err != nil {
		return "", err
	}
	item, err := h.Service.Target(r.Context(), code, gs1.GTIN(id.Key.Value), id.Value("10"))
	switch {
	case errors.Is(err, verify.ErrRefused):
		h.Limits.Miss(r, from, int32(item.BrandID))
	case err == nil && item == nil:
		h.Limits.Miss(r, from, int32(h.BrandOf(r.Context(), gs1.GTIN(id.Key.Value))))
	}
	if err != nil {
		return "", err
	}
	return h.Page(code, item)
}

// Page is the path of an item's page; item is nil for a code that does not verify.
func (h *Handler) Page(code codebook.Code, item *verify.Item) (string, error) {
	if item != nil && item.RotateEvery > 0 && !item.Display {
		if to, err := h.Links.TokenPath(item); err != nil || to != "" {
			return to, err
		}
	}
	return "/" + code.String(), nil
}

func redirect(w http.ResponseWriter, to string, status int) int {
	noStore(w).Set("Location", to)
	w.WriteHeader(status)
	return status
}

// fail answers an error in the envelope, uncached.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) int {
	noStore(w)
	httpx.Fail(w, r, h.Log, err)
	return fault.KindOf(err).HTTPStatus()
}

var (
	noStoreValue = []string{"no-store"}
	varyValue    = []string{"Accept, Accept-Language"}
	originValue  = []string{"*"}
)

// noStore keeps verdicts out of every cache.
func noStore(w http.ResponseWriter) http.Header {
	head := w.Header()
	head["Cache-Control"] = noStoreValue
	head["Vary"] = varyValue
	head["Access-Control-Allow-Origin"] = originValue
	return head
}

// options answers a browser's question before a request from another origin.
func options(w http.ResponseWriter, _ *http.Request) int {
	head := noStore(w)
	head.Set("Allow", "GET, HEAD, OPTIONS")
	head.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
	head.Set("Access-Control-Allow-Headers", "Accept, Accept-Language, Time-Zone, X-Request-ID")
	head.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return http.StatusNoContent
}
