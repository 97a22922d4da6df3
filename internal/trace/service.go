package trace

import (
	"cmp"
	"context"
	"encoding/base32"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Service is the domain's use cases. It is safe for concurrent use.
type Service struct {
	*Codec
	store Store
	named Queries
	known MasterData
	items Items
	clock clock.Clock
}

// NewService wires the use cases.
func NewService(l Limits, store Store, named Queries, known MasterData, items Items, c clock.Clock) *Service {
	return &Service{Codec: NewCodec(l), store: store, named: named, known: known, items: items, clock: c}
}

// Limits is what a document may be at most.
func (s *Service) Limits() Limits { return s.limits }

// CaptureSpec asks to capture a document.
type CaptureSpec struct {
	Request ids.Request
	// Brand is whose the events are; 0 = of whom their items are, and without items of
	// whom the first item of the document is; of nobody when it names none.
	Brand   ids.BrandID
	XML     bool
	Proceed bool // keep the good events when some are bad
}

const (
	jobPrefix = "cap"
	// aheadMax is how far a clock may go before ours until it is said.
	aheadMax = time.Minute
)

var jobEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// jobID names a job. That of a request with a key is told by the key, so that a retry finds
// it.
func jobID(r ids.Request) string {
	if r.IsZero() {
		return ids.New(jobPrefix)
	}
	return jobPrefix + "_" + jobEncoding.EncodeToString(r.Key[:16])
}

// Capture stores a document's events, and answers when that is durable: the job that it
// gives has run.
func (s *Service) Capture(ctx context.Context, spec CaptureSpec, doc string) (Captured, error) {
	read := s.ReadJSON
	if spec.XML {
		read = s.ReadXML
	}
	d, err := read(doc)
	if err != nil {
		return Captured{}, err
	}
	brands, owner, err := s.brandsIn(ctx, d, spec.Brand)
	if err != nil {
		return Captured{}, err
	}
	c := &Capture{Request: spec.Request, Job: Job{
		ID: jobID(spec.Request), Brand: owner, CreatedAt: s.clock.Now(), Proceed: spec.Proceed, Events: len(d.Events),
	}}
	if c.MastersOf, err = mastersIn(d, spec.Brand, brands); err != nil {
		return Captured{}, err
	}
	bad := 0
	for i := range d.Events {
		if p := d.Events[i].Problems; len(p) > 0 {
			bad++
			c.Job.Results = append(c.Job.Results, Result{Index: i, Status: Rejected, Problems: p})
		}
	}
	if bad > 0 && !spec.Proceed {
		for i := range d.Events {
			if len(d.Events[i].Problems) == 0 {
				c.Job.Results = append(c.Job.Results, Result{Index: i, Status: NotStored})
			}
		}
		return s.store.Capture(ctx, c)
	}
	c.Masters = d.Masters
	for i := range d.Events {
		if len(d.Events[i].Problems) > 0 {
			continue
		}
		e := d.Events[i].Event
		r, err := s.Record(e, brands[i], s.itemsOf(ctx))
		if err != nil {
			return Captured{}, err
		}
		r.Ahead = s.ahead(e)
		c.Records, c.At = append(c.Records, r), append(c.At, i)
		if r.Ahead {
			c.Job.Results = append(c.Job.Results, Result{Index: i, Status: Accepted, Warnings: []string{"eventTime lies in the future"}})
		}
	}
	return s.store.Capture(ctx, c)
}

func (s *Service) ahead(e *Event) bool { return e.Time.After(s.clock.Now().Add(aheadMax)) }

// brandsIn are whose the events of a document are, when it was not said: each of whom its
// items are, and one without items of whom the first item of the document is. A pallet of
// cases belongs to whose items were packed before. The job is the platform's or of the brand
// that was said; one of a caller with some brands only is of the document's first.
func (s *Service) brandsIn(ctx context.Context, d *Document, said ids.BrandID) (out []ids.BrandID, owner ids.BrandID, err error) {
	if err := CheckBrand(ctx, said); err != nil {
		return nil, 0, err
	}
	out = make([]ids.BrandID, len(d.Events))
	var first ids.BrandID
	for i := range d.Events {
		switch {
		case len(d.Events[i].Problems) > 0:
			continue
		case said != 0:
			out[i] = said
			continue
		}
		b, err := s.brandOf(ctx, d.Events[i].Event)
		if err != nil {
			return nil, 0, err
		}
		if out[i] = b; first == 0 {
			first = b
		}
	}
	if said == 0 && first == 0 {
		first, err = Owner(ctx, 0)
	}
	for i := range out {
		if out[i] == 0 {
			out[i] = first
		}
	}
	if owner = said; said == 0 && !ids.ScopeOf(ctx).All() {
		owner = first
	}
	return out, owner, err
}

// brandOf is whose an event is: that of the first coded item that it names.
func (s *Service) brandOf(ctx context.Context, e *Event) (ids.BrandID, error) {
	find := s.itemsOf(ctx).Finder()
	for _, list := range [...][]string{e.EPCs, e.Outputs, {e.Parent}} {
		for _, epc := range list {
			if it, _, ok, err := ours(find, epc, Canonical(epc)); ok || err != nil {
				return it.Brand, err
			}
		}
	}
	return 0, nil
}

// CaptureEvent stores one event that came alone. One that is there already is ErrDuplicate.
func (s *Service) CaptureEvent(ctx context.Context, spec CaptureSpec, doc string) (*Event, bool, error) {
	e, err := s.ReadEvent(doc)
	if err != nil {
		return nil, false, err
	}
	brands, _, err := s.brandsIn(ctx, &Document{Events: []Read{{Event: e}}}, spec.Brand)
	if err != nil {
		return nil, false, err
	}
	spec.Brand = brands[0]
	r, err := s.Record(e, spec.Brand, s.itemsOf(ctx))
	if err != nil {
		return nil, false, err
	}
	r.Ahead = s.ahead(e)
	c := &Capture{Request: spec.Request, Records: []Record{r}, At: []int{0}}
	if !spec.Request.IsZero() {
		c.Job = Job{ID: jobID(spec.Request), Brand: spec.Brand, CreatedAt: s.clock.Now(), Events: 1}
	}
	done, err := s.store.Capture(ctx, c)
	if err != nil {
		return nil, false, err
	}
	if r := done.Job.Results; len(r) > 0 {
		return nil, false, ErrDuplicate.With(fault.Detail{Field: "eventID", Reason: r[0].EventID})
	}
	if e.ID == "" {
		e.ID = c.Records[0].Hash.String()
	}
	return e, done.Replayed, nil
}

// Job reads what became of a capture.
func (s *Service) Job(ctx context.Context, id string) (Job, error) {
	if !ids.Valid(jobPrefix, id) {
		return Job{}, ErrUnknownJob
	}
	j, err := s.store.Job(ctx, id)
	if err == nil && !ids.ScopeOf(ctx).Has(j.Brand) {
		return Job{}, ErrUnknownJob
	}
	return j, err
}

// Jobs lists captures, the newest first; before is the zero time at the beginning. brand 0 =
// of all of the caller's.
func (s *Service) Jobs(ctx context.Context, brand ids.BrandID, before time.Time, beforeID string, limit int) ([]Job, error) {
	if before.IsZero() {
		before = s.clock.Now().Add(24 * time.Hour)
	}
	scope := ids.ScopeOf(ctx)
	own := scope.Brands()
	if brand != 0 {
		own = []ids.BrandID{brand}
	} else if scope.All() {
		return s.store.Jobs(ctx, before, beforeID, limit)
	}
	var all []Job
	for _, brand := range own {
		some, err := s.store.JobsOf(ctx, brand, before, beforeID, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b Job) int { return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID)) })
	return all[:min(limit, len(all))], nil
}
