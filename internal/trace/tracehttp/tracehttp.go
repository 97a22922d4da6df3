// Package tracehttp is GS1's REST bindings of EPCIS 2.0 over the trace domain, and what we
// answer about containment.
//
// Promise: every operation of GS1's OpenAPI document that Mount adds answers as it is
// specified there (TestAnswersAsSpecified goes through the document). Errors are RFC 7807 problems, that of a missing key too.
package tracehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

// What the routes ask of their callers.
const (
	mayRead  httpx.Permission = "trace:read"
	mayWrite httpx.Permission = "trace:write"
)

// prefix is where the bindings are mounted.
const prefix = "/epcis"

// Deps is what the routes need.
type Deps struct {
	Service *trace.Service
	Clock   clock.Clock
	Log     *slog.Logger
	Version string // of this program
	// Standing serves subscriptions.
	Standing *trace.Standing
	// Stopping ends when the process is to: WebSockets are closed then.
	Stopping context.Context //nolint:containedctx // the life of the process
}

type api struct {
	Deps
	sockets chan struct{}
}

// Mount adds the routes.
func Mount(rt *httpx.Router, d Deps) {
	a := &api{d, make(chan struct{}, socketsMax)}
	get := func(path string, h httpx.Handler) {
		rt.AllowAs("GET "+prefix+path, mayRead, a.acceptable(h, false), a.fail)
	}
	events := func(path string, h httpx.Handler) {
		rt.AllowAs("GET "+prefix+path, mayRead, a.acceptable(h, true), a.fail)
	}
	options := func(path, allow string, more ...string) {
		rt.AllowAs("OPTIONS "+prefix+path, mayRead, a.discover(allow, more...), a.fail)
	}
	get("", a.getRoot)
	get("/{$}", a.getRoot)
	options("/{$}", "GET, HEAD, OPTIONS")

	rt.AllowAs("POST "+prefix+"/capture", mayWrite, a.postCapture, a.fail)
	get("/capture", a.getCaptures)
	options("/capture", "GET, HEAD, POST, OPTIONS", "GS1-EPCIS-Capture-Limit", strconv.Itoa(d.Service.Limits().Events),
		"GS1-EPCIS-Capture-File-Size-Limit", strconv.FormatInt(d.Service.Limits().Bytes, 10), "GS1-Capture-Error-Behaviour", "all")
	get("/capture/{captureID}", a.getCapture)
	options("/capture/{captureID}", "GET, HEAD, OPTIONS")

	rt.AllowAs("POST "+prefix+"/events", mayWrite, a.postEvent, a.fail)
	events("/events", a.getEvents)
	options("/events", "GET, HEAD, POST, OPTIONS")
	events("/events/{eventID}", a.getEvent)
	options("/events/{eventID}", "GET, HEAD, OPTIONS")

	for _, res := range resources() {
		path := "/" + res.name
		get(path, a.getResources(res))
		get(path+"/{x}", a.getResource(res))
		events(path+"/{x}/events", a.getResourceEvents(res))
		for _, below := range []string{"", "/{x}", "/{x}/events"} {
			options(path+below, "GET, HEAD, OPTIONS")
		}
	}
	rt.AllowAs("POST "+prefix+"/queries", mayWrite, a.postQuery, a.fail)
	get("/queries", a.getQueries)
	options("/queries", "GET, HEAD, POST, OPTIONS")
	get("/queries/{queryName}", a.getQuery)
	rt.AllowAs("DELETE "+prefix+"/queries/{queryName}", mayWrite, a.deleteQuery, a.fail)
	options("/queries/{queryName}", "GET, HEAD, DELETE, OPTIONS")
	events("/queries/{queryName}/events", a.getQueryEvents)
	options("/queries/{queryName}/events", "GET, HEAD, OPTIONS")
	const subscriptions = "/queries/{queryName}/subscriptions"
	rt.AllowAs("POST "+prefix+subscriptions, mayWrite, a.postSubscription, a.fail)
	get(subscriptions, a.getSubscriptions)
	options(subscriptions, "GET, HEAD, POST, OPTIONS")
	get(subscriptions+"/{subscriptionID}", a.getSubscription)
	rt.AllowAs("DELETE "+prefix+subscriptions+"/{subscriptionID}", mayWrite, a.deleteSubscription, a.fail)
	rt.AllowAs("OPTIONS "+prefix+subscriptions+"/{subscriptionID}", mayRead, a.discoverSubscription, a.fail)
	rt.AllowAs("DELETE "+prefix+"/nextPageToken/{token}", mayRead, a.deleteToken, a.fail)

	rt.Allow("GET /api/v1/containers/{epc}", mayRead, a.getContainer)
}

// problem is RFC 7807's, with the exceptions' names of EPCIS.
type problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail,omitempty"`
	Code   string         `json:"error,omitempty"` // ours, stable
	Fields []fault.Detail `json:"details,omitempty"`
}

// Error implements error: what the fault's kinds have no status for.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func exception(status int, name, title, detail string) *problem {
	return &problem{Type: "epcisException:" + name, Title: title, Status: status, Detail: detail}
}

// problemOf gives a fault its EPCIS name.
func problemOf(f *fault.Error) *problem {
	name, title := "ImplementationException", "the server failed"
	switch f.Kind {
	case fault.Unauthenticated, fault.Denied:
		name, title = "SecurityException", "not allowed"
	case fault.NotFound:
		name, title = "NoSuchNameException", "there is no such resource"
	case fault.Conflict:
		name, title = "ResourceAlreadyExistsException", "it exists already"
	case fault.TooLarge:
		name, title = "CaptureLimitExceededException", "too large"
		if f.Is(trace.ErrQueryLarge) {
			name = "QueryTooLargeException"
		}
	case fault.Unsupported:
		name, title = "UnsupportedMediaTypeException", "this form of document is not taken"
	case fault.Invalid, fault.Mismatch:
		name, title = "ValidationException", "not valid"
		if f.Is(trace.ErrBadQuery) || f.Is(trace.ErrBadToken) {
			name = "QueryParameterException"
		}
		if f.Is(trace.ErrBadSchedule) || f.Is(trace.ErrCannotSubscribe) {
			name = "SubscriptionControlsException"
		}
	default:
	}
	p := exception(f.Kind.HTTPStatus(), name, title, f.Text)
	p.Code, p.Fields = f.Code, f.Details
	return p
}

// fail answers an error as a problem.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	if !errors.As(err, &p) {
		f, ok := fault.From(err)
		if !ok {
			a.Log.ErrorContext(r.Context(), "request failed", "request_id", httpx.RequestID(w), "method", r.Method, "error", err)
			f = fault.New(fault.Internal, "internal", "internal error")
		}
		httpx.RetryAfter(w, f)
		if f.Kind == fault.Unauthenticated {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		if f.Kind == fault.TooLarge {
			a.limits(w)
		}
		p = problemOf(f)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err) // cannot be: plain fields
	}
	_ = httpx.Bytes(w, p.Status, "application/problem+json", raw) // the client has left
}

func (a *api) limits(w http.ResponseWriter) {
	l := a.Service.Limits()
	w.Header().Set("GS1-EPCIS-Capture-Limit", strconv.Itoa(l.Events))
	w.Header().Set("GS1-EPCIS-Capture-File-Size-Limit", strconv.FormatInt(l.Bytes, 10))
}

func versions(w http.ResponseWriter) {
	h := w.Header()
	h.Set("GS1-EPCIS-Version", "2.0.0")
	h.Set("GS1-CBV-Version", "2.0.0")
	h.Set("GS1-Extensions", "")
	h.Set("Cache-Control", "no-store")
}

// discover answers OPTIONS.
func (a *api) discover(allow string, more ...string) httpx.Handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		versions(w)
		h := w.Header()
		h.Set("Allow", allow)
		for _, v := range []string{"EPCIS", "CBV"} {
			h.Set("GS1-"+v+"-Min", "2.0.0")
			h.Set("GS1-"+v+"-Max", "2.0.0")
		}
		h.Set("GS1-EPC-Format", "No_Preference, Always_GS1_Digital_Link, Always_EPC_URN, Never_Translates")
		h.Set("GS1-CBV-XML-Format", "No_Preference, Always_Web_URI, Always_URN")
		h.Set("GS1-Vendor-Version", a.Version)
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// discoverSubscription answers OPTIONS of one subscription, and from when on it tells.
func (a *api) discoverSubscription(w http.ResponseWriter, r *http.Request) error {
	s, err := a.subscriptionOf(r)
	if err != nil {
		return err
	}
	return a.discover("GET, HEAD, DELETE, OPTIONS", "GS1-Query-Min-Record-Time", stamp(s.MinRecordTime()))(w, r)
}

const urlBytesMax = 8 << 10

// acceptable refuses what asks for something that is not answered here. Events are also
// answered in XML.
func (a *api) acceptable(h httpx.Handler, inXML bool) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if len(r.URL.RawQuery) > urlBytesMax {
			return exception(http.StatusRequestURITooLong, "URITooLongException", "the URL is too long", "keep a long query by POST /epcis/queries")
		}
		if format := formatOf(r.Header.Get("Accept")); format == "" || format == asXML && !inXML {
			return exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable", "answers are application/json or application/ld+json, and of events application/xml or text/xml")
		}
		for _, v := range []string{"EPCIS", "CBV"} {
			least, most := r.Header.Get("GS1-"+v+"-Min"), r.Header.Get("GS1-"+v+"-Max")
			if least != "" && majorOf(least) > 2 || most != "" && majorOf(most) < 2 {
				return exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable", "answers are in "+v+" 2.0")
			}
		}
		versions(w)
		return h(w, r)
	}
}

func majorOf(version string) int {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n
}

const (
	asJSON = "application/json"
	asXML  = "application/xml"
)

// formatOf is what is answered to an Accept header: of what it likes as well, JSON; "" =
// nothing that it names.
func formatOf(accept string) (best string) {
	if accept == "" {
		return asJSON
	}
	most := 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		answer := ""
		switch kind {
		case "*/*", "application/*", asJSON, "application/ld+json":
			answer = asJSON
		case asXML, "text/xml":
			answer = asXML
		}
		if answer != "" && (q > most || q == most && q > 0 && answer == asJSON) {
			best, most = answer, q
		}
	}
	return best
}

// body reads a document, and tells whether it is XML.
func (a *api) body(w http.ResponseWriter, r *http.Request) (doc string, isXML bool, _ error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return "", false, errMedia
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
	case kind == "application/xml" || kind == "text/xml":
		isXML = true
	default:
		return "", false, errMedia
	}
	most := a.Service.Limits().Bytes
	var all strings.Builder
	all.Grow(int(min(max(r.ContentLength, bodyLeast), bodyAtOnce)))
	_, err = io.Copy(&all, http.MaxBytesReader(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return "", false, trace.ErrTooLarge.Textf("the document is longer than %d bytes", most)
	}
	if err != nil {
		return "", false, httpx.ErrBadJSON.Because(err)
	}
	return all.String(), isXML, nil
}

// The room that a body has from the beginning: as long as it says, within these.
const (
	bodyLeast  = 512
	bodyAtOnce = 1 << 20
)

var errMedia = fault.New(fault.Unsupported, "trace.media_type", "a document is application/json, application/ld+json or application/xml")

// brandOf reads whose events a request is about; 0 = it does not say.
func brandOf(r *http.Request) (ids.BrandID, error) {
	text := r.Header.Get("X-Brand-ID")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, fault.Field("trace.bad_brand", "X-Brand-ID", "must be the number of a brand")
	}
	return ids.BrandID(n), trace.CheckBrand(r.Context(), ids.BrandID(n))
}

// ownerOf is whose named queries a request is about.
func ownerOf(r *http.Request) (ids.BrandID, error) {
	brand, err := brandOf(r)
	if err != nil {
		return 0, err
	}
	return trace.Owner(r.Context(), brand)
}

const (
	pageUsual = 30
	pageMax   = 1000
)

// pageOf reads perPage. More than is given at a time is no error: the server may give less.
func pageOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("perPage")
	if text == "" {
		return pageUsual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, trace.ErrBadQuery.Textf("perPage: must be a whole number from 1 on")
	}
	return min(n, pageMax), nil
}

// next tells where the following page is.
func (a *api) next(w http.ResponseWriter, r *http.Request, token string) {
	if token == "" {
		return
	}
	q := r.URL.Query()
	q.Set("nextPageToken", token)
	w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, r.URL.EscapedPath(), q.Encode()))
	// tokens name a place and not a state: they do not expire, but clients may want a time
	w.Header().Set("GS1-Next-Page-Token-Expires", a.Clock.Now().AddDate(0, 0, 1).UTC().Format("2006-01-02T15:04:05.000Z"))
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return httpx.Bytes(w, status, "application/json", raw)
}

// collection is a JSON-LD list of names.
type collection struct {
	Context any      `json:"@context"`
	Type    string   `json:"type"`
	Member  []string `json:"member"`
}

func collect(members ...string) collection {
	if members == nil {
		members = []string{}
	}
	return collection{trace.StandardContext, "Collection", members}
}

func (a *api) getRoot(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, collect("capture", "events", "eventTypes", "epcs", "bizSteps", "bizLocations", "readPoints", "dispositions", "queries"))
}

func (a *api) deleteToken(http.ResponseWriter, *http.Request) error {
	return exception(http.StatusNotImplemented, "NotImplementedException", "not implemented", "a token names a place in a list; the server keeps nothing of it")
}
