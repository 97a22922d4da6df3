package notify

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Store keeps endpoints and what is on its way to them.
type Store interface {
	// AddEndpoint must have one effect for each request, and give it again. It answers
	// ErrTooManyEndpoints for a brand that has EndpointsMax.
	AddEndpoint(ctx context.Context, r ids.Request, e Endpoint) (_ Endpoint, replayed bool, _ error)
	// Endpoints gives those of a brand by id, behind after; brand 0 = of all brands.
	Endpoints(ctx context.Context, brand ids.BrandID, after EndpointID, limit int) ([]Endpoint, error)
	// AddFed must make a fed endpoint, and leave one of its id as it is. Fed endpoints get no
	// events, and are neither listed nor counted.
	AddFed(ctx context.Context, e Endpoint, sealedToken []byte) error
	// Feed must put a document on its way; to an endpoint that is not there it is no error.
	Feed(ctx context.Context, d *Delivery) error
	// OnTheWay tells whether an endpoint has a delivery that is not dead, and whether that of
	// a document is.
	OnTheWay(ctx context.Context, id EndpointID, document string) (waiting, dead bool, _ error)
	// RemoveEndpoint must forget the endpoint and all that is on its way to it, for good.
	// One that is not there is no error.
	RemoveEndpoint(ctx context.Context, id EndpointID) error

	// Due gives deliveries that are due and not dead, the longest due first.
	Due(ctx context.Context, now time.Time, limit int) ([]Delivery, error)
	// Failed keeps what became of a delivery that is not done: tries, reason, due, dead. One
	// that is not there any more must not come back.
	Failed(ctx context.Context, d *Delivery) error
	// Postpone lets all of an endpoint's deliveries that are due at now be due at until.
	Postpone(ctx context.Context, id EndpointID, now, until time.Time) error
	// Done must forget deliveries, also dead ones. One that is not there is no error.
	Done(ctx context.Context, all ...Delivery) error
	// GivenUp tells of each endpoint that has dead deliveries, of those asked for.
	GivenUp(ctx context.Context, of []EndpointID) (map[EndpointID]GivenUp, error)
	// Dead gives dead deliveries by event and endpoint, behind the given one.
	Dead(ctx context.Context, afterEvent string, afterEndpoint EndpointID, limit int) ([]Delivery, error)
}

// Sender posts a delivery. It is an error unless the other side said that it has it.
type Sender interface {
	Post(ctx context.Context, url string, p *Post) error
}

// Post is what is sent.
type Post struct {
	ID          string // of the event
	At          time.Time
	ContentType string
	SignedAs    string // the header of the signature
	Signature   string // "" = it is not signed
	Body        []byte
}

// Brands is what the service wants of the catalogue.
type Brands interface {
	// HasBrand answers a fault for a brand that there is not.
	HasBrand(ctx context.Context, id ids.BrandID) error
}
