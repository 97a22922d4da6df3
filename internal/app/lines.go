package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/line/linehttp"
	"github.com/chopmark/chopmark/internal/line/linesql"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

// openLines wires packing lines.
func (a *App) openLines() {
	store := linesql.New(a.dbs, a.clock)
	counts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chopmark_line_containers_total", Help: "Cases and pallets of packing lines, by what became of them; finished are those whose closing was cut off before its event was captured.",
	}, []string{"result"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chopmark_line_refused_total", Help: "Children that packing lines were told not to pack, by the reason; docs/trace.md has them.",
	}, []string{"reason"})
	a.metrics.Registry.MustRegister(counts, refused)
	for _, result := range line.Observed() {
		counts.WithLabelValues(result)
	}
	for _, why := range line.Refusals() {
		refused.WithLabelValues(why)
	}
	a.lines = line.NewService(line.Deps{
		Store: store, Numbers: store, Upkeep: store, Items: lineItems{knownBrands{a.Batches}, a.Trace, codedItems{a.codes, a.keys.items, a.texts, a.proj}, a.codes, a.URL},
		Events: lineEvents{a.Trace}, Clock: a.clock, Observe: func(result string) { counts.WithLabelValues(result).Inc() },
		Refused: func(why string) { refused.WithLabelValues(why).Inc() },
	})
}

func (a *App) lineRoutes(rt *httpx.Router) { linehttp.Mount(rt, a.lines) }

// linesLook is how often it is looked for what was cut off.
const linesLook = 2 * time.Second

// keepLines captures the events of containers whose closing was cut off, and drops lists that
// are old. Every worker does: what another has done already it finds done.
func (a *App) keepLines() {
	a.work.Go(func() {
		look := time.NewTicker(linesLook)
		defer look.Stop()
		for {
			more, err := a.lines.Finish(a.background)
			if err != nil && a.background.Err() == nil {
				a.log.Warn("containers that were closed have no event yet, will try again", "error", err)
			}
			older, err2 := a.lines.Forget(a.background)
			if err2 != nil && a.background.Err() == nil {
				a.log.Warn("lists of what was packed cannot be dropped, will try again", "error", err2)
			}
			if (more || older) && errors.Join(err, err2) == nil {
				continue
			}
			select {
			case <-look.C:
			case <-a.background.Done():
				return
			}
		}
	})
}

// lineItems shows coded items to lines.
type lineItems struct {
	knownBrands

	trace *trace.Service
	items codedItems
	codes *batch.Reader
	url   string // what codes link to
}

var _ line.Items = lineItems{}

// Find implements line.Items.
func (l lineItems) Find(ctx context.Context, name string) (it line.Item, ok bool, _ error) {
	code := name
	if strings.Contains(name, ":") {
		child, err := l.trace.Child(ctx, name)
		if err != nil || child.EPC != "" {
			return it, false, err
		}
		code = l.items.Code(child.Serial)
	}
	serial, item, err := l.codes.Find(ctx, code)
	if err != nil {
		return it, false, nil //nolint:nilerr // a code of nobody's is an answer
	}
	known, ok, err := l.items.Finder()(code)
	if err != nil || !ok {
		return it, false, err
	}
	it = line.Item{Serial: serial, Brand: known.Brand, Code: code, EPC: l.url + "/" + code, State: item.State}
	if known.GTIN != "" {
		it.EPC = gs1.CanonicalStem + "/01/" + known.GTIN.String() + "/21/" + code
	}
	return it, true, nil
}

// lineEvents is where the events of lines go: through the door that all others take.
type lineEvents struct{ trace *trace.Service }

var _ line.Events = lineEvents{}

// lineEvent is the event of a packing. It is a function of what closing has fixed, so that
// its hash is the same however often it is made: never change what it says.
func lineEvent(p line.Packing) (string, error) {
	type place struct {
		ID string `json:"id"`
	}
	e := struct {
		Context   []string `json:"@context"`
		Type      string   `json:"type"`
		Time      string   `json:"eventTime"`
		Offset    string   `json:"eventTimeZoneOffset"`
		Action    string   `json:"action"`
		Step      string   `json:"bizStep"`
		ReadPoint *place   `json:"readPoint,omitempty"`
		Location  *place   `json:"bizLocation,omitempty"`
		Parent    string   `json:"parentID"`
		Children  []string `json:"childEPCs"`
	}{
		Context: []string{trace.StandardContext}, Type: trace.AggregationEvent, Time: p.ClosedAt.UTC().Format("2006-01-02T15:04:05.000Z"), Offset: "+00:00",
		Action: string(trace.Add), Step: "packing", Parent: p.EPC,
	}
	if p.ReadPoint != "" {
		e.ReadPoint = &place{p.ReadPoint}
	}
	if p.Location != "" {
		e.Location = &place{p.Location}
	}
	for _, c := range p.Children {
		e.Children = append(e.Children, c.EPC)
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode the event of container %s: %w", p.SSCC, err)
	}
	return string(raw), nil
}

// Check implements line.Events.
func (l lineEvents) Check(p line.Packing) error {
	raw, err := lineEvent(p)
	if err == nil {
		_, err = l.trace.ReadEvent(raw)
	}
	return err
}

// Pack implements line.Events.
func (l lineEvents) Pack(ctx context.Context, p line.Packing) (string, error) {
	raw, err := lineEvent(p)
	if err != nil {
		return "", err
	}
	e, err := l.trace.ReadEvent(raw)
	if err != nil {
		return "", err
	}
	if _, _, err = l.trace.CaptureEvent(ctx, trace.CaptureSpec{Brand: p.Brand}, raw); errors.Is(err, trace.ErrDuplicate) {
		err = nil
	}
	return l.trace.Hash(e).String(), err
}

// Parents implements line.Events.
func (l lineEvents) Parents(ctx context.Context, brand ids.BrandID, children []line.Child) (map[string]string, error) {
	in := map[string]string{}
	keys := map[ids.Serial]string{}
	for _, c := range children {
		if c.IsItem() {
			keys[c.Serial] = c.Key
			continue
		}
		steps, err := l.trace.Within(ctx, brand, trace.Child{EPC: trace.Canonical(c.EPC)}, trace.Ever())
		if err != nil {
			return nil, err
		}
		if len(steps) > 0 {
			in[c.Key] = steps[0].Parent
		}
	}
	var runs []trace.Run
	for _, s := range slices.Sorted(maps.Keys(keys)) {
		if n := len(runs); n > 0 && runs[n-1].To+1 == s {
			runs[n-1].To = s
		} else {
			runs = append(runs, trace.Run{From: s, To: s})
		}
	}
	stays, err := l.trace.Stays(ctx, brand, runs)
	for _, stay := range stays {
		for s := stay.From; s <= stay.To; s++ {
			in[keys[s]] = stay.Parent
		}
	}
	return in, err
}

// Holds implements line.Events.
func (l lineEvents) Holds(ctx context.Context, brand ids.BrandID, epc string) (bool, error) {
	in, err := l.trace.Contents(ctx, brand, epc, trace.Ever(), false)
	return len(in.Runs)+len(in.EPCs) > 0, err
}
