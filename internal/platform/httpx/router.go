package httpx

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/idem"
)

// Handler answers a request or returns why not. It must not have written anything
// when it returns an error.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Observer is told of every request, for metrics. endpoint is the route's pattern.
type Observer interface {
	Request(method, endpoint string, status int, ended time.Time, took time.Duration)
}

// Auditor keeps what callers change.
type Auditor interface {
	// Begin must note durably that a request which may change something is about to be
	// acted upon. What it gives is told how that ended, and with which body it was asked.
	Begin(r *http.Request, endpoint, requestID string, p *Principal) (end func(status int, body []byte, note Note), _ error)
}

// Router sends requests to handlers by pattern. All routes are added before it
// serves.
type Router struct {
	mux      *http.ServeMux
	auth     Authenticator
	audit    Auditor                  // nil = nobody keeps it
	origins  func(origin string) bool // other origins that may read with a key; nil = none
	observer Observer
	log      *slog.Logger
	needs    map[string]Permission // pattern → what it asks for; "" = a caller who is known
	methods  map[string][]string   // path → its methods
	fails    map[string]Failing    // path → how its errors are answered, where not as all others
	public   map[string]bool       // paths that any origin may GET
	bare     []string              // patterns of Hot and Raw
	running  sync.Map              // idempotency keys of requests that are being answered
	sealed   sync.Once             // the first request adds what answers other methods
	ids      *idSource
	unclean  http.Handler // answers paths that are not in their one spelling
	first    []shape
	limits   *Limits // nil = none
}

// shape is a hot route that is told by its look alone.
type shape struct {
	takes func(path string) bool
	serve http.HandlerFunc
}

// NewRouter makes an empty router.
func NewRouter(auth Authenticator, observer Observer, log *slog.Logger) *Router {
	rt := &Router{
		mux: http.NewServeMux(), auth: auth, observer: observer, log: log,
		needs: map[string]Permission{}, methods: map[string][]string{}, fails: map[string]Failing{}, public: map[string]bool{}, ids: newIDSource(),
	}
	rt.unclean = rt.wrap("other", func(http.ResponseWriter, *http.Request) error { return ErrNoRoute })
	return rt
}

// Limit holds strangers to limits on all routes that are added from now on, but for
// those of Probe, and of Hot and First, which do it themselves.
func (rt *Router) Limit(l *Limits) { rt.limits = l }

// limited is a handler that answers strangers within their limits.
func (rt *Router) limited(h Handler) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		from := rt.limits.Client(r)
		if err := rt.limits.known(r, from); err != nil {
			return err
		}
		err := h(w, r)
		status := 0
		if rec, ok := w.(*recorder); ok {
			status = rec.status
		}
		rt.limits.judge(r, from, status, err)
		return err
	}
}

// Public adds a route that needs no key. Any origin may read it. What it does not find
// is a guess that missed.
func (rt *Router) Public(pattern string, h Handler) { rt.Probe(pattern, rt.limited(h)) }

// Probe is Public for what is answered without limits: those who ask look after the
// process.
func (rt *Router) Probe(pattern string, h Handler) {
	method, path, _ := strings.Cut(pattern, " ")
	rt.public[path] = rt.public[path] || method == http.MethodGet
	rt.add(pattern, h)
}

// alone refuses a second request under one idempotency key while the first runs.
func (rt *Router) alone(p Principal, r *http.Request, fn func() error) error {
	if r.Method == http.MethodGet || r.Header.Get("Idempotency-Key") == "" {
		return fn()
	}
	req, err := Request(r, p.ID, nil)
	if err != nil {
		return err
	}
	if _, taken := rt.running.LoadOrStore(req.Key, true); taken {
		return idem.ErrRunning
	}
	defer rt.running.Delete(req.Key)
	return fn()
}

func (rt *Router) add(pattern string, h Handler) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok {
		panic("httpx: pattern without a method: " + pattern)
	}
	rt.methods[path] = append(rt.methods[path], method)
	if method == http.MethodGet {
		rt.methods[path] = append(rt.methods[path], http.MethodHead)
	}
	rt.mux.Handle(pattern, rt.wrap(path, h))
}

// seal answers, on every path, the methods that have no route there. A pattern
// without a method would say it in one line, but ServeMux refuses "/codes/state"
// beside "GET /codes/{code}": each matches what the other does not.
func (rt *Router) seal() {
	for path, taken := range rt.methods {
		other := rt.wrap(path, rt.fails[path].of(rt.otherMethod(path)))
		for _, method := range []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace,
		} {
			if !slices.Contains(taken, method) {
				rt.mux.Handle(method+" "+path, other)
			}
		}
	}
}

// otherMethod answers OPTIONS, and 405 for the rest.
func (rt *Router) otherMethod(path string) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		allowed := rt.methods[path]
		allow := slices.Clone(allowed)
		if !slices.Contains(allow, http.MethodOptions) { // a route may answer it itself
			allow = append(allow, http.MethodOptions)
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		if r.Method != http.MethodOptions {
			return ErrMethod
		}
		if origin := r.Header.Get("Origin"); !rt.public[path] && rt.origins != nil && rt.origins(origin) {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", strings.Join(allowed, ", "))
			h.Set("Access-Control-Allow-Headers", "Accept, Accept-Language, Authorization, Content-Type, Idempotency-Key, Time-Zone, X-Request-ID")
			h.Set("Access-Control-Max-Age", "600")
			h.Add("Vary", "Origin")
		}
		if rt.public[path] {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", "*")
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Accept, Accept-Language, Time-Zone, X-Request-ID")
			h.Set("Access-Control-Max-Age", "86400")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// Hot adds a handler that is written by hand: it answers its own errors and
// returns the status, and gets nothing but a request id and its metrics.
func (rt *Router) Hot(pattern, endpoint string, h func(w http.ResponseWriter, r *http.Request) (status int)) {
	rt.bare = append(rt.bare, pattern)
	rt.mux.HandleFunc(pattern, rt.hot(endpoint, h))
}

// First is Hot for GETs of plain paths that takes knows by their look: they do not
// pass the pattern matcher, which costs as much as the look-up of a code.
func (rt *Router) First(takes func(path string) bool, endpoint string, h func(w http.ResponseWriter, r *http.Request) (status int)) {
	rt.first = append(rt.first, shape{takes, rt.hot(endpoint, h)})
}

// Takes reports whether a path is one of First's.
func (rt *Router) Takes(path string) bool {
	for i := range rt.first {
		if rt.first[i].takes(path) {
			return true
		}
	}
	return false
}

func (rt *Router) hot(endpoint string, h func(w http.ResponseWriter, r *http.Request) (status int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w.Header()[requestIDHeader] = []string{rt.ids.of(r)}
		status := http.StatusInternalServerError
		defer func() {
			if p := recover(); p != nil {
				rt.panicked(w, r, endpoint, p)
			}
			took := time.Since(start)
			rt.observer.Request(r.Method, endpoint, status, start.Add(took), took)
			if status >= http.StatusInternalServerError || rt.log.Enabled(r.Context(), slog.LevelDebug) {
				rt.logRequest(w, r, endpoint, status, took)
			}
		}()
		status = h(w, r)
	}
}

// Raw adds a handler that does its own answering; it is labelled and logged like
// the others, but nothing invites other origins to read it.
func (rt *Router) Raw(pattern, endpoint string, h http.Handler) {
	rt.bare = append(rt.bare, pattern)
	rt.mux.Handle(pattern, rt.wrap(endpoint, rt.limited(func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	})))
}

// Bare lists the patterns that answer by themselves, those of Hot and Raw: "GET /path", or
// "/path" of every method.
func (rt *Router) Bare() []string { return slices.Clone(rt.bare) }

// Routes lists what else was added, as "GET /path".
func (rt *Router) Routes() []string {
	var all []string
	for path, methods := range rt.methods {
		for _, m := range methods {
			all = append(all, m+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// ServeHTTP implements http.Handler. Paths with "//", "." or ".." are refused:
// ServeMux would redirect them, escape them twice, and tell nobody.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.RawPath == "" {
		for i := range rt.first {
			if rt.first[i].takes(r.URL.Path) {
				rt.first[i].serve(w, r)
				return
			}
		}
	}
	rt.sealed.Do(rt.seal)
	if p := r.URL.EscapedPath(); len(p) > 1 && (p == "//" || path.Clean(p) != strings.TrimSuffix(p, "/")) {
		rt.unclean.ServeHTTP(w, r)
		return
	}
	rt.mux.ServeHTTP(w, r)
}

// wrap gives a handler its request id, its metrics, its log line, and answers its
// error.
func (rt *Router) wrap(endpoint string, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := recorder{ResponseWriter: w}
		head := w.Header()
		head[requestIDHeader] = []string{rt.ids.of(r)}
		head.Set("X-Content-Type-Options", "nosniff")
		head["Cache-Control"] = []string{"no-store"} // who means otherwise says so
		if rt.public[endpoint] {
			head.Set("Access-Control-Allow-Origin", "*")
		}
		defer func() {
			p, begun := recover(), rec.status != 0
			if p != nil && !begun {
				rt.panicked(&rec, r, endpoint, p)
			}
			took := time.Since(start)
			rt.observer.Request(r.Method, endpoint, rec.code(), start.Add(took), took)
			rt.logRequest(&rec, r, endpoint, rec.code(), took)
			if p != nil && begun {
				if p != http.ErrAbortHandler { //nolint:errorlint // the very value that a handler cuts its answer off with
					rt.logPanic(&rec, endpoint, p)
				}
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
		}()
		if err := h(&rec, r); err != nil && !errors.Is(err, errClientGone) {
			Fail(&rec, r, rt.log, err)
		}
	})
}

// panicked answers for a handler that panicked before it wrote anything.
func (rt *Router) panicked(w http.ResponseWriter, r *http.Request, endpoint string, p any) {
	rt.logPanic(w, endpoint, p)
	Fail(w, r, rt.log, fault.New(fault.Internal, "internal", "internal error"))
}

func (rt *Router) logPanic(w http.ResponseWriter, endpoint string, p any) {
	rt.log.Error("handler panicked", "request_id", RequestID(w), "endpoint", endpoint, "panic", p, "stack", string(debug.Stack()))
}

// logRequest writes the seed's log line. Scans and probes are many and boring: they
// are logged only when they fail or when someone asks for detail.
func (rt *Router) logRequest(w http.ResponseWriter, r *http.Request, endpoint string, status int, took time.Duration) {
	level := slog.LevelInfo
	if r.Method == http.MethodGet && status < http.StatusInternalServerError {
		level = slog.LevelDebug
	}
	if !rt.log.Enabled(r.Context(), level) {
		return
	}
	rt.log.Log(r.Context(), level, "request",
		"method", r.Method, "url", cleanURL(r), "remote_addr", coarse(r.RemoteAddr), "user_agent", r.UserAgent(),
		"duration_ms", float64(took.Microseconds())/1000, "status_code", status, "request_id", RequestID(w), "endpoint", endpoint)
}

// cleanURL is the request's path without what is secret in it: link tokens and
// sign-in tokens are path segments, inner codes and signatures are in the query.
func cleanURL(r *http.Request) string {
	clean := r.URL.EscapedPath()
	if len(clean) > 256 {
		clean = clean[:256] + "…"
	}
	segments := strings.Split(clean, "/")
	before := ""
	for i, s := range segments {
		if before == "signin" || len(before) == 18 && (i == 2 || len(s) == 18) {
			segments[i] = "-"
		}
		before, _ = url.PathUnescape(s) // "" for a broken escape, which the server refused
	}
	clean = strings.Join(segments, "/")
	if r.URL.RawQuery != "" {
		clean += "?-"
	}
	return clean
}

const requestIDHeader = "X-Request-Id"

// RequestID is the id of the request that w answers, taken from the caller or made
// here.
func RequestID(w http.ResponseWriter) string { return w.Header().Get(requestIDHeader) }

// idSource makes request ids that are unique without asking for randomness each
// time: one random beginning for the process, then a count.
type idSource struct {
	prefix string
	count  atomic.Uint64
}

func newIDSource() *idSource { return &idSource{prefix: ids.New("req")[:17]} }

// of takes the caller's id, or makes one.
func (s *idSource) of(r *http.Request) string {
	if id := r.Header.Get(requestIDHeader); id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c <= 0x20 || c > 0x7e }) {
		return id
	}
	var id [32]byte
	return string(strconv.AppendUint(append(id[:0], s.prefix...), s.count.Add(1), 36))
}

// recorder remembers the status for metrics and the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// StatusText is the status as metrics label it.
func StatusText(status int) string { return strconv.Itoa(status) }
