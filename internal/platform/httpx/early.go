package httpx

import (
	"context"
	"net/http"
)

// Proven has work done once the handshake of a request's connection has completed, and
// never when it does not.
type Proven func(do func())

type earlyKey struct{}

// WithEarly marks a request that came in early data (0-RTT). Anybody who recorded it may
// send it again until its handshake has completed, so it must change nothing before.
func WithEarly(r *http.Request, proven Proven) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), earlyKey{}, proven))
}

// Early gives what a request in early data leaves its work to; nil = the request is no
// repetition of another. Only HTTP/3 has early data here.
func Early(r *http.Request) Proven {
	if r.ProtoMajor != 3 {
		return nil
	}
	proven, _ := r.Context().Value(earlyKey{}).(Proven)
	return proven
}
