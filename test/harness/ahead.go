package harness

import "net/http"

// LookAhead marks requests as those of a browser that looks ahead, which are no scans.
func LookAhead(through http.RoundTripper) http.RoundTripper { return ahead{through} }

type ahead struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (a ahead) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Sec-Purpose", "prefetch")
	return a.RoundTripper.RoundTrip(r)
}

// CloseIdleConnections is what http.Client looks for.
func (a ahead) CloseIdleConnections() {
	if c, ok := a.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
