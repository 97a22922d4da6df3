package trace

import (
	"context"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Subscription has a named query's events sent to an address: as they come, or by a
// schedule.
type Subscription struct {
	ID            string
	Brand         ids.BrandID // whose it and its query are; 0 = the platform's, of all events
	Query         string
	Dest          string
	Schedule      Times // zero = as they come
	ReportIfEmpty bool
	From          time.Time // events that were recorded earlier are not sent
	Format        string    // GS1-EPC-Format of what is sent
	CreatedBy     string
	CreatedAt     time.Time
	Body          [32]byte // of the request that made it
	Progress
}

// Progress is how far a subscription is.
type Progress struct {
	Version    int64     // grows with each change, so that of two who work on it one does
	RanAt      time.Time // when the query was asked last
	NextAt     time.Time // when it is to be asked; of a stream zero
	Until      time.Time // the asking that is under way looks at what was recorded earlier; zero = none is
	Told       bool      // something was sent in it
	Sent       string    // the document of which it is not known yet what became; "" = none
	NotifiedAt time.Time // when a document was known to have arrived
}

// MinRecordTime is GS1-Query-Min-Record-Time.
func (s *Subscription) MinRecordTime() time.Time {
	if s.RanAt.IsZero() {
		return s.From
	}
	return s.RanAt
}

// Subscriptions keeps them.
type Subscriptions interface {
	// AddSubscription must answer ErrNoQuery when the query is not there,
	// ErrManySubscriptions when the brand has SubscriptionsMax. One of its id it must leave as
	// it is, and give that if it came of the same Body, and refuse it otherwise.
	AddSubscription(ctx context.Context, s *Subscription) (_ Subscription, replayed bool, _ error)
	// Subscription must answer ErrNoSubscription for one that is not there.
	Subscription(ctx context.Context, id string) (Subscription, error)
	// Subscriptions lists a query's by id, from after on.
	Subscriptions(ctx context.Context, brand ids.BrandID, query, after string, limit int) ([]Subscription, error)
	// AllSubscriptions lists them all by id, from after on.
	AllSubscriptions(ctx context.Context, after string, limit int) ([]Subscription, error)
	// RemoveSubscription must forget it. One that is not there is no error.
	RemoveSubscription(ctx context.Context, id string) error
	// Places is up to where each brand's events were sent.
	Places(ctx context.Context, id string) (Places, error)
	// Advance must keep progress and the places that moved at once, if the version is still
	// that of progress, and count it up; otherwise it changes nothing, and answers false.
	Advance(ctx context.Context, id string, p Progress, moved Places) (bool, error)
	// Heads is where captures stand: what is captured after the question changes it.
	Heads(ctx context.Context) (Heads, error)
	// Numbered gives a shard's events from one number up to another, both included, in their
	// order. They count like Heads; some numbers have no event.
	Numbered(ctx context.Context, shard ids.Shard, from, to int64) ([]Stored, error)
}

// Places is up to where brands' events were read, in the order of record.
type Places map[ids.BrandID]Ref

// Heads is the last number of each shard's events.
type Heads [ids.Shards]int64

// Post brings documents to addresses, one after the other, and tries again until they
// arrive or are given up as dead letters.
type Post interface {
	// Open makes a subscription's address known. It may be done again.
	Open(ctx context.Context, s *Subscription, token string) error
	// Close forgets an address and all that is on its way there. It may be done again.
	Close(ctx context.Context, subscription string) error
	Send(ctx context.Context, subscription, document string, body []byte) error
	// OnTheWay tells whether anything waits to arrive, and whether a document was given up.
	OnTheWay(ctx context.Context, subscription, document string) (waiting, dead bool, _ error)
	// GivenUp tells of each subscription that has dead letters, of those asked for.
	GivenUp(ctx context.Context, subscriptions []string) (map[string]GivenUp, error)
}

// GivenUp is what did not arrive at a subscription's address.
type GivenUp struct {
	Count  int
	Reason string // of one of the documents
}

const (
	// SubscriptionsMax is how many a brand may have; the platform counts as one.
	SubscriptionsMax = 50

	subscriptionPrefix = "sub"
)

// What a caller may be told of subscriptions.
var (
	ErrNoSubscription    = fault.New(fault.NotFound, "trace.unknown_subscription", "no such subscription")
	ErrManySubscriptions = fault.New(fault.Conflict, "trace.too_many_subscriptions", "there are %d subscriptions of the brand: remove one first", SubscriptionsMax)
	ErrCannotSubscribe   = fault.New(fault.Invalid, "trace.cannot_subscribe", "the query cannot be subscribed to")
)

// Standing is the use cases of standing queries. It is safe for concurrent use.
type Standing struct {
	*Service
	store Subscriptions
	post  Post

	mu    sync.Mutex
	woken chan struct{} // closed when there may be new events; guarded by mu
}

// GivenUp tells what did not arrive of subscriptions, by their ids.
func (s *Standing) GivenUp(ctx context.Context, of []Subscription) (map[string]GivenUp, error) {
	names := make([]string, len(of))
	for i := range of {
		names[i] = of[i].ID
	}
	return s.post.GivenUp(ctx, names)
}

// NewStanding wires the use cases.
func NewStanding(s *Service, store Subscriptions, post Post) *Standing {
	return &Standing{Service: s, store: store, post: post, woken: make(chan struct{})}
}

// Wake tells whoever waits that there may be new events, or that documents arrived.
func (s *Standing) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.woken)
	s.woken = make(chan struct{})
}

// Woken is closed at the next Wake.
func (s *Standing) Woken() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.woken
}

// under is the context in which a brand's standing query is asked: it sees what the brand
// may.
func under(ctx context.Context, brand ids.BrandID) context.Context {
	if brand == 0 {
		return ctx
	}
	return ids.WithScope(ctx, ids.OnlyBrands(brand))
}

// Subscribe makes a subscription; its Brand is Owner's, here and below. A request with a key
// has one effect.
func (s *Standing) Subscribe(ctx context.Context, r ids.Request, sub *Subscription, token string) (_ Subscription, replayed bool, _ error) {
	if _, err := s.standing(ctx, sub.Brand, sub.Query); err != nil {
		return Subscription{}, false, err
	}
	now := s.clock.Now()
	sub.ID, sub.CreatedAt, sub.Body = ids.New(subscriptionPrefix), now, r.Body
	if !r.IsZero() {
		sub.ID = subscriptionPrefix + "_" + jobEncoding.EncodeToString(r.Key[:16])
	}
	if sub.From.IsZero() {
		sub.From = now
	}
	if !sub.Schedule.IsZero() {
		times, err := sub.Schedule.parse()
		if err != nil {
			return Subscription{}, false, err
		}
		if sub.NextAt = times.next(now); sub.NextAt.IsZero() {
			return Subscription{}, false, ErrBadSchedule.Textf("schedule: no such time ever comes")
		}
	}
	if err := s.post.Open(ctx, sub, token); err != nil {
		return Subscription{}, false, err
	}
	made, replayed, err := s.store.AddSubscription(ctx, sub)
	if err == nil {
		s.Wake()
		return made, replayed, nil
	}
	if f, ok := fault.From(err); ok && (f.Is(ErrNoQuery) || f.Is(ErrManySubscriptions)) { // it surely is not there
		_ = s.post.Close(context.WithoutCancel(ctx), sub.ID) // an address that nothing goes to does no harm
	}
	return Subscription{}, false, err
}

// standing reads a named query as one that goes on: it has no order and no bound.
func (s *Standing) standing(ctx context.Context, brand ids.BrandID, name string) (*Query, error) {
	named, err := s.named.Query(ctx, brand, name)
	if err != nil {
		return nil, err
	}
	q, err := s.NewQuery(under(ctx, brand), brand, named.Params)
	if err != nil {
		return nil, err
	}
	if q.Limit > 0 || q.Most > 0 {
		return nil, ErrCannotSubscribe.Textf("a query with eventCountLimit or maxEventCount has an end, and cannot be subscribed to")
	}
	return q, nil
}

// Subscription gives one of a query's.
func (s *Standing) Subscription(ctx context.Context, brand ids.BrandID, query, id string) (Subscription, error) {
	if !ids.Valid(subscriptionPrefix, id) {
		return Subscription{}, ErrNoSubscription
	}
	sub, err := s.store.Subscription(ctx, id)
	if err == nil && (sub.Query != query || sub.Brand != brand) {
		return Subscription{}, ErrNoSubscription
	}
	return sub, err
}

// Subscriptions lists a query's by id, from after on.
func (s *Standing) Subscriptions(ctx context.Context, brand ids.BrandID, query, after string, limit int) ([]Subscription, error) {
	if _, err := s.named.Query(ctx, brand, query); err != nil {
		return nil, err
	}
	return s.store.Subscriptions(ctx, brand, query, after, limit)
}

// Unsubscribe ends a subscription; nothing more is sent.
func (s *Standing) Unsubscribe(ctx context.Context, brand ids.BrandID, query, id string) error {
	if _, err := s.Subscription(ctx, brand, query, id); err != nil {
		return err
	}
	return s.end(ctx, id)
}

// end closes the address first: what is cut off here is found and ended again.
func (s *Standing) end(ctx context.Context, id string) error {
	if err := s.post.Close(ctx, id); err != nil {
		return err
	}
	return s.store.RemoveSubscription(ctx, id)
}

const endPage = 100

// RemoveQuery forgets a query and ends its subscriptions.
func (s *Standing) RemoveQuery(ctx context.Context, brand ids.BrandID, name string) error {
	if err := s.Service.RemoveQuery(ctx, brand, name); err != nil { // first: then nobody subscribes any more
		return err
	}
	s.Wake()
	return s.endAll(ctx, brand, name)
}

func (s *Standing) endAll(ctx context.Context, brand ids.BrandID, query string) error {
	for {
		page, err := s.store.Subscriptions(ctx, brand, query, "", endPage)
		if err != nil {
			return err
		}
		for i := range page {
			if err := s.end(ctx, page[i].ID); err != nil {
				return err
			}
		}
		if len(page) < endPage {
			return nil
		}
	}
}
