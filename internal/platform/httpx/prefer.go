package httpx

import (
	"net/http"
	"strconv"
	"strings"
)

// rangesMax bounds what is read of an Accept header.
const rangesMax = 32

// ranges gives each range of an Accept header with its weight in thousandths; one that
// cannot be read has none.
func ranges(header string) func(yield func(name string, weight int) bool) {
	return func(yield func(string, int) bool) {
		n := 0
		for part := range strings.SplitSeq(header, ",") {
			if n++; n > rangesMax {
				return
			}
			name, parameters, _ := strings.Cut(part, ";")
			weight := 1000
			for p := range strings.SplitSeq(parameters, ";") {
				if p = strings.TrimSpace(p); len(p) > 2 && (p[0] == 'q' || p[0] == 'Q') && p[1] == '=' {
					q, err := strconv.ParseFloat(p[2:], 64)
					if err != nil || !(q >= 0 && q <= 1) {
						q = 0
					}
					weight = int(q * 1000)
				}
			}
			if !yield(strings.TrimSpace(name), weight) {
				return
			}
		}
	}
}

// PrefersJSON reports that a caller names JSON, and wants it no less than a page; of two
// that are wanted alike the first counts.
func PrefersJSON(r *http.Request) bool {
	accept := r.Header["Accept"] // in canonical form: scans ask
	if len(accept) == 0 {
		return false
	}
	plain, page, others := 0, -1, 0
	first := false
	for name, weight := range ranges(accept[0]) {
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
	for name, weight := range ranges(r.Header.Get("Accept-Language")) {
		name, _, _ = strings.Cut(name, "-")
		for _, ours := range []string{"zh", "en"} {
			if weight > most && strings.EqualFold(name, ours) {
				language, most = ours, weight
			}
		}
	}
	return language
}
