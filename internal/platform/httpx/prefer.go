package httpx

import (
	"net/http"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/accept"
)

// PrefersJSON reports that a caller names JSON, and wants it no less than a page; of two
// that are wanted alike the first counts.
func PrefersJSON(r *http.Request) bool {
	header := r.Header["Accept"] // in canonical form: scans ask
	if len(header) == 0 {
		return false
	}
	plain, page, others := 0, -1, 0
	first := false
	for name, weight := range accept.Ranges(header[0]) {
		switch {
		case strings.EqualFold(name, "application/json"):
			plain, first = weight, page < 0
		case strings.EqualFold(name, "text/html"):
			page = weight
		case name == "*/*", strings.EqualFold(name, "text/*"):
			others = max(others, weight)
		}
	}
	if page < 0 {
		return plain > 0 && plain >= others
	}
	return plain > page || first && plain > 0 && plain == page
}

// Language is what ?lang= or Accept-Language ask for: "zh" or "en".
func Language(r *http.Request) string {
	if r.URL.RawQuery != "" {
		switch lang := r.URL.Query().Get("lang"); lang {
		case "zh", "en":
			return lang
		}
	}
	language, most := "en", 0
	for name, weight := range accept.Ranges(r.Header.Get("Accept-Language")) {
		name, _, _ = strings.Cut(name, "-")
		for _, ours := range []string{"zh", "en"} {
			if weight > most && strings.EqualFold(name, ours) {
				language, most = ours, weight
			}
		}
	}
	return language
}
