package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/h2"
	"github.com/chopmark/chopmark/internal/platform/h3"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/lane"
)

// The limits of a connection. Bodies have their own, by route.
const (
	headerTimeout  = 10 * time.Second
	readTimeout    = 60 * time.Second
	idleTimeout    = 120 * time.Second
	headerBytesMax = 16 << 10
	streamsMax     = 100 // requests of an HTTP/2 connection at once
	drainTimeout   = 25 * time.Second
)

// Addresses are what a started process listens on.
type Addresses struct {
	HTTP, TLS, GRPC, Debug string
	Roles                  string // for processes of other roles
	SignIn                 string // the link of an empty installation; "" = none
}

// Serve listens until ctx ends, then drains: every request that was accepted is
// answered. started is called once everything listens.
func (a *App) Serve(ctx context.Context, started func(Addresses)) error {
	ready := &atomic.Bool{}
	a.run()
	stopping, stop := context.WithCancel(a.background) // ends streams when the drain begins
	defer stop()
	handler := a.routes(stopping, ready, a.authenticator())
	servers, addrs, err := a.listen(handler)
	if err != nil {
		return errors.Join(err, closeAll(servers))
	}
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.serve() }() // ended by stop below
	}
	if a.Runs(RoleIssue) {
		addrs.SignIn, err = a.bootstrap(ctx)
	}
	if err == nil && a.Demo {
		err = a.seedDemo(ctx)
	}
	if err != nil {
		return errors.Join(err, closeAll(servers))
	}
	say := func(is bool) {
		ready.Store(is)
		for _, s := range servers {
			s.ready(is)
		}
	}
	say(true)
	started(addrs)
	select {
	case <-ctx.Done():
	case err = <-failed:
	case err = <-a.ended():
	}
	say(false)
	stop()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return errors.Join(err, stopAll(drain, servers))
}

// stopAll drains the servers side by side, so that a slow one does not take the
// time of the others.
func stopAll(ctx context.Context, servers []server) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { errs[i] = s.stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// server is one listener with what serves it.
type server struct {
	serve func() error
	stop  func(context.Context) error
	ready func(bool) // tells health checks on the listener itself
}

func closeAll(servers []server) error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	var err error
	for _, s := range servers {
		if stop := s.stop(now); !errors.Is(stop, context.Canceled) {
			err = errors.Join(err, stop)
		}
	}
	return err
}

// listen opens every listener before any is served, so that a port that is taken
// is known at the start.
func (a *App) listen(handler *httpx.Router) (servers []server, addrs Addresses, err error) {
	open := func(flag, addr string, config *tls.Config, h http.Handler) string {
		if addr == "" || err != nil {
			return ""
		}
		var ln net.Listener
		if ln, err = (&net.ListenConfig{}).Listen(a.background, "tcp", addr); err != nil {
			err = fmt.Errorf("--%s: %w", flag, err)
			return ""
		}
		if h == http.Handler(handler) {
			ln = a.httpLimits().Door(ln)
		}
		var s *http.Server
		if s, err = a.httpServer(h); err != nil {
			err = errors.Join(err, ln.Close())
			return ""
		}
		stop := s.Shutdown
		switch {
		case config != nil:
			s.Handler = h3.Advertise(h)
			var three server
			if three, err = a.listenH3(ln.Addr(), config, handler); err != nil {
				err = errors.Join(fmt.Errorf("--%s: %w", flag, err), ln.Close())
				return ""
			}
			servers = append(servers, three)
			ln = tls.NewListener(ln, config)
		case h == http.Handler(handler):
			fast := a.lane(ln, handler)
			ln, stop = fast, func(ctx context.Context) error { return errors.Join(s.Shutdown(ctx), fast.Shutdown(ctx)) }
		}
		servers = append(servers, server{
			serve: func() error { return ignoreClosed(s.Serve(ln)) },
			stop:  stop,
			ready: func(bool) {}, // /readyz tells
		})
		return ln.Addr().String()
	}
	addrs.HTTP = open("listen", a.Listen, nil, handler)
	if a.TLSListen != "" && err == nil {
		var config *tls.Config
		if config, err = a.openTLS(); err == nil {
			addrs.TLS = open("tls-listen", a.TLSListen, config, handler)
		}
	}
	addrs.Debug = open("debug-listen", a.DebugListen, nil, debugRoutes())
	if a.GRPCListen != "" && err == nil {
		var s server
		if s, addrs.GRPC, err = a.listenGRPC(); err == nil {
			servers = append(servers, s)
		}
	}
	if a.RoleListen != "" && err == nil {
		var s server
		if s, addrs.Roles, err = a.listenRoles(); err == nil {
			servers = append(servers, s)
		}
	}
	return servers, addrs, err
}

// lane answers scans on cleartext connections; the rest is the server's.
func (a *App) lane(ln net.Listener, handler *httpx.Router) *lane.Lane {
	return lane.New(ln, lane.Options{
		Handler: handler, Takes: handler.Takes, HeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ConnState: a.metrics.ConnState, Log: a.log,
	})
}

func (a *App) httpServer(h http.Handler) (*http.Server, error) {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytesMax, ConnState: a.metrics.ConnState, Protocols: &protocols,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streamsMax},
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	return s, h2.Configure(s, a.clock, a.httpLimits().Ended)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func debugRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// probes adds what orchestrators ask.
func (a *App) probes(rt *httpx.Router, ready *atomic.Bool) {
	live := func(w http.ResponseWriter, _ *http.Request) error {
		return httpx.OK(w, map[string]string{"status": "alive"})
	}
	isReady := func(w http.ResponseWriter, r *http.Request) error {
		if !ready.Load() {
			return fault.New(fault.Unavailable, "not_ready", "starting or draining")
		}
		if a.db == nil { // an edge: it answers what it knows, and says how old that is
			return httpx.OK(w, map[string]any{"status": "ready", "as_of": a.proj.AsOf()})
		}
		if err := a.dbs.Ping(r.Context()); err != nil {
			return fault.New(fault.Unavailable, "not_ready", "the database does not answer").Because(err)
		}
		return httpx.OK(w, map[string]string{"status": "ready"})
	}
	for _, path := range []string{"/livez", "/health"} {
		rt.Probe("GET "+path, live)
	}
	for _, path := range []string{"/readyz", "/ready"} {
		rt.Probe("GET "+path, isReady)
	}
	metrics := a.metrics.Handler()
	rt.Probe("GET /metrics", func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	})
}
