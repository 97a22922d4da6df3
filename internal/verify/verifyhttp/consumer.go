package verifyhttp

import (
	"net/http"
	"strings"
)

// consumer finds who scans: an app says it in the header, a browser by its cookie. A
// secret that is not good is nobody's, and no reason to refuse a scan.
func (h *Handler) consumer(r *http.Request) int64 {
	if secret, ok := strings.CutPrefix(first(r.Header["Authorization"]), "Bearer "); ok {
		return h.Consumer(secret)
	}
	for _, name := range [...]string{"__Host-consumer", "consumer"} {
		if c, err := r.Cookie(name); err == nil {
			return h.Consumer(c.Value)
		}
	}
	return 0
}
