package app

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
)

const (
	// textsQueue is how many changes of texts may wait; one more, and what it would have
	// forgotten ends by its age, which is minutes.
	textsQueue = 1024
	textsAtOne = 100 // forgotten before the feed goes on, so that the next answer is right
	// textsAgain is when a brand is looked at once more: a load may have been under way
	// that had read the old name.
	textsAgain = time.Second
)

// textsChanged drops texts from memory when the feed says that they are others now,
// whoever changed them: a few at once, and the rest, which many scans would load anew at
// the same moment, a little later.
func (a *App) textsChanged(e batch.TextsEntry) {
	products := []ids.ProductID{e.ProductID}
	if e.ProductID == 0 {
		products = a.texts.Of(e.BrandID)
	}
	_ = a.texts.Forget(a.background, products[:min(len(products), textsAtOne)]) // fails only at the end of all
	if e.ProductID != 0 {
		return
	}
	select {
	case a.renamed <- e.BrandID:
	default:
	}
}

// forgetTexts drops what is left of the texts of brands that were renamed.
func (a *App) forgetTexts(ctx context.Context) {
	for {
		select {
		case brand := <-a.renamed:
			select {
			case <-time.After(textsAgain):
			case <-ctx.Done():
				return
			}
			_ = a.texts.Forget(ctx, a.texts.Of(brand)) // likewise
		case <-ctx.Done():
			return
		}
	}
}
