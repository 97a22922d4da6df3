package batchsql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

func halves(t *testing.T) *sqldb.Shards {
	t.Helper()
	dbs := sqldbtest.Halves(t)
	for _, db := range dbs.All() {
		migrate(t, db)
	}
	return dbs
}

func TestShardedStore(t *testing.T) {
	t.Parallel()
	dbs := halves(t) // for the whole suite, one test after the other: to make two databases takes long
	batchtest.Store(t, func(t *testing.T) batch.Store {
		empty(t, dbs)
		return batchsql.Over(dbs, clock.System{})
	})
}

// empty makes databases what they were when they were made.
func empty(t *testing.T, dbs *sqldb.Shards) {
	t.Helper()
	for _, db := range dbs.All() {
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			for _, statement := range []string{
				`DELETE FROM brands`, `DELETE FROM products`, `DELETE FROM batches`, `DELETE FROM claims`, `DELETE FROM claim_returns`,
				`DELETE FROM pool_free`, `DELETE FROM changes`, `DELETE FROM change_covers`, `DELETE FROM item_records`,
				`DELETE FROM idempotency`, `DELETE FROM outbox`, `DELETE FROM tasks`,
				`UPDATE batch_ids SET last = CASE name WHEN 'brand' THEN 1000 ELSE 2000 END`,
				`UPDATE serial_counters SET next = 0`, `UPDATE feed SET seq = 0, at = 0`,
			} {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// mall is a sharded store with brands in both halves.
type mall struct {
	*batchsql.Sharded
	t   *testing.T
	dbs *sqldb.Shards
}

func newMall(t *testing.T) *mall {
	t.Helper()
	dbs := halves(t)
	return &mall{batchsql.Over(dbs, clock.Func(batchtest.Start)), t, dbs}
}

func (m *mall) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// open makes a brand, a product and a batch of it.
func (m *mall) open(n int) (batch.Brand, batch.Batch) {
	m.t.Helper()
	ctx := m.t.Context()
	brand, _, err := m.CreateBrand(ctx, batchtest.Request(n, "brand"), batch.Brand{Name: fmt.Sprint("brand ", n), CreatedAt: batchtest.Start()})
	m.must(err)
	p, _, err := m.CreateProduct(ctx, ids.Request{}, batch.Product{BrandID: brand.ID, Name: "tea", CreatedAt: batchtest.Start()})
	m.must(err)
	shard := ids.ShardOf(brand.ID)
	b := batch.Batch{
		ID: ids.BatchID(ids.NewIn(shard, "bat")), ProductID: p.ID, BrandID: brand.ID, No: "lot", Quantity: 100, Mark: batch.Print, CreatedAt: batchtest.Start(),
	}
	made := batch.Event{Type: "code.generated", BrandID: brand.ID, Subject: "s", Data: json.RawMessage(`{}`)}
	_, _, err = m.CreateBatch(ctx, ids.Request{}, batch.NewBatch{Batch: b, Shard: shard, Limit: ids.ShardCapacity, Event: made})
	m.must(err)
	b, err = m.Batch(ctx, b.ID)
	m.must(err)
	return brand, b
}

// count asks one database alone.
func (m *mall) count(db *sqldb.DB, query string, args ...any) (n int) {
	m.t.Helper()
	m.must(db.Reader().QueryRowContext(m.t.Context(), query, args...).Scan(&n))
	return n
}

// TestBrandIsWhollyInItsDatabase: everything of a brand is where its shard is, and what
// spans shards is gathered in order, page by page.
func TestBrandIsWhollyInItsDatabase(t *testing.T) {
	t.Parallel()
	m, ctx := newMall(t), t.Context()
	batches := map[ids.BatchID]bool{}
	for n := range 6 {
		brand, b := m.open(n)
		batches[b.ID] = true
		own, all := m.dbs.Of(ids.ShardOf(brand.ID)), m.dbs.All()
		other := all[0]
		if own == other {
			other = all[1]
		}
		if got := m.count(own, `SELECT COUNT(*) FROM batches WHERE brand_id = ?`, brand.ID); got != 1 {
			t.Errorf("brand %d has %d batches where it belongs", brand.ID, got)
		}
		for _, query := range []string{
			`SELECT COUNT(*) FROM brands WHERE brand_id = ?`, `SELECT COUNT(*) FROM products WHERE brand_id = ?`,
			`SELECT COUNT(*) FROM batches WHERE brand_id = ?`, `SELECT COUNT(*) FROM outbox WHERE brand_id = ?`,
			`SELECT COUNT(*) FROM changes WHERE brand_id = ?`,
		} {
			if got := m.count(other, query, brand.ID); got != 0 {
				t.Errorf("%s: %d of brand %d in the other database", query, got, brand.ID)
			}
		}
	}
	var after ids.BrandID
	for n := range 6 {
		page, err := m.Brands(ctx, after, 1)
		m.must(err)
		if len(page) != 1 || page[0].ID <= after || page[0].Name != fmt.Sprint("brand ", n) {
			t.Fatalf("page %d of brands: %v", n, page)
		}
		after = page[0].ID
	}
	before, beforeID := batchtest.Start(), ids.BatchID("~")
	for range 3 {
		page, err := m.ListBatches(ctx, 0, before, beforeID, 2)
		m.must(err)
		for _, b := range page {
			if b.ID >= beforeID || !batches[b.ID] {
				t.Fatalf("batch %s after %s", b.ID, beforeID)
			}
			beforeID = b.ID
			delete(batches, b.ID)
		}
	}
	if len(batches) != 0 {
		t.Errorf("not listed: %v", batches)
	}
	heads, err := m.FeedHeads(ctx)
	m.must(err)
	events, _, err := outbox.New(m.dbs).Read(ctx, outbox.Cursor{}, 100)
	m.must(err)
	for _, e := range events {
		if heads[e.Shard] != e.Seq {
			t.Errorf("shard %d: head %d, event %d", e.Shard, heads[e.Shard], e.Seq)
		}
	}
	if len(events) != 6 {
		t.Errorf("%d events, want 6", len(events))
	}
}

// TestBrandSurvivesBetweenItsDatabases: the number was taken at home, and then the other
// database was gone. The retry makes the brand under that number.
func TestBrandSurvivesBetweenItsDatabases(t *testing.T) {
	t.Parallel()
	m, ctx := newMall(t), t.Context()
	odd := m.dbs.All()[1]
	hide := func(from, to string) {
		t.Helper()
		m.must(odd.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.ExecContext(ctx, `RENAME TABLE `+from+` TO `+to)
			return err
		}))
	}
	b := batch.Brand{Name: "between", CreatedAt: batchtest.Start()}
	hide("brands", "hidden")
	if _, _, err := m.CreateBrand(ctx, batchtest.Request(1, "b"), b); err == nil { // the first number is odd
		t.Fatal("a brand without a table")
	}
	hide("hidden", "brands")
	list, err := m.Brands(ctx, 0, 10)
	m.must(err)
	if len(list) != 0 {
		t.Fatalf("half a brand is listed: %v", list)
	}
	made, _, err := m.CreateBrand(ctx, batchtest.Request(1, "b"), b)
	m.must(err)
	again, replayed, err := m.CreateBrand(ctx, batchtest.Request(1, "b"), b)
	m.must(err)
	if !replayed || again != made || made.ID != 1001 {
		t.Errorf("made %+v, again %+v, replayed %v", made, again, replayed)
	}
	if _, _, err := m.CreateBrand(ctx, batchtest.Request(1, "other"), b); !errors.Is(err, idem.ErrMismatch) {
		t.Errorf("another body under the key: %v", err)
	}
}

// TestKeyIsOneForAllDatabases: another use of an idempotency key is refused wherever the
// first was.
func TestKeyIsOneForAllDatabases(t *testing.T) {
	t.Parallel()
	m, ctx := newMall(t), t.Context()
	_, first := m.open(0)
	_, second := m.open(1)
	ask := func(b batch.Batch) batch.ClaimAsk {
		return batch.ClaimAsk{BatchID: b.ID, Shard: b.Shard(), Claimant: "line", Quantity: 5, CreatedAt: batchtest.Start()}
	}
	claims, effect, _, err := m.Claim(ctx, batchtest.Request(9, "first"), ask(first), nil)
	m.must(err)
	if shard, ok := ids.ShardIn(effect); !ok || shard != ids.ShardOf(first.BrandID) || string(claims[0].ID) != effect {
		t.Errorf("claim %s of a batch of brand %d", effect, first.BrandID)
	}
	if _, _, _, err := m.Claim(ctx, batchtest.Request(9, "second"), ask(second), nil); !errors.Is(err, idem.ErrMismatch) {
		t.Errorf("the key in another database: %v", err)
	}
	if found, replayed, err := m.Effect(ctx, batchtest.Request(9, "first")); err != nil || !replayed || found != effect {
		t.Errorf("effect %q, %v, %v; want %q", found, replayed, err, effect)
	}
}
