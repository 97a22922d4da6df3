package app

import (
	"context"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
)

// textsQueue is how many changes of texts may wait to be forgotten; one more and they
// end by their age, which is minutes.
const textsQueue = 1024

// forgetTexts drops texts from memory when the feed says that they are others now,
// whoever changed them.
func (a *App) forgetTexts(ctx context.Context, changed <-chan batch.TextsEntry) {
	for {
		select {
		case e := <-changed:
			if err := a.forget(ctx, e); err != nil && ctx.Err() == nil {
				a.log.Warn("old product texts may be shown for some minutes", "brand_id", e.BrandID, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// forget drops one product's texts, or those of all of a brand's products.
func (a *App) forget(ctx context.Context, e batch.TextsEntry) error {
	if e.ProductID != 0 {
		return a.texts.Forget(ctx, []ids.ProductID{e.ProductID})
	}
	var products []ids.ProductID
	for after := ids.ProductID(0); ; after = products[len(products)-1] {
		page, err := a.Batches.Products(ctx, e.BrandID, after, warmMax)
		if err != nil {
			return err
		}
		for i := range page {
			products = append(products, page[i].ID)
		}
		if len(page) < warmMax {
			return a.texts.Forget(ctx, products)
		}
	}
}
