package grpcx

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/platform/roletoken"
)

// The metadata that is read and written.
const (
	metaAuthorization = "authorization"
	metaRequestID     = "x-request-id"
	metaIdempotency   = "idempotency-key"
	metaReplayed      = "idempotent-replayed"
	metaRoleToken     = "chopmark-role-token"
)

type callKey struct{}

// call is what is known of a call beside its message.
type call struct {
	method     string
	requestID  string
	caller     httpx.Principal
	authorised bool
	request    [sha256.Size]byte // of the idempotency key and its scope; zero = none
	behalf     roletoken.Behalf  // for whom another role calls
}

// within is a context whose handler knows the call. What it asks of other roles it asks on
// the same behalf.
func (c *call) within(ctx context.Context) context.Context {
	behalf := c.behalf
	behalf.RequestID = c.requestID
	return roletoken.On(context.WithValue(ctx, callKey{}, *c), behalf)
}

// Carry lets the calls of a connection carry a token of the role, and the id of the request
// that caused them. sign gives "" before there are keys.
func Carry(sign func(b roletoken.Behalf) (string, error)) []grpc.DialOption {
	add := func(ctx context.Context) (context.Context, error) {
		b := roletoken.Of(ctx)
		token, err := sign(b)
		if err != nil {
			return nil, err
		}
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, metaRoleToken, token)
		}
		if b.RequestID != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, metaRequestID, b.RequestID)
		}
		return ctx, nil
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			ctx, err := add(ctx)
			if err != nil {
				return err
			}
			return next(ctx, method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			ctx, err := add(ctx)
			if err != nil {
				return nil, err
			}
			return next(ctx, desc, cc, method, opts...)
		}),
	}
}

func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

// Caller is who a call comes from; ok is false for a call without a key.
func Caller(ctx context.Context) (p httpx.Principal, ok bool) {
	c := callOf(ctx)
	return c.caller, c.authorised
}

// Request is the identity of a mutation, of the call's idempotency key. body must
// be the same bytes for the same question, for ever.
func Request(ctx context.Context, body []byte) ids.Request {
	c := callOf(ctx)
	if c.request == [sha256.Size]byte{} {
		return ids.Request{}
	}
	return ids.Request{Key: c.request, Body: sha256.Sum256(body)}
}

// Replayed tells the caller that the answer is that of an earlier call.
func Replayed(ctx context.Context) error {
	return grpc.SetHeader(ctx, metadata.Pairs(metaReplayed, "true"))
}

// Peer is the address that the connection comes from; the zero address when it is
// no TCP connection.
func Peer(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap()
}

// UserAgent is what the client's own software calls itself.
func UserAgent(ctx context.Context) string { return first(ctx, "user-agent") }

func first(ctx context.Context, key string) string {
	if v := metadata.ValueFromIncomingContext(ctx, key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// unary is all that stands between the wire and a handler.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
	start := s.clock.Now()
	c := call{method: info.FullMethod, requestID: s.requestID(ctx)}
	var endSpan func(codes.Code) // nil = not sampled
	defer func() {
		if p := recover(); p != nil {
			s.panicked(ctx, &c, p)
			err = errInternal
		}
		if err = s.finish(ctx, &c, start, err); endSpan != nil {
			endSpan(status.Code(err))
		}
	}()
	if err := grpc.SetHeader(ctx, metadata.Pairs(metaRequestID, c.requestID)); err != nil {
		return nil, err
	}
	refused := s.identify(ctx, &c)
	if refused == nil {
		ctx, refused = s.allow(ctx, &c)
	}
	if s.cfg.Tracer != nil && !s.tools[c.method] {
		ctx, endSpan = s.cfg.Tracer.Call(ctx, c.method, c.authorised)
	}
	if refused != nil {
		return nil, refused
	}
	ctx, cancel := context.WithTimeout(c.within(ctx), s.cfg.CallMax)
	defer cancel()
	if c.request == [sha256.Size]byte{} {
		return s.audited(ctx, &c, req, h)
	}
	if _, taken := s.running.LoadOrStore(c.request, true); taken {
		return nil, idem.ErrRunning
	}
	defer s.running.Delete(c.request)
	return s.audited(ctx, &c, req, h)
}

// stream serves what may last for ever, such as health watches: Stop does not wait
// for it. A stream that was answered in part is not a mutation.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	ctx, c := ss.Context(), call{method: info.FullMethod, requestID: s.requestID(ss.Context())}
	if !s.tools[c.method] {
		err := s.identify(ss.Context(), &c)
		if err == nil {
			ctx, err = s.allow(ctx, &c)
		}
		if err != nil {
			return s.answer(ss.Context(), &c, err).Err()
		}
	}
	ended := make(chan error, 1)
	go func() { // ends with the handler; when we return first, the stream's end ends it
		defer func() {
			if p := recover(); p != nil {
				s.panicked(ss.Context(), &c, p)
				ended <- errInternal
			}
		}()
		ended <- h(srv, callStream{ss, c.within(ctx)})
	}()
	select {
	case <-s.stopping:
		return errStopping
	case err := <-ended:
		if err != nil {
			err = s.answer(ss.Context(), &c, err).Err()
		}
		return err
	}
}

// callStream is a stream whose handler knows its caller.
type callStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream has one by its contract
}

// Context implements grpc.ServerStream.
func (s callStream) Context() context.Context { return s.ctx }

var errStopping = status.Error(codes.Unavailable, "this server is stopping")

func (s *Server) panicked(ctx context.Context, c *call, p any) {
	s.log.ErrorContext(ctx, "handler panicked", "request_id", c.requestID, "endpoint", c.method, "panic", p, "stack", string(debug.Stack()))
}

// identify finds out who calls and which mutation it is. A key that is wrong is
// refused on public methods too: its owner would take their answers for those to
// an authorised caller.
func (s *Server) identify(ctx context.Context, c *call) error {
	if s.tools[c.method] {
		return nil
	}
	if s.cfg.Peer != nil {
		p, err := s.cfg.Peer(ctx)
		if err != nil {
			return err
		}
		c.caller, c.authorised = p, true
		if s.cfg.Token != nil {
			if c.behalf, err = s.cfg.Token(ctx, c.method, first(ctx, metaRoleToken)); err != nil {
				return err
			}
		}
		return s.nameRequest(ctx, c)
	}
	given := metadata.ValueFromIncomingContext(ctx, metaAuthorization)
	switch {
	case len(given) > 1:
		return httpx.ErrNoAuth
	case len(given) == 1:
		scheme, key, _ := strings.Cut(given[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return httpx.ErrNoAuth
		}
		p, err := s.authenticate(Peer(ctx), strings.Trim(key, " "))
		if err != nil {
			return err
		}
		c.caller, c.authorised = p, true
	case !s.public[c.method]:
		return httpx.ErrNoAuth
	}
	return s.nameRequest(ctx, c)
}

// authenticate looks at a key, unless its address showed too many that are wrong.
func (s *Server) authenticate(from netip.Addr, key string) (httpx.Principal, error) {
	g := s.cfg.Guard
	if g == nil || from.IsLoopback() {
		return s.auth.Authenticate(key)
	}
	if err := g.Key(from); err != nil {
		return httpx.Principal{}, err
	}
	p, err := s.auth.Authenticate(key)
	if err != nil {
		g.WrongKey(from)
	}
	return p, err
}

// Proof is the proof of work that a call carries.
func Proof(ctx context.Context) string { return first(ctx, limit.ProofHeader) }

// allow gives the context under which the caller acts. Public methods ask for nothing,
// and callers without a key have no scope there.
func (s *Server) allow(ctx context.Context, c *call) (context.Context, error) {
	if !c.authorised || s.public[c.method] || s.tools[c.method] {
		return ctx, nil
	}
	need, ok := s.needs[c.method]
	if !ok {
		need = httpx.System
	}
	return c.caller.Allowed(ctx, need)
}

const idemKeyMax = 255

// nameRequest reads the idempotency key. Without a caller it has no scope and names
// nothing.
func (s *Server) nameRequest(ctx context.Context, c *call) error {
	given := metadata.ValueFromIncomingContext(ctx, metaIdempotency)
	if len(given) == 0 || !c.authorised {
		return nil
	}
	key := given[0]
	if n := len(key); n >= 2 && key[0] == '"' && key[n-1] == '"' {
		key = key[1 : n-1]
	}
	if len(given) > 1 || key == "" || len(key) > idemKeyMax || strings.ContainsFunc(key, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return httpx.ErrBadIdemKey
	}
	c.request = sha256.Sum256([]byte(strings.Join([]string{c.caller.ID, "gRPC", c.method, key}, "\x00")))
	return nil
}

func (s *Server) requestID(ctx context.Context) string {
	id := first(ctx, metaRequestID)
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r <= 0x20 || r > 0x7e }) {
		return s.prefix + strconv.FormatUint(s.count.Add(1), 36)
	}
	return id
}

// finish measures and logs a call and gives what it answers.
func (s *Server) finish(ctx context.Context, c *call, start time.Time, failure error) error {
	httpStatus, st := http.StatusOK, status.New(codes.OK, "")
	if failure != nil {
		st = s.answer(ctx, c, failure)
		httpStatus = httpStatusOf(failure, st.Code())
	}
	ended := s.clock.Now()
	took := max(0, ended.Sub(start))
	s.observer.Request(http.MethodPost, c.method, httpStatus, ended, took)
	level := slog.LevelDebug // scans and probes are many and boring
	if httpStatus >= http.StatusInternalServerError || c.authorised && !s.public[c.method] {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, "request", "method", "gRPC", "url", c.method, "user_agent", UserAgent(ctx),
		"duration_ms", float64(took.Microseconds())/1000, "status_code", httpStatus, "grpc_code", st.Code().String(),
		"request_id", c.requestID, "endpoint", c.method)
	return st.Err()
}

// answer is the status of a failure. What is internal is logged here, once.
func (s *Server) answer(ctx context.Context, c *call, failure error) *status.Status {
	if code, ok := gaveUp(failure); ok {
		return status.New(code, code.String())
	}
	if st, ok := status.FromError(failure); ok && s.tools[c.method] {
		return st
	}
	if st, ok := ownStatus(failure); ok {
		return st
	}
	st, isFault := statusOf(failure)
	if !isFault {
		s.log.ErrorContext(ctx, "request failed", "request_id", c.requestID, "method", c.method, "error", failure)
	}
	return st
}
