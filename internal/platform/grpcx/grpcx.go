// Package grpcx is the gRPC edge's common ground, as httpx is HTTP's: one server
// with limits on everything, one table between faults and statuses, and one place
// that knows who calls, recovers, measures and logs.
//
// Promise: a fault that a handler returns is the same for errors.Is behind
// FromStatus (TestFaultsSurviveTheWire); any other error is logged here once and
// shown as nothing. A method is closed to strangers until it is named Public.
package grpcx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/platform/roletoken"
)

// Authenticator tells whose key a call carries, or httpx.ErrNoAuth.
type Authenticator interface {
	Authenticate(bearer string) (httpx.Principal, error)
}

// Config is what an owner may choose; zero fields have the usual values.
type Config struct {
	MessageBytesMax int           // of a request and of an answer
	CallMax         time.Duration // a caller's deadline is cut to this
	ConnectionsMax  int           // further ones wait to be accepted
	StreamsMax      uint32        // calls at a time on one connection
	Tracer          Tracer        // nil = no traces
	Guard           *limit.Guard  // of callers whose keys are wrong; nil = none
	Audit           Auditor       // nil = nobody keeps what is changed

	// Creds and Peer are for connections whose certificate tells who calls: then no
	// call carries a key, and every method is for whom Peer lets in.
	Creds         credentials.TransportCredentials // nil = cleartext
	Peer          func(context.Context) (httpx.Principal, error)
	ConnectionMax time.Duration // a connection is given up after this, and made anew; 0 = never
	// Token reads on whose behalf another role calls, from the token that the call carries,
	// "" = none; an error refuses the call. nil = calls carry none.
	Token func(ctx context.Context, method, token string) (roletoken.Behalf, error)
}

// Tracer makes spans of the few calls that are sampled. Health and reflection are
// not shown to it.
type Tracer interface {
	// Call begins a span when the call is sampled; end is nil when it is not. The
	// caller's word on that counts only when it is trusted, which a valid key makes
	// it. The handler gets the context, and end must be called with the code of the
	// answer.
	Call(ctx context.Context, method string, trusted bool) (_ context.Context, end func(codes.Code))
}

// The usual limits.
const (
	messageBytesMax   = 4 << 20
	callMax           = time.Minute
	connectionsMax    = 4096
	streamsMax        = 256
	headerBytesMax    = 16 << 10
	connectionTimeout = 10 * time.Second
	idleMax           = 5 * time.Minute
	pingEvery         = time.Minute
	pingTimeout       = 20 * time.Second
	clientPingMin     = 10 * time.Second
)

func (c *Config) fill() {
	if c.MessageBytesMax == 0 {
		c.MessageBytesMax = messageBytesMax
	}
	if c.CallMax == 0 {
		c.CallMax = callMax
	}
	if c.ConnectionsMax == 0 {
		c.ConnectionsMax = connectionsMax
	}
	if c.StreamsMax == 0 {
		c.StreamsMax = streamsMax
	}
}

// Server is one gRPC server with health and reflection. Services are registered
// before Serve.
type Server struct {
	cfg      Config
	grpc     *grpc.Server
	health   *health.Server
	auth     Authenticator
	observer httpx.Observer
	log      *slog.Logger
	clock    clock.Clock

	needs   map[string]httpx.Permission // by full method name; what has none is for System
	public  map[string]bool             // full method names that need no key; fixed before Serve
	tools   map[string]bool             // of grpc's own services, health and reflection
	running sync.Map                    // idempotency keys of calls that are being answered
	prefix  string                      // request ids of this process begin with it
	count   atomic.Uint64

	stop     sync.Once
	stopping chan struct{} // closed by Stop
}

// New makes a server; auth may be nil with Config.Peer. It answers "not serving" to health checks until SetReady.
func New(cfg Config, auth Authenticator, observer httpx.Observer, log *slog.Logger, c clock.Clock) *Server {
	cfg.fill()
	s := &Server{
		cfg: cfg, health: health.NewServer(), auth: auth, observer: observer, log: log, clock: c,
		needs: map[string]httpx.Permission{}, public: map[string]bool{}, tools: map[string]bool{}, prefix: ids.New("req")[:17], stopping: make(chan struct{}),
	}
	if cfg.Creds == nil {
		cfg.Creds = insecure.NewCredentials()
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(cfg.Creds),
		grpc.MaxRecvMsgSize(cfg.MessageBytesMax), grpc.MaxSendMsgSize(cfg.MessageBytesMax),
		grpc.MaxConcurrentStreams(cfg.StreamsMax), grpc.MaxHeaderListSize(headerBytesMax),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: idleMax, MaxConnectionAge: cfg.ConnectionMax, MaxConnectionAgeGrace: connectionTimeout, Time: pingEvery, Timeout: pingTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPingMin, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
	)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	for name, info := range s.grpc.GetServiceInfo() { // so far health and reflection
		for _, m := range info.Methods {
			s.tools["/"+name+"/"+m.Name] = true
		}
	}
	s.SetReady(false)
	return s
}

// RegisterService implements grpc.ServiceRegistrar.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
}

// Public opens methods, "/package.Service/Method", to callers without a key.
func (s *Server) Public(methods ...string) {
	for _, m := range methods {
		s.public[m] = true
	}
}

// Allow names what callers of a method need.
func (s *Server) Allow(method string, need httpx.Permission) { s.needs[method] = need }

// SetReady tells health checks whether calls are wanted.
func (s *Server) SetReady(ready bool) {
	st := healthpb.HealthCheckResponse_NOT_SERVING
	if ready {
		st = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", st)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, st)
	}
}

// Serve answers calls until Stop. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(netutil.LimitListener(l, s.cfg.ConnectionsMax))
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

// Stop lets every accepted call be answered, until ctx ends; then it cuts them off
// and says so.
func (s *Server) Stop(ctx context.Context) error {
	s.health.Shutdown()
	s.stop.Do(func() { close(s.stopping) })
	drained := make(chan struct{})
	go func() { // ends with GracefulStop, which Stop below ends if need be
		s.grpc.GracefulStop()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	s.grpc.Stop()
	<-drained
	return fmt.Errorf("gRPC calls were cut off: %w", ctx.Err())
}
