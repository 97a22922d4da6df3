package grpcx

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// fakeTracer samples what carries "x-sample" and is trusted, or "x-draw".
type fakeTracer struct {
	mu    sync.Mutex
	asked []string // guarded by mu
	ended []string // guarded by mu
}

type spanKey struct{}

var _ Tracer = (*fakeTracer)(nil)

func (f *fakeTracer) Call(ctx context.Context, method string, trusted bool) (context.Context, func(codes.Code)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint(method, " ", trusted))
	if first(ctx, "x-draw") == "" && (first(ctx, "x-sample") == "" || !trusted) {
		return ctx, nil
	}
	return context.WithValue(ctx, spanKey{}, method), func(code codes.Code) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended = append(f.ended, fmt.Sprint(method, " ", code))
	}
}

// take gives what was asked and ended since it was last called.
func (f *fakeTracer) take() (asked, ended []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked, ended = f.asked, f.ended
	f.asked, f.ended = nil, nil
	return asked, ended
}

// TestTraces: a sampled call has one span with the code that the caller sees,
// whatever becomes of it, and a valid key makes its caller trusted.
func TestTraces(t *testing.T) {
	t.Parallel()
	tracer := &fakeTracer{}
	w := serve(t, Config{Tracer: tracer, CallMax: 200 * time.Millisecond}, func(ctx context.Context, in string) (string, error) {
		span, _ := ctx.Value(spanKey{}).(string)
		switch in {
		case "fault":
			return "", fault.New(fault.NotFound, "x.missing", "missing")
		case "plain":
			return "", errors.New("plain")
		case "panic":
			panic("a panic")
		case "late":
			<-ctx.Done()
			return "", ctx.Err()
		}
		return span, nil
	})
	key := []string{"authorization", "Bearer " + goodKey}
	for name, c := range map[string]struct {
		method, in string
		meta       []string
		trusted    bool
		ended      codes.Code
		none       bool // no span
	}{
		"stranger":                {method: openMethod, none: true},
		"stranger asks for it":    {method: openMethod, meta: []string{"x-sample", "1"}, none: true},
		"stranger is drawn":       {method: openMethod, meta: []string{"x-draw", "1"}},
		"key":                     {method: closedMethod, meta: key, trusted: true, none: true},
		"key asks for it":         {method: closedMethod, meta: append(key, "x-sample", "1"), trusted: true},
		"key asks for it, open":   {method: openMethod, meta: append(key, "x-sample", "1"), trusted: true},
		"wrong key asks for it":   {method: openMethod, meta: []string{"authorization", "Bearer x", "x-sample", "1"}, none: true},
		"wrong key is drawn":      {method: openMethod, meta: []string{"authorization", "Bearer x", "x-draw", "1"}, ended: codes.Unauthenticated},
		"no key is drawn":         {method: closedMethod, meta: []string{"x-draw", "1"}, ended: codes.Unauthenticated},
		"bad idempotency key":     {method: closedMethod, meta: append(key, "x-sample", "1", "idempotency-key", `""`), trusted: true, ended: codes.InvalidArgument},
		"under a key, idempotent": {method: closedMethod, meta: append(key, "x-sample", "1", "idempotency-key", "k"), trusted: true},
		"fault":                   {method: openMethod, in: "fault", meta: []string{"x-draw", "1"}, ended: codes.NotFound},
		"plain":                   {method: openMethod, in: "plain", meta: []string{"x-draw", "1"}, ended: codes.Internal},
		"panic":                   {method: openMethod, in: "panic", meta: []string{"x-draw", "1"}, ended: codes.Internal},
		"late":                    {method: openMethod, in: "late", meta: []string{"x-draw", "1"}, ended: codes.DeadlineExceeded},
	} {
		span, _, err := w.call(t.Context(), c.method, c.in, c.meta...)
		asked, ended := tracer.take()
		if diff := cmp.Diff([]string{fmt.Sprint(c.method, " ", c.trusted)}, asked); diff != "" {
			t.Errorf("%s: asked (-want +got):\n%s", name, diff)
		}
		var want []string
		if !c.none {
			want = []string{fmt.Sprint(c.method, " ", c.ended)}
			if status.Code(err) != c.ended {
				t.Errorf("%s: %v, want %v", name, err, c.ended)
			}
		}
		if diff := cmp.Diff(want, ended); diff != "" {
			t.Errorf("%s: ended (-want +got):\n%s", name, diff)
		}
		if err == nil && (span == c.method) == c.none {
			t.Errorf("%s: the handler's span is %q", name, span)
		}
	}
}

// TestToolsAreNotTraced: health is asked every few seconds by everybody.
func TestToolsAreNotTraced(t *testing.T) {
	t.Parallel()
	tracer := &fakeTracer{}
	w := serve(t, Config{Tracer: tracer}, func(context.Context, string) (string, error) { return "", nil })
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-draw", "1")
	if _, err := healthpb.NewHealthClient(w.conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if asked, _ := tracer.take(); len(asked) > 0 {
		t.Errorf("asked for %v", asked)
	}
}
