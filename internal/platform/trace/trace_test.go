package trace

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// TestSpansArrive sends a scan, what it causes and the batch that consumes it to a
// collector over gRPC.
func TestSpansArrive(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	c := startCollector(t)
	tr := open(t, "http://"+c.addr, 1)

	parent, sampled := tr.Sample(exampleSampled, false)
	if !sampled {
		t.Fatal("not sampled")
	}
	ctx, scan := tr.Start(t.Context(), "GET /{code}", parent, Method("GET"), Route("/{code}"))
	event := verifyevent.Trace(Current(ctx)) // as the log keeps it
	scan.SetStatus(http.StatusNotFound)
	scan.End()

	ctx, other := tr.Start(t.Context(), "POST /x", Context{}, Method("BREW"))
	cause := Current(ctx)
	other.SetStatus(http.StatusServiceUnavailable)
	other.End()

	ctx, batch := tr.StartBatch(t.Context(), "process statistics",
		[]Context{Context(event), {}, cause, Context(event)}, append(Messaging("chopmark", "sightings", "statistics"), Messages(9))...)
	batch.Fail(nil)
	batch.End()
	closeTracer(t, tr)

	if got := tr.Stats(); got != (Stats{Sent: 3}) {
		t.Errorf("Stats = %+v", got)
	}
	spans := c.received()
	for name, want := range map[string]Context{"GET /{code}": Context(event), "POST /x": cause, "process statistics": Current(ctx)} {
		if s := spans[name]; hex.EncodeToString(s.GetTraceId()) != hex.EncodeToString(want.ID[:]) || hex.EncodeToString(s.GetSpanId()) != hex.EncodeToString(want.Span[:]) {
			t.Errorf("%s: Current was %v, the span is %x %x", name, want, s.GetTraceId(), s.GetSpanId())
		}
	}
	checkSpan(t, spans["GET /{code}"], tracepb.Span_SPAN_KIND_SERVER, parent, tracepb.Status_STATUS_CODE_UNSET, map[string]string{
		"http.request.method": "GET", "http.route": "/{code}", "http.response.status_code": "404",
	})
	checkSpan(t, spans["POST /x"], tracepb.Span_SPAN_KIND_SERVER, Context{ID: cause.ID}, tracepb.Status_STATUS_CODE_ERROR, map[string]string{
		"http.request.method": "_OTHER", "http.response.status_code": "503", "error.type": "503",
	})
	checkSpan(t, spans["process statistics"], tracepb.Span_SPAN_KIND_CONSUMER, Context{ID: Current(ctx).ID}, tracepb.Status_STATUS_CODE_UNSET, map[string]string{
		"messaging.system": "chopmark", "messaging.destination.name": "sightings", "messaging.consumer.group.name": "statistics",
		"messaging.batch.message_count": "9", "messaging.operation.type": "process",
	}, Context(event), cause)
	if c.resource["service.name"] != "chopmark" || c.resource["service.version"] != "test" || c.resource["deployment.environment.name"] != "test" {
		t.Errorf("resource %v", c.resource)
	}
	if _, ours := otel.GetTracerProvider().(*sdk.TracerProvider); ours {
		t.Error("the global provider is ours")
	}
}

func checkSpan(t *testing.T, s *tracepb.Span, kind tracepb.Span_SpanKind, parent Context, status tracepb.Status_StatusCode, attrs map[string]string, links ...Context) {
	t.Helper()
	if s == nil {
		t.Fatal("a span is missing")
	}
	if s.GetKind() != kind || s.GetStatus().GetCode() != status {
		t.Errorf("%s: kind %v, status %v", s.GetName(), s.GetKind(), s.GetStatus())
	}
	span := ""
	if parent.Span != [8]byte{} {
		span = hex.EncodeToString(parent.Span[:])
	}
	if hex.EncodeToString(s.GetTraceId()) != hex.EncodeToString(parent.ID[:]) || hex.EncodeToString(s.GetParentSpanId()) != span {
		t.Errorf("%s: trace %x below %x, want %v", s.GetName(), s.GetTraceId(), s.GetParentSpanId(), parent)
	}
	if diff := cmp.Diff(attrs, texts(s.GetAttributes())); diff != "" {
		t.Errorf("%s: attributes (-want +got)\n%s", s.GetName(), diff)
	}
	got := []Context{}
	for _, l := range s.GetLinks() {
		got = append(got, Context{ID: [16]byte(l.GetTraceId()), Span: [8]byte(l.GetSpanId())})
	}
	if diff := cmp.Diff(append([]Context{}, links...), got); diff != "" {
		t.Errorf("%s: links (-want +got)\n%s", s.GetName(), diff)
	}
}

func TestManyProducers(t *testing.T) {
	c := startCollector(t)
	tr := open(t, c.addr, 0)
	producers := make([]Context, 300)
	for i := range producers {
		producers[i] = Context{ID: [16]byte{1, byte(i), byte(i >> 8)}, Span: [8]byte{1}}
	}
	_, s := tr.StartBatch(t.Context(), "big", producers)
	s.End()
	if _, s := tr.StartBatch(t.Context(), "of nobody", make([]Context, 5)); s != nil {
		t.Error("a batch without a sampled producer has a span")
	}
	closeTracer(t, tr)
	big := c.received()["big"]
	if len(big.GetLinks()) != 128 || big.GetDroppedLinksCount() != 0 || texts(big.GetAttributes())["chopmark.links.left_out"] != "172" {
		t.Errorf("%d links, attributes %v", len(big.GetLinks()), big.GetAttributes())
	}
}

// TestFailShowsNoText: what an error says may name a code or an address.
func TestFailShowsNoText(t *testing.T) {
	c := startCollector(t)
	tr := open(t, c.addr, 1)
	const secret = "123456789012345678"
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"fault":    {fmt.Errorf("claim: %w", fault.New(fault.Conflict, "batch.taken", "%s is taken", secret)), "batch.taken"},
		"plain":    {fmt.Errorf("dial %s: %w", secret, &net.DNSError{Name: secret}), "*net.DNSError"},
		"deadline": {fmt.Errorf("ask %s: %w", secret, context.DeadlineExceeded), "deadline_exceeded"},
		"canceled": {context.Canceled, "canceled"},
	} {
		_, s := tr.Start(t.Context(), name, Context{})
		s.Fail(tc.err)
		s.End()
	}
	closeTracer(t, tr)
	spans := c.received()
	for name, want := range map[string]string{"fault": "batch.taken", "plain": "*net.DNSError", "deadline": "deadline_exceeded", "canceled": "canceled"} {
		s := spans[name]
		if strings.Contains(s.String(), secret) || len(s.GetEvents()) > 0 {
			t.Errorf("%s: the span shows the text: %v", name, s)
		}
		if texts(s.GetAttributes())["error.type"] != want || s.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || s.GetStatus().GetMessage() != want {
			t.Errorf("%s: %v", name, s)
		}
	}
}

// TestOff: without an endpoint everything does nothing.
func TestOff(t *testing.T) {
	t.Parallel()
	tr, err := Open(t.Context(), Config{Ratio: 1})
	if tr != nil || err != nil {
		t.Fatalf("Open = %v, %v", tr, err)
	}
	if _, sampled := tr.Sample(exampleSampled, true); sampled {
		t.Error("sampled")
	}
	if _, sampled := tr.SampleCall(t.Context(), true); sampled {
		t.Error("a call is sampled")
	}
	ctx, s := tr.Start(t.Context(), "x", Context{})
	ctx, b := tr.StartBatch(ctx, "x", []Context{{ID: [16]byte{1}, Span: [8]byte{1}}})
	s.SetStatus(500)
	s.SetCode(codes.Internal)
	s.Fail(errors.ErrUnsupported)
	s.End()
	b.End()
	if s != nil || b != nil || !Current(ctx).IsZero() || tr.Stats() != (Stats{}) || tr.Close(t.Context()) != nil {
		t.Error("what is off does something")
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]target{
		"127.0.0.1:4317":         {"127.0.0.1:4317", false},
		"collector":              {"collector:4317", false},
		"[::1]:4317":             {"[::1]:4317", false},
		"http://collector:4317":  {"collector:4317", false},
		"https://collector":      {"collector:4317", true},
		"https://[2001:db8::1]/": {"[2001:db8::1]:4317", true},
	} {
		if got, err := parseEndpoint(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"grpc://c:4317", "http://", "http://c:4317/v1/traces", "https://u:hunter2@c:4317", "https://u:hunter2@c:x", "c:4317?x=1", ":4317", "http://c:port"} {
		_, err := Open(t.Context(), Config{Endpoint: text, Log: slog.Default()})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTLS: https is TLS with the operator's certificate, and http is not, whatever
// certificates there are.
func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://192.0.2.1:1") // the caller's word counts
	secure := startCollector(t, grpc.Creds(credentials.NewServerTLSFromCert(&web.TLS.Certificates[0])))
	plain := startCollector(t)
	for addr, c := range map[string]*collector{"https://" + secure.addr: secure, "http://" + plain.addr: plain} {
		tr := open(t, addr, 1)
		_, s := tr.Start(t.Context(), "x", Context{})
		s.End()
		closeTracer(t, tr)
		if c.received()["x"] == nil {
			t.Errorf("%s: nothing came", addr)
		}
	}
}

// TestCollectorAway: requests go on while nobody listens, what does not fit is
// counted, the log stays quiet, and Close keeps its deadline.
func TestCollectorAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	testLosses(t, l.Addr().String())
}

// TestCollectorHangs: as TestCollectorAway, with a collector that never answers.
func TestCollectorHangs(t *testing.T) {
	c := startCollector(t)
	c.hang.Store(true)
	testLosses(t, c.addr)
}

func testLosses(t *testing.T, addr string) {
	var out lockedBuffer
	tr, err := Open(t.Context(), Config{Endpoint: addr, Ratio: 1, Service: "chopmark", Log: slog.New(slog.NewJSONHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	const spans = 3 * queueMax
	start := time.Now()
	for range spans {
		_, s := tr.Start(t.Context(), "x", Context{})
		s.End()
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("%d requests took %v", spans, took)
	}
	if got := tr.Stats(); got.Dropped < spans-queueMax-2*batchMax {
		t.Errorf("%+v: what did not fit is not counted", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start = time.Now()
	if err := tr.Close(ctx); err == nil {
		t.Error("Close does not tell of what was lost")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("Close took %v with a deadline of 300 ms", took)
	}
	if got := tr.Stats(); got.Sent != 0 || got.Waiting != 0 || got.Dropped+got.Failed != spans {
		t.Errorf("%+v of %d spans", got, spans)
	}
	_, s := tr.Start(t.Context(), "late", Context{})
	s.End()
	if got := tr.Stats(); got.Dropped+got.Failed != spans+1 {
		t.Errorf("%+v: a span after Close is not counted", got)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines are logged:\n%s", n, out.String())
	}
	_ = tr.Close(t.Context()) // again: it must not panic
}

// TestReportsOnceAMinute drives the log with a clock of its own.
func TestReportsOnceAMinute(t *testing.T) {
	t.Parallel()
	var out lockedBuffer
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	q := &queue{log: slog.New(slog.NewJSONHandler(&out, nil)), clock: clock.Func(func() time.Time { return now })}
	lines := 0
	for i, step := range []struct {
		after time.Duration
		lost  uint64
		tells bool
	}{
		{0, 0, false}, {0, 1, true}, {time.Second, 1, false}, {58 * time.Second, 1, false},
		{time.Second, 0, true}, {time.Hour, 0, false}, {0, 5, true},
	} {
		now = now.Add(step.after)
		q.dropped.Add(step.lost)
		q.report()
		if step.tells {
			lines++
		}
		if got := strings.Count(out.String(), "\n"); got != lines {
			t.Fatalf("step %d: %d lines, want %d:\n%s", i, got, lines, out.String())
		}
	}
}

// TestTogether is for the race detector: many requests at once, and a Close among
// them. Each span is sent, dropped or failed, exactly once.
func TestTogether(t *testing.T) {
	c := startCollector(t)
	tr := open(t, c.addr, 0.5)
	const workers, each = 8, 500
	var all sync.WaitGroup
	var mu sync.Mutex
	started := uint64(0)
	for range workers {
		all.Go(func() {
			mine := uint64(0)
			for range each {
				parent, sampled := tr.Sample(exampleSampled, false)
				if !sampled {
					continue
				}
				ctx, s := tr.Start(t.Context(), "x", parent)
				_, batch := tr.StartBatch(t.Context(), "y", []Context{Current(ctx)})
				s.End()
				batch.End()
				mine += 2
				_ = tr.Stats()
			}
			mu.Lock()
			started += mine
			mu.Unlock()
		})
	}
	closeTracer(t, tr)
	all.Wait()
	got := tr.Stats()
	if got.Sent+got.Dropped != started || got.Failed != 0 || got.Waiting != 0 {
		t.Errorf("%+v of %d spans", got, started)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if uint64(len(c.spans)) != got.Sent {
		t.Errorf("%d spans arrived, %d were sent", len(c.spans), got.Sent)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
