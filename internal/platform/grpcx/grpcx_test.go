package grpcx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
)

const goodKey = "cmk_a-key-that-is-good"

type oneKey struct{}

func (oneKey) Authenticate(bearer string) (httpx.Principal, error) {
	if bearer != goodKey {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "apk_1", Name: "admin", Access: httpx.Everything{}}, nil
}

// handle is what a test's one service does.
type handle func(ctx context.Context, in string) (string, error)

// The service has an open and a closed method, each string → string.
const (
	openMethod   = "/test.Echo/Open"
	closedMethod = "/test.Echo/Closed"
)

func echo(h handle) *grpc.ServiceDesc {
	method := func(name string) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, dec func(any) error, mid grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.StringValue{}
			if err := dec(in); err != nil {
				return nil, err
			}
			return mid(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/test.Echo/" + name}, func(ctx context.Context, _ any) (any, error) {
				out, err := h(ctx, in.GetValue())
				return wrapperspb.String(out), err
			})
		}}
	}
	return &grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{method("Open"), method("Closed")}}
}

// world is a server on loopback with a client, a log and metrics.
type world struct {
	*Server
	conn *grpc.ClientConn
	mu   sync.Mutex
	log  bytes.Buffer // guarded by mu
	seen []string     // guarded by mu
}

func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *world) Request(method, endpoint string, status int, _ time.Time, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if took < 0 {
		panic("a call took less than no time")
	}
	w.seen = append(w.seen, fmt.Sprint(method, " ", endpoint, " ", status))
}

func (w *world) read() (log string, seen []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String(), append([]string(nil), w.seen...)
}

func serve(t *testing.T, cfg Config, h handle) *world {
	t.Helper()
	w := &world{}
	w.Server = New(cfg, oneKey{}, w, slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})), clock.System{})
	w.RegisterService(echo(h), nil)
	w.Public(openMethod)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.Serve(l) }()
	w.SetReady(true)
	if w.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.conn.Close()
		w.Stop(context.Background())
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return w
}

func (w *world) call(ctx context.Context, method, in string, meta ...string) (string, metadata.MD, error) {
	out, header := &wrapperspb.StringValue{}, metadata.MD{}
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs(meta...))
	err := w.conn.Invoke(ctx, method, wrapperspb.String(in), out, grpc.Header(&header))
	return out.GetValue(), header, err
}

// sample is every kind of error that a handler may return, by name.
func sample() map[string]error {
	all := map[string]error{
		"details": fault.Field("batch.bad_mark", "mark", "must be print").With(fault.Detail{Field: "quantity", Reason: "is 0"}),
		"retry":   &fault.Error{Kind: fault.Limited, Code: "limit.rate", Text: "slow down", RetryAfter: 1500 * time.Millisecond},
		"wrapped": fmt.Errorf("create batch: %w", fault.New(fault.Conflict, "batch.exists", "it exists").Because(errors.New("UNIQUE secret"))),
	}
	for _, row := range table {
		all[row.kind.String()] = fault.New(row.kind, "test."+strings.ReplaceAll(row.kind.String(), " ", "_"), "text of %s 说明", row.kind)
	}
	return all
}

func TestFaultsSurviveTheWire(t *testing.T) {
	t.Parallel()
	errs := sample()
	w := serve(t, Config{}, func(_ context.Context, in string) (string, error) { return "half an answer", errs[in] })
	for name, sent := range errs {
		_, _, err := w.call(t.Context(), openMethod, name)
		want, _ := fault.From(sent)
		got, ok := fault.From(FromStatus(err))
		if !ok {
			t.Errorf("%s: %v is no fault behind FromStatus", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(fault.Error{})); diff != "" {
			t.Errorf("%s (-sent +received):\n%s", name, diff)
		}
		if !errors.Is(FromStatus(err), want) || errors.Is(FromStatus(err), httpx.ErrNoAuth) {
			t.Errorf("%s: errors.Is does not compare codes", name)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the cause went over the wire: %v", name, err)
		}
		if status.Code(err) != codeOf(want.Kind) {
			t.Errorf("%s: status %v", name, status.Code(err))
		}
	}
	if log, _ := w.read(); strings.Contains(log, "request failed") {
		t.Errorf("a fault was logged as a failure:\n%s", log)
	}
}

// TestTable holds every kind to one row, and every code to one way back.
func TestTable(t *testing.T) {
	t.Parallel()
	rows := map[fault.Kind]int{}
	for _, row := range table {
		rows[row.kind]++
		if got, ok := kindNamed(row.kind.String(), row.code); !ok || got != row.kind {
			t.Errorf("%v comes back as %v", row.kind, got)
		}
	}
	for kind := fault.Internal; kind <= fault.Unavailable; kind++ {
		if rows[kind] != 1 {
			t.Errorf("%v has %d rows, want 1", kind, rows[kind])
		}
	}
	if got, _ := kindNamed("not found", codes.Internal); got != fault.Internal {
		t.Errorf("a name that does not fit its code made a %v of an Internal", got)
	}
}

func TestForeignStatuses(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]fault.Kind{
		codes.Unavailable: fault.Unavailable, codes.ResourceExhausted: fault.Limited, codes.Unimplemented: fault.Method,
		codes.NotFound: fault.NotFound, codes.InvalidArgument: fault.Invalid, codes.FailedPrecondition: fault.Conflict,
		codes.Unauthenticated: fault.Unauthenticated,
	} {
		f, ok := fault.From(FromStatus(status.Error(code, "words")))
		if !ok || f.Kind != want || f.Code != "grpc."+code.String() {
			t.Errorf("%v = %+v, want %v", code, f, want)
		}
	}
	for _, code := range []codes.Code{codes.Internal, codes.Unknown, codes.DataLoss, codes.Aborted} {
		err := status.Error(code, "words")
		if got := FromStatus(err); !errors.Is(got, err) || fault.KindOf(got) != fault.Internal {
			t.Errorf("%v = %v, want it as it is", code, got)
		}
	}
	if got := FromStatus(status.Error(codes.DeadlineExceeded, "late")); !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("a deadline = %v", got)
	}
	if got := FromStatus(status.Error(codes.Canceled, "left")); !errors.Is(got, context.Canceled) {
		t.Errorf("a cancellation = %v", got)
	}
	if FromStatus(nil) != nil {
		t.Error("no error became one")
	}
	plain := errors.New("plain")
	if got := FromStatus(plain); !errors.Is(got, plain) {
		t.Errorf("a plain error = %v", got)
	}
}

func TestInternalErrorsTellNothing(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, func(_ context.Context, in string) (string, error) {
		switch in {
		case "panic":
			panic("the panic's secret")
		case "status": // of another server that the handler called
			return "", status.Error(codes.NotFound, "the other's secret")
		}
		return "", errors.New("the error's secret")
	})
	for _, in := range []string{"panic", "status", "error"} {
		_, _, err := w.call(t.Context(), openMethod, in)
		if status.Code(err) != codes.Internal || strings.Contains(fmt.Sprintf("%v %v", err, status.Convert(err).Details()), "secret") {
			t.Errorf("%s: %v %v", in, err, status.Convert(err).Details())
		}
		if f, ok := fault.From(FromStatus(err)); ok {
			t.Errorf("%s came back as the fault %v", in, f)
		}
	}
	log, seen := w.read()
	for _, said := range []string{"the panic's secret", "the other's secret", "the error's secret"} {
		if n := strings.Count(log, said); n != 1 {
			t.Errorf("the log has %q %d times, want once", said, n)
		}
	}
	if diff := cmp.Diff([]string{"POST " + openMethod + " 500", "POST " + openMethod + " 500", "POST " + openMethod + " 500"}, seen); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestAuth(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, func(ctx context.Context, _ string) (string, error) {
		p, ok := Caller(ctx)
		if !Peer(ctx).IsLoopback() {
			return "", errors.New("the peer is not loopback")
		}
		return fmt.Sprint(p.ID, " ", p.Name, " ", ok), nil
	})
	for name, c := range map[string]struct {
		method string
		meta   []string
		want   string // "" = refused
	}{
		"stranger, open":       {openMethod, nil, "  false"},
		"stranger, closed":     {closedMethod, nil, ""},
		"key, open":            {openMethod, []string{"authorization", "Bearer " + goodKey}, "apk_1 admin true"},
		"key, closed":          {closedMethod, []string{"authorization", "bearer " + goodKey}, "apk_1 admin true"},
		"wrong key, open":      {openMethod, []string{"authorization", "Bearer " + goodKey + "x"}, ""},
		"wrong key, closed":    {closedMethod, []string{"authorization", "Bearer x"}, ""},
		"no scheme":            {closedMethod, []string{"authorization", goodKey}, ""},
		"another scheme":       {closedMethod, []string{"authorization", "Basic " + goodKey}, ""},
		"two":                  {closedMethod, []string{"authorization", "Bearer " + goodKey, "authorization", "Bearer " + goodKey}, ""},
		"empty":                {closedMethod, []string{"authorization", ""}, ""},
		"another's metadata":   {closedMethod, []string{"x-authorization", "Bearer " + goodKey}, ""},
		"bad idempotency key":  {closedMethod, []string{"authorization", "Bearer " + goodKey, "idempotency-key", `""`}, ""},
		"long idempotency key": {closedMethod, []string{"authorization", "Bearer " + goodKey, "idempotency-key", strings.Repeat("k", 256)}, ""},
	} {
		got, _, err := w.call(t.Context(), c.method, "", c.meta...)
		switch {
		case c.want != "" && (err != nil || got != c.want):
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		case c.want == "" && strings.Contains(name, "idempotency") && !errors.Is(FromStatus(err), httpx.ErrBadIdemKey):
			t.Errorf("%s: %v, want ErrBadIdemKey", name, err)
		case c.want == "" && !strings.Contains(name, "idempotency") && !errors.Is(FromStatus(err), httpx.ErrNoAuth):
			t.Errorf("%s: %v, want ErrNoAuth", name, err)
		}
	}
	if log, _ := w.read(); strings.Contains(log, goodKey) {
		t.Error("the log has the key")
	}
}

func TestRequestIdentity(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, func(ctx context.Context, in string) (string, error) {
		r := Request(ctx, []byte(in))
		if r.IsZero() {
			return "none", nil
		}
		return fmt.Sprintf("%x %x", r.Key, r.Body), Replayed(ctx)
	})
	auth := []string{"authorization", "Bearer " + goodKey}
	ask := func(method, in string, meta ...string) string {
		t.Helper()
		got, header, err := w.call(t.Context(), method, in, meta...)
		if err != nil {
			t.Fatal(err)
		}
		if replayed := header.Get("idempotent-replayed"); (got != "none") != (len(replayed) == 1 && replayed[0] == "true") {
			t.Errorf("%s: replayed = %v", got, replayed)
		}
		return got
	}
	bare := ask(closedMethod, "a", append(auth, "idempotency-key", "k 1")...)
	if quoted := ask(closedMethod, "a", append(auth, "idempotency-key", `"k 1"`)...); quoted != bare {
		t.Error("a quoted key is another")
	}
	key, body, _ := strings.Cut(bare, " ")
	if k, b, _ := strings.Cut(ask(closedMethod, "b", append(auth, "idempotency-key", "k 1")...), " "); k != key || b == body {
		t.Error("another body must have the same key and another hash")
	}
	for name, other := range map[string]string{
		"key": ask(closedMethod, "a", append(auth, "idempotency-key", "k 2")...), "method": ask(openMethod, "a", append(auth, "idempotency-key", "k 1")...),
	} {
		if strings.HasPrefix(other, key) {
			t.Errorf("another %s has the same scope", name)
		}
	}
	if ask(closedMethod, "a", auth...) != "none" || ask(openMethod, "a", "idempotency-key", "k 1") != "none" {
		t.Error("a call without a key of either kind names a request")
	}
}

func TestSecondCallUnderOneKeyIsRefused(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	w := serve(t, Config{}, func(_ context.Context, in string) (string, error) {
		if in == "first" {
			close(entered)
			<-leave
		}
		return in, nil
	})
	meta := []string{"authorization", "Bearer " + goodKey, "idempotency-key", "k"}
	first := make(chan error, 1)
	go func() { _, _, err := w.call(t.Context(), closedMethod, "first", meta...); first <- err }()
	<-entered
	if _, _, err := w.call(t.Context(), closedMethod, "second", meta...); !errors.Is(FromStatus(err), idem.ErrRunning) {
		t.Errorf("the second call = %v, want ErrRunning", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if _, _, err := w.call(t.Context(), closedMethod, "third", meta...); err != nil {
		t.Errorf("the key stays taken: %v", err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{CallMax: 100 * time.Millisecond}, func(ctx context.Context, in string) (string, error) {
		switch in {
		case "wait":
			<-ctx.Done()
			return "", fmt.Errorf("wait for something: %w", ctx.Err())
		case "much":
			return strings.Repeat("x", messageBytesMax+1), nil
		}
		return "", nil
	})
	if _, _, err := w.call(t.Context(), openMethod, strings.Repeat("x", messageBytesMax-64)); err != nil {
		t.Errorf("a message just below the limit: %v", err)
	}
	for _, in := range []string{strings.Repeat("x", messageBytesMax+1), "much"} {
		if _, _, err := w.call(t.Context(), openMethod, in); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a message above the limit: %v", err)
		}
	}
	if _, _, err := w.call(t.Context(), openMethod, "wait"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call without an end: %v", err)
	}
	if _, _, err := w.call(t.Context(), openMethod, "", "x-big", strings.Repeat("h", 2*headerBytesMax)); err == nil {
		t.Error("metadata above the limit was taken")
	}
	log, seen := w.read()
	if strings.Contains(log, `"ERROR"`) || !strings.Contains(strings.Join(seen, "\n"), " 504") {
		t.Errorf("a deadline is not a failure of ours, and is counted: %v\n%s", seen, log)
	}
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{ConnectionsMax: 1}, func(context.Context, string) (string, error) { return "", nil })
	if _, _, err := w.call(t.Context(), openMethod, ""); err != nil {
		t.Fatal(err)
	}
	other, err := grpc.NewClient(w.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := other.Invoke(ctx, openMethod, wrapperspb.String(""), &wrapperspb.StringValue{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a connection above the limit: %v", err)
	}
	w.conn.Close()
	if err := other.Invoke(t.Context(), openMethod, wrapperspb.String(""), &wrapperspb.StringValue{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("after the first left: %v", err)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, func(context.Context, string) (string, error) { return "", fault.New(fault.Gone, "x.gone", "gone") })
	for given, kept := range map[string]bool{"abc-1": true, "": false, "two words": false, strings.Repeat("x", 129): false} {
		_, header, _ := w.call(t.Context(), openMethod, "", "x-request-id", given)
		got := header.Get("x-request-id")
		if len(got) != 1 || (got[0] == given) != kept || got[0] == "" {
			t.Errorf("given %q, answered %v", given, got)
		}
	}
}

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{}, func(context.Context, string) (string, error) { return "", nil })
	client := healthpb.NewHealthClient(w.conn)
	check := func(service string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		r, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != want {
			t.Errorf("health of %q = %v, %v, want %v", service, r.GetStatus(), err, want)
		}
	}
	for _, service := range []string{"", "test.Echo"} {
		check(service, healthpb.HealthCheckResponse_SERVING)
		w.SetReady(false)
		check(service, healthpb.HealthCheckResponse_NOT_SERVING)
		w.SetReady(true)
	}
	if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "no.Such"}); status.Code(err) != codes.NotFound {
		t.Errorf("health of an unknown service: %v", err)
	}
	stream, err := reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || !strings.Contains(r.String(), "test.Echo") {
		t.Errorf("reflection = %v, %v", r, err)
	}
	if err := w.conn.Invoke(t.Context(), "/test.Echo/None", wrapperspb.String(""), &wrapperspb.StringValue{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method: %v", err)
	}
}

// TestStopDrains: accepted calls are answered, watches and reflection do not hold
// the stop up, new calls are refused.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	w := serve(t, Config{}, func(_ context.Context, in string) (string, error) {
		close(entered)
		<-leave
		return in, nil
	})
	watch, err := healthpb.NewHealthClient(w.conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(t.Context()); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		text string
		err  error
	}
	answered, stopped := make(chan answer, 1), make(chan error, 1)
	go func() {
		text, _, err := w.call(context.Background(), openMethod, "kept")
		answered <- answer{text, err}
	}()
	<-entered
	go func() { stopped <- w.Stop(context.Background()) }()
	for {
		if _, err := watch.Recv(); err != nil {
			break
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("Stop did not wait for the call: %v", err)
	default:
	}
	close(leave)
	if a := <-answered; a.err != nil || a.text != "kept" {
		t.Errorf("the accepted call = %q, %v", a.text, a.err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
}

func TestStopCutsOff(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	w := serve(t, Config{}, func(ctx context.Context, _ string) (string, error) {
		close(entered)
		<-ctx.Done()
		return "", ctx.Err()
	})
	done := make(chan error, 1)
	go func() { _, _, err := w.call(context.Background(), openMethod, ""); done <- err }()
	<-entered
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Stop(now); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop = %v, want to hear that calls were cut off", err)
	}
	if err := <-done; err == nil {
		t.Error("a call that was cut off reports success")
	}
}

// TestNoScopeWithoutCaller pins that a stranger's idempotency key names nothing.
func TestNoScopeWithoutCaller(t *testing.T) {
	t.Parallel()
	if got := Request(t.Context(), []byte("x")); got != (ids.Request{}) {
		t.Errorf("a context without a call = %v", got)
	}
	if p, ok := Caller(t.Context()); ok || p != (httpx.Principal{}) {
		t.Errorf("a context without a call comes from %v", p)
	}
	if Peer(t.Context()).IsValid() {
		t.Error("a context without a call has a peer")
	}
}
