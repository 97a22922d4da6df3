package trace

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const echoMethod = "/test.Echo/Echo"

// serveEcho answers echoMethod, with messages that are at hand, and health checks.
func serveEcho(t testing.TB, opts []grpc.ServerOption, dial ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
			req := &healthpb.HealthCheckRequest{}
			if err := decode(req); err != nil {
				return nil, err
			}
			if around == nil {
				return echo(ctx, req)
			}
			return around(ctx, req, &grpc.UnaryServerInfo{FullMethod: echoMethod}, echo)
		},
	}}}, struct{}{})
	healthpb.RegisterHealthServer(s, health.NewServer())
	go s.Serve(l)
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func echo(ctx context.Context, req any) (any, error) {
	if req.(*healthpb.HealthCheckRequest).GetService() == "fail" {
		return nil, status.Error(codes.Internal, "internal error")
	}
	return &healthpb.HealthCheckResponse{}, Do(ctx, "work", nothing)
}

func call(t *testing.T, ctx context.Context, conn *grpc.ClientConn, service string) error {
	t.Helper()
	return conn.Invoke(ctx, echoMethod, &healthpb.HealthCheckRequest{Service: service}, &healthpb.HealthCheckResponse{})
}

// TestGRPC follows a trace through a client, a server that trusts it, and the work
// behind it.
func TestGRPC(t *testing.T) {
	c := startCollector(t)
	client, server := open(t, c.addr, 1), open(t, c.addr, 0)
	conn := serveEcho(t, []grpc.ServerOption{server.ServerOption(func(context.Context) bool { return true })}, client.DialOption())

	ctx, s := client.Start(t.Context(), "outer", Internal, Context{})
	if err := call(t, ctx, conn, ""); err != nil {
		t.Fatal(err)
	}
	s.End()
	if err := call(t, t.Context(), conn, ""); err != nil { // not part of a trace
		t.Fatal(err)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(metadata.AppendToOutgoingContext(t.Context(), "traceparent", exampleSampled), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	closeTracer(t, client)
	waitEnded(t, server, 2)
	closeTracer(t, server)

	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) != 4 {
		t.Fatalf("%d spans: %v", len(c.spans), c.spans)
	}
	byKind := map[tracepb.Span_SpanKind]*tracepb.Span{}
	names := map[string]*tracepb.Span{}
	for _, sp := range c.spans {
		names[sp.GetName()] = sp
		byKind[sp.GetKind()] = sp
		if string(sp.GetTraceId()) != string(names["outer"].GetTraceId()) && names["outer"] != nil {
			t.Errorf("%s is in another trace", sp.GetName())
		}
	}
	out, in := byKind[tracepb.Span_SPAN_KIND_CLIENT], byKind[tracepb.Span_SPAN_KIND_SERVER]
	if string(out.GetParentSpanId()) != string(names["outer"].GetSpanId()) || string(in.GetParentSpanId()) != string(out.GetSpanId()) ||
		string(names["work"].GetParentSpanId()) != string(in.GetSpanId()) {
		t.Errorf("the spans do not hang together: %v", c.spans)
	}
	attrs := texts(in.GetAttributes())
	if attrs["rpc.system.name"] != "grpc" || attrs["rpc.method"] != "test.Echo/Echo" || attrs["rpc.response.status_code"] != "OK" {
		t.Errorf("server span %v", attrs)
	}
	for key := range attrs {
		if key == "client.address" || key == "network.peer.address" {
			t.Errorf("the server span shows the caller's %s", key)
		}
	}
}

// TestGRPCStrangers: a stranger's flag is not believed, its id is kept.
func TestGRPCStrangers(t *testing.T) {
	for _, share := range []float64{0, 1} {
		c := startCollector(t)
		tr := open(t, c.addr, share)
		conn := serveEcho(t, []grpc.ServerOption{tr.ServerOption(nil)})
		for range 20 {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", exampleSampled)
			if err := call(t, ctx, conn, "fail"); status.Code(err) != codes.Internal {
				t.Fatal(err)
			}
		}
		waitEnded(t, tr, int(20*share))
		closeTracer(t, tr)
		c.mu.Lock()
		if len(c.spans) != int(20*share) {
			t.Errorf("ratio %v: %d spans of 20 calls", share, len(c.spans))
		}
		want, _, _ := Parse(exampleSampled)
		for _, s := range c.spans {
			if [16]byte(s.GetTraceId()) != want.ID || [8]byte(s.GetParentSpanId()) != want.Span || s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR {
				t.Errorf("%v", s)
			}
		}
		c.mu.Unlock()
	}
}

// TestInterceptor is a server that traces in an interceptor of its own.
func TestInterceptor(t *testing.T) {
	c := startCollector(t)
	tr := open(t, c.addr, 1)
	conn := serveEcho(t, []grpc.ServerOption{grpc.UnaryInterceptor(interceptor(tr))})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", exampleNot)
	for _, service := range []string{"", "fail"} {
		_ = call(t, ctx, conn, service)
	}
	closeTracer(t, tr)
	parent, _, _ := Parse(exampleNot)
	got := map[string]string{}
	for _, s := range c.spans {
		if s.GetKind() == tracepb.Span_SPAN_KIND_SERVER {
			attrs := texts(s.GetAttributes())
			got[attrs["rpc.response.status_code"]] = s.GetName() + " " + attrs["rpc.system.name"] + " " + attrs["rpc.method"] + " " + s.GetStatus().GetCode().String()
			if [16]byte(s.GetTraceId()) != parent.ID || [8]byte(s.GetParentSpanId()) != parent.Span {
				t.Errorf("below %x", s.GetParentSpanId())
			}
		}
	}
	if diff := cmp.Diff(map[string]string{
		"OK":       "test.Echo/Echo grpc test.Echo/Echo STATUS_CODE_UNSET",
		"INTERNAL": "test.Echo/Echo grpc test.Echo/Echo STATUS_CODE_ERROR",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func interceptor(tr *Tracer) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		var span *Span
		if parent, sampled := tr.SampleCall(ctx, false); sampled {
			ctx, span = tr.Start(ctx, info.FullMethod[1:], Server, parent, RPC(info.FullMethod)...)
		}
		resp, err := h(ctx, req)
		span.SetCode(status.Code(err))
		span.End()
		return resp, err
	}
}

// waitEnded waits until the server has ended its spans, which it does after the
// client has the answer.
func waitEnded(t *testing.T, tr *Tracer, n int) {
	t.Helper()
	for range 1000 {
		if s := tr.Stats(); s.Sent+s.Dropped+s.Failed+s.Waiting >= uint64(n) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%+v, want %d spans", tr.Stats(), n)
}
