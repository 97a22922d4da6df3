package trace

import (
	"context"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const echoMethod = "/test.Echo/Echo"

// serveEcho answers echoMethod, with messages that are at hand.
func serveEcho(t testing.TB, tr *Tracer, trusted bool) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(interceptor(tr, trusted)))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
			req := &healthpb.HealthCheckRequest{}
			if err := decode(req); err != nil {
				return nil, err
			}
			return around(ctx, req, &grpc.UnaryServerInfo{FullMethod: echoMethod}, echo)
		},
	}}}, struct{}{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func echo(_ context.Context, req any) (any, error) {
	if req.(*healthpb.HealthCheckRequest).GetService() == "fail" {
		return nil, status.Error(codes.Internal, "internal error")
	}
	return &healthpb.HealthCheckResponse{}, nil
}

func interceptor(tr *Tracer, trusted bool) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		var span *Span
		if parent, sampled := tr.SampleCall(ctx, trusted); sampled {
			ctx, span = tr.Start(ctx, info.FullMethod[1:], parent, RPC(info.FullMethod)...)
		}
		resp, err := h(ctx, req)
		span.SetCode(status.Code(err))
		span.End()
		return resp, err
	}
}

// TestInterceptor is a server that traces in an interceptor of its own, as grpcx does.
func TestInterceptor(t *testing.T) {
	for name, tc := range map[string]struct {
		ratio       float64
		trusted     bool
		traceparent string
		spans       int // of two calls
	}{
		"stranger, drawn":            {1, false, exampleNot, 2},
		"stranger who wants a trace": {0, false, exampleSampled, 0},
		"trusted, wants a trace":     {0, true, exampleSampled, 2},
		"trusted, wants none":        {1, true, exampleNot, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := startCollector(t)
			tr := open(t, c.addr, tc.ratio)
			conn := serveEcho(t, tr, tc.trusted)
			ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", tc.traceparent)
			for service, want := range map[string]codes.Code{"": codes.OK, "fail": codes.Internal} {
				err := conn.Invoke(ctx, echoMethod, &healthpb.HealthCheckRequest{Service: service}, &healthpb.HealthCheckResponse{})
				if status.Code(err) != want {
					t.Errorf("%q: %v", service, err)
				}
			}
			closeTracer(t, tr)
			checkCalls(t, c, tc.traceparent, tc.spans)
		})
	}
}

func checkCalls(t *testing.T, c *collector, traceparent string, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) != n {
		t.Fatalf("%d spans, want %d", len(c.spans), n)
	}
	if n == 0 {
		return
	}
	parent, _, _ := parse(traceparent)
	got := map[string]string{}
	for _, s := range c.spans {
		attrs := texts(s.GetAttributes())
		got[attrs["rpc.response.status_code"]] = s.GetName() + " " + attrs["rpc.system.name"] + " " + attrs["rpc.method"] + " " + s.GetStatus().GetCode().String()
		if s.GetKind() != tracepb.Span_SPAN_KIND_SERVER || [16]byte(s.GetTraceId()) != parent.ID || [8]byte(s.GetParentSpanId()) != parent.Span {
			t.Errorf("%v is not below %x", s, parent.Span)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"OK":       "test.Echo/Echo grpc test.Echo/Echo STATUS_CODE_UNSET",
		"INTERNAL": "test.Echo/Echo grpc test.Echo/Echo STATUS_CODE_ERROR",
	}, got); diff != "" {
		t.Error(diff)
	}
}
