package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

// What the timeline bench stores around what it asks for.
const (
	storyItems    = 1_000_000_000
	storyEach     = 1000 // events of a document
	storyDeep     = 50   // items that are asked for, each three containers deep
	storyWarm     = 10   // further ones, of which the process has told before: their times are not shown
	storyEvents   = 50   // of each
	storyAsks     = 20   // of each
	storyContents = 10   // items of each container that nobody asks for
	storyStill    = 5    // seconds in which nothing follows a capture any more
)

// benchTimeline asks for stories of items in a repository that is full: so many events, each
// of which packs items into a container of its own, over one batch.
func benchTimeline(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("timeline"))
	if err != nil {
		return err
	}
	defer server.Kill()
	s, err := openShop(ctx, server)
	if err != nil {
		return err
	}
	var product struct {
		ID int32 `json:"product_id"`
	}
	err = server.Must(ctx, http.MethodPost, "/api/v1/products", map[string]any{"brand_id": firstBrand, "name": "Traced", "gtin": traceGTIN}, &product)
	if err != nil {
		return err
	}
	s.product = product.ID
	if _, err := s.batch(ctx, "T", storyItems, "off"); err != nil {
		return err
	}
	items, err := itemsOf(ctx, b.data("timeline"))
	if err != nil {
		return err
	}
	t := &tracing{b, server, items}
	for _, part := range []func(context.Context) error{t.crowd, t.told, t.stories, t.pallet} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// container is the name of one, of a kind and by number.
func container(kind, n int) string {
	return fmt.Sprintf("urn:epc:id:sscc:4012345.%d%09d", kind, n)
}

// crowd stores what nobody asks for.
func (t *tracing) crowd(ctx context.Context) error {
	start := time.Now()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const together = 16 * storyEach // documents are made as they are sent
	for from := 0; from < t.events; from += together {
		var bodies []string
		for doc := from; doc < min(from+together, t.events); doc += storyEach {
			events := make([]string, 0, storyEach)
			for n := doc; n < min(doc+storyEach, t.events); n++ {
				list, err := t.epcs(20_000_000+n*storyContents, storyContents)
				if err != nil {
					return err
				}
				events = append(events, t.event("AggregationEvent", at.Add(time.Duration(n)*time.Second),
					`"action":"ADD","bizStep":"packing","parentID":"`+container(9, n)+`","childEPCs":[`+list+"]"))
			}
			bodies = append(bodies, traceHead+strings.Join(events, ",")+"]}}")
		}
		if _, _, err := t.send(ctx, bodies, traceClients, "/epcis/capture", http.StatusAccepted); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "bench: timeline: %d events in %.0f s\n", t.events, time.Since(start).Seconds())
	t.rowf(fmt.Sprintf("stored: %d packings into as many containers, a batch of 10^9", t.events), "", "%.0f events/s", float64(t.events)/time.Since(start).Seconds())
	return nil
}

// told waits until what was captured has moved its items, and is in the log and in the index:
// that is the same process's work, which a question would be measured beside. It tells when
// each of them had followed.
func (t *tracing) told(ctx context.Context) error {
	start, still := time.Now(), 0
	last, came := map[string]float64{}, map[string]time.Duration{}
	for still < storyStill {
		now, err := t.followed(ctx)
		if err != nil {
			return err
		}
		still++
		for what, n := range now {
			if n > last[what] {
				came[what], still = time.Since(start), 0
			}
		}
		last = now
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Fprintf(os.Stderr, "bench: timeline: followed after %.0f s: states %.0f s, log %.0f s, index %.0f s\n", slices.Max(slices.Collect(maps.Values(came))).Seconds(),
		came[followStates].Seconds(), came[followLog].Seconds(), came[followIndex].Seconds())
	return nil
}

// What follows a capture.
const (
	followStates = "states"
	followLog    = "log"
	followIndex  = "index"
)

// followed counts how far each has come.
func (t *tracing) followed(ctx context.Context) (map[string]float64, error) {
	now := map[string]float64{}
	var err error
	if now[followLog], err = t.leaves(ctx); err != nil {
		return nil, err
	}
	for metric, what := range map[string]string{
		`chopmark_state_events_total{result="moved"}`: followStates, `chopmark_state_events_total{result="same"}`: followStates,
		`chopmark_state_events_total{result="given_up"}`: followStates, `chopmark_search_documents_total{kind="event"}`: followIndex,
	} {
		n, err := t.Metric(ctx, metric)
		if err != nil {
			return nil, err
		}
		now[what] += n
	}
	return now, nil
}

// leaves is the size of the log, the second line of its head; 0 = it has none yet.
func (t *tracing) leaves(ctx context.Context) (size float64, _ error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL+"/log/checkpoint", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var origin string
	if _, err := fmt.Fscanln(resp.Body, &origin); err != nil || resp.StatusCode != http.StatusOK {
		return 0, nil // there is no head before the first entry
	}
	_, err = fmt.Fscanln(resp.Body, &size)
	return size, err
}

// stories packs items three containers deep, lets all of them see events, and asks.
func (t *tracing) stories(ctx context.Context) error {
	codes := make([]string, storyDeep+storyWarm)
	var bodies []string
	for i := range codes {
		var err error
		if codes[i], err = t.items.code(int64(10_000_000 + i)); err != nil {
			return err
		}
		item := `https://id.gs1.org/01/` + traceGTIN + `/21/` + codes[i]
		chain := []string{item, container(1, i), container(2, i), container(3, i)}
		at := time.Date(2026, 2, 10, 0, 0, 0, i*int(time.Millisecond), time.UTC)
		events := []string{t.event("ObjectEvent", at, `"action":"ADD","bizStep":"commissioning","disposition":"active","epcList":["`+item+`"]`)}
		for d := range chain[1:] {
			at = at.Add(time.Minute)
			events = append(events, t.event("AggregationEvent", at, `"action":"ADD","bizStep":"packing","parentID":"`+chain[d+1]+`","childEPCs":["`+chain[d]+`"]`))
		}
		for n := len(events); n < storyEvents; n++ {
			at = at.Add(time.Minute)
			events = append(events, t.event("ObjectEvent", at, objectRest+`"`+chain[n%len(chain)]+`"],"sensorElementList":[{"sensorReport":[{"type":"Temperature","value":4.5,"uom":"CEL"}]}]`))
		}
		bodies = append(bodies, traceHead+strings.Join(events, ",")+"]}}")
	}
	if _, _, err := t.send(ctx, bodies, traceClients, "/epcis/capture", http.StatusAccepted); err != nil {
		return err
	}
	if err := t.told(ctx); err != nil {
		return err
	}
	if err := t.ask(ctx, codes[storyDeep:]); err != nil { // the process has answered before
		return err
	}
	return t.ask(ctx, codes[:storyDeep])
}

// ask times each story of each item.
func (t *tracing) ask(ctx context.Context, codes []string) error {
	var took []time.Duration
	before, err := t.CPU()
	if err != nil {
		return err
	}
	for range storyAsks {
		for _, code := range codes {
			var story struct {
				Timeline []struct {
					Details map[string]any `json:"details"`
				} `json:"timeline"`
			}
			start := time.Now()
			if err := t.Must(ctx, http.MethodGet, "/api/v1/trace/"+code, nil, &story); err != nil {
				return err
			}
			took = append(took, time.Since(start))
			if n := len(story.Timeline); n != storyEvents+2 { // made, and put in force
				return fmt.Errorf("the story of %s has %d steps, want %d", code, n, storyEvents+2)
			}
		}
	}
	after, err := t.CPU()
	if err != nil {
		return err
	}
	if len(codes) < storyDeep {
		return nil
	}
	slices.Sort(took)
	n := len(took)
	t.rowf(fmt.Sprintf("timeline, three containers deep, %d events", storyEvents), "p99 ≤ 10 ms", "%.1f ms in the middle, p99 %.1f ms, %.1f ms CPU",
		ms(took[n/2]), ms(took[n*99/100]), ms((after-before)/time.Duration(n)))
	return nil
}
