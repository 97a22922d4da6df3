package app

import (
	"io"
	"net/http"
	"sync/atomic"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Client gives an HTTP client that calls this process's own routes without a
// listener, as the operator of the machine: the command line works on a data
// directory and on a server in one way.
func (a *App) Client() *http.Client {
	ready := &atomic.Bool{}
	ready.Store(true)
	return &http.Client{Transport: inProcess{a.routes(a.background, ready, operator{})}}
}

// operator trusts the caller: whoever may open the data directory holds the keys.
type operator struct{}

// Authenticate implements httpx.Authenticator.
func (operator) Authenticate(*http.Request) (httpx.Principal, error) {
	return httpx.Principal{ID: "operator", Name: "operator", Access: httpx.Everything{}}, nil
}

// inProcess answers requests by a handler. Bodies are streamed, not gathered.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	body, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: out, started: make(chan struct{})}
	go func() { // ends with the handler; the caller waits for started and reads the body
		t.handler.ServeHTTP(w, in)
		w.start(http.StatusOK)
		_ = out.Close() // never fails
	}()
	<-w.started
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: -1, Request: r,
	}, nil
}

type pipeWriter struct {
	header, sent http.Header
	status       int
	body         *io.PipeWriter
	started      chan struct{}
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) { w.start(status) }

func (w *pipeWriter) start(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	}
}

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(p []byte) (int, error) {
	w.start(http.StatusOK)
	return w.body.Write(p)
}
