package verifyhttp

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestConsumer: who is signed in is told by the header or the cookie, the header first, and
// what is not good is nobody's.
func TestConsumer(t *testing.T) {
	t.Parallel()
	h := &Handler{Deps: Deps{Consumer: func(secret string) int64 {
		return map[string]int64{"mine": 7, "other": 8}[secret]
	}}}
	for _, c := range []struct {
		authorization, cookie, value string
		want                         int64
	}{
		{"Bearer mine", "", "", 7}, {"", "__Host-consumer", "other", 8}, {"", "consumer", "mine", 7}, {"Bearer mine", "consumer", "other", 7},
		{"Basic mine", "", "", 0}, {"Bearer junk", "", "", 0}, {"", "session_id", "mine", 0}, {"", "", "", 0},
	} {
		r := httptest.NewRequest(http.MethodGet, "/123456789012345678", nil)
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: c.cookie, Value: c.value})
		}
		if got := h.consumer(r); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
