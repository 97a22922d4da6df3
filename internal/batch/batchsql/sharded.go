package batchsql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Sharded implements batch.Store over the databases of an installation: each brand is
// wholly in one, with its requests, events and tasks. A brand, a product and a serial
// name their shard by arithmetic, other identifiers by their last character. Only the
// numbers of brands are the home's.
type Sharded struct {
	dbs  *sqldb.Shards
	all  []*Store // as dbs.All
	of   map[*sqldb.DB]*Store
	home *Store
}

var _ batch.Store = (*Sharded)(nil)

// Over makes the store of migrated databases.
func Over(dbs *sqldb.Shards, c clock.Clock) *Sharded {
	s := &Sharded{dbs: dbs, of: map[*sqldb.DB]*Store{}}
	for _, db := range dbs.All() {
		s.of[db] = New(db, c)
		s.all = append(s.all, s.of[db])
	}
	s.home = s.all[0]
	return s
}

func (s *Sharded) shard(n ids.Shard) *Store       { return s.of[s.dbs.Of(n)] }
func (s *Sharded) brand(b ids.BrandID) *Store     { return s.shard(ids.ShardOf(b)) }
func (s *Sharded) product(p ids.ProductID) *Store { return s.shard(ids.ShardOfProduct(p)) }
func (s *Sharded) named(id string) *Store         { return s.of[s.dbs.Named(id)] }
func (s *Sharded) batch(id ids.BatchID) *Store    { return s.named(string(id)) }
func (s *Sharded) serial(first ids.Serial) *Store { return s.shard(first.Shard()) }

// askMax is how long a request waits for the databases that it is not about.
const askMax = 2 * time.Second

// gather asks all databases at once.
func gather[T any](all []*Store, ask func(*Store) (T, error)) ([]T, error) {
	answers, errs := make([]T, len(all)), make([]error, len(all))
	var asked sync.WaitGroup
	for i, one := range all {
		asked.Go(func() { answers[i], errs[i] = ask(one) })
	}
	asked.Wait()
	return answers, errors.Join(errs...)
}

// merged puts lists that are in order together, and cuts them.
func merged[T any](lists [][]T, err error, limit int, order func(a, b T) int) ([]T, error) {
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, order)
	return all[:min(len(all), limit)], nil
}

// Effect implements batch.Store. The same request had its effect where it would have it
// now, so a database that does not answer has nothing to say about any other's.
func (s *Sharded) Effect(ctx context.Context, r ids.Request) (string, bool, error) {
	if len(s.all) == 1 || r.IsZero() {
		return s.home.Effect(ctx, r)
	}
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	type answer struct {
		effect   string
		replayed bool
		err      error
	}
	answers, _ := gather(s.all, func(one *Store) (a answer, _ error) {
		a.effect, a.replayed, a.err = one.Effect(ctx, r)
		return a, nil
	})
	silent := 0
	for _, a := range answers {
		switch {
		case errors.Is(a.err, idem.ErrMismatch):
			return "", false, a.err
		case a.err != nil:
			silent++
		case a.replayed:
			return a.effect, true, nil
		}
	}
	if silent == len(answers) {
		return "", false, answers[0].err
	}
	return "", false, nil
}

// fresh refuses a request whose key was used for something else in another database.
func (s *Sharded) fresh(ctx context.Context, r ids.Request) error {
	if len(s.all) == 1 || r.IsZero() {
		return nil
	}
	if _, _, err := s.Effect(ctx, r); errors.Is(err, idem.ErrMismatch) {
		return err
	}
	return nil // whoever has the brand says the rest
}

// Close is Store's, of all of them.
func (s *Sharded) Close() error {
	_, err := gather(s.all, func(one *Store) (struct{}, error) { return struct{}{}, one.Close() })
	return err
}

// HasBatches reports whether anything was ever issued here.
func (s *Sharded) HasBatches(ctx context.Context) (bool, error) {
	has, err := gather(s.all, func(one *Store) (bool, error) { return one.HasBatches(ctx) })
	return slices.Contains(has, true), err
}

// CreateBrand implements batch.Catalog. The number is taken at home, in the transaction
// of the request; then the brand is made where it belongs. A retry of a request that
// came no further than its number goes on with that.
func (s *Sharded) CreateBrand(ctx context.Context, r ids.Request, b batch.Brand) (batch.Brand, bool, error) {
	if len(s.all) == 1 {
		return s.home.CreateBrand(ctx, r, b)
	}
	if err := s.fresh(ctx, r); err != nil {
		return b, false, err
	}
	effect, replayed, err := s.home.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		id, err := nextID(ctx, tx, "brand")
		return strconv.Itoa(int(id)), err
	})
	if err != nil {
		return b, false, fmt.Errorf("create brand: %w", err)
	}
	b.ID = ids.BrandID(number(effect))
	own := s.brand(b.ID)
	made, err := own.Brand(ctx, b.ID)
	if !errors.Is(err, batch.ErrUnknownBrand) {
		return made, replayed, err
	}
	err = own.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return insertBrand(ctx, tx, b) })
	if err != nil && !sqldb.IsDuplicate(err) { // another try of the request may be first
		return b, false, fmt.Errorf("create brand: %w", err)
	}
	made, err = own.Brand(ctx, b.ID)
	return made, replayed, err
}

// Brand implements batch.Catalog.
func (s *Sharded) Brand(ctx context.Context, id ids.BrandID) (batch.Brand, error) {
	return s.brand(id).Brand(ctx, id)
}

// Brands implements batch.Catalog.
func (s *Sharded) Brands(ctx context.Context, after ids.BrandID, limit int) ([]batch.Brand, error) {
	lists, err := gather(s.all, func(one *Store) ([]batch.Brand, error) { return one.Brands(ctx, after, limit) })
	return merged(lists, err, limit, func(a, b batch.Brand) int { return cmp.Compare(a.ID, b.ID) })
}

// CreateProduct implements batch.Catalog.
func (s *Sharded) CreateProduct(ctx context.Context, r ids.Request, p batch.Product) (batch.Product, bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return p, false, err
	}
	return s.brand(p.BrandID).CreateProduct(ctx, r, p)
}

// Product implements batch.Catalog.
func (s *Sharded) Product(ctx context.Context, id ids.ProductID) (batch.Product, error) {
	return s.product(id).Product(ctx, id)
}

// Products implements batch.Catalog.
func (s *Sharded) Products(ctx context.Context, brand ids.BrandID, after ids.ProductID, limit int) ([]batch.Product, error) {
	if brand != 0 {
		return s.brand(brand).Products(ctx, brand, after, limit)
	}
	lists, err := gather(s.all, func(one *Store) ([]batch.Product, error) { return one.Products(ctx, 0, after, limit) })
	return merged(lists, err, limit, func(a, b batch.Product) int { return cmp.Compare(a.ID, b.ID) })
}

// BrandOf implements batch.Catalog.
func (s *Sharded) BrandOf(ctx context.Context, gtin gs1.GTIN) (ids.BrandID, bool, error) {
	all, err := gather(s.all, func(one *Store) (owner, error) { return one.owner(ctx, gtin) })
	var first owner
	for _, o := range all {
		if o.product != 0 && (first.product == 0 || o.product < first.product) {
			first = o
		}
	}
	return first.brand, first.product != 0, err
}

// ChangeTexts implements batch.Catalog.
func (s *Sharded) ChangeTexts(ctx context.Context, r ids.Request, t batch.TextChange) (bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return false, err
	}
	return s.brand(t.BrandID).ChangeTexts(ctx, r, t)
}

// Settings implements batch.Catalog.
func (s *Sharded) Settings(ctx context.Context, brand ids.BrandID) (batch.Settings, error) {
	return s.brand(brand).Settings(ctx, brand)
}

// ChangeSettings implements batch.Catalog.
func (s *Sharded) ChangeSettings(ctx context.Context, r ids.Request, c batch.SettingsChange) (version int64, replayed bool, _ error) {
	if err := s.fresh(ctx, r); err != nil {
		return 0, false, err
	}
	return s.brand(c.BrandID).ChangeSettings(ctx, r, c)
}

// CreateBatch implements batch.Batches.
func (s *Sharded) CreateBatch(ctx context.Context, r ids.Request, n batch.NewBatch) (string, bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return "", false, err
	}
	return s.shard(n.Shard).CreateBatch(ctx, r, n)
}

// Batch implements batch.Batches.
func (s *Sharded) Batch(ctx context.Context, id ids.BatchID) (batch.Batch, error) {
	return s.batch(id).Batch(ctx, id)
}

// BatchByNo implements batch.Batches.
func (s *Sharded) BatchByNo(ctx context.Context, product ids.ProductID, no string) (batch.Batch, error) {
	return s.product(product).BatchByNo(ctx, product, no)
}

// ListBatches implements batch.Batches.
func (s *Sharded) ListBatches(ctx context.Context, product ids.ProductID, before time.Time, beforeID ids.BatchID, limit int) ([]batch.Batch, error) {
	if product != 0 {
		return s.product(product).ListBatches(ctx, product, before, beforeID, limit)
	}
	lists, err := gather(s.all, func(one *Store) ([]batch.Batch, error) { return one.ListBatches(ctx, 0, before, beforeID, limit) })
	return merged(lists, err, limit, func(a, b batch.Batch) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
}

// BatchesOf implements batch.Batches.
func (s *Sharded) BatchesOf(ctx context.Context, brand ids.BrandID, before time.Time, beforeID ids.BatchID, limit int) ([]batch.Batch, error) {
	return s.brand(brand).BatchesOf(ctx, brand, before, beforeID, limit)
}

// Claim implements batch.Claims.
func (s *Sharded) Claim(ctx context.Context, r ids.Request, ask batch.ClaimAsk, task *batch.NewTask) ([]batch.Claim, string, bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return nil, "", false, err
	}
	return s.batch(ask.BatchID).Claim(ctx, r, ask, task)
}

// FindClaim implements batch.Claims.
func (s *Sharded) FindClaim(ctx context.Context, b ids.BatchID, id ids.ClaimID) (batch.Claim, error) {
	return s.named(string(id)).FindClaim(ctx, b, id)
}

// ClaimsOf implements batch.Claims.
func (s *Sharded) ClaimsOf(ctx context.Context, b ids.BatchID, within batch.Run, limit int) ([]batch.Claim, error) {
	return s.batch(b).ClaimsOf(ctx, b, within, limit)
}

// ReturnClaim implements batch.Claims.
func (s *Sharded) ReturnClaim(ctx context.Context, r ids.Request, c batch.Claim, from, decided int64) (batch.Claim, bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return c, false, err
	}
	return s.batch(c.BatchID).ReturnClaim(ctx, r, c, from, decided)
}

// ReleaseClaims is Store's, in a transaction of the batch's database.
func (s *Sharded) ReleaseClaims(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, claims []ids.ClaimID) error {
	return s.batch(b).ReleaseClaims(ctx, tx, b, claims)
}

// Announce is Store's, in a transaction of the shard's database.
func (s *Sharded) Announce(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, e batch.Event) error {
	return s.shard(shard).Announce(ctx, tx, shard, e)
}

// Free implements batch.Claims.
func (s *Sharded) Free(ctx context.Context, b ids.BatchID) (batch.Runs, error) {
	return s.batch(b).Free(ctx, b)
}

// PoolCandidates implements batch.Claims.
func (s *Sharded) PoolCandidates(ctx context.Context, product ids.ProductID, quantity int64, now time.Time) ([]ids.BatchID, int64, error) {
	return s.product(product).PoolCandidates(ctx, product, quantity, now)
}

// AppendChange implements batch.Changes.
func (s *Sharded) AppendChange(ctx context.Context, r ids.Request, c batch.Change, decided int64, events []batch.Event) (batch.Change, bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return c, false, err
	}
	return s.brand(c.BrandID).AppendChange(ctx, r, c, decided, events)
}

// Reissue implements batch.Changes.
func (s *Sharded) Reissue(ctx context.Context, r ids.Request, i batch.ItemChange, brand ids.BrandID, event batch.Event) (batch.ItemChange, bool, error) {
	if err := s.fresh(ctx, r); err != nil {
		return i, false, err
	}
	return s.brand(brand).Reissue(ctx, r, i, brand, event)
}

// TryInner implements batch.Changes.
func (s *Sharded) TryInner(ctx context.Context, r ids.Request, i batch.ItemChange, brand ids.BrandID, right bool, triesMax int) (batch.InnerRecord, error) {
	if err := s.fresh(ctx, r); err != nil {
		return batch.InnerRecord{}, err
	}
	return s.brand(brand).TryInner(ctx, r, i, brand, right, triesMax)
}

// FindChange implements batch.Changes.
func (s *Sharded) FindChange(ctx context.Context, id ids.ChangeID) (batch.Change, error) {
	return s.named(string(id)).FindChange(ctx, id)
}

// Feed implements batch.Changes.
func (s *Sharded) Feed(ctx context.Context, shard ids.Shard, after int64, limit int) ([]batch.Entry, error) {
	return s.shard(shard).Feed(ctx, shard, after, limit)
}

// FeedHead implements batch.Changes.
func (s *Sharded) FeedHead(ctx context.Context, shard ids.Shard) (int64, error) {
	return s.shard(shard).FeedHead(ctx, shard)
}

// FeedHeads implements batch.Changes: of each shard what its own database says.
func (s *Sharded) FeedHeads(ctx context.Context) (heads [ids.Shards]int64, _ error) {
	all, err := gather(s.all, func(one *Store) ([ids.Shards]int64, error) { return one.FeedHeads(ctx) })
	for i, one := range s.all {
		for n := range ids.Shard(ids.Shards) {
			if s.shard(n) == one {
				heads[n] = all[i][n]
			}
		}
	}
	return heads, err
}

// FindEvent implements batch.Changes.
func (s *Sharded) FindEvent(ctx context.Context, brand ids.BrandID, event string) (batch.Change, error) {
	return s.brand(brand).FindEvent(ctx, brand, event)
}

// History implements batch.Changes.
func (s *Sharded) History(ctx context.Context, first ids.Serial, within batch.Run) ([]batch.Change, error) {
	return s.serial(first).History(ctx, first, within)
}

// ItemHistory implements batch.Changes.
func (s *Sharded) ItemHistory(ctx context.Context, first ids.Serial, no int64, serial ids.Serial) ([]batch.Change, []batch.Entry, error) {
	return s.serial(first).ItemHistory(ctx, first, no, serial)
}

// AppendEvents implements batch.Changes.
func (s *Sharded) AppendEvents(ctx context.Context, shard ids.Shard, events []batch.Event) error {
	return s.shard(shard).AppendEvents(ctx, shard, events)
}

// Recent implements batch.Changes.
func (s *Sharded) Recent(ctx context.Context, brand ids.BrandID, before time.Time, seq int64, limit int) ([]batch.Entry, error) {
	return s.brand(brand).Recent(ctx, brand, before, seq, limit)
}
