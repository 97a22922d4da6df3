package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
)

const (
	relayBatch = 500
	relayPoll  = 250 * time.Millisecond // the floor when nobody wakes it
	relayLife  = 15 * time.Second       // of the lease; longer than one Publish
	lookEvery  = 5 * time.Second        // at a backlog or a lag, for the metrics
	waitMin    = 100 * time.Millisecond
	waitMax    = 5 * time.Second
)

// Relay brings an outbox to Kafka: each event to the topic of its type. Of all relays of
// one name one works; its lease decides which, and its positions refuse every other.
type Relay struct {
	client *Client
	outbox *outbox.Outbox
	leases *lease.Leases
	name   string
	source string
	wake   chan struct{}
}

// NewRelay makes a relay. name tells its positions from those of others: one for each
// outbox. source is the installation's public URL.
func NewRelay(c *Client, o *outbox.Outbox, l *lease.Leases, name, source string) *Relay {
	return &Relay{client: c, outbox: o, leases: l, name: name, source: source, wake: make(chan struct{}, 1)}
}

// Wake tells that there may be new events. It never waits.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	log := r.client.Log.With("relay", r.name)
	defer func() {
		if err := r.leases.Release(context.WithoutCancel(ctx), r.leaseName()); err != nil {
			log.Warn("the relay's lease cannot be given back and will run out", "error", err)
		}
	}()
	look := r.watch(ctx)
	defer func() { <-look }()
	for failures := 0; ctx.Err() == nil; {
		moved, err := r.lead(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, outbox.ErrFenced):
			log.Info("another process relays now")
			failures = 0
			// Whoever has its lease all the same (it was restored from a backup?) takes it
			// anew with the next token until that one is not refused.
			_ = r.leases.Release(ctx, r.leaseName()) // it runs out instead
		case err != nil:
			if moved {
				failures = 0
			}
			failures++
			log.Warn("events cannot be relayed, will try again", "failures", failures, "error", err)
		default:
			failures = 0
		}
		rest(ctx, max(relayPoll, backoff(failures, waitMin, waitMax)))
	}
}

func (r *Relay) leaseName() string { return "relay-" + r.name }

// lead relays for as long as it holds the lease and nothing fails. moved tells that it
// delivered something.
func (r *Relay) lead(ctx context.Context) (moved bool, _ error) {
	token, ok, err := r.leases.Hold(ctx, r.leaseName(), relayLife)
	if err != nil || !ok {
		return false, err
	}
	held := r.client.Clock.Now()
	at, err := r.outbox.Resume(ctx, r.name, token)
	for err == nil && ctx.Err() == nil {
		if now := r.client.Clock.Now(); now.Sub(held) > relayLife/3 || now.Before(held) {
			again, ok, err := r.leases.Hold(ctx, r.leaseName(), relayLife)
			if err != nil || !ok || again != token {
				return moved, err
			}
			held = now
		}
		events, next, readErr := r.outbox.Read(ctx, at, relayBatch)
		if err = readErr; err != nil {
			break
		}
		if len(events) == 0 {
			r.wait(ctx)
			continue
		}
		if err = r.deliver(ctx, events); err == nil {
			err = r.outbox.Advance(ctx, r.name, token, at, next)
		}
		if err == nil {
			at, moved = next, true
		}
	}
	return moved, err
}

func (r *Relay) deliver(ctx context.Context, events []outbox.Event) error {
	messages := make([]Message, len(events))
	for i := range events {
		e := &events[i]
		value, err := json.Marshal(e.CloudEvent(r.source))
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.ID, err)
		}
		messages[i] = Message{Topic: e.Type, Brand: e.BrandID, ID: e.ID, Time: e.Time, Trace: e.Trace, Value: value}
	}
	return r.client.Publish(ctx, messages)
}

// wait ends when somebody wakes the relay, or after the poll's floor.
func (r *Relay) wait(ctx context.Context) {
	timer := time.NewTimer(relayPoll)
	defer timer.Stop()
	select {
	case <-r.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// watch keeps the metrics of the backlog, also in processes that do not relay.
func (r *Relay) watch(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		for ctx.Err() == nil {
			if b, err := r.outbox.Backlog(ctx, r.name); err == nil {
				age := 0.0
				if !b.Oldest.IsZero() {
					age = max(0, r.client.Clock.Now().Sub(b.Oldest).Seconds())
				}
				r.client.metrics.backlog.WithLabelValues(r.name).Set(float64(b.Events))
				r.client.metrics.age.WithLabelValues(r.name).Set(age)
			}
			rest(ctx, lookEvery)
		}
	}()
	return done
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// backoff is how long to wait after so many failures in a row; 0 after none.
func backoff(failures int, first, most time.Duration) time.Duration {
	if failures == 0 {
		return 0
	}
	d := first
	for range min(failures-1, 30) {
		d = min(2*d, most)
	}
	return d
}
