package batch_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchkv"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// office is one process of the domain: a service on a real SQL store and a real
// local store. Several offices may share a database.
type office struct {
	*batch.Service
	t      testing.TB
	db     *sqldb.DB
	store  *batchsql.Store
	local  *batchkv.Store
	proj   *batch.Projection
	tasks  *batchtest.Tasks
	scans  *batchtest.Scans
	items  *codebook.Items
	micros *atomic.Int64 // what its clock tells
}

// setting is where an office lives, and what is special about it.
type setting struct {
	db, local string // directories
	wrap      func(batch.Local) batch.Local
	config    batch.Config
}

func newSetting(t testing.TB) setting {
	t.Helper()
	return setting{db: t.TempDir(), local: t.TempDir(), config: batch.Config{PublicURL: "https://code.example"}}
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := newSetting(t).open(t)
	t.Cleanup(o.close)
	return o
}

// open starts an office; close ends it.
func (s setting) open(t testing.TB) *office {
	t.Helper()
	o := &office{
		t: t, tasks: &batchtest.Tasks{}, scans: &batchtest.Scans{}, items: codebook.NewItems([32]byte{7}), micros: &atomic.Int64{},
	}
	o.setClock(batchtest.Start())
	var err error
	if o.db, err = sqldb.OpenSQLite(t.Context(), filepath.Join(s.db, "chopmark.db")); err != nil {
		t.Fatal(err)
	}
	for domain, schema := range map[string]fs.FS{
		"idem": idem.Schema(), "outbox": outbox.Schema(), "task": task.Schema(), "batch": batchsql.Schema(),
	} {
		if err := o.db.Migrate(t.Context(), domain, schema); err != nil {
			t.Fatal(err)
		}
	}
	if o.local, err = batchkv.Open(filepath.Join(s.local, "projection"), "key_1", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	tell := clock.Func(func() time.Time { return time.UnixMicro(o.micros.Load()) })
	o.store = batchsql.New(o.db, tell)
	local := batch.Local(o.local)
	if s.wrap != nil {
		local = s.wrap(local)
	}
	o.proj = batch.NewProjection(o.store, local, s.config.Region)
	if err := o.proj.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Service = batch.NewService(s.config, o.store, o.items, o.proj, batchtest.NewKeys(), o.tasks, o.scans, tell)
	return o
}

// close ends the office as the death of its process would: without a checkpoint.
func (o *office) close() {
	if err := errors.Join(o.local.Close(), o.db.Close()); err != nil {
		o.t.Error(err)
	}
}

func (o *office) setClock(now time.Time) { o.micros.Store(now.UnixMicro()) }

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// anon is a command without an idempotency key.
func anon() batch.Command { return batch.Command{Actor: "tester"} }

func keyed(n int) batch.Command {
	return batch.Command{Actor: "tester", Request: batchtest.Request(n, "body")}
}

func (o *office) product(pool batch.Pool) batch.Product {
	o.t.Helper()
	b, _, err := o.CreateBrand(o.t.Context(), anon(), "Tea house")
	o.must(err)
	p, _, err := o.CreateProduct(o.t.Context(), anon(), batch.Product{BrandID: b.ID, Name: "Dragon well", Pool: pool}, "")
	o.must(err)
	return p
}

func (o *office) batch(p batch.Product, no string, quantity int64) batch.Batch {
	o.t.Helper()
	b, _, err := o.CreateBatch(o.t.Context(), anon(), batch.BatchSpec{ProductID: p.ID, No: no, Quantity: quantity})
	o.must(err)
	return b
}

// code is the code of a number of a batch.
func (o *office) code(b batch.Batch, no int64) string { return o.items.Code(b.Serial(no)).String() }

func (o *office) codes(b batch.Batch, numbers ...int64) []string {
	out := make([]string, len(numbers))
	for i, no := range numbers {
		out[i] = o.code(b, no)
	}
	return out
}

// move changes the state of a run and must succeed.
func (o *office) move(b batch.Batch, from, to int64, state string) batch.Change {
	o.t.Helper()
	c, _, err := o.ChangeState(o.t.Context(), anon(), batch.StateSpec{
		Select: batch.Selection{BatchID: b.ID, From: from, To: to}, To: state, Reason: "test",
	})
	o.must(err)
	return c
}

func (o *office) state(b batch.Batch, no int64) string {
	o.t.Helper()
	item, ok := o.proj.Lookup(b.Serial(no))
	if !ok {
		o.t.Fatalf("number %d of batch %s is not known", no, b.No)
	}
	return item.State.String()
}

func (o *office) wantStates(b batch.Batch, want map[int64]string) {
	o.t.Helper()
	for no, state := range want {
		if got := o.state(b, no); got != state {
			o.t.Errorf("number %d of batch %s is %s, want %s", no, b.No, got, state)
		}
	}
}

// heads is the end of every shard's feed: equal heads mean that nothing happened.
func (o *office) heads() (heads [ids.Shards]int64) {
	o.t.Helper()
	for shard := range heads {
		var err error
		heads[shard], err = o.store.FeedHead(context.Background(), ids.Shard(shard))
		o.must(err)
	}
	return heads
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	f, ok := fault.From(err)
	if !ok {
		return "internal: " + err.Error()
	}
	return f.Code
}

func wantCode(t *testing.T, err error, want string) {
	t.Helper()
	if got := codeOf(err); got != want {
		t.Errorf("error %q (%v), want %q", got, err, want)
	}
}
