package httpx

import (
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// File answers with a file that the program was built with, compressed as NAME.br or NAME.gz
// where the client takes that; absent is the answer when there is none.
func File(w http.ResponseWriter, r *http.Request, files fs.FS, name string, absent error) error {
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	accepts := r.Header.Get("Accept-Encoding")
	for _, c := range [...]struct{ ending, encoding string }{{".br", "br"}, {".gz", "gzip"}, {"", ""}} {
		if c.encoding != "" && !strings.Contains(accepts, c.encoding) {
			continue
		}
		raw, err := fs.ReadFile(files, name+c.ending)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
			continue
		}
		if err != nil {
			return err
		}
		if c.encoding != "" {
			h.Set("Content-Encoding", c.encoding)
		}
		h.Set("Content-Type", contentType(name))
		h.Set("Content-Length", strconv.Itoa(len(raw)))
		_, err = w.Write(raw)
		return ignoreGone(err)
	}
	h.Set("Cache-Control", "no-store")
	return absent
}

// contentType knows what the systems' own lists may lack.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".wasm":
		return "application/wasm" // else a browser does not compile it while it loads
	case ".webmanifest":
		return "application/manifest+json"
	}
	return mime.TypeByExtension(path.Ext(name))
}
