package find

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Source gives what there is of some kinds in the orders in which it came to be or was
// changed.
type Source interface {
	// Heads must be where each order stands: what is committed after the question is above.
	Heads(ctx context.Context) ([]int64, error)
	// Since must give the documents of an order above a place, as they are now, at least up to
	// the place that it names: above after, and head at most when it has less than a page.
	Since(ctx context.Context, order int, after, head int64) (all []Document, upTo int64, _ error)
}

const (
	followPoll   = time.Second
	followRetry  = 5 * time.Second
	followApart  = 200 * time.Millisecond // of two looks
	followPauses = time.Second            // the longest pause between two writes
	followAtOnce = 2000                   // documents from which on a write takes no further page
)

// Follower writes into an index what its sources have. A document is what is there when it is
// written, under the number of its news: what comes again changes nothing, and what comes
// late takes the place of nothing newer.
type Follower struct {
	Index   Index
	Sources map[string]Source                   // the name of each is kept with its places
	Lead    func(context.Context) (bool, error) // nil = nobody else writes into this index
	Clock   clock.Clock
	Log     *slog.Logger
	Written func(all []Document)
	Failed  func()

	woken  chan struct{}
	places places // nil = to be asked of the index
	filled bool
}

// places is up to where each order of each source is in the index.
type places map[string][]int64

// NewFollower makes a follower of what is given; Run lets it work.
func NewFollower(f Follower) *Follower {
	f.woken = make(chan struct{}, 1)
	return &f
}

// Wake tells that there may be news.
func (f *Follower) Wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.Catch(ctx)
		if err != nil && ctx.Err() == nil {
			f.Failed()
			f.Log.Warn("the search index is not fed, will try again", "error", err)
			f.rest(ctx, followRetry, nil)
			continue
		}
		f.rest(ctx, followApart, nil)
		f.rest(ctx, followPoll, f.woken)
	}
}

// rest waits for a time, or until it is woken.
func (f *Follower) rest(ctx context.Context, long time.Duration, woken <-chan struct{}) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Catch brings the index to where the sources stand, or answers at once when another
// process does that.
func (f *Follower) Catch(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			f.places = nil // what the index has taken is not known
		}
	}()
	for more := true; more; {
		if ok, err := f.leads(ctx); err != nil || !ok {
			f.places = nil
			return err
		}
		began := f.Clock.Now()
		if err := f.begin(ctx); err != nil {
			return err
		}
		wrote := false
		more = false
		for _, name := range slices.Sorted(maps.Keys(f.Sources)) {
			n, behind, err := f.step(ctx, name)
			if err != nil {
				return fmt.Errorf("index %s: %w", name, err)
			}
			wrote, more = wrote || n > 0, more || behind
		}
		if wrote && more { // half as long as it worked: who waits for an answer comes first
			f.rest(ctx, min(f.Clock.Now().Sub(began)/2, followPauses), nil)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if f.filled {
		return nil
	}
	f.filled = true
	return f.apply(ctx, nil)
}

func (f *Follower) leads(ctx context.Context) (bool, error) {
	if f.Lead == nil {
		return true, nil
	}
	return f.Lead(ctx)
}

// begin asks the index where it stands.
func (f *Follower) begin(ctx context.Context) error {
	if f.places != nil {
		return nil
	}
	at, err := f.Index.Standing(ctx)
	if err != nil {
		return err
	}
	f.places, f.filled = places{}, at.Filled
	if at.Cursor == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(at.Cursor), &f.places); err != nil || f.places == nil {
		return f.anew(ctx)
	}
	return nil
}

// anew forgets all that the index has: it is of a history that is not ours.
func (f *Follower) anew(ctx context.Context) error {
	f.Log.Warn("the search index knows of what the records do not have, and is filled anew")
	f.places, f.filled = places{}, false
	return f.Index.Reset(ctx)
}

// step writes what the orders of a source have next; behind tells that there is more.
func (f *Follower) step(ctx context.Context, name string) (written int, behind bool, _ error) {
	source := f.Sources[name]
	heads, err := source.Heads(ctx)
	if err != nil {
		return 0, false, err
	}
	if f.places[name] == nil {
		f.places[name] = make([]int64, len(heads))
	}
	at := slices.Clone(f.places[name])
	if len(at) != len(heads) { // it was made when there were other databases
		return 0, true, f.anew(ctx)
	}
	for order, head := range heads {
		if at[order] > head {
			return 0, true, f.anew(ctx)
		}
	}
	all, err := gather(ctx, source, at, heads)
	if err != nil {
		return 0, false, err
	}
	f.places[name], behind = at, isBehind(at, heads)
	if len(all) == 0 {
		return 0, behind, nil // it is noted with the next document
	}
	return len(all), behind, f.apply(ctx, all)
}

// isBehind reports whether an order stands behind its head.
func isBehind(at, heads []int64) bool {
	for order, head := range heads {
		if at[order] < head {
			return true
		}
	}
	return false
}

// gather reads a page of each order that stands behind, and again, until that is enough for one
// write, which costs the less by the document the more there are. It moves the places on.
func gather(ctx context.Context, source Source, at, heads []int64) (all []Document, _ error) {
	for len(all) < followAtOnce && isBehind(at, heads) {
		for order, head := range heads {
			if at[order] >= head {
				continue
			}
			page, upTo, err := source.Since(ctx, order, at[order], head)
			if err != nil {
				return nil, err
			}
			all, at[order] = append(all, page...), upTo
		}
	}
	return all, nil
}

func (f *Follower) apply(ctx context.Context, all []Document) error {
	cursor, err := json.Marshal(f.places)
	if err != nil {
		return fmt.Errorf("encode where the search index stands: %w", err)
	}
	if err := f.Index.Apply(ctx, all, Standing{Cursor: string(cursor), Filled: f.filled}); err != nil {
		return err
	}
	f.Written(all)
	return nil
}
