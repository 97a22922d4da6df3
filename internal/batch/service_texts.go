package batch

import (
	"context"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// TextChange is new texts for a product, or for a brand and so for all of its
// products. What is nil stays.
type TextChange struct {
	BrandID     ids.BrandID
	ProductID   ids.ProductID // 0 = the brand's own
	Name        *string
	Description *string
	Help        *string
}

// ErrNoChange refuses a change that names nothing.
var ErrNoChange = fault.New(fault.Invalid, "catalog.nothing_to_change", "name at least one field to change")

func (t *TextChange) check() error {
	if t.Name == nil && t.Description == nil && t.Help == nil {
		return ErrNoChange
	}
	if t.Name != nil {
		if err := CheckName("name", *t.Name, nameBytesMax); err != nil {
			return err
		}
	}
	for field, text := range map[string]*string{"description": t.Description, "help": t.Help} {
		if text == nil {
			continue
		}
		if err := checkText(field, *text); err != nil {
			return err
		}
	}
	return nil
}

// RenameBrand gives a brand another name.
func (s *Service) RenameBrand(ctx context.Context, cmd Command, id ids.BrandID, name *string) (replayed bool, _ error) {
	if _, err := s.Brand(ctx, id); err != nil {
		return false, err
	}
	return s.changeTexts(ctx, cmd, TextChange{BrandID: id, Name: name})
}

// ChangeProduct gives a product other texts; what is printed on items stays.
func (s *Service) ChangeProduct(ctx context.Context, cmd Command, t TextChange) (replayed bool, _ error) {
	p, err := s.Product(ctx, t.ProductID)
	if err != nil {
		return false, err
	}
	t.BrandID = p.BrandID
	return s.changeTexts(ctx, cmd, t)
}

func (s *Service) changeTexts(ctx context.Context, cmd Command, t TextChange) (replayed bool, _ error) {
	if err := t.check(); err != nil {
		return false, err
	}
	replayed, err := s.store.ChangeTexts(ctx, cmd.Request, t)
	if err != nil {
		return false, err
	}
	return replayed, s.catchUp(ctx, ids.ShardOf(t.BrandID))
}
