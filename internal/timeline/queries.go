package timeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Queries counts who asks for stories, so that an event a minute and brand tells it: one for
// each of a hundred million consumers would be more than all other events together. What a
// crash takes is the count of a minute.
type Queries struct {
	service *Service

	mu   sync.Mutex
	from time.Time               // guarded by mu
	all  map[ids.BrandID]*[2]int // guarded by mu: of strangers, with a key
}

// NewQueries makes a count that Run tells.
func NewQueries(s *Service) *Queries {
	return &Queries{service: s, from: s.Clock.Now(), all: map[ids.BrandID]*[2]int{}}
}

// Asked counts one.
func (q *Queries) Asked(brand ids.BrandID, signed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.all[brand]
	if n == nil {
		n = new([2]int)
		q.all[brand] = n
	}
	if signed {
		n[1]++
	} else {
		n[0]++
	}
}

// queriesEvery is how often it is told.
const queriesEvery = time.Minute

// Run tells what was counted until ctx ends, and then the rest.
func (q *Queries) Run(ctx context.Context) {
	t := time.NewTicker(queriesEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			q.tell(ctx)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queriesEnd)
			defer cancel() //nolint:gocritic // it returns at once
			q.tell(ctx)
			return
		}
	}
}

const queriesEnd = 2 * time.Second

func (q *Queries) tell(ctx context.Context) {
	q.mu.Lock()
	now := q.service.Clock.Now()
	var told []Queried
	for brand, n := range q.all {
		told = append(told, Queried{brand, q.from, now, int64(n[0] + n[1]), int64(n[1])})
	}
	q.from = now
	clear(q.all)
	q.mu.Unlock()
	if len(told) == 0 {
		return
	}
	slices.SortFunc(told, func(a, b Queried) int { return int(a.Brand) - int(b.Brand) })
	if err := q.service.Store.TellQueried(ctx, told); err != nil {
		q.service.Log.Warn("how often traces were asked for is not told", "brands", len(told), "error", err)
	}
}
