package verifyhttp

import (
	"context"
	"net/http"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/verify"
)

// counts reports whether a request is a scan: a look ahead by a browser is not.
func counts(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	return r.Header["Sec-Purpose"] == nil && r.Header["Purpose"] == nil && r.Header["X-Moz"] == nil
}

// count says whether the question is a scan, and whether it counts at once.
func (s *scratch) count(r *http.Request) {
	s.query.Count = counts(r)
	if s.proven = httpx.Early(r); s.proven != nil && s.query.Count {
		s.query.Early, s.query.Count = true, false
	}
}

// countOnceProven counts a scan in early data when its handshake has completed. What it
// was told then stays as it is; a try of an inner code is not made up for.
func (h *Handler) countOnceProven(r *http.Request, s *scratch) {
	ctx, q := context.WithoutCancel(r.Context()), s.query
	q.Early, q.Count, q.Inner = false, true, ""
	s.proven(func() {
		var a verify.Answer
		if err := h.Service.Verify(ctx, &q, &a); err != nil {
			h.Log.WarnContext(ctx, "a scan in early data was answered and is not counted", "error", err)
		}
	})
}
