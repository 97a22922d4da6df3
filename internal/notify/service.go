package notify

import (
	"context"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Service is the use cases of operators. It is safe for concurrent use.
type Service struct {
	store  Store
	brands Brands
	sender Sender
	key    [32]byte
	clock  clock.Clock
}

// NewService wires the use cases. key is what secrets are derived from, the same for good.
func NewService(store Store, brands Brands, sender Sender, key [32]byte, c clock.Clock) *Service {
	return &Service{store, brands, sender, key, c}
}

// Register makes an endpoint and gives its secret.
func (s *Service) Register(ctx context.Context, r ids.Request, actor string, brand ids.BrandID, url string, types []string) (Endpoint, Secret, bool, error) {
	if err := checkURL(url); err != nil {
		return Endpoint{}, Secret{}, false, err
	}
	if err := checkTypes(types); err != nil {
		return Endpoint{}, Secret{}, false, err
	}
	if err := s.brands.HasBrand(ctx, brand); err != nil {
		return Endpoint{}, Secret{}, false, err
	}
	e, replayed, err := s.store.AddEndpoint(ctx, r, Endpoint{
		ID: EndpointID(ids.New("whk")), Brand: brand, URL: url, Types: types, CreatedBy: actor, CreatedAt: s.clock.Now(),
	})
	return e, secretOf(s.key, e.ID), replayed, err
}

// Endpoints lists endpoints by id; brand 0 = of all brands.
func (s *Service) Endpoints(ctx context.Context, brand ids.BrandID, after EndpointID, limit int) ([]Endpoint, error) {
	return s.store.Endpoints(ctx, brand, after, limit)
}

// Remove ends an endpoint; nothing more goes there. It may be done again.
func (s *Service) Remove(ctx context.Context, id EndpointID) error {
	if !ids.Valid("whk", string(id)) {
		return ErrUnknownEndpoint
	}
	return s.store.RemoveEndpoint(ctx, id)
}

// send tries a delivery once.
func (s *Service) send(ctx context.Context, d *Delivery) error {
	p, err := s.post(d)
	if err != nil {
		return err
	}
	return s.sender.Post(ctx, d.URL, p)
}

// LetterID names a dead delivery.
func (d *Delivery) LetterID() string { return Group + ":" + d.Event + ":" + string(d.Endpoint) }

// ErrBadLetter answers an id that LetterID did not make.
var ErrBadLetter = fault.Field("webhook.bad_letter", "letter_ids", "is no letter")

func parseLetter(id string) (d Delivery, _ error) {
	if id == "" {
		return d, nil
	}
	parts := strings.Split(id, ":")
	if len(parts) != 3 || parts[0] != Group || parts[1] == "" || !ids.Valid("whk", parts[2]) {
		return d, ErrBadLetter
	}
	return Delivery{Event: parts[1], Endpoint: EndpointID(parts[2])}, nil
}

// Dead lists dead deliveries behind the one with the id after; "" = from the first.
func (s *Service) Dead(ctx context.Context, after string, limit int) ([]Delivery, error) {
	d, err := parseLetter(after)
	if err != nil {
		return nil, err
	}
	return s.store.Dead(ctx, d.Event, d.Endpoint, limit)
}

// Discard gives dead deliveries up.
func (s *Service) Discard(ctx context.Context, letters ...string) error {
	all := make([]Delivery, len(letters))
	for i, id := range letters {
		d, err := parseLetter(id)
		if err != nil || d.Event == "" {
			return ErrBadLetter
		}
		all[i] = d
	}
	return s.store.Done(ctx, all...)
}

const replayPage = 100

// Replay tries each dead delivery once more. One that fails stays, with the new reason.
func (s *Service) Replay(ctx context.Context) (done, kept int, _ error) {
	var last Delivery
	for {
		page, err := s.store.Dead(ctx, last.Event, last.Endpoint, replayPage)
		if err != nil {
			return done, kept, err
		}
		for i := range page {
			d := &page[i]
			if err := ctx.Err(); err != nil {
				return done, kept, err
			}
			if err := s.settle(ctx, d, s.send(ctx, d)); err != nil {
				return done, kept, err
			}
			if d.Reason == "" {
				done++
			} else {
				kept++
			}
			last = *d
		}
		if len(page) < replayPage {
			return done, kept, nil
		}
	}
}

// settle keeps what became of a try. A delivery that is done has no reason.
func (s *Service) settle(ctx context.Context, d *Delivery, why error) error {
	ctx = context.WithoutCancel(ctx) // it was sent
	if why == nil {
		d.Reason = ""
		return s.store.Done(ctx, *d)
	}
	wasDead := d.Dead
	d.fail(s.clock.Now(), why)
	d.Dead = d.Dead || wasDead
	return s.store.Failed(ctx, d)
}
