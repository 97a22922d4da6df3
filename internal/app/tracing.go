package app

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/trace"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyhttp"
)

// traceRatio is the share of requests that are traced when nobody says: the seeds'.
const traceRatio = 0.1

// openTracing reads OpenTelemetry's own environment variables. Without an endpoint
// nothing is traced.
func (a *App) openTracing(ctx context.Context) (err error) {
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if endpoint == "" {
		endpoint = os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	ratio := traceRatio
	if text := os.Getenv("OTEL_TRACES_SAMPLER_ARG"); text != "" {
		if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return usage("OTEL_TRACES_SAMPLER_ARG", "%q is not a share between 0 and 1", text)
		}
	}
	a.tracer, err = trace.Open(ctx, trace.Config{
		Endpoint: endpoint, Ratio: ratio, Service: "chopmark", Version: a.Version, Log: a.log, Clock: a.clock,
	})
	if err != nil || a.tracer == nil {
		return err
	}
	a.closers = append(a.closers, func() error { return a.tracer.Close(context.Background()) })
	counter := func(name, help string, value func(trace.Stats) float64) {
		a.metrics.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help},
			func() float64 { return value(a.tracer.Stats()) }))
	}
	counter("chopmark_trace_spans_sent_total", "Spans that the collector has.", func(s trace.Stats) float64 { return float64(s.Sent) })
	counter("chopmark_trace_spans_dropped_total", "Spans that found no room in the queue.", func(s trace.Stats) float64 { return float64(s.Dropped) })
	counter("chopmark_trace_spans_failed_total", "Spans that the collector did not take.", func(s trace.Stats) float64 { return float64(s.Failed) })
	return nil
}

// scanTraces makes spans of sampled scans.
type scanTraces struct{ tracer *trace.Tracer }

var _ verifyhttp.Tracer = scanTraces{}

// Scan implements verifyhttp.Tracer.
func (s scanTraces) Scan(endpoint, traceparent string, trusted bool) (*verify.Trace, func(status int)) {
	parent, sampled := s.tracer.Sample(traceparent, trusted)
	if !sampled {
		return nil, nil
	}
	ctx, span := s.tracer.Start(context.Background(), http.MethodGet+" "+endpoint, parent,
		trace.Method(http.MethodGet), trace.Route(endpoint))
	return traceOf(ctx), func(status int) {
		span.SetStatus(status)
		span.End()
	}
}

// callTraces makes spans of sampled gRPC calls.
type callTraces struct{ tracer *trace.Tracer }

var _ grpcx.Tracer = callTraces{}

// Call implements grpcx.Tracer.
func (c callTraces) Call(ctx context.Context, method string, trusted bool) (context.Context, func(codes.Code)) {
	parent, sampled := c.tracer.SampleCall(ctx, trusted)
	if !sampled {
		return ctx, nil
	}
	ctx, span := c.tracer.Start(ctx, strings.TrimPrefix(method, "/"), parent, trace.RPC(method)...)
	return ctx, func(code codes.Code) {
		span.SetCode(code)
		span.End()
	}
}

// traceOf is the trace that goes with a scan; nil when it is not sampled.
func traceOf(ctx context.Context) *verify.Trace {
	current := trace.Current(ctx)
	if current.IsZero() {
		return nil
	}
	own := verify.Trace(current) // in here, or a scan without a trace would pay for it
	return &own
}
