// Package console serves the operators' pages, which are built from web/console into
// dist and are part of the program.
//
// Promise: a page of the console runs no script and loads no file but the program's own
// (TestPolicy); a file whose name carries its hash may be kept for good, the page that
// names it is asked for each time (TestServes).
package console

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

//go:embed all:dist
var built embed.FS

// ErrNotBuilt answers where the program was compiled without its pages.
var ErrNotBuilt = fault.New(fault.NotFound, "console.not_built", "this program was built without its console; build it with `make build`")

const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

type pages struct{ files fs.FS }

// Mount adds the routes under /console/.
func Mount(rt *httpx.Router) {
	sub, err := fs.Sub(built, "dist")
	if err != nil {
		panic(err) // the path is embedded above
	}
	mount(rt, sub)
}

func mount(rt *httpx.Router, files fs.FS) {
	p := pages{files}
	rt.Public("GET /console", func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/console/", http.StatusMovedPermanently)
		return nil
	})
	rt.Public("GET /console/{path...}", p.get)
}

func (p pages) get(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Del("Access-Control-Allow-Origin")
	h.Set("Content-Security-Policy", csp)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	name := path.Clean("/" + r.PathValue("path"))[1:]
	if strings.HasPrefix(name, "assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		return httpx.File(w, r, p.files, name, fault.New(fault.NotFound, "console.no_file", "the console has no such file; reload the page"))
	}
	h.Set("Cache-Control", "no-cache")
	return httpx.File(w, r, p.files, "index.html", ErrNotBuilt) // the page knows its own paths
}
