package httpx

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestForwardedIsBelievedOfProxiesOnly(t *testing.T) {
	t.Parallel()
	trusted, err := ParseProxies([]string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer, want string
		forwarded  []string
	}{
		{"203.0.113.9:1", "203.0.113.9", nil},
		{"203.0.113.9:1", "203.0.113.9", []string{"198.51.100.1"}}, // a stranger's word
		{"10.1.1.1:1", "198.51.100.1", []string{"198.51.100.1"}},
		{"10.1.1.1:1", "198.51.100.1", []string{"1.2.3.4, 198.51.100.1"}}, // the first was the client's own claim
		{"10.1.1.1:1", "198.51.100.1", []string{"1.2.3.4, 198.51.100.1, 10.9.9.9"}},
		{"10.1.1.1:1", "198.51.100.1", []string{"1.2.3.4", "198.51.100.1", "10.9.9.9"}},
		{"10.1.1.1:1", "10.1.1.1", nil},
		{"10.1.1.1:1", "10.1.1.1", []string{"nonsense"}},
		{"10.1.1.1:1", "10.9.9.9", []string{"10.9.9.9"}},
		{"10.1.1.1:1", "10.9.9.9", []string{"1.2.3.4, x, 10.9.9.9"}},
		{"192.0.2.1:1", "2001:db9::1", []string{"2001:db9::1"}},
		{"192.0.2.2:1", "192.0.2.2", []string{"2001:db9::1"}},
		{"[::ffff:10.1.1.1]:1", "198.51.100.1", []string{"::ffff:198.51.100.1"}},
		{"[2001:db8::7]:1", "198.51.100.1", []string{"198.51.100.1"}},
		{"@", "invalid IP", []string{"198.51.100.1"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		for _, f := range c.forwarded {
			r.Header.Add("X-Forwarded-For", f)
		}
		if got := trusted.Client(r); got.String() != c.want {
			t.Errorf("%s with %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "10.0.0", "proxy.example"} {
		if _, err := ParseProxies([]string{bad}); err == nil {
			t.Errorf("%q is no network", bad)
		}
	}
}
