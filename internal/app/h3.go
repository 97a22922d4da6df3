package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/h3"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// listenH3 opens HTTP/3 on the UDP port beside a TCP port.
func (a *App) listenH3(tcp net.Addr, config *tls.Config, handler *httpx.Router) (server, error) {
	socket, err := (&net.ListenConfig{}).ListenPacket(a.background, "udp", tcp.String())
	if err != nil {
		return server{}, fmt.Errorf("HTTP/3: %w", err)
	}
	s, err := h3.Listen(socket, h3.Options{
		Handler: handler, Early: func(r *http.Request) bool { return early(handler, r) }, TLS: config,
		TokenKey:       keyset.Derive(a.keys.visitKeys(a.edge != nil)[0], "address/1"),
		HeaderBytesMax: headerBytesMax, HandshakeTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		ConnState: a.metrics.ConnState, Log: a.log,
	})
	if err != nil {
		return server{}, err
	}
	return server{serve: s.Serve, stop: func(ctx context.Context) error { return s.Shutdown(ctx) }, ready: func(bool) {}}, nil
}

// early reports whether a request may be answered while it may still be a repetition:
// scans, which then do not count, but for those that try an inner code.
func early(handler *httpx.Router, r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.RawPath == "" && handler.Takes(r.URL.Path) && !r.URL.Query().Has("inner")
}
