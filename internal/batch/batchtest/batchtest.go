// Package batchtest holds every engine of batch to its contract, and has the
// fakes for tests that are not about engines.
//
// Each "must" of the interfaces in internal/batch/store.go has a subtest here
// whose name says it.
package batchtest

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Open gives an empty store. Everything that one call gives shares one database.
type Open func(t *testing.T) batch.Store

// Store runs the contract of batch.Store.
func Store(t *testing.T, open func(t *testing.T) batch.Store) {
	t.Run("Catalog", func(t *testing.T) { TestCatalog(t, open) })
	t.Run("Replays", func(t *testing.T) { TestReplays(t, open) })
	t.Run("Allocation", func(t *testing.T) { TestAllocation(t, open) })
	t.Run("Batches", func(t *testing.T) { TestBatches(t, open) })
	t.Run("Claims", func(t *testing.T) { TestClaims(t, open) })
	t.Run("Returns", func(t *testing.T) { TestReturns(t, open) })
	t.Run("Pool", func(t *testing.T) { TestPool(t, open) })
	t.Run("Changes", func(t *testing.T) { TestChanges(t, open) })
	t.Run("Feed", func(t *testing.T) { TestFeed(t, open) })
	t.Run("Items", func(t *testing.T) { TestItems(t, open) })
	t.Run("Arrivals", func(t *testing.T) { TestArrivals(t, open) })
}

// Start is when the suite's things are made.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// Request is the n-th request, for a body.
func Request(n int, body string) ids.Request {
	return ids.Request{Key: sha256.Sum256(fmt.Append(nil, "key", n)), Body: sha256.Sum256([]byte(body))}
}

// world is a store with a brand and a product to work on.
type world struct {
	batch.Store
	t       *testing.T
	brand   batch.Brand
	product batch.Product
}

func newWorld(t *testing.T, open Open) *world {
	t.Helper()
	w := &world{Store: open(t), t: t}
	w.brand, w.product = w.addProduct("Tea house")
	return w
}

// addProduct makes a brand and a product of it.
func (w *world) addProduct(name string) (batch.Brand, batch.Product) {
	w.t.Helper()
	b, _, err := w.CreateBrand(w.t.Context(), ids.Request{}, batch.Brand{Name: name, CreatedAt: Start()})
	w.must(err)
	p, _, err := w.CreateProduct(w.t.Context(), ids.Request{}, batch.Product{BrandID: b.ID, Name: name + "'s tea", CreatedAt: Start()})
	w.must(err)
	return b, p
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) shard() ids.Shard { return ids.ShardOf(w.brand.ID) }

// ask is a request for a batch of the world's product.
func (w *world) ask(no string, quantity int64) batch.NewBatch {
	return w.askOf(w.product, no, quantity)
}

func (w *world) askOf(p batch.Product, no string, quantity int64) batch.NewBatch {
	b := batch.Batch{
		ID: ids.BatchID(ids.NewIn(ids.ShardOf(p.BrandID), "bat")), ProductID: p.ID, BrandID: p.BrandID, No: no, Quantity: quantity,
		Mark: batch.Print, CreatedAt: Start(),
	}
	return batch.NewBatch{Batch: b, Shard: ids.ShardOf(p.BrandID), Limit: ids.ShardCapacity, Event: event("code.generated", p.BrandID)}
}

func event(kind string, brand ids.BrandID) batch.Event {
	return batch.Event{Type: kind, BrandID: brand, Subject: "suite", Data: json.RawMessage(`{}`)}
}

// make makes a batch and reads it back.
func (w *world) make(no string, quantity int64) batch.Batch { return w.makeAs(w.ask(no, quantity)) }

func (w *world) makeAs(n batch.NewBatch) batch.Batch {
	w.t.Helper()
	_, _, err := w.CreateBatch(w.t.Context(), ids.Request{}, n)
	w.must(err)
	b, err := w.Batch(w.t.Context(), n.Batch.ID)
	w.must(err)
	return b
}

// batches are those of the world's product, in the order of their serials.
func (w *world) batches() []batch.Batch {
	w.t.Helper()
	all, err := w.ListBatches(w.t.Context(), w.product.ID, Start().Add(time.Hour), "", 1000)
	w.must(err)
	slices.SortFunc(all, func(a, b batch.Batch) int { return int(a.First) - int(b.First) })
	return all
}

func block(b batch.Batch, quantity int64) batch.ClaimAsk {
	return batch.ClaimAsk{BatchID: b.ID, Shard: b.Shard(), Claimant: "line 7", Quantity: quantity, CreatedAt: Start()}
}

// claim takes a block.
func (w *world) claim(b batch.Batch, quantity int64) batch.Claim {
	w.t.Helper()
	claims, effect, replayed, err := w.Claim(w.t.Context(), ids.Request{}, block(b, quantity), nil)
	w.must(err)
	if len(claims) != 1 || effect != string(claims[0].ID) || replayed {
		w.t.Fatalf("Claim = %v, effect %q, replayed %v; want one claim, named, not replayed", claims, effect, replayed)
	}
	return claims[0]
}

func (w *world) wantFree(b batch.Batch, want ...batch.Run) {
	w.t.Helper()
	free, err := w.Free(w.t.Context(), b.ID)
	w.must(err)
	if diff := cmp.Diff(want, []batch.Run(free)); diff != "" {
		w.t.Errorf("free blocks (-want +got):\n%s", diff)
	}
}

// change is a change of some numbers of a batch to a state.
func (w *world) change(b batch.Batch, to gs1.Disposition, numbers ...batch.Run) batch.Change {
	return batch.Change{
		ID: ids.ChangeID(ids.NewIn(b.Shard(), "chg")), BrandID: b.BrandID, To: to, Reason: "suite", Actor: "tester",
		Items: batch.Runs(numbers).Count(), Covers: []batch.Cover{{Batch: b.First, To: to, Numbers: numbers}},
	}
}

func (w *world) head() int64 {
	w.t.Helper()
	head, err := w.FeedHead(w.t.Context(), w.shard())
	w.must(err)
	return head
}

// commit appends a change that is decided on the present head.
func (w *world) commit(c batch.Change) batch.Change {
	w.t.Helper()
	done, replayed, err := w.AppendChange(w.t.Context(), ids.Request{}, c, w.head(), nil)
	w.must(err)
	if replayed {
		w.t.Error("a change without a request was replayed")
	}
	return done
}

// feed reads the whole feed of the world's shard in small pages.
func (w *world) feed(limit int) []batch.Entry {
	w.t.Helper()
	var all []batch.Entry
	var after int64
	for {
		page, err := w.Feed(w.t.Context(), w.shard(), after, limit)
		w.must(err)
		if len(page) == 0 {
			return all
		}
		all, after = append(all, page...), page[len(page)-1].Seq
	}
}

func wantFault(t *testing.T, err error, want *fault.Error) {
	t.Helper()
	if f, ok := fault.From(err); !ok || !f.Is(want) {
		t.Errorf("error = %v, want %s", err, want.Code)
	}
}

// wantTiled fails unless the runs fill 1..quantity without a gap or an overlap.
func wantTiled(t *testing.T, quantity int64, runs []batch.Run) {
	t.Helper()
	slices.SortFunc(runs, func(a, b batch.Run) int { return int(a.From - b.From) })
	next := int64(1)
	for _, r := range runs {
		if r.From != next || r.To < r.From {
			t.Fatalf("block %d..%d begins where %d was due", r.From, r.To, next)
		}
		next = r.To + 1
	}
	if next != quantity+1 {
		t.Errorf("the blocks end at %d, want %d", next-1, quantity)
	}
}

// lot gives numbers that look random and are the same in every run.
type lot uint64

func (l *lot) below(n int64) int64 {
	*l += 0x9e3779b97f4a7c15 // splitmix64
	z := uint64(*l)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int64((z ^ z>>31) >> 1 % uint64(n))
}
