package scan

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Cached keeps answers of the statistics for a while, in front of a store. One caller
// asks the store and others wait for its answer.
//
// How long depends on the range's end (seed: hot statistics 5 min, query results
// 1 h): an open range lives for 5 s at most, one that ended in the last two days for
// 5 minutes, an older one for an hour; each up to a fifth shorter, so that answers do
// not all end together. What arrives late shows after that.
type Cached struct {
	Statistics
	clock clock.Clock
	cache *otter.Cache[question, answer]
}

// question names an answer: sums, or distinct codes.
type question struct {
	sum      SumAsk
	distinct bool
	f        Filter
	from, to Day
}

type answer struct {
	sums []Sum
	k    *Sketch
	ok   bool
	life time.Duration
}

const (
	lifeOpen   = 5 * time.Second
	lifeYoung  = 5 * time.Minute
	lifeOld    = time.Hour
	youngReach = 48 * time.Hour
	settling   = time.Minute // how long after its end a range still is open

	cacheRows     = 500_000 // sums kept, all answers together
	cacheOverhead = 4       // rows that an answer weighs beside its own
	sketchWeight  = 200
)

// NewCached makes an empty cache in front of a store.
func NewCached(s Statistics, c clock.Clock) (*Cached, error) {
	cache, err := otter.New(&otter.Options[question, answer]{
		MaximumWeight: cacheRows,
		Weigher: func(_ question, a answer) uint32 {
			w := uint32(cacheOverhead + len(a.sums))
			if a.k != nil {
				w += sketchWeight
			}
			return w
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[question, answer]) time.Duration { return e.Value.life }),
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of statistics: %w", err)
	}
	return &Cached{s, c, cache}, nil
}

// life is how long an answer about a range that ends at end may be given again.
func life(end, now time.Time) time.Duration {
	full := lifeOld
	switch {
	case now.Sub(end) < settling:
		full = lifeOpen
	case now.Sub(end) < youngReach:
		full = lifeYoung
	}
	const golden = 0x9E3779B97F4A7C15 // 2^64/φ: nothing here needs to be unguessable
	return full - time.Duration(uint64(now.UnixMicro())*golden%uint64(full/5))
}

// Sum implements Statistics. The answer is shared and must not be changed.
func (c *Cached) Sum(ctx context.Context, ask SumAsk) ([]Sum, error) {
	a, err := c.cache.Get(ctx, question{sum: ask}, otter.LoaderFunc[question, answer](func(ctx context.Context, q question) (answer, error) {
		sums, err := c.Statistics.Sum(context.WithoutCancel(ctx), q.sum) // others wait for it too
		return answer{sums: sums, life: life(time.Unix(ask.To, 0), c.clock.Now())}, err
	}))
	return a.sums, err
}

// Distinct implements Statistics.
func (c *Cached) Distinct(ctx context.Context, f Filter, from, to Day) (*Sketch, bool, error) {
	q := question{distinct: true, f: f, from: from, to: to}
	a, err := c.cache.Get(ctx, q, otter.LoaderFunc[question, answer](func(ctx context.Context, q question) (answer, error) {
		k, ok, err := c.Statistics.Distinct(context.WithoutCancel(ctx), q.f, q.from, q.to)
		if k != nil {
			k.settle() // shared from now on: counting it must change nothing
		}
		return answer{k: k, ok: ok, life: life(to.Start(), c.clock.Now())}, err
	}))
	return a.k, a.ok, err
}
