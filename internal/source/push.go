package source

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// detailsMax is how much is said of what is wrong with a push.
const detailsMax = 100

// Add keeps what a caller pushes, all of it or nothing.
func (s *Service) Add(ctx context.Context, r ids.Request, actor string, brand ids.BrandID, rows []Row) (id string, replayed bool, _ error) {
	if err := s.Catalog.HasBrand(ctx, brand); err != nil {
		return "", false, err
	}
	if len(rows) == 0 || len(rows) > RowsMax {
		return "", false, ErrBadRows.Textf("rows: must be 1 to %d", RowsMax)
	}
	var bad []fault.Detail
	for i := range rows {
		for _, d := range s.problems(brand, &rows[i]) {
			bad = append(bad, fault.Detail{Field: fmt.Sprintf("rows[%d].%s", i, d.Field), Reason: d.Reason})
		}
		if len(bad) >= detailsMax {
			break
		}
	}
	if len(bad) > 0 {
		return "", false, ErrBadRows.With(bad[:min(len(bad), detailsMax)]...)
	}
	return s.Store.AddRows(ctx, r, Push{
		ID: ids.NewIn(ids.ShardOf(brand), "psh"), Brand: brand, Rows: rows, CreatedBy: actor, CreatedAt: s.Clock.Now(),
	})
}

// problems says what is wrong with a row of a brand. A code of another brand is as one of
// nobody's.
func (s *Service) problems(brand ids.BrandID, r *Row) []fault.Detail {
	bad := r.check(s.Clock.Now())
	if r.Code == "" {
		return bad
	}
	if on, ok := s.Catalog.Find(r.Code); !ok || on.Brand != brand {
		return append(bad, fault.Detail{Field: "code", Reason: "is no code of this brand"})
	} else if on.Code != "" {
		r.Code = on.Code
	}
	return bad
}

// Signed is the system that signed a body, and the identity of its push: the same id
// brings about nothing twice. A signature that does not hold, one that is old and a source
// that is not there are answered alike.
func (s *Service) Signed(ctx context.Context, id SystemID, g Signed, body []byte) (System, ids.Request, error) {
	if !ids.Valid(systemPrefix, string(id)) || !g.holds(s.Secrets.push(id), body, s.Clock.Now()) {
		return System{}, ids.Request{}, ErrSignature
	}
	sys, err := s.Store.System(ctx, id)
	if fault.KindOf(err) == fault.NotFound || err == nil && (sys.Removed || !sys.Enabled) {
		return System{}, ids.Request{}, ErrSignature
	}
	return sys, ids.Request{
		Key: sha256.Sum256([]byte("source\x00" + string(id) + "\x00" + g.ID)), Body: sha256.Sum256(body),
	}, err
}

// AddSigned keeps what a system pushes, of its brand, or if it is of all brands of the one
// that it names.
func (s *Service) AddSigned(ctx context.Context, sys *System, r ids.Request, brand ids.BrandID, rows []Row) (id string, replayed bool, _ error) {
	if brand == 0 {
		brand = sys.Brand
	}
	if sys.Brand != 0 {
		ctx = ids.WithScope(ctx, ids.OnlyBrands(sys.Brand))
	}
	for i := range rows {
		rows[i].Source = sys.Kind
	}
	return s.Add(ctx, r, string(sys.ID), brand, rows)
}
