package timeline

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Config wires a service. What is not said to be optional must be given.
type Config struct {
	Items     Items
	Events    Events    // nil = there are none
	Movements Movements // nil = there are none
	Sources   Sources   // nil = there are none
	Proofs    Proofs    // nil = there are none
	Store     Store
	Rules     func(ids.BrandID) Rules
	Clock     clock.Clock
	Log       *slog.Logger
	Canonical func(id string) string // of an identifier of a place
	Wait      time.Duration          // how long a part is waited for; 0 = waitUsual
}

const (
	waitUsual   = 2 * time.Second
	readingsMax = 96 // of one step: four a day are enough for three weeks of transport
)

// Service tells stories. It is safe for concurrent use.
type Service struct{ Config }

// NewService wires the use cases.
func NewService(c Config) *Service {
	if c.Wait == 0 {
		c.Wait = waitUsual
	}
	return &Service{c}
}

// part is what one source of a story gave.
type part struct {
	steps []Step
	late  bool
	err   error
}

// Tell tells an item's story, to the public or to who may see all of it. A code that the
// public may not ask for is answered by Items.
func (s *Service) Tell(ctx context.Context, it *Item, all bool) (Story, error) {
	bounded, cancel := context.WithTimeout(ctx, s.Wait)
	defer cancel()
	booked := s.ask(bounded, func(ctx context.Context) ([]Step, error) { return s.booked(ctx, it) })
	lived := s.ask(bounded, func(ctx context.Context) ([]Step, error) { return s.lived(ctx, it) })
	told := s.ask(bounded, func(ctx context.Context) ([]Step, error) { return s.told(ctx, it), nil })
	story := Story{Item: *it, Steps: []Step{s.made(it)}}
	for _, of := range []struct {
		from   <-chan part
		stages []string // that are loading when it is late
	}{{booked, []string{Logistics, Sales}}, {lived, []string{Logistics, Sales}}, {told, []string{Production, Logistics, Sales}}} {
		p := s.take(ctx, bounded, of.from)
		if p.err != nil {
			return Story{}, p.err
		}
		story.Steps = append(story.Steps, p.steps...)
		if p.late {
			for _, stage := range of.stages {
				story.Steps = append(story.Steps, Step{Stage: stage, Status: Loading})
			}
		}
	}
	story.Steps = arranged(story.Steps)
	if !all {
		story.Steps = s.Rules(it.Brand).public(story.Steps)
	}
	return story, nil
}

// ask gathers a part beside the others. Its goroutine ends with the part; nobody waits for
// one that is late, whose context has ended.
func (s *Service) ask(ctx context.Context, of func(context.Context) ([]Step, error)) <-chan part {
	out := make(chan part, 1)
	go func() {
		steps, err := of(ctx)
		out <- part{steps: steps, err: err}
	}()
	return out
}

// take waits for a part no longer than the time that all of them have.
func (s *Service) take(ctx, bounded context.Context, from <-chan part) part {
	p := part{late: true}
	select {
	case p = <-from:
	case <-bounded.Done():
		select { // it may have come at the same moment
		case p = <-from:
		default:
		}
	}
	switch {
	case ctx.Err() != nil:
		return part{err: ctx.Err()}
	case p.err != nil && bounded.Err() != nil:
		return part{late: true}
	}
	return p
}

// made is the first step: the batch was produced, or its codes were made.
func (s *Service) made(it *Item) Step {
	at := it.MadeAt
	if day, err := time.Parse(time.DateOnly, it.ProductionDate); err == nil {
		at = day
	}
	d := map[string]any{"state": gs1.Encoded.String(), "batch_no": it.BatchNo}
	if it.ProductionDate != "" {
		d["production_date"] = it.ProductionDate
	}
	return Step{Stage: Production, Time: at, Details: d}
}

// booked are the states that the item was brought into.
func (s *Service) booked(ctx context.Context, it *Item) ([]Step, error) {
	changes, err := s.Items.Changes(ctx, it.Code)
	if err != nil {
		return nil, fmt.Errorf("read changes of %s: %w", it.Code, err)
	}
	steps := make([]Step, 0, len(changes)+1)
	for _, c := range changes {
		step := Step{Stage: stageOfState(c.To), Time: c.At, Location: c.Place, Details: map[string]any{"state": c.To.String()}}
		if c.Reason != "" {
			step.Details["reason"] = c.Reason
		}
		if c.Undoes != 0 { // it belongs to the stage of what it undoes
			step.Stage, step.Details["undoes"] = stageOfState(c.Undoes), c.Undoes.String()
		}
		steps = append(steps, step)
	}
	if !it.ExpiresAt.IsZero() && !s.Clock.Now().Before(it.ExpiresAt) {
		steps = append(steps, Step{Stage: Quality, Time: it.ExpiresAt, Details: map[string]any{"state": gs1.Expired.String()}})
	}
	return steps, nil
}

// lived are the steps that events tell.
func (s *Service) lived(ctx context.Context, it *Item) ([]Step, error) {
	if s.Events == nil {
		return nil, nil
	}
	events, err := s.Events.Life(ctx, it)
	if err != nil {
		return nil, fmt.Errorf("read events of %s: %w", it.Code, err)
	}
	var places, hashes []string
	for i := range events {
		places, hashes = append(places, events[i].Places...), append(hashes, events[i].ID)
	}
	names, err := s.names(ctx, it.Brand, places)
	if err != nil {
		return nil, err
	}
	var proven map[string]string
	if s.Proofs != nil {
		if proven, err = s.Proofs.Proven(ctx, hashes); err != nil {
			return nil, fmt.Errorf("look for proofs of events of %s: %w", it.Code, err)
		}
	}
	steps := make([]Step, 0, len(events))
	for i := range events {
		step := stepOf(&events[i])
		step.Location = nameOf(names, events[i].Places)
		if at := proven[events[i].ID]; at != "" {
			step.Details["proof"] = at
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// told is what live sources tell. What only the story itself may say is taken out of it.
func (s *Service) told(ctx context.Context, it *Item) []Step {
	if s.Sources == nil {
		return nil
	}
	steps := s.Sources.Parts(ctx, it)
	for i := range steps {
		steps[i].Details = maps.Clone(steps[i].Details)
		for _, own := range [...]string{"event_id", "proof", "readings", "in", "step"} {
			delete(steps[i].Details, own)
		}
	}
	return steps
}

// stepOf is an event as a step.
func stepOf(e *Event) Step {
	d := map[string]any{"event_id": e.ID}
	add := func(key, text string) {
		if text != "" {
			d[key] = text
		}
	}
	for key, text := range e.Facts {
		add(key, text)
	}
	add("step", e.Step)
	add("state", e.Disposition)
	add("in", e.Via)
	if len(e.Temperatures) > 0 {
		d["temperature"], d["readings"] = temperatureRange(e.Temperatures), readings(e.Temperatures)
	}
	return Step{Stage: stageOfStep(e), Time: e.Time, Details: d}
}

// Reading is a point of a temperature's course.
type Reading struct {
	Time  time.Time `json:"time"`
	Least float64   `json:"min"`
	Most  float64   `json:"max"`
}

// temperatureRange is "2-8°C", or "4°C" when nothing varied.
func temperatureRange(all []Temperature) string {
	least, most := all[0].Least, all[0].Most
	for _, t := range all {
		least, most = min(least, t.Least), max(most, t.Most)
	}
	low, high := degrees(least), degrees(most)
	if low == high {
		return low + "°C"
	}
	if least < 0 {
		return low + " to " + high + "°C" // "-18--15" would be read by nobody
	}
	return low + "-" + high + "°C"
}

func degrees(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10+0, 'f', -1, 64)
}

// readings are in the order of time; more than readingsMax are put together, each with the
// least and the most of its stretch, so that no peak is lost.
func readings(all []Temperature) []Reading {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Temperature) int { return a.At.Compare(b.At) })
	each := (len(all) + readingsMax - 1) / readingsMax
	var out []Reading
	for part := range slices.Chunk(all, each) {
		r := Reading{part[0].At, part[0].Least, part[0].Most}
		for _, t := range part {
			r.Least, r.Most = min(r.Least, t.Least), max(r.Most, t.Most)
		}
		out = append(out, r)
	}
	return out
}

// arranged puts steps in the order of time, the first one first and what is not there last.
// A state that an event brought about is told by the event, also where its business step alone
// did: a step with its time and state is left out. A stage that loads is said once.
func arranged(steps []Step) []Step {
	type mark struct {
		at int64
		of any
	}
	events, loading := map[mark]bool{}, map[[2]string]bool{}
	silent := map[mark]Step{} // events that name no state, by their business step
	for _, s := range steps {
		switch {
		case s.Details["event_id"] == nil:
		case s.Details["state"] != nil:
			events[mark{s.Time.UnixMilli(), s.Details["state"]}] = true
		case s.Details["step"] != nil:
			silent[mark{s.Time.UnixMilli(), s.Details["step"]}] = s
		}
	}
	for _, s := range steps {
		because := mark{s.Time.UnixMilli(), s.Details["reason"]}
		if e, ok := silent[because]; ok && s.Details["event_id"] == nil && s.Details["state"] != nil {
			e.Details["state"], events[mark{because.at, s.Details["state"]}] = s.Details["state"], true
		}
	}
	out := steps[:1:1]
	var missing []Step
	for _, s := range steps[1:] {
		key := [2]string{s.Stage, s.Status}
		switch {
		case s.Status != "" && loading[key], s.Details["event_id"] == nil && events[mark{s.Time.UnixMilli(), s.Details["state"]}]:
		case s.Status != "":
			missing, loading[key] = append(missing, s), true
		default:
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out[1:], func(a, b Step) int { return a.Time.Compare(b.Time) })
	return append(out, missing...)
}
