// Package trace tells what became of a few requests in full: OpenTelemetry spans,
// sent over OTLP to the operator's collector.
//
// Promise: a request that is not sampled costs a draw and nothing else, since the
// decision is taken here before any OpenTelemetry object exists
// (TestUnsampledAllocatesNothing, BenchmarkSample); a stranger's wish to be sampled
// is not believed (TestStrangersDoNotDecide); and a collector that is away or slow
// never fails or delays a request: spans wait in a bounded queue, and what does not
// fit is dropped and counted (TestCollectorAway, TestCollectorHangs). Nothing here is
// global: OpenTelemetry's own global provider stays empty.
//
// What a span may say is closed: an Attr is made by the constructors of this package
// and an error is shown by its stable code, so a token, an inner code or an address
// has no way in (TestFailShowsNoText).
//
// A nil *Tracer is tracing switched off; all of its methods, and those of a nil
// *Span, do nothing.
package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Config says where spans go and how many requests have them.
type Config struct {
	// Endpoint is the collector's OTLP gRPC port: "host:port" or "http://host:port"
	// without TLS, "https://host:port" with it; "" = tracing is off.
	Endpoint string
	// Ratio is the share of requests that are sampled, 0 to 1.
	Ratio float64
	// Service and Version name the program. OTEL_SERVICE_NAME and
	// OTEL_RESOURCE_ATTRIBUTES win over them: the operator knows better.
	Service, Version string
	Log              *slog.Logger // nil = losses are only counted
	Clock            clock.Clock  // nil = the machine's
}

const (
	scope      = "github.com/chopmark/chopmark"
	closeMax   = 5 * time.Second
	redialMax  = 30 * time.Second
	portOTLP   = "4317"
	linksMax   = 128
	attrsMax   = 64
	eventsMax  = 16
	attrLenMax = 256
)

// Tracer samples requests and makes their spans.
type Tracer struct {
	threshold uint64 // of drawBits random bits, what lies below is sampled
	queue     *queue
	exporter  sdk.SpanExporter
	tracer    oteltrace.Tracer
}

// Open makes a Tracer, or nil when there is no endpoint. It does not wait for the
// collector. Whoever opened it calls Close.
func Open(ctx context.Context, cfg Config) (*Tracer, error) {
	if cfg.Endpoint == "" {
		return nil, nil
	}
	limit, err := threshold(cfg.Ratio)
	if err != nil {
		return nil, err
	}
	target, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(cfg.Service), semconv.ServiceVersion(cfg.Version)),
		resource.WithFromEnv()) // the last one wins
	if err != nil {
		return nil, fmt.Errorf("read what OTEL_RESOURCE_ATTRIBUTES says of this process: %w", err)
	}
	exporter, err := otlptracegrpc.New(ctx, target.options()...)
	if err != nil {
		return nil, fmt.Errorf("prepare to send traces to %s: %w", target.address, err)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return newTracer(limit, exporter, about, newQueue(exporter, cfg.Log.With("collector", target.address), cfg.Clock)), nil
}

func newTracer(limit uint64, exporter sdk.SpanExporter, about *resource.Resource, q *queue) *Tracer {
	provider := sdk.NewTracerProvider(
		sdk.WithResource(about),
		sdk.WithSpanProcessor(q),
		// Sample has decided when we get here. The parent's flag is what it wrote.
		sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: attrLenMax, AttributeCountLimit: attrsMax, EventCountLimit: eventsMax,
			LinkCountLimit: linksMax, AttributePerEventCountLimit: eventsMax, AttributePerLinkCountLimit: eventsMax,
		}),
	)
	return &Tracer{threshold: limit, queue: q, exporter: exporter, tracer: provider.Tracer(scope)}
}

// Stats counts spans since the start.
type Stats struct {
	Sent    uint64 // the collector took them
	Dropped uint64 // the queue was full or closed
	Failed  uint64 // the collector did not take their batch, or not all of it
	Waiting uint64 // in the queue or on their way
}

// Stats tells what became of the spans so far.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return t.queue.stats()
}

// Close sends what waits and ends the connection. It returns when ctx ends or after
// five seconds at the latest; what was not sent by then counts as failed. Spans that
// end later are dropped.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeMax)
	defer cancel()
	if err := errors.Join(t.queue.Shutdown(ctx), t.exporter.Shutdown(ctx)); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// target is a collector's address.
type target struct {
	address string // host:port
	tls     bool
}

func parseEndpoint(text string) (target, error) {
	bad := func(why string) (target, error) {
		return target{}, fmt.Errorf("the endpoint for traces %s: give host:port, http://host:port or https://host:port of an OTLP gRPC receiver", why)
	}
	whole := text
	if !strings.Contains(text, "://") {
		whole = "http://" + text
	}
	u, err := url.Parse(whole)
	switch {
	case err != nil:
		return bad("cannot be read") // the error would show the text, and a password in it
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("has the scheme " + u.Scheme)
	case u.User != nil:
		return bad("holds a password, which belongs into OTEL_EXPORTER_OTLP_HEADERS")
	case u.Hostname() == "":
		return bad("names no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return bad("has a path, as OTLP over HTTP would")
	}
	port := u.Port()
	if port == "" {
		port = portOTLP
	}
	return target{address: net.JoinHostPort(u.Hostname(), port), tls: u.Scheme == "https"}, nil
}

// options are the exporter's. Headers, certificates, compression and the time for
// one batch it reads by itself from OTEL_EXPORTER_OTLP_….
func (t target) options() []otlptracegrpc.Option {
	wait := backoff.DefaultConfig
	wait.MaxDelay = redialMax
	scheme := "http"
	if t.tls {
		scheme = "https"
	}
	opts := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpointURL(scheme + "://" + t.address),
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: redialMax})),
	}
	if !t.tls { // even if the environment names a certificate
		opts = append(opts, otlptracegrpc.WithTLSCredentials(insecure.NewCredentials()))
	}
	return opts
}
