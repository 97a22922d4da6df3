package batchrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchkv"
	"github.com/chopmark/chopmark/internal/batch/batchrpc"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// Two credentials, so that scopes can be told apart.
const (
	aliceKey = "cmk_alice"
	bobKey   = "cmk_bob"
)

type twoKeys struct{}

func (twoKeys) Authenticate(bearer string) (httpx.Principal, error) {
	switch bearer {
	case aliceKey:
		return httpx.Principal{ID: "apk_alice", Name: "Alice", Access: httpx.Everything{}}, nil
	case bobKey:
		return httpx.Principal{ID: "apk_bob", Name: "Bob", Access: httpx.Everything{}}, nil
	}
	return httpx.Principal{}, httpx.ErrNoAuth
}

// noKeys, woken and unseen are what the batch service asks for beside its store.
type noKeys struct{}

func (noKeys) Token(ids.Serial, uint16, uint32, uint64) (codebook.Token, error) {
	return codebook.Token{}, errors.New("no link keys here")
}
func (noKeys) SignatureKeyID() string                            { return "" }
func (noKeys) LabelSigner(string) (*codebook.LabelSigner, error) { return nil, nil }
func (noKeys) InnerKeyID() string                                { return "key_inner" }
func (noKeys) InnerCode(string, ids.Serial) (codebook.InnerCode, error) {
	return codebook.InnerCode{}, errors.New("no inner keys here")
}

type unseen struct{}

func (unseen) AnyIn(ids.Serial, ids.Serial) (bool, error) { return false, nil }

// tasks finds what the store wrote and runs nothing.
type tasks struct {
	db    *sqldb.DB
	mu    sync.Mutex
	woken []ids.TaskID // guarded by mu
}

func (t *tasks) Wake(_ context.Context, id ids.TaskID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.woken = append(t.woken, id)
	return nil
}

func (t *tasks) Find(ctx context.Context, id ids.TaskID) (task.Task, error) {
	return task.Find(ctx, t.db.Reader(), id)
}

// scanner answers from the batch service's projection, and counts.
type scanner struct {
	svc    *batch.Service
	mu     sync.Mutex
	scans  []batchrpc.Scan   // guarded by mu
	answer *batchrpc.Scanned // given instead, when set
	err    error             // given instead, when set
}

func (v *scanner) Verify(_ context.Context, s batchrpc.Scan) (batchrpc.Scanned, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return batchrpc.Scanned{}, v.err
	}
	view, err := v.svc.ViewCode(context.Background(), s.Code.String())
	if err != nil {
		return batchrpc.Scanned{}, err
	}
	v.scans = append(v.scans, s)
	if v.answer != nil {
		return *v.answer, nil
	}
	b := view.Batch
	return batchrpc.Scanned{
		Verdict: view.State.String(), Valid: view.State == gs1.Active, BrandID: b.BrandID, ProductID: b.ProductID, BatchNo: b.No,
		State: view.State, Expired: view.Expired, Version: view.Extra.Version, ExpiresAt: b.ExpiresAt,
	}, nil
}

func (v *scanner) last(t *testing.T) batchrpc.Scan {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.scans) == 0 {
		t.Fatal("nothing was scanned")
	}
	return v.scans[len(v.scans)-1]
}

// metrics notes what it is told.
type metrics struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (m *metrics) notef(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
}

func (m *metrics) Generated(b ids.BrandID, n int64, err error) {
	m.notef("generated %d %d %v", b, n, err != nil)
}
func (m *metrics) Request(string, string, int, time.Time, time.Duration) {}

func (m *metrics) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := m.lines
	m.lines = nil
	return lines
}

// world is the service behind a real connection.
type world struct {
	codepb.CodeServiceClient
	conn    *grpc.ClientConn
	svc     *batch.Service
	scanner *scanner
	tasks   *tasks
	metrics *metrics
	brand   batch.Brand
	product batch.Product
}

func start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{metrics: &metrics{}}
	db := must(sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db")))
	t.Cleanup(func() { db.Close() })
	for domain, schema := range map[string]fs.FS{
		"outbox": outbox.Schema(), "idem": idem.Schema(), "task": task.Schema(), "batch": batchsql.Schema(),
	} {
		if err := db.Migrate(t.Context(), domain, schema); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	local := must(batchkv.Open(t.TempDir(), "key_test", log))
	t.Cleanup(func() { local.Close() })
	now := clock.Func(start)
	store := batchsql.New(db, now)
	proj := batch.NewProjection(store, local, 0)
	if err := proj.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.tasks = &tasks{db: db}
	w.svc = batch.NewService(batch.Config{PublicURL: "http://localhost"}, store, codebook.NewItems([32]byte{7}), proj, noKeys{}, w.tasks, unseen{}, now)
	w.scanner = &scanner{svc: w.svc}
	var err error
	if w.brand, _, err = w.svc.CreateBrand(t.Context(), batch.Command{}, "品牌"); err != nil {
		t.Fatal(err)
	}
	if w.product, _, err = w.svc.CreateProduct(t.Context(), batch.Command{}, batch.Product{BrandID: w.brand.ID, Name: "商品"}, ""); err != nil {
		t.Fatal(err)
	}
	w.serve(t, log)
	return w
}

func (w *world) serve(t *testing.T, log *slog.Logger) {
	t.Helper()
	srv := grpcx.New(grpcx.Config{}, twoKeys{}, w.metrics, log, clock.System{})
	batchrpc.New(w.svc, w.tasks, w.scanner, w.metrics).Add(srv)
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	srv.SetReady(true)
	w.conn = must(grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("test-client")))
	w.CodeServiceClient = codepb.NewCodeServiceClient(w.conn)
	t.Cleanup(func() {
		w.conn.Close()
		if err := errors.Join(srv.Stop(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
}

// as gives a call its key, and its idempotency key when there is one.
func as(t *testing.T, key string, idempotencyKey ...string) context.Context {
	t.Helper()
	meta := metadata.Pairs("authorization", "Bearer "+key)
	meta.Append("idempotency-key", idempotencyKey...)
	return metadata.NewOutgoingContext(t.Context(), meta)
}

func (w *world) ask(no string, quantity int32) *codepb.GenerateCodesRequest {
	return &codepb.GenerateCodesRequest{BrandId: int32(w.brand.ID), ProductId: int32(w.product.ID), BatchNo: no, Quantity: quantity}
}

func (w *world) generate(t *testing.T, no string, quantity int32) []string {
	t.Helper()
	r, err := w.GenerateCodes(as(t, aliceKey), w.ask(no, quantity))
	if err != nil {
		t.Fatal(err)
	}
	return r.GetCodes()
}

func (w *world) update(t *testing.T, status int32, codes ...string) int32 {
	t.Helper()
	r, err := w.UpdateCodeStatus(as(t, aliceKey), &codepb.UpdateCodeStatusRequest{Codes: codes, Status: status, Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return r.GetUpdated()
}

func wantFault(t *testing.T, what string, err, want error, code codes.Code) {
	t.Helper()
	if !errors.Is(grpcx.FromStatus(err), want) || status.Code(err) != code {
		t.Errorf("%s: %v, want %v with %v", what, err, want, code)
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, quantity := range []int32{1, 10_000} {
		ask := w.ask(fmt.Sprint("B", quantity), quantity)
		r, err := w.GenerateCodes(as(t, aliceKey), ask)
		if err != nil {
			t.Fatal(err)
		}
		if !ids.Valid("task", r.GetTaskId()) || r.GetEstimatedTime() != 1 || len(r.GetCodes()) != int(quantity) {
			t.Fatalf("%d codes: task %q, %d s, %d codes", quantity, r.GetTaskId(), r.GetEstimatedTime(), len(r.GetCodes()))
		}
		job := must(w.tasks.Find(t.Context(), ids.TaskID(r.GetTaskId())))
		for i, code := range []string{r.GetCodes()[0], r.GetCodes()[quantity-1]} {
			v, err := w.svc.ViewCode(t.Context(), code)
			if err != nil || v.Batch.ID != ids.BatchID(job.Subject) || v.Batch.No != ask.GetBatchNo() || v.State != gs1.Encoded ||
				v.No != []int64{1, int64(quantity)}[i] || !v.Batch.ExpiresAt.IsZero() {
				t.Errorf("code %s is %+v, %v", code, v, err)
			}
		}
		if job.CreatedBy != "Alice" || w.tasks.woken[len(w.tasks.woken)-1] != job.ID {
			t.Errorf("task of %s, woken %v", job.CreatedBy, w.tasks.woken)
		}
	}
	for quantity, seconds := range map[int32]int32{10_001: 1, 200_001: 2, 1_000_000: 5} {
		r, err := w.GenerateCodes(as(t, aliceKey), w.ask(fmt.Sprint("B", quantity), quantity))
		if err != nil || len(r.GetCodes()) != 0 || r.GetTaskId() == "" || r.GetEstimatedTime() != seconds {
			t.Errorf("%d codes: %d in the answer, %d s, task %q, %v", quantity, len(r.GetCodes()), r.GetEstimatedTime(), r.GetTaskId(), err)
		}
	}
	ask := w.ask("expires", 1)
	ask.ExpireHours = 48
	r := must(w.GenerateCodes(as(t, aliceKey), ask))
	if v := must(w.svc.ViewCode(t.Context(), r.GetCodes()[0])); !v.Batch.ExpiresAt.Equal(start().Add(48 * time.Hour)) {
		t.Errorf("expires at %s", v.Batch.ExpiresAt)
	}
}

func TestGenerateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, _, err := w.svc.CreateBrand(t.Context(), batch.Command{}, "other")
	if err != nil {
		t.Fatal(err)
	}
	w.generate(t, "taken", 1)
	w.metrics.take()
	brand := int32(w.brand.ID)
	for name, c := range map[string]struct {
		change  func(q *codepb.GenerateCodesRequest)
		want    string
		code    codes.Code
		counted int32
	}{
		"none":              {func(q *codepb.GenerateCodesRequest) { q.Quantity = 0 }, "quantity.too_small", codes.InvalidArgument, 0},
		"fewer than none":   {func(q *codepb.GenerateCodesRequest) { q.Quantity = -1 }, "quantity.too_small", codes.InvalidArgument, 0},
		"too many":          {func(q *codepb.GenerateCodesRequest) { q.Quantity = 1_000_001 }, "quantity.too_large", codes.InvalidArgument, 0},
		"no brand":          {func(q *codepb.GenerateCodesRequest) { q.BrandId = 0 }, "brand.unknown", codes.NotFound, 0},
		"unknown brand":     {func(q *codepb.GenerateCodesRequest) { q.BrandId = 999 }, "brand.unknown", codes.NotFound, 0},
		"another's product": {func(q *codepb.GenerateCodesRequest) { q.BrandId = int32(other.ID) }, "product.other_brand", codes.InvalidArgument, 0},
		"unknown product":   {func(q *codepb.GenerateCodesRequest) { q.ProductId = 999 }, "product.unknown", codes.NotFound, 0},
		"no batch_no":       {func(q *codepb.GenerateCodesRequest) { q.BatchNo = "" }, "input.empty", codes.InvalidArgument, 0},
		"long batch_no":     {func(q *codepb.GenerateCodesRequest) { q.BatchNo = strings.Repeat("b", 65) }, "input.too_long", codes.InvalidArgument, 0},
		"negative life":     {func(q *codepb.GenerateCodesRequest) { q.ExpireHours = -1 }, "batch.bad_expiry", codes.InvalidArgument, 0},
		"taken batch_no":    {func(q *codepb.GenerateCodesRequest) { q.BatchNo = "taken" }, "batch.exists", codes.FailedPrecondition, brand},
	} {
		q := w.ask("new", 1)
		c.change(q)
		_, err := w.GenerateCodes(as(t, aliceKey), q)
		wantFault(t, name, err, &fault.Error{Code: c.want}, c.code)
		if got, want := w.metrics.take(), []string{fmt.Sprintf("generated %d 0 true", c.counted)}; !cmp.Equal(got, want) {
			t.Errorf("%s: metrics %v, want %v", name, got, want)
		}
	}
	if _, err := w.GenerateCodes(as(t, aliceKey), w.ask("new", 1)); err != nil {
		t.Errorf("a refusal left something behind: %v", err)
	}
}

func TestGenerateIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := must(w.GenerateCodes(as(t, aliceKey, "k-1"), w.ask("A", 3)))
	if got, want := w.metrics.take(), []string{fmt.Sprintf("generated %d 3 false", w.brand.ID)}; !cmp.Equal(got, want) {
		t.Errorf("metrics %v, want %v", got, want)
	}
	for _, key := range []string{"k-1", `"k-1"`} {
		var header metadata.MD
		again, err := w.GenerateCodes(as(t, aliceKey, key), w.ask("A", 3), grpc.Header(&header))
		if err != nil || again.String() != first.String() || len(header.Get("idempotent-replayed")) != 1 {
			t.Errorf("again under %s: %v, %v, %v, want %v", key, again, err, header, first)
		}
	}
	if got := w.metrics.take(); len(got) != 0 {
		t.Errorf("a replay was counted: %v", got)
	}
	_, err := w.GenerateCodes(as(t, aliceKey, "k-1"), w.ask("A", 4))
	wantFault(t, "another question under the key", err, idem.ErrMismatch, codes.AlreadyExists)
	_, err = w.GenerateCodes(as(t, bobKey, "k-1"), w.ask("A", 3))
	wantFault(t, "another's credential", err, batch.ErrBatchExists, codes.FailedPrecondition)
	_, err = w.GenerateCodes(as(t, aliceKey), w.ask("A", 3))
	wantFault(t, "no key", err, batch.ErrBatchExists, codes.FailedPrecondition)
}

// TestOneKeyAtOnce: however many ask at once under one key, one batch comes of it.
func TestOneKeyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const askers = 32
	var wg sync.WaitGroup
	answers, errs := make([]string, askers), make([]error, askers)
	for i := range askers {
		wg.Go(func() {
			r, err := w.GenerateCodes(as(t, aliceKey, "k"), w.ask("A", 2))
			answers[i], errs[i] = r.String(), err
		})
	}
	wg.Wait()
	last := must(w.GenerateCodes(as(t, aliceKey, "k"), w.ask("A", 2))).String()
	for i, err := range errs {
		if err != nil && !errors.Is(grpcx.FromStatus(err), idem.ErrRunning) || err == nil && answers[i] != last {
			t.Errorf("asker %d: %s, %v", i, answers[i], err)
		}
	}
	if list := must(w.svc.ListBatches(t.Context(), w.product.ID, start().Add(time.Hour), "", 10)); len(list) != 1 {
		t.Errorf("%d batches came of it", len(list))
	}
}

func TestKeysAreAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.generate(t, "A", 1)[0]
	for name, ctx := range map[string]context.Context{"no key": t.Context(), "a wrong key": as(t, "cmk_eve")} {
		_, err := w.GenerateCodes(ctx, w.ask("B", 1))
		wantFault(t, name+", generate", err, httpx.ErrNoAuth, codes.Unauthenticated)
		_, err = w.UpdateCodeStatus(ctx, &codepb.UpdateCodeStatusRequest{Codes: []string{code}, Status: 3, Reason: "r"})
		wantFault(t, name+", update", err, httpx.ErrNoAuth, codes.Unauthenticated)
	}
	if _, err := w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: code}); err != nil {
		t.Errorf("a scan by a stranger: %v", err)
	}
	_, err := w.VerifyCode(as(t, "cmk_eve"), &codepb.VerifyCodeRequest{Code: code})
	wantFault(t, "a scan with a wrong key", err, httpx.ErrNoAuth, codes.Unauthenticated)
	if v := must(w.svc.ViewCode(t.Context(), code)); v.State != gs1.Encoded {
		t.Errorf("a refused call moved the item to %s", v.State)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := w.ask("批次-1", 1)
	ask.ExpireHours = 24
	code := must(w.GenerateCodes(as(t, aliceKey), ask)).GetCodes()[0]
	info := &codepb.CodeInfo{
		Code: code, BrandId: int32(w.brand.ID), ProductId: int32(w.product.ID), BatchNo: "批次-1", Status: 1, Version: 1,
		ExpireTime: start().Add(24 * time.Hour).Unix(),
	}
	scan := func(want *codepb.VerifyCodeResponse) {
		t.Helper()
		got, err := w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: code})
		if err != nil || got.String() != want.String() {
			t.Errorf("VerifyCode = %v, %v, want %v", got, err, want)
		}
	}
	scan(&codepb.VerifyCodeResponse{CodeInfo: info, ErrorMessage: "encoded"})
	w.update(t, 2, code)
	info.Status = 2
	scan(&codepb.VerifyCodeResponse{Valid: true, CodeInfo: info})
	if _, _, err := w.svc.Reissue(t.Context(), batch.Command{Actor: "Alice"}, code, ""); err != nil {
		t.Fatal(err)
	}
	info.Version = 2
	w.update(t, 3, code)
	info.Status = 3
	scan(&codepb.VerifyCodeResponse{CodeInfo: info, ErrorMessage: "void"})

	never := w.generate(t, "never", 1)[0]
	if r := must(w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: never})); r.GetCodeInfo().GetExpireTime() != 0 {
		t.Errorf("a code that never expires has %d", r.GetCodeInfo().GetExpireTime())
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.generate(t, "A", 1)[0]
	for _, malformed := range []string{"", "1", code + "0", code[1:], "12345678901234567x", "１２３４５６", strings.Repeat("9", 1000)} {
		_, err := w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: malformed})
		wantFault(t, malformed, err, &fault.Error{Code: "code.malformed"}, codes.InvalidArgument)
	}
	_, err := w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: "000000000000000000"})
	wantFault(t, "unknown", err, batch.ErrUnknownCode, codes.NotFound)
	w.scanner.err = errors.New("the log's disk is full")
	_, err = w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: code})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "disk") {
		t.Errorf("a scan that was not counted: %v", err)
	}
}

func TestVerifyStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.generate(t, "A", 1)[0]
	want := map[gs1.Disposition]int32{
		gs1.Encoded: 1, gs1.Inactive: 1,
		gs1.Active: 2, gs1.InProgress: 2, gs1.InTransit: 2, gs1.SellableAccessible: 2, gs1.SellableNotAccessible: 2,
		gs1.RetailSold: 2, gs1.Dispensed: 2, gs1.Returned: 2,
		gs1.Recalled: 3, gs1.Stolen: 3, gs1.Damaged: 3, gs1.NoPedigreeMatch: 3, gs1.Destroyed: 3, gs1.Disposed: 3, gs1.Expired: 3, gs1.Void: 3,
	}
	for _, state := range gs1.Dispositions() {
		for _, expired := range []bool{false, true} {
			w.scanner.answer = &batchrpc.Scanned{Verdict: "v", State: state, Expired: expired}
			status := want[state]
			if expired {
				status = 3
			}
			r := must(w.VerifyCode(t.Context(), &codepb.VerifyCodeRequest{Code: code}))
			if r.GetCodeInfo().GetStatus() != status || status == 0 {
				t.Errorf("%s, expired %v: status %d, want %d", state, expired, r.GetCodeInfo().GetStatus(), status)
			}
		}
	}
}

func TestWhoScanned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.generate(t, "A", 1)[0]
	q := &codepb.VerifyCodeRequest{Code: code, ClientIp: "203.0.113.9", UserAgent: "Phone/1"}
	must(w.VerifyCode(t.Context(), q))
	s := w.scanner.last(t)
	if s.Authorised || !s.ClientIP.IsLoopback() || !strings.HasPrefix(s.UserAgent, "test-client") {
		t.Errorf("a stranger's word was believed: %+v", s)
	}
	must(w.VerifyCode(as(t, bobKey), q))
	if s = w.scanner.last(t); !s.Authorised || s.ClientIP != netip.MustParseAddr("203.0.113.9") || s.UserAgent != "Phone/1" {
		t.Errorf("a caller's word was not believed: %+v", s)
	}
	must(w.VerifyCode(as(t, bobKey), &codepb.VerifyCodeRequest{Code: code, UserAgent: strings.Repeat("u", 5000)}))
	if s = w.scanner.last(t); !s.ClientIP.IsLoopback() || len(s.UserAgent) != 512 {
		t.Errorf("what is not said comes from the connection, cut: %s, %d bytes", s.ClientIP, len(s.UserAgent))
	}
	q.ClientIp = "not an address"
	_, err := w.VerifyCode(as(t, bobKey), q)
	wantFault(t, "a bad address", err, &fault.Error{Code: "input.bad_ip"}, codes.InvalidArgument)
	if _, err := w.VerifyCode(t.Context(), q); err != nil {
		t.Errorf("a stranger's bad address matters: %v", err)
	}
	if got := len(w.scanner.scans); got != 4 {
		t.Errorf("%d scans were counted, want 4", got)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := w.generate(t, "A", 5)
	for _, step := range []struct {
		status  int32
		codes   []string
		updated int32
		state   gs1.Disposition // of the first named
	}{
		{1, list[:2], 2, gs1.Inactive},
		{1, list[:3], 1, gs1.Inactive}, // two were there already
		{2, list, 5, gs1.Active},
		{2, list, 0, gs1.Active},
		{2, append([]string{"000000000000000000"}, list[4:]...), 0, 0},
		{3, append(list[:2:2], list[0]), 2, gs1.Void}, // one named twice
		{2, list, 0, gs1.Void},                        // void stays void, the others are active
		{2, []string{"000000000000000000"}, 0, 0},
	} {
		if got := w.update(t, step.status, step.codes...); got != step.updated {
			t.Errorf("to %d: %d moved, want %d", step.status, got, step.updated)
		}
		if step.state != 0 {
			if v := must(w.svc.ViewCode(t.Context(), step.codes[0])); v.State != step.state {
				t.Errorf("to %d: the item is %s, want %s", step.status, v.State, step.state)
			}
		}
	}
	history := must(w.svc.CodeHistory(t.Context(), list[0]))
	if last := history[len(history)-1]; last.Actor != "Alice" || last.Reason != "test" {
		t.Errorf("the history says %+v", last)
	}
}

func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.generate(t, "A", 1)[0]
	many := make([]string, batch.SelectCodesMax+1)
	for i := range many {
		many[i] = code
	}
	for name, c := range map[string]struct {
		q           *codepb.UpdateCodeStatusRequest
		want, field string
	}{
		"status 0":  {&codepb.UpdateCodeStatusRequest{Codes: []string{code}, Reason: "r"}, "state.bad_status", "status"},
		"status 4":  {&codepb.UpdateCodeStatusRequest{Codes: []string{code}, Status: 4, Reason: "r"}, "state.bad_status", "status"},
		"status -1": {&codepb.UpdateCodeStatusRequest{Codes: []string{code}, Status: -1, Reason: "r"}, "state.bad_status", "status"},
		"no codes":  {&codepb.UpdateCodeStatusRequest{Status: 2, Reason: "r"}, "select.empty", "codes"},
		"malformed": {&codepb.UpdateCodeStatusRequest{Codes: []string{code, "x"}, Status: 2, Reason: "r"}, "code.malformed", "codes"},
		"no reason": {&codepb.UpdateCodeStatusRequest{Codes: []string{code}, Status: 2}, "input.empty", "reason"},
		"too many":  {&codepb.UpdateCodeStatusRequest{Codes: many, Status: 2, Reason: "r"}, "select.too_many", "codes"},
	} {
		_, err := w.UpdateCodeStatus(as(t, aliceKey), c.q)
		wantFault(t, name, err, &fault.Error{Code: c.want}, codes.InvalidArgument)
		f, _ := fault.From(grpcx.FromStatus(err))
		if f == nil || len(f.Details) != 1 || f.Details[0].Field != c.field || !strings.HasPrefix(f.Text, c.field+": ") {
			t.Errorf("%s: %+v, want the field %s named", name, f, c.field)
		}
	}
	if v := must(w.svc.ViewCode(t.Context(), code)); v.State != gs1.Encoded {
		t.Errorf("a refused call moved the item to %s", v.State)
	}
	if got := w.update(t, 2, many[1:]...); got != 1 {
		t.Errorf("the most codes that are allowed, all the same: %d moved, want 1", got)
	}
}

func TestUpdateIsIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := w.generate(t, "A", 3)
	q := &codepb.UpdateCodeStatusRequest{Codes: list, Status: 2, Reason: "r"}
	if r := must(w.UpdateCodeStatus(as(t, aliceKey, "k"), q)); r.GetUpdated() != 3 {
		t.Fatalf("%d moved, want 3", r.GetUpdated())
	}
	w.update(t, 3, list[0])
	var header metadata.MD
	r, err := w.UpdateCodeStatus(as(t, aliceKey, "k"), q, grpc.Header(&header))
	if err != nil || r.GetUpdated() != 3 || len(header.Get("idempotent-replayed")) != 1 {
		t.Errorf("again: %v, %v, %v, want the first answer", r, err, header)
	}
	if v := must(w.svc.ViewCode(t.Context(), list[0])); v.State != gs1.Void {
		t.Errorf("the replay moved the item to %s", v.State)
	}
	q.Reason = "another"
	_, err = w.UpdateCodeStatus(as(t, aliceKey, "k"), q)
	wantFault(t, "another question", err, idem.ErrMismatch, codes.AlreadyExists)
	// the same key names something else for another method and for another caller
	must(w.GenerateCodes(as(t, aliceKey, "k"), w.ask("B", 1)))
	if r := must(w.UpdateCodeStatus(as(t, bobKey, "k"), q)); r.GetUpdated() != 0 {
		t.Errorf("Bob moved %d, want 0: they are there", r.GetUpdated())
	}
}

func TestServedWithReflectionAndHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, err := healthpb.NewHealthClient(w.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "code.CodeService"})
	if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health = %v, %v", r, err)
	}
	stream := must(reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(t.Context()))
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "code.CodeService"},
	}); err != nil {
		t.Fatal(err)
	}
	answer := must(stream.Recv())
	if len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) != 1 {
		t.Errorf("reflection = %v", answer)
	}
}

// TestSeedsNumbers pins the wire: a client that was generated from the seed's file
// must go on working.
func TestSeedsNumbers(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"GenerateCodesRequest":     "1:brand_id:int32 2:product_id:int32 3:batch_no:string 4:quantity:int32 5:expire_hours:int32",
		"GenerateCodesResponse":    "1:task_id:string 2:codes:string 3:estimated_time:int32",
		"VerifyCodeRequest":        "1:code:string 2:client_ip:string 3:user_agent:string",
		"VerifyCodeResponse":       "1:valid:bool 2:code_info:message 3:error_message:string",
		"CodeInfo":                 "1:code:string 2:brand_id:int32 3:product_id:int32 4:batch_no:string 5:status:int32 6:version:int32 7:expire_time:int64",
		"UpdateCodeStatusRequest":  "1:codes:string 2:status:int32 3:reason:string",
		"UpdateCodeStatusResponse": "1:updated:int32",
	}
	got := map[string]string{}
	file := codepb.File_code_code_proto
	for i := range file.Messages().Len() {
		m := file.Messages().Get(i)
		var fields []string
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			fields = append(fields, fmt.Sprintf("%d:%s:%s", f.Number(), f.Name(), f.Kind()))
		}
		got[string(m.Name())] = strings.Join(fields, " ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-seed +served):\n%s", diff)
	}
	if file.Package() != "code" || file.Services().Get(0).FullName() != "code.CodeService" || file.Services().Get(0).Methods().Len() != 3 {
		t.Errorf("service %v of package %v", file.Services().Get(0).FullName(), file.Package())
	}
}
