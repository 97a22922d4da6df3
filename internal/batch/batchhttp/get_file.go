package batchhttp

import (
	"net/http"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
)

// fileTypes are the kinds of files that tasks make. Nothing else is served, so that
// a file which others keep in the same place never is.
var fileTypes = [...]struct{ suffix, contentType string }{
	{".zip", "application/zip"},
	{".ndjson", "application/x-ndjson"},
	{".pdf", "application/pdf"},
}

// getFile answers GET /api/v1/files/{name}.
func (a *api) getFile(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	may, err := a.mayRead(r)
	if err != nil {
		return err
	}
	if !may.All() { // a link is a capability; a key alone opens every file only to who sees every brand
		if err := a.checkLink(name, r.URL.Query()); err != nil {
			return err
		}
	}
	kind, ok := contentType(name)
	if !ok {
		return blob.ErrUnknown
	}
	f, err := a.Files.Open(r.Context(), name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "private, no-store")
	h.Set("ETag", `"`+name+`"`) // a name never gets another content
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

func contentType(name string) (string, bool) {
	for _, t := range fileTypes {
		if id, ok := strings.CutSuffix(name, t.suffix); ok && ids.Valid("task", id) {
			return t.contentType, true
		}
	}
	return "", false
}
