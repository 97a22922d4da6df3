package line

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Store keeps containers and what is in them, each in the database of its brand.
type Store interface {
	// Did gives the effect that a request had.
	Did(ctx context.Context, brand ids.BrandID, r ids.Request) (effect string, ok bool, _ error)
	// Open must keep a container, once for each request. One that is there must be ErrOpen or
	// ErrClosed, unless it was discarded.
	Open(ctx context.Context, r ids.Request, c *Container) (replayed bool, _ error)
	// Containers gives those of some SSCCs that there are; brand 0 = of every brand.
	Containers(ctx context.Context, brand ids.BrandID, ssccs ...string) ([]Container, error)
	// Children gives what is, or when it was closed was, in a container, in the order of keys
	// behind after; nothing when that was forgotten.
	Children(ctx context.Context, brand ids.BrandID, sscc, after string, limit int) ([]Child, error)
	// Places tells which container that is open or closing has each of some children, and gives
	// a sum that is another when one that has one of them was closed.
	Places(ctx context.Context, brand ids.BrandID, keys []string) (held map[string]string, closed uint64, _ error)
	// Add must put in all children or none, once for each request; those that are in it stay.
	// It must answer ErrNotOpen, ErrCapacity, and ErrRaced when another container has one, or
	// when Places would not give this sum any more.
	Add(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string, children []Child, closed uint64) (_ Change, replayed bool, _ error)
	// Remove must take out what is there of some children, once for each request; of one that
	// is not open it is ErrNotOpen.
	Remove(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string, keys []string) (_ Change, replayed bool, _ error)
	// Fix must let an open container take nothing more, and give it the time of its event. One
	// that is closing or closed must stay as it is. An empty one is ErrEmpty, a discarded
	// one ErrNotOpen.
	Fix(ctx context.Context, brand ids.BrandID, sscc string, at time.Time) (Container, error)
	// Finish must let a closing container be closed, and its children be free for others.
	// changed tells whether it was not so before.
	Finish(ctx context.Context, brand ids.BrandID, sscc, eventID string) (changed bool, _ error)
	// Discard must drop an open container and set its children free, once for each request. A
	// discarded one stays so; a closing or closed one is ErrNotOpen.
	Discard(ctx context.Context, r ids.Request, brand ids.BrandID, sscc string) (replayed bool, _ error)
	// List gives a brand's containers, the newest first, behind the one given; state "" = all.
	List(ctx context.Context, brand ids.BrandID, state State, before *Container, limit int) ([]Container, error)
}

// Numbers counts the SSCCs that are made here.
type Numbers interface {
	// Next must give each number of a company prefix once, from 1 on.
	Next(ctx context.Context, prefix string) (int64, error)
}

// Upkeep is what is done without being asked for.
type Upkeep interface {
	// Closing gives containers of all brands that are closing since before a time, the oldest
	// first.
	Closing(ctx context.Context, before time.Time, limit int) ([]Container, error)
	// Forget must drop the lists of children of containers that were closed before a time, of
	// so many at most, and tell of how many it did.
	Forget(ctx context.Context, before time.Time, limit int) (int, error)
}

// Item is a coded item.
type Item struct {
	Serial ids.Serial
	Brand  ids.BrandID
	Code   string
	EPC    string // as events are to name it
	State  gs1.Disposition
}

// Items tells of coded items and brands.
type Items interface {
	// HasBrand answers why the caller may not act for a brand.
	HasBrand(ctx context.Context, id ids.BrandID) error
	// Find gives the item of a code or an EPC, if the caller may know of it.
	Find(ctx context.Context, name string) (it Item, ok bool, _ error)
}

// Events is the repository of events.
type Events interface {
	// Check must answer why a packing would be refused. Pack refuses none that it lets pass.
	Check(p Packing) error
	// Pack must capture the event of a packing, unless it is there, and name it.
	Pack(ctx context.Context, p Packing) (eventID string, _ error)
	// Parents tells by the events that are captured what each child is in, whatever their
	// time; children that are in nothing are left out.
	Parents(ctx context.Context, brand ids.BrandID, children []Child) (map[string]string, error)
	// Holds reports whether something is in a container by the events that are captured.
	Holds(ctx context.Context, brand ids.BrandID, epc string) (bool, error)
}
