package line

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Deps is what the service works with.
type Deps struct {
	Store   Store
	Numbers Numbers
	Upkeep  Upkeep
	Items   Items
	Events  Events
	Clock   clock.Clock
	Observe func(what string) // told of each container that changed: one of Observed
	Refused func(why string)  // told of each child that is not put in: one of Refusals
}

// What Deps.Observe is told.
const (
	saidOpened    = "opened"
	saidClosed    = "closed"
	saidFinished  = "finished" // closed by Finish: who asked had gone
	saidDiscarded = "discarded"
)

// Observed lists what Deps.Observe is told.
func Observed() []string { return []string{saidOpened, saidClosed, saidFinished, saidDiscarded} }

// Service is the use cases. It is safe for concurrent use.
type Service struct{ Deps }

// NewService wires the use cases.
func NewService(d Deps) *Service { return &Service{d} }

// Opening asks to open a container.
type Opening struct {
	Brand     ids.BrandID
	Kind      Kind
	EPC       string // "" = one is made under Prefix
	Prefix    string // a GS1 company prefix
	Capacity  int    // 0 = CapacityMax
	Location  string
	ReadPoint string
	Actor     string
}

const (
	prefixMin, prefixMax = 6, 12 // digits
	triesMax             = 8     // for a number that is free, and against other lines
)

func (o *Opening) check() (c Container, err error) {
	if o.Kind != Case && o.Kind != Pallet {
		return c, fault.Field("line.bad_kind", "kind", "must be case or pallet")
	}
	if o.Capacity < 0 || o.Capacity > CapacityMax {
		return c, fault.Field("line.bad_capacity", "capacity", "must be between 1 and %d", CapacityMax)
	}
	if (o.EPC == "") == (o.Prefix == "") {
		return c, fault.Field("line.no_epc", "epc", "name an SSCC, or gs1_company_prefix to have one made")
	}
	if len(o.Location) > placeMax || len(o.ReadPoint) > placeMax {
		return c, fault.Field("line.bad_place", "biz_location", "a place has at most %d bytes", placeMax)
	}
	c = Container{
		Brand: o.Brand, Kind: o.Kind, State: Open, Capacity: o.Capacity, Location: o.Location, ReadPoint: o.ReadPoint, OpenedBy: o.Actor,
	}
	if c.Capacity == 0 {
		c.Capacity = CapacityMax
	}
	if o.EPC != "" {
		c.SSCC, c.EPC, err = ParseSSCC(o.EPC)
		return c, err
	}
	if len(o.Prefix) < prefixMin || len(o.Prefix) > prefixMax || !allDigits(o.Prefix) {
		return c, fault.Field("line.bad_prefix", "gs1_company_prefix", "must have %d to %d digits", prefixMin, prefixMax)
	}
	err = c.number(o.Prefix, 0)
	return c, err
}

// number gives a container the n-th SSCC of a company prefix. The extension digit is the
// number's highest.
func (c *Container) number(prefix string, n int64) (err error) {
	serial := fmt.Sprintf("%0*d", ssccDigits-1-len(prefix), n)
	if len(serial)+len(prefix) >= ssccDigits {
		return ErrNumbers
	}
	e, err := gs1.ParseEPC("urn:epc:id:sscc:" + prefix + "." + serial)
	c.SSCC, c.EPC = e.ID.Key.Value, e.URN
	return err
}

// Open opens a container.
func (s *Service) Open(ctx context.Context, r ids.Request, o Opening) (Container, bool, error) {
	if err := s.Items.HasBrand(ctx, o.Brand); err != nil {
		return Container{}, false, err
	}
	c, err := o.check()
	if err != nil {
		return Container{}, false, err
	}
	// what closing will say must be an event, so that it cannot fail when it is fixed
	c.ClosedAt = s.Clock.Now()
	if err := s.Events.Check(Packing{&c, []Child{{Key: ssccAI + c.SSCC, EPC: linkOf(c.SSCC)}}}); err != nil {
		return Container{}, false, err
	}
	c.ClosedAt = time.Time{}
	var had string
	var replayed bool
	for try := 0; ; try++ {
		if had, replayed, err = s.Store.Did(ctx, o.Brand, r); err != nil || replayed {
			break
		}
		if o.Prefix != "" {
			if err = s.renumber(ctx, &c, o.Prefix); err != nil {
				break
			}
		}
		replayed, err = s.open(ctx, r, &c)
		taken := errors.Is(err, ErrOpen) || errors.Is(err, ErrClosed) || errors.Is(err, ErrPacked)
		if !taken || o.Prefix == "" || try == triesMax {
			break
		}
	}
	if err == nil && replayed { // maybe under another number
		if had == "" {
			had, _, err = s.Store.Did(ctx, o.Brand, r)
		}
		if err == nil {
			c, err = s.one(ctx, o.Brand, had)
		}
	}
	if err != nil || replayed {
		return c, replayed, err
	}
	s.Observe(saidOpened)
	return c, false, nil
}

// renumber gives a container the next SSCC of a company prefix.
func (s *Service) renumber(ctx context.Context, c *Container, prefix string) error {
	n, err := s.Numbers.Next(ctx, prefix)
	if err != nil {
		return err
	}
	return c.number(prefix, n)
}

func (s *Service) open(ctx context.Context, r ids.Request, c *Container) (replayed bool, _ error) {
	holds, err := s.Events.Holds(ctx, c.Brand, c.EPC)
	if err != nil {
		return false, err
	}
	self := Child{Key: ssccAI + c.SSCC, EPC: c.EPC}
	in, err := s.Events.Parents(ctx, c.Brand, []Child{self})
	if err != nil {
		return false, err
	}
	c.OpenedAt = s.Clock.Now().Truncate(time.Microsecond).UTC()
	if holds || len(in) > 0 {
		// A line that closed it says so more exactly.
		if had, err := s.Store.Containers(ctx, c.Brand, c.SSCC); err != nil || len(had) == 0 || had[0].State == Discarded {
			return false, errors.Join(err, ErrPacked)
		}
	}
	return s.Store.Open(ctx, r, c)
}

// one is a container that must be there.
func (s *Service) one(ctx context.Context, brand ids.BrandID, sscc string) (Container, error) {
	all, err := s.Store.Containers(ctx, brand, sscc)
	if err == nil && len(all) == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return Container{}, err
	}
	return all[0], nil
}

// Find gives one of the caller's containers; brand 0 = of whichever brand has it.
func (s *Service) Find(ctx context.Context, brand ids.BrandID, epc string) (Container, error) {
	sscc, _, err := ParseSSCC(epc)
	if err != nil {
		return Container{}, err
	}
	all, err := s.Store.Containers(ctx, brand, sscc)
	if err != nil {
		return Container{}, err
	}
	scope := ids.ScopeOf(ctx)
	all = slices.DeleteFunc(all, func(c Container) bool { return !scope.Has(c.Brand) })
	switch len(all) {
	case 0:
		return Container{}, ErrUnknown
	case 1:
		return all[0], nil
	}
	return Container{}, fault.Field("line.no_brand", "X-Brand-ID", "is needed: more than one of your brands has this container")
}

// Children gives all that is in a container.
func (s *Service) Children(ctx context.Context, c *Container) (all []Child, _ error) {
	const page = 1000
	for after := ""; ; after = all[len(all)-1].Key {
		some, err := s.Store.Children(ctx, c.Brand, c.SSCC, after, page)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < page {
			return all, nil
		}
	}
}

// List gives a brand's containers, the newest first, behind after ("" = from the first).
func (s *Service) List(ctx context.Context, brand ids.BrandID, state State, after string, limit int) ([]Container, error) {
	if err := s.Items.HasBrand(ctx, brand); err != nil {
		return nil, err
	}
	switch state {
	case "", Open, Closing, Closed, Discarded:
	default:
		return nil, fault.Field("line.bad_state", "state", "must be open, closing, closed or discarded")
	}
	var before *Container
	if after != "" {
		c, err := s.one(ctx, brand, after)
		if errors.Is(err, ErrUnknown) {
			err = fault.Field("input.bad_cursor", "cursor", "was not given out by this list")
		}
		if err != nil {
			return nil, err
		}
		before = &c
	}
	return s.Store.List(ctx, brand, state, before, limit)
}

// Remove takes children out of an open container. Those that are not in it are no error: a
// line asks again when it got no answer.
func (s *Service) Remove(ctx context.Context, r ids.Request, brand ids.BrandID, epc string, texts []string) (Container, Change, bool, error) {
	c, err := s.Find(ctx, brand, epc)
	if err == nil {
		err = checkCount(texts)
	}
	if err != nil {
		return c, Change{}, false, err
	}
	var keys []string
	var bad refusals
	for _, text := range texts {
		n, err := parseChild(text)
		if err != nil {
			bad.add(n.text, ErrChildName)
		}
		keys = append(keys, n.keys()...)
	}
	if err := bad.err(); err != nil {
		return c, Change{}, false, err
	}
	slices.Sort(keys)
	done, replayed, err := s.Store.Remove(ctx, r, c.Brand, c.SSCC, slices.Compact(keys))
	return c, done, replayed, err
}

func checkCount(texts []string) error {
	if len(texts) == 0 || len(texts) > ChildrenMax {
		return fault.Field("line.bad_children", "children", "must be 1 to %d", ChildrenMax)
	}
	return nil
}

// Close fixes what is in a container and when, and then captures the event. A repeat gives
// the same event. When it fails in between, the repeat or Finish goes on with what was fixed.
func (s *Service) Close(ctx context.Context, brand ids.BrandID, epc string) (Container, error) {
	c, err := s.Find(ctx, brand, epc)
	if err != nil || c.State == Closed {
		return c, err
	}
	// the repository keeps milliseconds
	if c, err = s.Store.Fix(ctx, c.Brand, c.SSCC, s.Clock.Now().Truncate(time.Millisecond)); err != nil {
		return c, err
	}
	return s.finish(ctx, &c, saidClosed)
}

func (s *Service) finish(ctx context.Context, c *Container, said string) (Container, error) {
	if c.State == Closed {
		return *c, nil
	}
	children, err := s.Children(ctx, c)
	if err != nil {
		return *c, err
	}
	id, err := s.Events.Pack(ctx, Packing{c, children})
	if err != nil {
		return *c, fmt.Errorf("capture the event of container %s: %w", c.SSCC, err)
	}
	changed, err := s.Store.Finish(ctx, c.Brand, c.SSCC, id)
	if err != nil {
		return *c, err
	}
	if changed {
		s.Observe(said)
	}
	return s.one(ctx, c.Brand, c.SSCC)
}

const (
	finishAfter = 2 * time.Second // before, whoever asked is at it
	finishMost  = 100
)

// Finish captures the events of containers whose closing was cut off. more tells that there
// may be others.
func (s *Service) Finish(ctx context.Context) (more bool, _ error) {
	all, err := s.Upkeep.Closing(ctx, s.Clock.Now().Add(-finishAfter), finishMost)
	if err != nil {
		return false, err
	}
	var errs []error
	for i := range all {
		_, err := s.finish(ctx, &all[i], saidFinished)
		errs = append(errs, err)
	}
	return len(all) == finishMost, errors.Join(errs...)
}

// ChildrenKept is how long the list of what was in a container is kept beside its event.
const ChildrenKept = 7 * 24 * time.Hour

// Forget drops lists of children that are old: their events keep them, in less room. more
// tells that there may be others.
func (s *Service) Forget(ctx context.Context) (more bool, _ error) {
	n, err := s.Upkeep.Forget(ctx, s.Clock.Now().Add(-ChildrenKept), finishMost)
	return n >= finishMost, err
}

// Discard drops an open container, without an event.
func (s *Service) Discard(ctx context.Context, r ids.Request, brand ids.BrandID, epc string) (Container, bool, error) {
	c, err := s.Find(ctx, brand, epc)
	if err != nil {
		return c, false, err
	}
	replayed, err := s.Store.Discard(ctx, r, c.Brand, c.SSCC)
	if err != nil {
		return c, false, err
	}
	if !replayed && c.State == Open {
		s.Observe(saidDiscarded)
	}
	c, err = s.one(ctx, c.Brand, c.SSCC)
	return c, replayed, err
}
