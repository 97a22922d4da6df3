package app

import (
	"cmp"
	"context"
	"io"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/translog"
	"github.com/chopmark/chopmark/internal/site"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/timeline/timelinehttp"
	"github.com/chopmark/chopmark/internal/timeline/timelinesql"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/verify"
)

// openTimeline wires what other systems know, the stories of items, and the words that
// things are looked for by.
func (a *App) openTimeline(ctx context.Context) error {
	if err := a.openSources(); err != nil {
		return err
	}
	store := timelinesql.Over(a.dbs, a.clock)
	c := timeline.Config{
		Items: storyItems{a.Batches}, Store: store, Rules: a.storyRules,
		Canonical: trace.Canonical, Clock: a.clock, Log: a.log,
	}
	if a.Trace != nil {
		c.Movements = storyMovements{a.Trace, a.clock, a.proj}
		c.Events, c.Proofs = storyEvents{a.Trace, a.clock}, storyProofs{a.translog}
	}
	if a.Sources != nil {
		c.Sources = storySources{a.Sources}
	}
	a.Stories = timeline.NewService(c)
	return a.openWords(ctx, store)
}

func (a *App) timelineRoutes(rt *httpx.Router, auth httpx.Authenticator) {
	queries := timeline.NewQueries(a.Stories)
	a.work.Go(func() { queries.Run(a.background) })
	timelinehttp.Mount(rt, timelinehttp.Deps{
		Service: a.Stories, Brands: knownBrands{a.Batches}, Pages: pages{a.site, a.proj, a.texts}, Auth: auth, Clock: a.clock,
		Traced: a.product.Traced, Asked: queries.Asked,
		Products: func(ctx context.Context, id ids.ProductID) (string, error) {
			p, err := a.Batches.Product(ctx, id)
			return p.Name, err
		},
	})
}

// watchTraces measures now and then how complete traces are.
func (a *App) watchTraces() {
	if a.Trace == nil {
		return
	}
	leases := lease.New(a.db, ids.New("proc"), a.clock)
	w := &timeline.Watch{Service: a.Stories, Brands: a.Trace.Brands, Lead: func(ctx context.Context, life time.Duration) (bool, error) {
		_, ok, err := leases.Hold(ctx, "trace-completeness", life)
		return ok, err
	}}
	for name, of := range map[string]struct {
		help  string
		value func() float64
	}{
		"chopmark_trace_shipped_items":  {"Items that were shipped in the last 30 days, as far as they were measured.", w.Shipped},
		"chopmark_trace_complete_items": {"Those of them whose trace has no gap.", w.Complete},
	} {
		a.metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: of.help}, of.value))
	}
	a.work.Go(func() {
		w.Run(a.background)
		_ = leases.Release(context.WithoutCancel(a.background), "trace-completeness") // or it runs out
	})
}

// storyRules are what a brand lets the public see, as this process knows it.
func (a *App) storyRules(brand ids.BrandID) timeline.Rules {
	s := a.proj.Settings(brand)
	r := timeline.Rules{Show: s.Trace.Show, Hide: s.Trace.Hide, NoPlaces: s.HidePlaces}
	if s.Trace.Mask != nil {
		r.Mask, r.MaskSet = *s.Trace.Mask, true
	}
	return r
}

// storyItems shows items and their states to the timeline.
type storyItems struct{ svc *batch.Service }

var _ timeline.Items = storyItems{}

// Item implements timeline.Items.
func (s storyItems) Item(code string, may ids.Scope) (timeline.Item, error) {
	serial, item, err := s.svc.Resolve(code)
	if err != nil {
		return timeline.Item{}, err
	}
	b := item.Batch
	if b.Mark == batch.Display && !may.Has(b.BrandID) {
		return timeline.Item{}, batch.ErrUnknownCode
	}
	return timeline.Item{
		Code: code, Serial: serial, Brand: b.BrandID, Product: b.ProductID, BatchNo: b.No, ProductionDate: b.ProductionDate,
		MadeAt: b.CreatedAt, ExpiresAt: b.ExpiresAt,
	}, nil
}

// Changes implements timeline.Items.
func (s storyItems) Changes(ctx context.Context, code string) ([]timeline.Change, error) {
	history, err := s.svc.CodeHistory(ctx, code)
	if err != nil {
		return nil, err
	}
	kinds := map[ids.ChangeID]string{}
	var out []timeline.Change
	for _, h := range history {
		kinds[h.ChangeID] = h.Kind
		state, ok := gs1.ParseDisposition(h.Kind)
		if !ok {
			continue // another label is no step of the item's
		}
		c := timeline.Change{To: state, At: h.At, Place: h.Place, Reason: h.Reason}
		if !h.Happened.IsZero() {
			c.At = h.Happened
		}
		if h.Reverts != "" {
			c.Undoes, _ = gs1.ParseDisposition(kinds[h.Reverts])
		}
		out = append(out, c)
	}
	return out, nil
}

// storyEvents shows EPCIS events to the timeline.
type storyEvents struct {
	svc   *trace.Service
	clock clock.Clock
}

var _ timeline.Events = storyEvents{}

// Life implements timeline.Events.
func (s storyEvents) Life(ctx context.Context, it *timeline.Item) ([]timeline.Event, error) {
	return storyMovements{svc: s.svc, clock: s.clock}.LifeOf(ctx, it.Brand, it.Serial)
}

// storyMovements shows EPCIS events to reports.
type storyMovements struct {
	svc   *trace.Service
	clock clock.Clock
	proj  *batch.Projection
}

var _ timeline.Movements = storyMovements{}

// Walk implements timeline.Movements.
func (s storyMovements) Walk(
	ctx context.Context, brand ids.BrandID, step string, from, to time.Time, tell func(m *timeline.Movement) (bool, error),
) error {
	return s.svc.Walk(ctx, brand, step, from, to, func(m *trace.Moved) (bool, error) {
		return tell(&timeline.Movement{Time: m.Time, Step: m.Step, Places: placesOf(m.Event), Lots: s.lots(m.Runs)})
	})
}

// lots are the batches that runs of items belong to.
func (s storyMovements) lots(runs []trace.Run) (out []timeline.LotItems) {
	at := map[timeline.Lot]int{}
	for _, r := range runs {
		for from := r.From; from <= r.To; {
			it, ok := s.proj.Lookup(from)
			if !ok {
				break // the rest of the run is in no batch
			}
			to := min(r.To, it.Batch.Serial(it.Batch.Quantity))
			lot := timeline.Lot{Product: it.Batch.ProductID, BatchNo: it.Batch.No}
			if _, seen := at[lot]; !seen {
				at[lot] = len(out)
				out = append(out, timeline.LotItems{Lot: lot, First: from})
			}
			out[at[lot]].Items += int64(to-from) + 1
			from = to + 1
		}
	}
	return out
}

// LifeOf implements timeline.Movements.
func (s storyMovements) LifeOf(ctx context.Context, brand ids.BrandID, serial ids.Serial) ([]timeline.Event, error) {
	lived, err := s.svc.Life(ctx, brand, trace.Child{Serial: serial}, s.clock.Now())
	if err != nil {
		return nil, err
	}
	out := make([]timeline.Event, len(lived))
	for i := range lived {
		l := &lived[i]
		e := timeline.Event{
			ID: l.Hash.String(), Time: l.Time, Type: l.Type, Step: l.Step, Disposition: l.Disposition, Via: l.Via, Facts: facts(l.Event),
			Places: placesOf(l.Event),
		}
		for _, t := range l.Temperatures() {
			e.Temperatures = append(e.Temperatures, timeline.Temperature(t))
		}
		out[i] = e
	}
	return out, nil
}

// placesOf are where an event was, by identifiers, the narrowest first.
func placesOf(e *trace.Event) (out []string) {
	for _, p := range [...]string{e.ReadPoint.ID, e.Location.ID} {
		if p != "" {
			out = append(out, trace.Canonical(p))
		}
	}
	return out
}

// storyProofs shows the transparency log to the timeline.
type storyProofs struct{ log *translog.Log }

var _ timeline.Proofs = storyProofs{}

// Proven implements timeline.Proofs.
func (p storyProofs) Proven(ctx context.Context, events []string) (map[string]string, error) {
	held, err := p.log.Held(ctx, logEvent, events)
	at := make(map[string]string, len(held))
	for id := range held {
		at[id] = "/log/verify?" + url.Values{"kind": {logEvent}, "subject": {id}}.Encode()
	}
	return at, err
}

// storySources shows other systems to the timeline. Which of them it was is for the brand's
// own people.
type storySources struct{ svc *source.Service }

var _ timeline.Sources = storySources{}

// Parts implements timeline.Sources.
func (s storySources) Parts(ctx context.Context, it *timeline.Item) []timeline.Step {
	parts := s.svc.Parts(ctx, it.Brand, it.BatchNo, it.Code)
	steps := make([]timeline.Step, len(parts))
	for i, p := range parts {
		steps[i] = timeline.Step{Stage: p.Stage, Time: p.Time, Location: p.Location, Status: p.Status}
		if p.Status == "" {
			steps[i].Details = map[string]any{}
			maps.Copy(steps[i].Details, p.Details)
			steps[i].Details["source"] = p.Source
		}
	}
	return steps
}

// facts are what an event says beyond the standard's fields in words that a story knows:
// extensions under these names, in anybody's namespace, and the bill of lading.
func facts(e *trace.Event) map[string]string {
	out := map[string]string{}
	for _, fields := range [...][]trace.Field{e.ILMD, e.Extensions} {
		for i := range fields {
			switch name := fields[i].Name; name {
			case "raw_materials", "quality_grade", "inspector", "quality_report", "carrier", "tracking_no", "seller":
				if text := fields[i].Value.Text; text != "" && len(text) <= factBytesMax {
					out[name] = text
				}
			}
		}
	}
	for _, t := range e.Transactions {
		if t.Type == "bol" && out["tracking_no"] == "" {
			out["tracking_no"] = t.ID[strings.LastIndexAny(t.ID, ":/")+1:]
		}
	}
	return out
}

const factBytesMax = 512

// Story implements timelinehttp.Pages.
func (p pages) Story(w io.Writer, lang string, zone *time.Location, s *timeline.Story) error {
	if zone == nil && lang == "zh" {
		zone = chinaTime
	}
	page := site.Story{Lang: lang, Code: s.Item.Code, BatchNo: s.Item.BatchNo, Zone: zone}
	item := verify.Item{Serial: s.Item.Serial, ProductID: s.Item.Product, BrandID: s.Item.Brand}
	if text, err := p.texts.Text(context.Background(), &item); err == nil { // the story is worth reading without
		page.Product, page.Brand = text.Name, text.Brand
	}
	for _, step := range s.Steps {
		text := func(key string) string { v, _ := step.Details[key].(string); return v }
		one := site.StoryStep{
			Stage: step.Stage, What: cmp.Or(text("step"), text("state")), Time: step.Time, Location: step.Location,
			Proof: text("proof"), Loading: step.Status != "",
		}
		for _, key := range storyFacts() {
			if v := text(key); v != "" {
				one.Facts = append(one.Facts, site.Fact{Key: key, Text: v})
			}
		}
		if all, ok := step.Details["readings"].([]timeline.Reading); ok {
			course := make([]site.Temperature, len(all))
			for i, r := range all {
				course[i] = site.Temperature(r)
			}
			page.Courses = append(page.Courses, course)
		}
		page.Steps = append(page.Steps, one)
	}
	return p.site.RenderStory(w, page)
}

// storyFacts are the details that the page shows, in their order.
func storyFacts() []string {
	return []string{"raw_materials", "quality_grade", "inspector", "carrier", "tracking_no", "temperature", "seller", "reason"}
}
