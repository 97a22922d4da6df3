package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/traceevent"
)

const (
	statesGroup = "states"
	statesBatch = 100
	statesPoll  = time.Second
	statesLife  = 15 * time.Second // of the lease
)

// stateTeller lets captured events move items: it follows the outbox, each brand in its
// order, and tells batch what each event says. Of several processes one works. Telling the
// same again changes nothing, so what a crash lets come again has its effect already.
type stateTeller struct {
	trace   *trace.Service
	batches *batch.Service
	outbox  *outbox.Outbox
	leases  *lease.Leases
	log     *slog.Logger
	woken   chan struct{}
	told    *prometheus.CounterVec
	items   *prometheus.CounterVec
}

// tellStates starts it.
func (a *App) tellStates() {
	t := &stateTeller{
		trace: a.Trace, batches: a.Batches, outbox: a.outbox, leases: lease.New(a.db, ids.New("proc"), a.clock), log: a.log, woken: make(chan struct{}, 1),
		told: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chopmark_state_events_total", Help: "EPCIS events that were told to the states of items, by what came of them.",
		}, []string{"result"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chopmark_state_illegal_items_total", Help: "Items for which the table forbids what an event says (event), or a step that came later and was possible before (later).",
		}, []string{"of"}),
	}
	for _, result := range []string{"moved", "same", "given_up"} {
		t.told.WithLabelValues(result)
	}
	t.items.WithLabelValues("event")
	t.items.WithLabelValues("later")
	a.metrics.Registry.MustRegister(t.told, t.items)
	a.onCommit = append(a.onCommit, t.wake)
	a.work.Go(func() { t.run(a.background) })
}

func (t *stateTeller) wake() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

func (t *stateTeller) run(ctx context.Context) {
	defer func() { _ = t.leases.Release(context.WithoutCancel(ctx), statesGroup) }() // or it runs out
	for ctx.Err() == nil {
		if err := t.lead(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, outbox.ErrFenced) {
			t.log.Warn("events do not move items, will try again", "error", err)
		}
		t.rest(ctx)
	}
}

func (t *stateTeller) rest(ctx context.Context) {
	timer := time.NewTimer(statesPoll)
	defer timer.Stop()
	select {
	case <-t.woken:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (t *stateTeller) lead(ctx context.Context) error {
	token, ok, err := t.leases.Hold(ctx, statesGroup, statesLife)
	if err != nil || !ok {
		return err
	}
	at, err := t.outbox.Resume(ctx, statesGroup, token)
	for err == nil && ctx.Err() == nil {
		events, next, err := t.outbox.Read(ctx, at, statesBatch)
		if err != nil {
			return err
		}
		for i := range events {
			again, ok, err := t.leases.Hold(ctx, statesGroup, statesLife)
			if err != nil || !ok || again != token {
				return err
			}
			if err := t.tell(ctx, &events[i]); err != nil {
				return err
			}
		}
		if next == at {
			t.rest(ctx)
			continue
		}
		if err := t.outbox.Advance(ctx, statesGroup, token, at, next); err != nil {
			return err
		}
		at = next
	}
	return err
}

// tell passes on what one capture brought.
func (t *stateTeller) tell(ctx context.Context, e *outbox.Event) error {
	if e.Type != traceevent.TraceCaptured {
		return nil
	}
	var captured traceevent.Captured
	if err := json.Unmarshal(e.Data, &captured); err != nil {
		return fmt.Errorf("read event %s: %w", e.ID, err)
	}
	hashes := make([]trace.Hash, len(captured.EventIDs))
	for i, name := range captured.EventIDs {
		var ok bool
		if hashes[i], ok = trace.ParseHash(name); !ok {
			return fmt.Errorf("event %s: %q is no hash", e.ID, name)
		}
	}
	return t.trace.Bearings(ctx, e.BrandID, hashes, func(h trace.Hash, all []trace.Bearing, err error) error {
		for i := range all {
			if err == nil {
				err = t.state(ctx, &all[i])
			}
		}
		if f, ok := fault.From(err); ok && f.Kind == fault.TooLarge { // it is so however often it is tried
			t.told.WithLabelValues("given_up").Inc()
			t.log.Error("an event does not move its items", "event", h.String(), "error", err)
			err = nil
		}
		if err != nil {
			return fmt.Errorf("states by %s: %w", h, err)
		}
		return nil
	})
}

func (t *stateTeller) state(ctx context.Context, b *trace.Bearing) error {
	if b.Silent {
		t.told.WithLabelValues("same").Inc()
		return nil
	}
	if b.Partial {
		t.log.Error("a container holds more than can be looked through; what is in it is not moved", "event", b.Event.String())
	}
	st := statementOf(b)
	told, err := t.batches.State(ctx, st)
	if err != nil {
		return err
	}
	result := "same"
	if told.New && told.Change.Items > 0 {
		result = "moved"
	}
	t.told.WithLabelValues(result).Inc()
	t.items.WithLabelValues("event").Add(float64(told.Illegal))
	t.items.WithLabelValues("later").Add(float64(told.Undone))
	if told.Illegal+told.Undone > 0 {
		t.log.Warn("an event says of items what the table forbids", "event", st.Event, "state", b.To.String(), "items", told.Illegal, "later_steps", told.Undone, "change_id", string(told.Change.ID))
	}
	return nil
}

// statementOf is what an event says of states, as batch takes it.
func statementOf(b *trace.Bearing) batch.Statement {
	st := batch.Statement{Event: b.Event.String(), Brand: b.Brand, At: b.At, To: b.To, Reason: b.Step, Actor: "epcis", Place: b.Place}
	if st.Reason == "" {
		st.Reason = b.To.String()
	}
	for _, r := range b.Items {
		st.Items = append(st.Items, batch.SerialRun{From: r.From, To: r.To})
	}
	return st
}
