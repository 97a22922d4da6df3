package verifyhttp

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/roletoken"
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

// behalf is the context of a scan that may have to be asked of another role: only tries of
// inner codes are.
func (s *scratch) behalf(w http.ResponseWriter, r *http.Request) context.Context {
	if s.query.Inner == "" {
		return r.Context()
	}
	b := roletoken.Behalf{RequestID: httpx.RequestID(w)}
	if s.query.Client.User != 0 {
		b.User = strconv.FormatInt(s.query.Client.User, 10)
	}
	return roletoken.On(r.Context(), b)
}
