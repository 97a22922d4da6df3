package trace

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	grpccodes "google.golang.org/grpc/codes"
)

// Span is a piece of sampled work. A nil Span is work that is not sampled.
type Span struct{ span oteltrace.Span }

// Start begins the span of a request that was sampled, below parent or as a trace of
// its own. The caller calls End.
func (t *Tracer) Start(ctx context.Context, name string, parent Context, attrs ...Attr) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	if !parent.IsZero() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, parent.otel())
	}
	return t.start(ctx, name, oteltrace.SpanKindServer, nil, attrs)
}

//nolint:spancheck // the caller ends it
func (t *Tracer) start(ctx context.Context, name string, kind oteltrace.SpanKind, links []oteltrace.Link, attrs []Attr) (context.Context, *Span) {
	ctx, span := t.tracer.Start(ctx, name, oteltrace.WithSpanKind(kind),
		oteltrace.WithAttributes(keyValues(attrs)...), oteltrace.WithLinks(links...))
	return ctx, &Span{span}
}

// StartBatch begins the span of a consumer that works on many messages at once, with
// a link to each producer. A batch without a sampled producer has no span. Beyond
// 128 different producers there is only their number.
func (t *Tracer) StartBatch(ctx context.Context, name string, producers []Context, attrs ...Attr) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	linked := make([]Context, 0, min(len(producers), linksMax))
	more := 0
	for _, p := range producers {
		switch {
		case p.IsZero():
		case len(linked) == linksMax:
			more++
		case !slices.Contains(linked, p):
			linked = append(linked, p)
		}
	}
	if len(linked) == 0 {
		return ctx, nil
	}
	links := make([]oteltrace.Link, len(linked))
	for i, p := range linked {
		links[i].SpanContext = p.otel()
	}
	ctx, span := t.start(ctx, name, oteltrace.SpanKindConsumer, links, attrs)
	span.span.SetAttributes(semconv.MessagingOperationTypeProcess)
	if more > 0 {
		span.span.SetAttributes(attribute.Int(keyLinksLeftOut, more))
	}
	return ctx, span
}

// End ends the span and hands it to the queue.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// SetStatus records what an HTTP server answered. By the conventions only 5xx is
// the server's failure.
func (s *Span) SetStatus(status int) {
	if s == nil {
		return
	}
	s.span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError {
		s.fail(strconv.Itoa(status))
	}
}

// SetCode records what a gRPC server answered. By the conventions only some codes
// are the server's failure.
func (s *Span) SetCode(code grpccodes.Code) {
	if s == nil {
		return
	}
	name := rpccode.Code(code).String() // as the conventions spell it: NOT_FOUND
	s.span.SetAttributes(semconv.RPCResponseStatusCode(name))
	switch code {
	case grpccodes.Unknown, grpccodes.DeadlineExceeded, grpccodes.Unimplemented, grpccodes.Internal, grpccodes.Unavailable, grpccodes.DataLoss:
		s.fail(name)
	default: // the caller's doing
	}
}

// Fail marks the work as failed, unless err is nil. The span shows the fault's code
// or the error's type: the text may hold what a trace must not, and is in the log.
func (s *Span) Fail(err error) {
	if s != nil && err != nil {
		s.fail(errorType(err))
	}
}

func (s *Span) fail(why string) {
	s.span.SetAttributes(semconv.ErrorTypeKey.String(why))
	s.span.SetStatus(codes.Error, why)
}

// Current is the place of the span that ctx carries, for events that its work causes;
// zero when it is not sampled.
func Current(ctx context.Context) Context {
	sc := oteltrace.SpanContextFromContext(ctx)
	if !sc.IsValid() || !sc.IsSampled() {
		return Context{}
	}
	return Context{ID: sc.TraceID(), Span: sc.SpanID()}
}

func (c Context) otel() oteltrace.SpanContext {
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: c.ID, SpanID: c.Span, TraceFlags: oteltrace.FlagsSampled, Remote: true,
	})
}
