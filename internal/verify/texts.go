package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/chopmark/chopmark/internal/ids"
)

// The seed's first-level cache: hot product texts, 10 MB, five minutes.
const (
	textCacheBytes  = 10 << 20
	textCacheLife   = 5 * time.Minute
	textCacheJitter = 30 * time.Second
	textOverhead    = 200 // what an entry costs beside its texts
)

// TextSource loads a product's text from where it is kept.
type TextSource func(ctx context.Context, product ids.ProductID) (Text, error)

// TextCache keeps product texts in memory. Concurrent misses of one product load
// it once, and lives differ a little so that texts do not all end together.
type TextCache struct {
	cache *otter.Cache[ids.ProductID, Text]
	load  otter.LoaderFunc[ids.ProductID, Text]
}

// NewTextCache makes an empty cache in front of a source.
func NewTextCache(source TextSource) (*TextCache, error) { return newTextCache(source, nil) }

// newTextCache takes the cache's clock too; nil is the machine's.
func newTextCache(source TextSource, clock otter.Clock) (*TextCache, error) {
	cache, err := otter.New(&otter.Options[ids.ProductID, Text]{
		MaximumWeight: textCacheBytes,
		Weigher: func(_ ids.ProductID, t Text) uint32 {
			return uint32(textOverhead + len(t.Name) + len(t.Brand) + len(t.Help))
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[ids.ProductID, Text]) time.Duration {
			return textCacheLife - jitter(e.Key)
		}),
		StatsRecorder: stats.NewCounter(),
		Clock:         clock,
	})
	if err != nil {
		return nil, fmt.Errorf("make text cache: %w", err)
	}
	return &TextCache{cache, otter.LoaderFunc[ids.ProductID, Text](source)}, nil
}

// jitter spreads lives by product: nothing here needs to be unguessable.
func jitter(id ids.ProductID) time.Duration {
	const golden = 0x9E3779B97F4A7C15 // 2^64/φ: neighbours land far apart
	return time.Duration(uint64(id) * golden % uint64(textCacheJitter))
}

// Text implements Texts.
func (c *TextCache) Text(ctx context.Context, item *Item) (Text, error) {
	return c.cache.Get(ctx, item.ProductID, c.load)
}

// Warm loads texts before somebody asks for them: a few at a time with a pause, so
// that a start does not fall upon the store. It stops at the first that fails, since
// scans load what they need themselves, and when ctx ends.
func (c *TextCache) Warm(ctx context.Context, products []ids.ProductID) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for group := range slices.Chunk(products, warmAtOnce) {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		failed := make([]error, len(group))
		var wg sync.WaitGroup
		for i, id := range group {
			wg.Go(func() { _, failed[i] = c.cache.Get(ctx, id, c.load) })
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			return fmt.Errorf("warm product texts: %w", err)
		}
		pause.Reset(warmPause)
	}
	return nil
}

// The seed's pace of a warm-up.
const (
	warmAtOnce = 10
	warmPause  = 100 * time.Millisecond
)

// Of gives the products of a brand whose texts are in memory.
func (c *TextCache) Of(brand ids.BrandID) (products []ids.ProductID) {
	for id, text := range c.cache.All() {
		if text.BrandID == brand {
			products = append(products, id)
		}
	}
	return products
}

// Forget drops texts that changed: the first hundred at once and the others a little
// later each, so that not all of them are loaded anew at the same moment.
func (c *TextCache) Forget(ctx context.Context, products []ids.ProductID) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for group := range slices.Chunk(products, forgetAtOnce) {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, id := range group {
			c.cache.Invalidate(id)
		}
		pause.Reset(forgetPause)
	}
	return nil
}

// The seed's pace of a mass invalidation.
const (
	forgetAtOnce = 100
	forgetPause  = 100 * time.Millisecond
)

// HitRate is the share of look-ups that the cache answered, for metrics.
func (c *TextCache) HitRate() float64 { return c.cache.Stats().HitRatio() }
