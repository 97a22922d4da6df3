package trace

import (
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// BenchmarkSample is what a request pays that is not sampled. "sdk" is what it would
// pay if OpenTelemetry's own sampler decided.
func BenchmarkSample(b *testing.B) {
	call := incoming(b, exampleSampled)
	tr := ratio(b, 0.000001)
	for _, bench := range []struct {
		name string
		fn   func() bool
	}{
		{"loop", func() bool { return false }},
		{"off", func() bool { _, s := (*Tracer)(nil).Sample(exampleSampled, false); return s }},
		{"stranger", func() bool { _, s := tr.Sample(exampleSampled, false); return s }},
		{"stranger-call", func() bool { _, s := tr.SampleCall(call, false); return s }},
		{"trusted-unsampled", func() bool { _, s := tr.Sample(exampleNot, true); return s }},
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
			_, s := tracer.Start(b.Context(), "GET /{code}")
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
		_, s := tr.Start(b.Context(), "GET /{code}", parent, Method("GET"), Route("/{code}"))
		s.SetStatus(200)
		s.End()
	}
}

// BenchmarkGRPC is a call over loopback: without tracing, not sampled, and sampled.
func BenchmarkGRPC(b *testing.B) {
	c := startCollector(b)
	for _, bench := range []struct {
		name  string
		addr  string
		ratio float64
	}{
		{"without", "", 0},
		{"unsampled", c.addr, 0},
		{"sampled", c.addr, 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			tr := open(b, bench.addr, bench.ratio)
			defer closeTracer(b, tr)
			conn := serveEcho(b, tr, false)
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
