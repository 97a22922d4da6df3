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

// Kind is a span's part in the conversation.
type Kind uint8

// The kinds.
const (
	Internal Kind = iota // work within the process
	Server               // answers a request
	Client               // makes one
	Producer             // sends a message
	Consumer             // works on messages
)

// otel relies on the order, which TestKinds pins.
func (k Kind) otel() oteltrace.SpanKind { return oteltrace.SpanKindInternal + oteltrace.SpanKind(k) }

// Span is a piece of sampled work. A nil Span is work that is not sampled.
type Span struct{ span oteltrace.Span }

// Start begins a span of work that was sampled: below parent, else below the span
// that ctx carries, else a trace of its own. The caller calls End.
func (t *Tracer) Start(ctx context.Context, name string, kind Kind, parent Context, attrs ...Attr) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	if !parent.IsZero() {
		ctx = oteltrace.ContextWithRemoteSpanContext(ctx, parent.otel())
	}
	return t.start(ctx, name, kind, nil, attrs)
}

func (t *Tracer) start(ctx context.Context, name string, kind Kind, links []oteltrace.Link, attrs []Attr) (context.Context, *Span) {
	ctx, span := t.out.tracer.Start(ctx, name, oteltrace.WithSpanKind(kind.otel()),
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
	ctx, span := t.start(ctx, name, Consumer, links, attrs)
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

// Set adds attributes.
func (s *Span) Set(attrs ...Attr) {
	if s != nil {
		s.span.SetAttributes(keyValues(attrs)...)
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

// AddLink names another trace that the work belongs to.
func (s *Span) AddLink(c Context) {
	if s != nil && !c.IsZero() {
		s.span.AddLink(oteltrace.Link{SpanContext: c.otel()})
	}
}

// Context is the span's place, for events that it causes.
func (s *Span) Context() Context {
	if s == nil {
		return Context{}
	}
	return contextOf(s.span.SpanContext())
}

// Current is the place of the span that ctx carries; zero when it is not sampled.
func Current(ctx context.Context) Context {
	return contextOf(oteltrace.SpanContextFromContext(ctx))
}

// Inject writes the traceparent of the span that ctx carries, if there is one.
func Inject(ctx context.Context, h http.Header) {
	if c := Current(ctx); !c.IsZero() {
		h[headerName] = []string{c.String()}
	}
}

// Do runs fn in a span of its own when ctx carries one, and else only runs fn.
func Do(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	parent := oteltrace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return fn(ctx)
	}
	ctx, child := parent.TracerProvider().Tracer(scope).Start(ctx, name)
	span := &Span{child}
	panicked := true
	defer func() {
		if panicked {
			span.fail("panic")
		}
		span.End()
	}()
	err := fn(ctx)
	panicked = false
	span.Fail(err)
	return err
}

func (c Context) otel() oteltrace.SpanContext {
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: c.ID, SpanID: c.Span, TraceFlags: oteltrace.FlagsSampled, Remote: true,
	})
}

func contextOf(sc oteltrace.SpanContext) Context {
	if !sc.IsValid() || !sc.IsSampled() {
		return Context{}
	}
	return Context{ID: sc.TraceID(), Span: sc.SpanID()}
}
