// Package scanner serves the page that scans with a phone's camera, which is built from
// web/scan into dist and is part of the program, and the public keys that it verifies labels
// with where there is no network.
//
// Promise: the page runs no script and loads no file but the program's own, and is the only
// one that may compile WebAssembly (TestPolicy). /scan/verify is one file that asks nobody
// anything: it may be saved and opened from anywhere (TestVerifierIsAlone).
package scanner

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

//go:embed all:dist
var built embed.FS

// ErrNotBuilt answers where the program was compiled without its pages.
var ErrNotBuilt = fault.New(fault.NotFound, "scanner.not_built", "this program was built without its scanner; build it with `make build`")

const (
	csp = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; " +
		"connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

	verifier = "verify.html"
)

type pages struct {
	files       fs.FS
	verifierCSP string
	keys        func() ([]byte, error)
	packer      httpx.Packer
}

// Mount adds the routes under /scan/ and the document of keys, which keys gives.
func Mount(rt *httpx.Router, keys func() ([]byte, error)) {
	sub, err := fs.Sub(built, "dist")
	if err != nil {
		panic(err) // the path is embedded above
	}
	mount(rt, sub, keys)
}

func mount(rt *httpx.Router, files fs.FS, keys func() ([]byte, error)) {
	p := &pages{files: files, keys: keys}
	if page, err := fs.ReadFile(files, verifier); err == nil {
		p.verifierCSP = policy(string(page))
	}
	rt.Public("GET /scan", func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/scan/", http.StatusMovedPermanently)
		return nil
	})
	rt.Public("GET /scan/verify", p.verify)
	rt.Public("GET /scan/{path...}", p.get)
	rt.Public("GET /.well-known/chopmark-keys.json", p.document)
}

// document answers GET /.well-known/chopmark-keys.json. A revocation must not wait for caches.
func (p *pages) document(w http.ResponseWriter, _ *http.Request) error {
	raw, err := p.keys()
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-cache")
	return httpx.Bytes(w, http.StatusOK, "application/json", raw)
}

func (p *pages) get(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Del("Access-Control-Allow-Origin")
	h.Set("Content-Security-Policy", csp)
	h.Set("Permissions-Policy", "camera=(self)")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	name := path.Clean("/" + r.PathValue("path"))[1:]
	if name == verifier { // under this policy nothing of it would run
		http.Redirect(w, r, "/scan/verify", http.StatusMovedPermanently)
		return nil
	}
	absent := fault.New(fault.NotFound, "scanner.no_file", "the scanner has no such file; reload the page")
	switch {
	case strings.HasPrefix(name, "assets/"):
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	case strings.HasPrefix(name, "icon"):
		h.Set("Cache-Control", "public, max-age=2592000") // images: 30 days
	case name == "manifest.webmanifest":
		h.Set("Cache-Control", "public, max-age=604800") // other static files: 7 days
	case name == "":
		name, absent = "index.html", ErrNotBuilt
		fallthrough
	default:
		h.Set("Cache-Control", "no-cache")
	}
	return httpx.File(w, r, p.files, name, absent)
}

// verify answers GET /scan/verify.
func (p *pages) verify(w http.ResponseWriter, r *http.Request) error {
	page, err := fs.ReadFile(p.files, verifier)
	if err != nil {
		return ErrNotBuilt
	}
	return p.packer.HTML(w, r, http.StatusOK, p.verifierCSP, page)
}

var element = regexp.MustCompile(`(?s)<(script|style)[^>]*>(.*?)</(?:script|style)>`)

// policy lets the page run what is in it, and ask nobody.
func policy(page string) string {
	allowed := map[string]string{"script": "", "style": ""}
	for _, m := range element.FindAllStringSubmatch(page, -1) {
		sum := sha256.Sum256([]byte(m[2]))
		allowed[m[1]] += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; script-src" + allowed["script"] + "; style-src" + allowed["style"] +
		"; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
