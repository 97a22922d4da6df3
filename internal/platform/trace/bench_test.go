package trace

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func nothing(context.Context) error { return nil }

// BenchmarkSample is what a request pays that is not sampled. "sdk" is what it would
// pay if OpenTelemetry's own sampler decided.
func BenchmarkSample(b *testing.B) {
	h := http.Header{"Traceparent": {exampleSampled}, "User-Agent": {"x"}, "Accept": {"y"}}
	no := http.Header{"Traceparent": {exampleNot}, "User-Agent": {"x"}, "Accept": {"y"}}
	tr := ratio(b, 0.000001)
	for _, bench := range []struct {
		name string
		fn   func() bool
	}{
		{"loop", func() bool { return false }},
		{"off", func() bool { _, s := (*Tracer)(nil).SampleHeader(h, false); return s }},
		{"stranger", func() bool { _, s := tr.Sample("", false); return s }},
		{"stranger-header", func() bool { _, s := tr.SampleHeader(h, false); return s }},
		{"trusted-unsampled", func() bool { _, s := tr.SampleHeader(no, true); return s }},
		{"do", func() bool { return Do(b.Context(), "x", nothing) != nil }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.fn()
			}
		})
	}
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		tracer := sdk.NewTracerProvider(sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(0.000001)))).Tracer(scope)
		for b.Loop() {
			_, s := tracer.Start(b.Context(), "GET /{code}/{token}")
			s.SetAttributes(attribute.Int("http.response.status_code", 200))
			s.End()
		}
	})
}

// BenchmarkDraw compares the draw with a counter that all cores share.
func BenchmarkDraw(b *testing.B) {
	var counter atomic.Uint64
	tr := ratio(b, 0.000001)
	for _, bench := range []struct {
		name string
		fn   func() bool
	}{
		{"seed", tr.draw},
		{"counter", func() bool {
			x := counter.Add(1) * 0x9e3779b97f4a7c15
			x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
			x = (x ^ x>>27) * 0x94d049bb133111eb
			return (x^x>>31)>>11 < tr.threshold
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bench.fn()
				}
			})
		})
	}
}

// BenchmarkSampled is what a sampled request pays: a span with its attributes.
func BenchmarkSampled(b *testing.B) {
	c := startCollector(b)
	tr := open(b, c.addr, 1)
	defer closeTracer(b, tr)
	b.ReportAllocs()
	for b.Loop() {
		parent, _ := tr.Sample(exampleSampled, false)
		_, s := tr.Start(b.Context(), "GET /{code}/{token}", Server, parent, Method("GET"), Route("/{code}/{token}"))
		s.SetStatus(200)
		s.End()
	}
}

// BenchmarkGRPC is a call over loopback: without tracing, and not sampled or sampled
// by grpc-go's stats handler or by an interceptor.
func BenchmarkGRPC(b *testing.B) {
	c := startCollector(b)
	stats := func(tr *Tracer) grpc.ServerOption { return tr.ServerOption(nil) }
	own := func(tr *Tracer) grpc.ServerOption { return grpc.UnaryInterceptor(interceptor(tr)) }
	for _, bench := range []struct {
		name   string
		share  float64
		option func(*Tracer) grpc.ServerOption
	}{
		{"without", 0, func(*Tracer) grpc.ServerOption { return own(nil) }},
		{"interceptor-unsampled", 0, own},
		{"stats-unsampled", 0, stats},
		{"interceptor-sampled", 1, own},
		{"stats-sampled", 1, stats},
	} {
		b.Run(bench.name, func(b *testing.B) {
			tr := open(b, c.addr, bench.share)
			defer closeTracer(b, tr)
			conn := serveEcho(b, []grpc.ServerOption{bench.option(tr)})
			req, resp := &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{}
			b.ReportAllocs()
			for b.Loop() {
				if err := conn.Invoke(b.Context(), echoMethod, req, resp); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
