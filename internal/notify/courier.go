package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	courierPoll = time.Second // the floor when nobody wakes it
	dueAtOnce   = 200
	sendersMax  = 16 // endpoints at a time
	failuresMax = 3  // in a row, until an endpoint is left alone …
	leftAlone   = 30 * time.Second
)

// Courier sends what is due. Two at once do no harm but send twice.
type Courier struct {
	service *Service
	log     *slog.Logger
	sent    func(delivered bool)
	woken   chan struct{}
}

// NewCourier makes a courier; Run lets it work. sent is told of each try.
func NewCourier(s *Service, log *slog.Logger, sent func(delivered bool)) *Courier {
	return &Courier{service: s, log: log, sent: sent, woken: make(chan struct{}, 1)}
}

// Wake tells that there may be deliveries. It never waits.
func (c *Courier) Wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, while lead says that it is this process's turn.
func (c *Courier) Run(ctx context.Context, lead func(context.Context) (bool, error)) {
	tick := time.NewTicker(courierPoll)
	defer tick.Stop()
	for {
		mine, err := lead(ctx)
		for more := mine; more && err == nil && ctx.Err() == nil; {
			more, err = c.Look(ctx)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("webhooks cannot be sent, will try again", "error", err)
		}
		select {
		case <-tick.C:
		case <-c.woken:
		case <-ctx.Done():
			return
		}
	}
}

// Look sends what is due now; more tells that there was more than it took.
func (c *Courier) Look(ctx context.Context) (more bool, _ error) {
	due, err := c.service.store.Due(ctx, c.service.clock.Now(), dueAtOnce)
	if err != nil {
		return false, err
	}
	of := map[EndpointID][]Delivery{}
	for i := range due {
		of[due[i].Endpoint] = append(of[due[i].Endpoint], due[i])
	}
	var all sync.WaitGroup
	slots := make(chan struct{}, sendersMax)
	failed := make(chan error, len(of))
	for id, some := range of {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			failed <- c.sendAll(ctx, id, some)
		})
	}
	all.Wait()
	close(failed)
	for one := range failed {
		if err == nil {
			err = one
		}
	}
	return len(due) == dueAtOnce, err
}

// sendAll sends to one endpoint, one after the other, until it fails too often.
func (c *Courier) sendAll(ctx context.Context, id EndpointID, all []Delivery) error {
	failures := 0
	for i := range all {
		d := &all[i]
		why := c.service.send(ctx, d)
		if why != nil && over(ctx) {
			break // it was cut off by us
		}
		c.sent(why == nil)
		if err := c.service.settle(ctx, d, why); err != nil {
			return err
		}
		if why == nil {
			failures = 0
			continue
		}
		if d.Dead {
			c.log.Error("a webhook is given up and kept as a dead letter", "endpoint", id, "event_id", d.Event, "tries", d.Tries, "error", why)
		}
		if failures++; failures == failuresMax {
			c.log.Warn("a webhook's endpoint does not take events; it is left alone for a while", "endpoint", id, "error", why)
			now := c.service.clock.Now()
			return c.service.store.Postpone(ctx, id, now, now.Add(leftAlone))
		}
	}
	return nil
}

func over(ctx context.Context) bool { return ctx.Err() != nil }
