// Package h3 serves HTTP/3, and is the only one that knows QUIC.
//
// Promise: a handler sees a request in early data (0-RTT) only when Options.Early takes
// it and the client's address has proved itself by a token of an earlier visit; then
// httpx.Early tells. Every other request in early data waits until its handshake has
// completed, which no repetition of it can do. What a handler leaves to httpx.Proven is
// done after that, or never. TestReplay and TestEarlyWaits pin these.
//
// Everything is bounded: connections, streams, headers, idle time, bodies in time. Before
// an address has proved itself the server sends it at most three times what came from it,
// and when many such connections are open it asks for a proof first (TestAmplification,
// TestRetry).
package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Options are what a server works with. All of them are needed.
type Options struct {
	Handler  http.Handler
	Early    func(r *http.Request) bool // may be answered, unchanged by it, before its handshake has completed
	TLS      *tls.Config
	TokenKey [32]byte // seals the proofs of addresses; the same in all processes of an installation

	HeaderBytesMax   int
	HandshakeTimeout time.Duration
	ReadTimeout      time.Duration                  // of a request with its body
	IdleTimeout      time.Duration                  // of a connection on which no request is answered
	ConnState        func(net.Conn, http.ConnState) // as http.Server's, without the connection
	Log              *slog.Logger
}

// The limits of QUIC. A page needs one stream; browsers open some for their own icons.
const (
	connectionsMax   = 20_000
	unprovenMax      = 1_000     // connections whose handshake is open; above, an address must prove itself first
	streamsMax       = 64        // requests of one connection at once
	uniStreamsMax    = 8         // HTTP/3 itself needs three
	streamWindow     = 256 << 10 // bytes of a body on the way
	connectionWindow = 1 << 20
	tokenLife        = 7 * 24 * time.Hour // as a session ticket's
	linger           = 2 * time.Second    // for the last answers to arrive, when the server stops
	pollRunning      = 20 * time.Millisecond
)

// Server is a listener with what serves it.
type Server struct {
	Options
	transport *quic.Transport
	listener  *quic.EarlyListener
	http      *http3.Server
	open      atomic.Int64 // connections
	unproven  atomic.Int64 // of open: their handshake has not completed
	running   atomic.Int64 // requests, and work that waits for a handshake
}

// Listen takes over an open UDP socket.
func Listen(socket net.PacketConn, o Options) (*Server, error) {
	s := &Server{Options: o}
	key := quic.TokenGeneratorKey(o.TokenKey)
	s.transport = &quic.Transport{
		Conn: socket, TokenGeneratorKey: &key, MaxTokenAge: tokenLife,
		VerifySourceAddress: func(net.Addr) bool { return s.unproven.Load() >= unprovenMax },
		ConnContext:         s.admit,
	}
	var err error
	s.listener, err = s.transport.ListenEarly(http3.ConfigureTLSConfig(small(o.TLS)), &quic.Config{
		Allow0RTT: true, HandshakeIdleTimeout: o.HandshakeTimeout, MaxIdleTimeout: o.IdleTimeout,
		MaxIncomingStreams: streamsMax, MaxIncomingUniStreams: uniStreamsMax,
		InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: streamWindow,
		InitialConnectionReceiveWindow: connectionWindow, MaxConnectionReceiveWindow: connectionWindow,
		DisablePathMTUDiscovery: true, // its probes take a quarter of a second of a 2G link, for answers of a few packets
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for QUIC: %w", err), s.transport.Close(), socket.Close())
	}
	s.http = &http3.Server{
		Handler: http.HandlerFunc(s.serve), MaxHeaderBytes: o.HeaderBytesMax,
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
			return context.WithValue(ctx, visitKey{}, s.visit(c))
		},
	}
	return s, nil
}

// small is a configuration whose first answer is one packet. The key of X25519MLKEM768 takes
// a second one: on a 2G link that is a fifth of a second, and as much again whenever a side
// takes the wait for a loss. docs/adr/0014-weak-links.md says what is given up.
func small(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	if of := config.GetConfigForClient; of != nil {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			present, err := of(hello)
			if present == nil || err != nil {
				return present, err
			}
			return small(present), nil
		}
	}
	return config
}

// Serve answers until Shutdown.
func (s *Server) Serve() error {
	if err := s.http.ServeListener(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown lets clients know, answers what was accepted and gives the answers a moment
// to arrive. A client that leaves by itself ends the wait.
func (s *Server) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		poll := time.NewTicker(pollRunning)
		defer poll.Stop()
		for s.running.Load() > 0 {
			select {
			case <-poll.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(linger):
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.Canceled) && s.running.Load() == 0 {
		err = nil // idle clients that stayed
	}
	return errors.Join(err, s.listener.Close(), s.transport.Close(), s.transport.Conn.Close())
}

type provenKey struct{} // of a connection's context: the client's address had proved itself

var errFull = errors.New("too many connections")

// admit counts a connection, from its first packet to its end.
func (s *Server) admit(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
	if s.open.Add(1) > connectionsMax {
		s.open.Add(-1)
		return nil, errFull
	}
	s.unproven.Add(1)
	s.ConnState(nil, http.StateNew)
	v := &visit{server: s, proven: client.AddrVerified}
	ctx = context.WithValue(ctx, provenKey{}, v)
	context.AfterFunc(ctx, func() {
		s.open.Add(-1)
		s.ConnState(nil, http.StateClosed)
		v.complete()
	})
	return ctx, nil
}

type visitKey struct{}

// visit is one connection.
type visit struct {
	server *Server
	proven bool // the address, before the handshake
	conn   *quic.Conn
	once   sync.Once // the handshake ends once, one way or the other

	mu      sync.Mutex
	running int         // guarded by mu
	idle    *time.Timer // guarded by mu; runs while no request does
}

func (v *visit) complete() { v.once.Do(func() { v.server.unproven.Add(-1) }) }

// visit begins to watch a connection. QUIC's own idle time is of packets: a client that
// pings and never asks is closed here.
func (s *Server) visit(c *quic.Conn) *visit {
	v := c.Context().Value(provenKey{}).(*visit) //nolint:forcetypeassert // ConnContext put it there
	v.conn = c
	v.idle = time.AfterFunc(s.IdleTimeout, func() {
		_ = c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "idle") // it may be gone
	})
	context.AfterFunc(c.Context(), func() { v.idle.Stop() })
	go func() { // ends with the handshake, which has a time limit
		if v.handshake(c.Context()) {
			v.complete()
		}
	}()
	return v
}

// handshake waits for the end of the handshake and reports whether it completed.
func (v *visit) handshake(ctx context.Context) bool {
	select {
	case <-v.conn.HandshakeComplete():
	case <-v.conn.Context().Done():
	case <-ctx.Done():
	}
	return v.conn.ConnectionState().TLS.HandshakeComplete
}

// then has work done after the handshake, or never.
func (v *visit) then(do func()) {
	v.server.running.Add(1)
	go func() { // Shutdown waits for it; the handshake has a time limit
		defer v.server.running.Add(-1)
		if v.handshake(context.Background()) {
			do()
		}
	}()
}

func (v *visit) begin() {
	v.server.running.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running++
	v.idle.Stop()
}

func (v *visit) end() {
	v.server.running.Add(-1)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.running--; v.running == 0 && v.conn.Context().Err() == nil {
		v.idle.Reset(v.server.IdleTimeout)
	}
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit) //nolint:forcetypeassert // ConnContext put it there
	v.begin()
	defer v.end()
	control := http.NewResponseController(w)
	deadline := time.Now().Add(s.ReadTimeout)
	if err := control.SetReadDeadline(deadline); err != nil {
		s.Log.ErrorContext(r.Context(), "a request over HTTP/3 has no time limit", "error", err)
	}
	if !r.TLS.HandshakeComplete {
		if v.proven && s.Early(r) {
			r = httpx.WithEarly(r, v.then)
		} else if !v.handshake(r.Context()) {
			panic(http.ErrAbortHandler) // nobody is there to answer
		}
	}
	s.Handler.ServeHTTP(w, r)
}

// altSvcLife is how long a browser remembers that there is HTTP/3, in seconds.
const altSvcLife = "86400"

// Advertise tells the clients of another protocol that the same port speaks HTTP/3. The
// port is the one that the client itself used: what lies between may map it.
func Advertise(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port := "443"
		if _, p, err := net.SplitHostPort(r.Host); err == nil && number(p) {
			port = p
		}
		w.Header()["Alt-Svc"] = []string{`h3=":` + port + `"; ma=` + altSvcLife}
		h.ServeHTTP(w, r)
	})
}

func number(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 5
}
