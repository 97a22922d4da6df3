package feed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchkv"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/mtls"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// world is a process with SQL that serves the feed, and what another needs to join it.
type world struct {
	t      *testing.T
	svc    *batch.Service
	store  *batchsql.Store
	proj   *batch.Projection
	items  *codebook.Items
	deps   Deps
	server *grpcx.Server
	addr   string
	client *Client
	copies string
	names  int

	brand   batch.Brand
	product batch.Product
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// newWorld serves; change may change what the service works with.
func newWorld(t *testing.T, change func(*Deps)) *world {
	t.Helper()
	w := &world{t: t, items: codebook.NewItems([32]byte{7}), copies: filepath.Join(t.TempDir(), "snapshots")}
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	w.must(err)
	t.Cleanup(func() { w.must(db.Close()) })
	for domain, schema := range map[string]fs.FS{
		"outbox": outbox.Schema(), "idem": idem.Schema(), "task": task.Schema(), "batch": batchsql.Schema(),
	} {
		w.must(db.Migrate(t.Context(), domain, schema))
	}
	local, err := batchkv.Open(filepath.Join(t.TempDir(), "projection"), "key_1", quiet())
	w.must(err)
	t.Cleanup(func() { w.must(local.Close()) })
	w.store = batchsql.New(db, clock.System{})
	w.proj = batch.NewProjection(w.store, local, 0)
	w.must(w.proj.Start(t.Context()))
	w.svc = batch.NewService(batch.Config{PublicURL: "http://localhost"}, w.store, w.items, w.proj, batchtest.NewKeys(), &batchtest.Tasks{}, &batchtest.Scans{}, clock.System{})
	w.deps = Deps{
		Source: w.store, Catalog: w.store, Proj: w.proj, Snapshot: local.Snapshot, Dir: w.copies,
		Keys: func() ([]byte, error) { return []byte("the keys"), nil },
		TryInner: func(ctx context.Context, r ids.Request, s ids.Serial, right bool) (batch.InnerRecord, error) {
			return w.svc.TryInner(ctx, r, s, right, 5)
		},
	}
	if change != nil {
		change(&w.deps)
	}
	w.brand, _, err = w.svc.CreateBrand(t.Context(), batch.Command{}, "茶庄")
	w.must(err)
	w.product = w.addProduct("龙井")
	w.serve()
	return w
}

func (w *world) addProduct(name string) batch.Product {
	w.t.Helper()
	p, _, err := w.svc.CreateProduct(w.t.Context(), batch.Command{}, batch.Product{BrandID: w.brand.ID, Name: name, Help: "400"}, "")
	w.must(err)
	return p
}

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// serve puts the service on loopback under mutual TLS.
func (w *world) serve() {
	w.t.Helper()
	dir := w.t.TempDir()
	w.must(mtls.NewAuthority(dir, time.Now()))
	files := func(name, role string) mtls.Files {
		w.must(mtls.Issue(dir, dir, mtls.Grant{Name: name, Roles: []string{role}}, time.Now()))
		return mtls.Files{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+"-key.pem"), CA: filepath.Join(dir, "ca.pem")}
	}
	creds, err := files("issue-1", "issue").Server(clock.System{})
	w.must(err)
	w.server = grpcx.New(grpcx.Config{Creds: creds, MessageBytesMax: MessageBytesMax, Peer: func(ctx context.Context) (httpx.Principal, error) {
		name, err := mtls.Peer(ctx, "edge")
		return httpx.Principal{ID: name, Name: name, Access: httpx.Everything{}}, err
	}}, nil, noMetrics{}, quiet(), clock.System{})
	service, err := New(w.deps)
	w.must(err)
	service.Add(w.server)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	w.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(l) }()
	own, err := files("edge-1", "edge").Client(clock.System{}, "issue")
	w.must(err)
	w.client, err = Dial("https://"+w.addr, own, clock.System{})
	w.must(err)
	w.t.Cleanup(func() {
		if err := errors.Join(w.client.Close(), w.server.Stop(context.Background()), <-served); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) batch(p batch.Product, quantity int64) batch.Batch {
	w.t.Helper()
	w.names++
	b, _, err := w.svc.CreateBatch(w.t.Context(), batch.Command{}, batch.BatchSpec{ProductID: p.ID, No: fmt.Sprint("lot ", w.names), Quantity: quantity})
	w.must(err)
	return b
}

func (w *world) move(b batch.Batch, from, to int64, state string) {
	w.t.Helper()
	_, _, err := w.svc.ChangeState(w.t.Context(), batch.Command{}, batch.StateSpec{
		Select: batch.Selection{BatchID: b.ID, From: from, To: to}, To: state, Reason: "test", Place: "义乌",
	})
	w.must(err)
}

// joiner is a process without SQL.
type joiner struct {
	*batch.Projection
	local *batchkv.Store
	ended chan error // why it stopped to follow
	stop  context.CancelFunc
}

// join makes one in a directory and lets it follow.
func (w *world) join(dir string) *joiner {
	w.t.Helper()
	local, err := batchkv.Open(filepath.Join(dir, "projection"), "key_1", quiet())
	w.must(err)
	j := &joiner{batch.NewProjection(nil, local, 0), local, make(chan error, 1), nil}
	_, err = j.Load()
	w.must(err)
	ctx, stop := context.WithCancel(w.t.Context())
	j.stop = stop
	go func() { j.ended <- w.client.Follow(ctx, j.Projection, local) }()
	return j
}

// leave ends it with a checkpoint.
func (w *world) leave(j *joiner) {
	w.t.Helper()
	j.stop()
	if err := <-j.ended; !errors.Is(err, context.Canceled) {
		w.t.Errorf("it stopped to follow: %v", err)
	}
	w.must(j.Checkpoint())
	w.must(j.local.Close())
}

// heard waits until the joiner knows everything before t.
func (w *world) heard(j *joiner, t time.Time) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(30 * time.Second); j.AsOf().Before(t); {
		select {
		case <-tick.C:
		case err := <-j.ended:
			w.t.Fatalf("it stopped to follow: %v", err)
		case <-end:
			w.t.Fatalf("it is as of %v and never after %v", j.AsOf(), t)
		}
	}
}

// wantSame compares what two projections say of a batch's items.
func wantSame(t *testing.T, want, got *batch.Projection, b batch.Batch) {
	t.Helper()
	for no := int64(1); no <= b.Quantity; no++ {
		s := b.Serial(no)
		w, ok := want.Lookup(s)
		g, okToo := got.Lookup(s)
		if ok != okToo || w.State != g.State || w.HasExtra() != g.HasExtra() {
			t.Fatalf("number %d is %v %s here and %v %s there", no, ok, w.State, okToo, g.State)
		}
		if diff := cmp.Diff(*w.Batch, *g.Batch); diff != "" {
			t.Fatalf("batch (-here +there):\n%s", diff)
		}
		if no%53 != 0 && !w.HasExtra() {
			continue
		}
		we, err := want.Extra(s, w)
		ge, err2 := got.Extra(s, g)
		wn, _, err3 := want.Note(s, w)
		gn, _, err4 := got.Note(s, g)
		if diff := cmp.Diff(we, ge) + cmp.Diff(wn, gn); diff != "" || errors.Join(err, err2, err3, err4) != nil {
			t.Fatalf("number %d: %v (-here +there):\n%s", no, errors.Join(err, err2, err3, err4), diff)
		}
	}
}

// TestFollow: whatever was committed before the moment that AsOf tells is there.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	before := w.batch(w.product, 5_000)
	j := w.join(t.TempDir())
	all := []batch.Batch{before}
	for i, state := range []string{"active", "inactive", "recalled", "active"} {
		b := w.batch(w.product, 3_000)
		all = append(all, b)
		w.move(b, 1, 2_000, state)
		w.move(b, int64(3+i), int64(3+i), "void")
		committed := time.Now()
		w.heard(j, committed)
		if item, ok := j.Lookup(b.Serial(1_999)); !ok || item.State.String() != state {
			t.Errorf("as of %v it does not know of what was committed before %v: %v %s", j.AsOf(), committed, ok, item.State)
		}
	}
	_, _, err := w.svc.Reissue(t.Context(), batch.Command{}, w.items.Code(before.Serial(7)).String(), "worn")
	w.must(err)
	_, err = w.svc.TryInner(t.Context(), ids.Request{}, before.Serial(9), true, 5)
	w.must(err)
	w.heard(j, time.Now())
	for _, b := range all {
		wantSame(t, w.proj, j.Projection, b)
	}
	w.leave(j)
}

// TestFollowGoesOn from where it stood, through restarts of the joiner.
func TestFollowGoesOn(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t, nil), t.TempDir()
	b := w.batch(w.product, 4_000)
	for i := range int64(4) {
		j := w.join(dir)
		w.move(b, 1+i*1_000, 500+i*1_000, "active")
		w.heard(j, time.Now())
		wantSame(t, w.proj, j.Projection, b)
		w.leave(j)
		w.move(b, 501+i*1_000, 600+i*1_000, "void") // while it is away
	}
	j := w.join(dir)
	w.heard(j, time.Now())
	wantSame(t, w.proj, j.Projection, b)
	w.leave(j)
}

// late is a source whose feed is slow while its heads are not.
type late struct {
	batch.Source
	gate sync.RWMutex
}

func (l *late) Feed(ctx context.Context, shard ids.Shard, after int64, limit int) ([]batch.Entry, error) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	return l.Source.Feed(ctx, shard, after, limit)
}

// TestNothingIsClaimedTooEarly: another process commits, so that nothing but a ping
// makes the server look; pings must not come back before what they found was sent.
func TestNothingIsClaimedTooEarly(t *testing.T) {
	t.Parallel()
	l := &late{}
	w := newWorld(t, func(d *Deps) {
		l.Source, d.Source = d.Source, l
		d.Proj = batch.NewProjection(l, nil, 0) // hears of nothing
	})
	b := w.batch(w.product, 1_000)
	j := w.join(t.TempDir())
	w.heard(j, time.Now())
	l.gate.Lock()
	w.move(b, 1, 1_000, "active")
	committed := time.Now()
	time.AfterFunc(2*pingEvery, l.gate.Unlock) // several pings wait
	w.heard(j, committed)
	if item, _ := j.Lookup(b.Serial(1_000)); item.State != gs1.Active {
		t.Errorf("as of %v, after %v, it is %s", j.AsOf(), committed, item.State)
	}
	w.leave(j)
}

func TestFollowRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	b := w.batch(w.product, 10)
	j := w.join(t.TempDir())
	w.heard(j, time.Now())
	w.leave(j)
	page, err := w.store.Feed(t.Context(), b.Shard(), 0, 10)
	w.must(err)
	local, err := batchkv.Open(filepath.Join(t.TempDir(), "projection"), "key_1", quiet())
	w.must(err)
	defer local.Close()
	ahead := batch.NewProjection(nil, local, 0)
	w.must(ahead.Apply(b.Shard(), page))
	page[0].Seq += 100
	w.must(ahead.Apply(b.Shard(), page))
	if err := w.client.Follow(t.Context(), ahead, local); !errors.Is(err, ErrAhead) {
		t.Errorf("one that knows more than SQL: %v, want ErrAhead", err)
	}
	ended := make(chan error, 1)
	j = w.join(t.TempDir())
	w.heard(j, time.Now())
	go func() { ended <- w.server.Stop(context.Background()) }()
	if err := <-j.ended; fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the server stops: %v, want unavailable", err)
	}
	w.must(<-ended)
	w.must(j.local.Close())
}

// TestLabels: what consumers read is there before what it belongs to, and follows its
// changes.
func TestLabels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.batch(w.product, 10)
	other := w.addProduct("毛尖")
	j := w.join(t.TempDir())
	w.batch(other, 10)
	text := func(s string) *string { return &s }
	_, err := w.svc.ChangeProduct(t.Context(), batch.Command{}, batch.TextChange{ProductID: other.ID, Name: text("碧螺春"), Help: text("https://help.example")})
	w.must(err)
	w.heard(j, time.Now())
	want := func(p batch.Product, name, brand, help string) {
		t.Helper()
		got, ok, err := j.local.Label(p.ID)
		if diff := cmp.Diff(batch.Label{Product: p.ID, Name: name, BrandID: p.BrandID, Brand: brand, Help: help}, got); diff != "" || !ok || err != nil {
			t.Errorf("%v %v (-want +got):\n%s", ok, err, diff)
		}
	}
	want(w.product, "龙井", "茶庄", "400")
	want(other, "碧螺春", "茶庄", "https://help.example")
	_, err = w.svc.RenameBrand(t.Context(), batch.Command{}, w.brand.ID, text("新茶庄"))
	w.must(err)
	w.heard(j, time.Now())
	want(w.product, "龙井", "新茶庄", "400")
	want(other, "碧螺春", "新茶庄", "https://help.example")
	w.leave(j)
}

// TestSnapshot: one that begins with a copy says what one says that followed from the
// beginning, and goes on from there.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	b := w.batch(w.product, 70_000)
	w.move(b, 1, 60_000, "active")
	for no := int64(1); no < 1_500; no += 7 {
		w.move(b, no, no, "retail_sold")
	}
	_, _, err := w.svc.Reissue(t.Context(), batch.Command{}, w.items.Code(b.Serial(5)).String(), "worn")
	w.must(err)
	dir := t.TempDir()
	r, err := batchkv.Restore(filepath.Join(dir, "projection"), "key_1", quiet())
	w.must(err)
	w.must(w.client.Snapshot(t.Context(), r))
	w.must(r.Done())
	head, err := w.store.FeedHead(t.Context(), b.Shard())
	w.must(err)
	j := w.join(dir)
	if at := j.Position(b.Shard()); at < head {
		t.Errorf("it begins at %d, the feed was at %d", at, head)
	}
	w.move(b, 60_001, 70_000, "void")
	w.heard(j, time.Now())
	wantSame(t, w.proj, j.Projection, b)
	if l, ok, err := j.local.Label(w.product.ID); l.Name != w.product.Name || !ok || err != nil {
		t.Errorf("label %+v, %v, %v", l, ok, err)
	}
	w.leave(j)
	if left, err := filepath.Glob(filepath.Join(w.copies, "*")); len(left) > 0 || err != nil {
		t.Errorf("copies are left: %v, %v", left, err)
	}
}

// TestSnapshotsAreBounded, and what a process left behind is removed.
func TestSnapshotsAreBounded(t *testing.T) {
	t.Parallel()
	var running atomic.Int64
	gate := make(chan struct{})
	w := newWorld(t, func(d *Deps) {
		snapshot := d.Snapshot
		d.Snapshot = func(dir string) error {
			running.Add(1)
			<-gate
			return snapshot(dir)
		}
		if err := errors.Join(os.MkdirAll(d.Dir, 0o700), os.WriteFile(filepath.Join(d.Dir, "old"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(filepath.Join(w.copies, "old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left behind: %v", err)
	}
	const asked = snapshotsMax + 3
	results := make(chan error, asked)
	for i := range asked {
		go func() {
			r, err := batchkv.Restore(filepath.Join(t.TempDir(), fmt.Sprint(i)), "key_1", quiet())
			if err == nil {
				err = errors.Join(w.client.Snapshot(t.Context(), r), r.Cancel())
			}
			results <- err
		}()
	}
	for range asked - snapshotsMax {
		if err := <-results; !errors.Is(err, errBusy) {
			t.Errorf("one too many: %v", err)
		}
	}
	close(gate)
	for range snapshotsMax {
		w.must(<-results)
	}
	if n := running.Load(); n != snapshotsMax {
		t.Errorf("%d ran, want %d", n, snapshotsMax)
	}
}

// TestTryInnerIsAskedAgain: the answer is lost after the try was counted.
func TestTryInnerIsAskedAgain(t *testing.T) {
	t.Parallel()
	var lose atomic.Int64
	w := newWorld(t, func(d *Deps) {
		try := d.TryInner
		d.TryInner = func(ctx context.Context, r ids.Request, s ids.Serial, right bool) (batch.InnerRecord, error) {
			rec, err := try(ctx, r, s, right)
			if lose.Add(-1) >= 0 {
				return batch.InnerRecord{}, fault.New(fault.Unavailable, "test.lost", "the answer is lost")
			}
			return rec, err
		}
	})
	b := w.batch(w.product, 10)
	for n, c := range []struct {
		lost  int64
		right bool
		tries int
	}{{0, false, 1}, {1, false, 2}, {2, false, 3}, {1, true, 4}, {0, true, 4}} {
		lose.Store(c.lost)
		rec, err := w.client.TryInner(t.Context(), b.Serial(1), c.right)
		if rec.Tries != c.tries || rec.Locked || rec.FirstAt.IsZero() == c.right || err != nil {
			t.Errorf("try %d: %+v, %v; want %d tries", n, rec, err, c.tries)
		}
	}
	lose.Store(tryTimes)
	if _, err := w.client.TryInner(t.Context(), b.Serial(2), false); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("every answer is lost: %v", err)
	}
	lose.Store(0)
	if rec, err := w.client.TryInner(t.Context(), b.Serial(2), false); rec.Tries != 2 || err != nil {
		t.Errorf("the next try: %+v, %v; want the second", rec, err)
	}
	if _, err := w.client.TryInner(t.Context(), b.Serial(11), true); !errors.Is(err, batch.ErrUnknownCode) {
		t.Errorf("an item that is not there: %v", err)
	}
}

func TestKeysAndDial(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if raw, err := w.client.Keys(t.Context()); string(raw) != "the keys" || err != nil {
		t.Errorf("keys %q, %v", raw, err)
	}
	for _, join := range []string{"", "localhost:1", "http://localhost:1", "https://localhost", "https://a:1/x", "https://u:p@a:1", "https://a:1?x=1"} {
		if c, err := Dial(join, nil, clock.System{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q was taken: %v, %v", join, c, err)
		}
	}
}

// TestEntriesSurviveTheWire holds both directions to each other, for every kind.
func TestEntriesSurviveTheWire(t *testing.T) {
	t.Parallel()
	at := batchtest.Start()
	label := &batch.Label{Product: 2001, Name: "龙井", BrandID: 1001, Brand: "茶庄", Help: "400", GTIN: "09506000134352"}
	for _, e := range []batch.Entry{
		{Seq: 1 << 40, At: at, Kind: batch.BatchCreated, Batch: &batch.Batch{
			ID: "bat_1", ProductID: 2001, BrandID: 1001, No: "批", First: ids.SerialCount - 5, Quantity: batch.BatchMax, Mark: batch.Display,
			RotateEvery: time.Hour, InnerKeyID: "key_1", ExpiresAt: at.Add(time.Microsecond), ProductionDate: "2026-01-31", Description: "d", CreatedAt: at,
		}},
		{Seq: 1, At: at, Kind: batch.StateChanged, Change: &batch.Change{
			ID: "chg_1", Seq: 1, To: gs1.RetailSold, Effective: at, At: at.Add(-time.Hour), Place: "义乌", Reason: "sold",
			Covers: []batch.Cover{
				{Batch: 5, To: gs1.RetailSold, Numbers: batch.Runs{{From: 1, To: 1}, {From: 3, To: 9}, {From: 1 << 33, To: batch.BatchMax}}},
				{Batch: 9, To: gs1.Void, Numbers: batch.Runs{{From: 7, To: 7}}},
			},
		}},
		{Seq: 2, At: at, Kind: batch.Reissued, Item: &batch.ItemChange{ID: "chg_2", Batch: 5, Serial: 6, Version: 65535}},
		{Seq: 3, At: at, Kind: batch.InnerChecked, Item: &batch.ItemChange{ID: "chg_3", Batch: 5, Serial: 6, Version: 1}},
		{Seq: 4, At: at, Kind: batch.TextsChanged, Texts: &batch.TextsEntry{BrandID: 1001, ProductID: 2001}},
	} {
		got, labels, err := fromEntry(toEntry(&e, []*batch.Label{label}))
		if diff := cmp.Diff(e, got) + cmp.Diff([]batch.Label{*label}, labels); diff != "" || err != nil {
			t.Errorf("kind %d: %v (-sent +got):\n%s", e.Kind, err, diff)
		}
		bare := toEntry(&e, nil)
		bare.Batch, bare.Change, bare.Item, bare.Texts = nil, nil, nil, nil
		if _, _, err := fromEntry(bare); !errors.Is(err, errDamaged) {
			t.Errorf("kind %d without its body: %v", e.Kind, err)
		}
	}
	for _, raw := range [][]uint64{{1}, {1, 2, 3}, {1 << 63, 0}, {0, 1 << 63}} {
		if rs, err := fromRuns(raw); !errors.Is(err, errDamaged) {
			t.Errorf("%v was read as %v, %v", raw, rs, err)
		}
	}
}
