// Package transloghttp hands the transparency log out: to monitors in the forms of C2SP
// tlog-tiles, to people as proofs, and as a page that checks them in the browser.
//
// Promise: nobody needs a key to see that the log is whole; what a leaf says is told to
// those alone who have a key, or who know a subject of a public kind (TestRoutes).
package transloghttp

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/translog"
)

//go:embed verify.html
var verifyPage []byte

// ErrBadTile answers a path that no tile can have.
var ErrBadTile = fault.New(fault.Invalid, "log.bad_tile", "a tile is LEVEL/N or LEVEL/N.p/WIDTH, entries are entries/N; see C2SP tlog-tiles")

type api struct {
	log    *translog.Log
	public func(kind string) bool
	csp    string
	packer httpx.Packer
}

// Mount adds the routes. public tells of which kinds anybody who knows the subject may
// see the statement.
func Mount(rt *httpx.Router, l *translog.Log, public func(kind string) bool) {
	a := &api{log: l, public: public, csp: policy(string(verifyPage))}
	rt.Public("GET /log/checkpoint", a.checkpoint)
	rt.Public("GET /log/key", a.key)
	rt.Public("GET /log/tile/{tile...}", a.tile)
	rt.Public("GET /log/consistency", a.consistency)
	rt.Public("GET /log/proof", a.publicProof)
	rt.Public("GET /log/verify", a.page)
	rt.Admin("GET /api/v1/log/proof", a.proof)
}

func text(w http.ResponseWriter, cache string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", cache)
	_, err := w.Write(body)
	return err
}

const (
	fresh   = "no-cache"
	forever = "public, max-age=31536000, immutable"
)

// checkpoint answers GET /log/checkpoint: the newest signed head.
func (a *api) checkpoint(w http.ResponseWriter, r *http.Request) error {
	h, err := a.log.Head(r.Context())
	if err != nil {
		return err
	}
	return text(w, fresh, h.Note)
}

// key answers GET /log/key: the public key, as signed notes name it. Who trusts the log
// has it from elsewhere.
func (a *api) key(w http.ResponseWriter, _ *http.Request) error {
	return text(w, fresh, []byte(a.log.VerifierKey()+"\n"))
}

// tile answers GET /log/tile/LEVEL/N, …/N.p/WIDTH and /log/tile/entries/N. A tile with a
// width never changes, so caches may keep it.
func (a *api) tile(w http.ResponseWriter, r *http.Request) error {
	path := r.PathValue("tile")
	if len(path) > 100 {
		return ErrBadTile
	}
	rest, entries := strings.CutPrefix(path, "entries/")
	if entries {
		rest = "data/" + rest
	}
	t, err := tlog.ParseTilePath("tile/8/" + rest)
	if err != nil || (t.L < 0) != entries {
		return ErrBadTile
	}
	var data []byte
	if entries {
		data, err = a.log.Entries(r.Context(), t.N, t.W)
	} else {
		data, err = a.log.Tile(r.Context(), t.L, t.N, t.W)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", forever)
	_, err = w.Write(data)
	return err
}

// consistency answers GET /log/consistency?from=&to=.
func (a *api) consistency(w http.ResponseWriter, r *http.Request) error {
	from, err1 := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	to, err2 := strconv.ParseInt(r.URL.Query().Get("to"), 10, 64)
	if err1 != nil || err2 != nil {
		return translog.ErrSizes
	}
	hashes, err := a.log.Consistency(r.Context(), from, to)
	if err != nil {
		return err
	}
	return httpx.OK(w, struct {
		From   int64           `json:"from"`
		To     int64           `json:"to"`
		Hashes []translog.Hash `json:"hashes"`
	}{from, to, hashes})
}

// publicProof answers GET /log/proof?kind=&subject= for kinds that are public.
func (a *api) publicProof(w http.ResponseWriter, r *http.Request) error {
	if !a.public(r.URL.Query().Get("kind")) {
		return translog.ErrUnknown
	}
	return a.proof(w, r)
}

// proof answers GET /api/v1/log/proof?kind=&subject=.
func (a *api) proof(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	p, err := a.log.Prove(r.Context(), q.Get("kind"), q.Get("subject"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", fresh)
	return httpx.OK(w, p)
}

// page answers GET /log/verify: one file that can be saved and opened from anywhere.
func (a *api) page(w http.ResponseWriter, r *http.Request) error {
	return a.packer.HTML(w, r, http.StatusOK, a.csp, verifyPage)
}

// policy lets the page run its own script and style and ask this log, and nothing else.
func policy(page string) string {
	hash := func(element string) string {
		m := regexp.MustCompile(`(?s)<` + element + `>(.*?)</` + element + `>`).FindStringSubmatch(page)
		sum := sha256.Sum256([]byte(m[1]))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src " + hash("script") + "; style-src " + hash("style") +
		"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
