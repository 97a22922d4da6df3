package trace

import (
	"context"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
)

// SampleCall is SampleHeader for a gRPC call that is being answered.
func (t *Tracer) SampleCall(ctx context.Context, trusted bool) (parent Context, sampled bool) {
	if t == nil || !trusted && !t.draw() {
		return Context{}, false
	}
	return t.judge(only(metadata.ValueFromIncomingContext(ctx, "traceparent")), trusted)
}

// ServerOption traces the calls of a gRPC server. trusted tells whether the caller's
// decision to sample is believed; nil = nobody's. Health checks and reflection are
// not traced. grpc-go makes its events for each call, sampled or not (BenchmarkGRPC
// counts them): a server that has an interceptor of its own does better to call
// SampleCall, Start and SetCode there.
func (t *Tracer) ServerOption(trusted func(ctx context.Context) bool) grpc.ServerOption {
	if t == nil {
		return grpc.EmptyServerOption{}
	}
	if trusted == nil {
		trusted = func(context.Context) bool { return false }
	}
	// Without a propagator: the parent is what serverStats lets through.
	return grpc.StatsHandler(&serverStats{
		Handler: otelgrpc.NewServerHandler(t.grpcOptions(propagation.NewCompositeTextMapPropagator())...),
		tracer:  t, trusted: trusted,
	})
}

// DialOption traces the calls that sampled work makes of other gRPC servers, and
// hands the trace on to them.
func (t *Tracer) DialOption() grpc.DialOption {
	if t == nil {
		return grpc.EmptyDialOption{}
	}
	return grpc.WithStatsHandler(&clientStats{otelgrpc.NewClientHandler(t.grpcOptions(propagation.TraceContext{})...)})
}

// grpcOptions name everything that otelgrpc would else take from globals.
func (t *Tracer) grpcOptions(p propagation.TextMapPropagator) []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(t.out.provider), otelgrpc.WithMeterProvider(noop.NewMeterProvider()), otelgrpc.WithPropagators(p),
	}
}

// serverStats keeps calls that are not sampled away from otelgrpc, which would make
// a span for each, to throw it away.
type serverStats struct {
	stats.Handler

	tracer  *Tracer
	trusted func(ctx context.Context) bool
}

// TagRPC implements stats.Handler.
func (h *serverStats) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if strings.HasPrefix(info.FullMethodName, "/grpc.") { // gRPC's own services
		return ctx
	}
	parent, sampled := h.tracer.SampleCall(ctx, h.trusted(ctx))
	if !sampled {
		return ctx
	}
	if !parent.IsZero() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, parent.otel())
	}
	return h.Handler.TagRPC(ctx, info)
}

// HandleRPC implements stats.Handler.
func (h *serverStats) HandleRPC(ctx context.Context, rs stats.RPCStats) {
	if oteltrace.SpanFromContext(ctx).IsRecording() {
		h.Handler.HandleRPC(ctx, rs)
	}
}

// clientStats traces only calls that belong to a sampled span.
type clientStats struct{ stats.Handler }

// TagRPC implements stats.Handler.
func (h *clientStats) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if !oteltrace.SpanFromContext(ctx).IsRecording() {
		return ctx
	}
	return h.Handler.TagRPC(ctx, info)
}

// HandleRPC implements stats.Handler.
func (h *clientStats) HandleRPC(ctx context.Context, rs stats.RPCStats) {
	if oteltrace.SpanFromContext(ctx).IsRecording() {
		h.Handler.HandleRPC(ctx, rs)
	}
}
