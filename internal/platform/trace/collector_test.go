package trace

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// collector is an OTLP receiver as operators run it, on a real port.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer

	addr     string
	hang     atomic.Bool   // answers nothing
	released chan struct{} // ends what hangs

	mu       sync.Mutex
	spans    []*tracepb.Span
	resource map[string]string
}

func startCollector(t testing.TB, opts ...grpc.ServerOption) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{addr: l.Addr().String(), released: make(chan struct{})}
	s := grpc.NewServer(opts...)
	collectorpb.RegisterTraceServiceServer(s, c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		close(c.released)
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

// Export implements the collector's TraceService.
func (c *collector) Export(ctx context.Context, req *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	if c.hang.Load() {
		select {
		case <-c.released:
		case <-ctx.Done():
		}
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range req.GetResourceSpans() {
		c.resource = texts(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			c.spans = append(c.spans, ss.GetSpans()...)
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// received gives what came, by name.
func (c *collector) received() map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	byName := map[string]*tracepb.Span{}
	for _, s := range c.spans {
		byName[s.GetName()] = s
	}
	return byName
}

func texts(attrs []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attrs {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			all[a.GetKey()] = fmt.Sprintf("%T", v)
		}
	}
	return all
}

// open gives a Tracer that sends to addr.
func open(t testing.TB, addr string, ratio float64) *Tracer {
	t.Helper()
	tr, err := Open(t.Context(), Config{
		Endpoint: addr, Ratio: ratio, Service: "chopmark", Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func closeTracer(t testing.TB, tr *Tracer) {
	t.Helper()
	if err := tr.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
