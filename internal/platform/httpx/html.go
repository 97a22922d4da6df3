package httpx

import (
	"net/http"
	"strconv"
	"strings"
)

// HTML answers a page that no cache keeps.
func HTML(w http.ResponseWriter, status int, csp string, page []byte) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	_, err := w.Write(page)
	return ignoreGone(err)
}

// Language is what ?lang= or Accept-Language ask for: "zh" or "en".
func Language(r *http.Request) string {
	if r.URL.RawQuery != "" {
		switch lang := r.URL.Query().Get("lang"); lang {
		case "zh", "en":
			return lang
		}
	}
	accept := strings.ToLower(r.Header.Get("Accept-Language"))
	zh, en := strings.Index(accept, "zh"), strings.Index(accept, "en")
	if zh >= 0 && (en < 0 || zh < en) {
		return "zh"
	}
	return "en"
}
