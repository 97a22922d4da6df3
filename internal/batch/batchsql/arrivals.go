package batchsql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

var (
	_ batch.Arrivals = (*Store)(nil)
	_ batch.Arrivals = (*Sharded)(nil)
)

// ProductHeads implements batch.Arrivals: one order. Whoever makes a product holds the
// counter until he has committed.
func (s *Store) ProductHeads(ctx context.Context) ([]int64, error) {
	last, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (n int64, err error) {
		err = r.Scan(&n)
		return n*ids.Shards + ids.Shards - 1, err
	}, `SELECT last FROM batch_ids WHERE name = 'product'`)
	if err == nil && len(last) != 1 {
		err = errLost
	}
	return last, err
}

// ProductsSince implements batch.Arrivals.
func (s *Store) ProductsSince(ctx context.Context, _ int, after int64, limit int) ([]batch.Product, error) {
	return s.Products(ctx, 0, ids.ProductID(after), limit)
}

// CatalogSince implements batch.Arrivals. Each kind has its own range of an index: most
// of the feed is about states.
func (s *Store) CatalogSince(ctx context.Context, shard ids.Shard, after int64, limit int) (all []batch.Entry, _ error) {
	const query = `SELECT ` + changeColumns + ` FROM changes c WHERE c.shard = ? AND c.kind = ? AND c.seq > ? ORDER BY c.seq LIMIT ?`
	for _, kind := range [...]batch.FeedKind{batch.BatchCreated, batch.TextsChanged} {
		found, err := sqldb.Collect(ctx, s.db.Reader(), scanEntry, query, shard, kind, after, limit)
		if err != nil {
			return nil, fmt.Errorf("read the feed's batches and texts: %w", err)
		}
		all = append(all, found...)
	}
	slices.SortFunc(all, func(a, b batch.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	all = all[:min(len(all), limit)]
	for i := range all {
		if all[i].Kind != batch.BatchCreated {
			continue
		}
		b, err := s.Batch(ctx, all[i].Batch.ID)
		if err != nil {
			return nil, fmt.Errorf("read batch of the feed: %w", err)
		}
		all[i].Batch = &b
	}
	return all, nil
}

// ProductHeads implements batch.Arrivals: an order for each database, as in dbs.All.
func (s *Sharded) ProductHeads(ctx context.Context) ([]int64, error) {
	lists, err := gather(s.all, func(one *Store) ([]int64, error) { return one.ProductHeads(ctx) })
	return slices.Concat(lists...), err
}

// ProductsSince implements batch.Arrivals.
func (s *Sharded) ProductsSince(ctx context.Context, order int, after int64, limit int) ([]batch.Product, error) {
	return s.all[order].ProductsSince(ctx, 0, after, limit)
}

// CatalogSince implements batch.Arrivals.
func (s *Sharded) CatalogSince(ctx context.Context, shard ids.Shard, after int64, limit int) ([]batch.Entry, error) {
	return s.shard(shard).CatalogSince(ctx, shard, after, limit)
}
