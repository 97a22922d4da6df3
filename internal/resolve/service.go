package resolve

import (
	"context"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Catalog knows whose batches are.
type Catalog interface {
	// Brand must fail with a fault when there is none.
	Brand(ctx context.Context, id ids.BrandID) error
	// Batch gives a batch's brand and its quantity.
	Batch(ctx context.Context, id ids.BatchID) (brand ids.BrandID, quantity int64, _ error)
}

// Service changes sets and policies, and keeps the index up to date with all of them.
type Service struct {
	store   Store
	index   *Index
	catalog Catalog
	clock   clock.Clock
}

// NewService wires the use cases.
func NewService(store Store, index *Index, catalog Catalog, c clock.Clock) *Service {
	return &Service{store, index, catalog, c}
}

// Made is what a change came to.
type Made struct {
	Version int64
	Changed bool // false: it was so already
}

// AnyVersion is for a change that replaces whatever there is.
const AnyVersion = -1

// Put replaces the links of an anchor.
func (s *Service) Put(ctx context.Context, set Set, ifVersion int64) (Made, error) {
	if err := s.catalog.Brand(ctx, set.BrandID); err != nil {
		return Made{}, err
	}
	if err := s.CatchUp(ctx); err != nil {
		return Made{}, err
	}
	if err := set.check(s.index.policyOf(set.BrandID)); err != nil {
		return Made{}, err
	}
	if err := s.checkAnchor(ctx, &set); err != nil {
		return Made{}, err
	}
	r, err := set.record()
	if err != nil {
		return Made{}, err
	}
	return s.put(ctx, r, ifVersion)
}

// checkAnchor holds the anchor to what is there: items to their batch, and a narrower
// anchor to a default above it (Resolver 1.2, section 2.5.9).
func (s *Service) checkAnchor(ctx context.Context, set *Set) error {
	a := set.Anchor
	if !s.index.room(a, set.BrandID) {
		return ErrTooMany
	}
	if a.Batch != "" {
		brand, quantity, err := s.catalog.Batch(ctx, a.Batch)
		switch {
		case err != nil:
			return err
		case brand != set.BrandID:
			return badAnchor("the batch is of another brand")
		case a.To > quantity:
			return badAnchor("the batch ends with number %d", quantity)
		}
		return nil
	}
	if a.Prefix != "" || a.ofItems() || hasDefault(set.Links) || s.index.defaultAbove(a) {
		return nil
	}
	return fault.Field("resolve.no_default", "links", "have no gs1:defaultLink, and neither has anything above this anchor: whoever scans it would get nothing")
}

// defaultAbove reports whether a level above the anchor's has a default.
func (x *Index) defaultAbove(a Anchor) bool {
	for _, l := range x.found(&a.ID, nil, nil) {
		for _, some := range l.links {
			if l.id != a.ID && hasDefault(some) {
				return true
			}
		}
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	h := x.ofPrefix(&a.ID)
	return h != nil && hasDefault(h.open)
}

// Delete takes the links of an anchor away.
func (s *Service) Delete(ctx context.Context, brand ids.BrandID, a Anchor, ifVersion int64) (Made, error) {
	if err := s.catalog.Brand(ctx, brand); err != nil {
		return Made{}, err
	}
	set := Set{Anchor: a, BrandID: brand}
	r, err := set.record()
	if err != nil {
		return Made{}, err
	}
	return s.put(ctx, r, ifVersion)
}

// PutPolicy says where a brand's links may lead. It takes effect at once for links that
// are there already.
func (s *Service) PutPolicy(ctx context.Context, p Policy, ifVersion int64) (Made, error) {
	if err := s.catalog.Brand(ctx, p.BrandID); err != nil {
		return Made{}, err
	}
	if err := p.check(); err != nil {
		return Made{}, err
	}
	r, err := p.record()
	if err != nil {
		return Made{}, err
	}
	return s.put(ctx, r, ifVersion)
}

func (s *Service) put(ctx context.Context, r Record, ifVersion int64) (Made, error) {
	r.ChangedAt = s.clock.Now()
	version, changed, err := s.store.Put(ctx, r, ifVersion)
	if err != nil {
		return Made{}, err
	}
	return Made{version, changed}, s.CatchUp(ctx)
}

// Set gives the links of an anchor, those too that the policy holds back.
func (s *Service) Set(ctx context.Context, a Anchor) (Set, error) {
	r, err := s.store.Record(ctx, a.String())
	if err != nil {
		return Set{}, err
	}
	if len(r.Body) == 0 {
		return Set{}, ErrUnknown
	}
	return r.set()
}

// Policy gives a brand's; one that was never set allows nothing.
func (s *Service) Policy(ctx context.Context, b ids.BrandID) (Policy, error) {
	if err := s.catalog.Brand(ctx, b); err != nil {
		return Policy{}, err
	}
	r, err := s.store.Record(ctx, policyName(b))
	if errors.Is(err, ErrUnknown) {
		return Policy{BrandID: b, Schemes: []string{}, Hosts: []string{}}, nil
	}
	if err != nil {
		return Policy{}, err
	}
	p, err := r.policy()
	if err != nil {
		return Policy{}, err
	}
	return *p, nil
}

// List gives a brand's sets by anchor; 0 = of every brand.
func (s *Service) List(ctx context.Context, brand ids.BrandID, after string, limit int) (sets []Set, next string, _ error) {
	records, err := s.store.List(ctx, brand, after, limit)
	if err != nil {
		return nil, "", err
	}
	for i := range records {
		next = records[i].Name
		if records[i].isPolicy() {
			continue
		}
		set, err := records[i].set()
		if err != nil {
			return nil, "", err
		}
		sets = append(sets, set)
	}
	if len(records) < limit {
		next = ""
	}
	return sets, next, nil
}

const changesPage = 500

// CatchUp applies what was committed since, here or by others.
func (s *Service) CatchUp(ctx context.Context) error {
	for {
		page, err := s.store.Changes(ctx, s.index.Version(), changesPage)
		if err != nil {
			return fmt.Errorf("read changes of links: %w", err)
		}
		if err := s.index.Apply(page); err != nil {
			return err
		}
		if len(page) < changesPage {
			return nil
		}
	}
}
