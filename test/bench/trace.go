package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

const (
	traceGTIN    = "04012345111118"
	traceClients = 8
)

// benchTrace captures events of coded items and asks what is in a pallet.
func benchTrace(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("trace"))
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
	if _, err := s.batch(ctx, "T", 10_000_000, "off"); err != nil {
		return err
	}
	items, err := itemsOf(ctx, b.data("trace"))
	if err != nil {
		return err
	}
	t := &tracing{b, server, items}
	for _, c := range []struct {
		what, goal           string
		documents, each, per int
	}{
		{"capture, single items, 100 events a document", "≥ 5,000 events/s", 400, 100, 1},
		{"capture, 1,000 items an event, 10 events a document", "≥ 300,000 items/s", 300, 10, 1000},
	} {
		if err := t.capture(ctx, c.what, c.goal, c.documents, c.each, c.per); err != nil {
			return err
		}
	}
	if err := t.alone(ctx); err != nil {
		return err
	}
	return t.pallet(ctx)
}

type tracing struct {
	*bench
	*harness.Server
	items book
}

const traceHead = `{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"EPCISDocument",` +
	`"schemaVersion":"2.0","creationDate":"2026-03-01T00:00:00Z","epcisBody":{"eventList":[`

// epcs writes a list of items.
func (t *tracing) epcs(from, n int) (string, error) {
	var out strings.Builder
	for i := range n {
		code, err := t.items.code(int64(from + i))
		if err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(`"https://id.gs1.org/01/` + traceGTIN + `/21/` + code + `"`)
	}
	return out.String(), nil
}

func (t *tracing) event(kind string, at time.Time, rest string) string {
	return `{"type":"` + kind + `","eventTime":"` + at.UTC().Format("2006-01-02T15:04:05.000Z") + `","eventTimeZoneOffset":"+08:00",` + rest + `}`
}

const objectRest = `"action":"OBSERVE","bizStep":"shipping","disposition":"in_transit","readPoint":{"id":"urn:epc:id:sgln:4012345.00011.7"},` +
	`"bizLocation":{"id":"urn:epc:id:sgln:4012345.00011.0"},"epcList":[`

// capture sends documents from several clients, each with so many events of so many items.
func (t *tracing) capture(ctx context.Context, what, goal string, documents, each, per int) error {
	bodies := make([]string, documents)
	at := time.Date(2026, 2, 1, per%24, 0, 0, 0, time.UTC)
	for d := range bodies {
		events := make([]string, each)
		for e := range events {
			n := d*each + e
			list, err := t.epcs(n*per%9_000_000, per)
			if err != nil {
				return err
			}
			events[e] = t.event("ObjectEvent", at.Add(time.Duration(n)*time.Millisecond), objectRest+list+"]")
		}
		bodies[d] = traceHead + strings.Join(events, ",") + "]}}"
	}
	took, cpu, err := t.send(ctx, bodies, traceClients, "/epcis/capture", http.StatusAccepted)
	if err != nil {
		return err
	}
	events := float64(documents * each)
	if per == 1 {
		t.rowf(what, goal, "%.0f events/s, %.0f µs CPU each", events/took.Seconds(), float64(cpu.Microseconds())/events)
		return nil
	}
	t.rowf(what, goal, "%.0f items/s, %.2f µs CPU each", events*float64(per)/took.Seconds(), float64(cpu.Microseconds())/events/float64(per))
	return nil
}

// alone sends events one by one, many at once: they share commits.
func (t *tracing) alone(ctx context.Context) error {
	bodies := make([]string, 10_000)
	for i := range bodies {
		list, err := t.epcs(i, 1)
		if err != nil {
			return err
		}
		e := t.event("ObjectEvent", time.Date(2026, 2, 3, 0, 0, 0, i*int(time.Millisecond), time.UTC), objectRest+list+"]")
		bodies[i] = `{"@context":"https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",` + e[1:]
	}
	took, cpu, err := t.send(ctx, bodies, 64, "/epcis/events", http.StatusCreated)
	if err != nil {
		return err
	}
	n := float64(len(bodies))
	t.rowf("capture, one event a request, 64 clients", "", "%.0f events/s, %.0f µs CPU each", n/took.Seconds(), float64(cpu.Microseconds())/n)
	return nil
}

// send posts bodies and checks every answer.
func (t *tracing) send(ctx context.Context, bodies []string, clients int, path string, want int) (took, cpu time.Duration, _ error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	before, err := t.CPU()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(bodies) && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := t.post(ctx, client, path, bodies[i], want); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	took = time.Since(start)
	after, err := t.CPU()
	if f := failed.Load(); f != nil {
		err = *f
	}
	return took, after - before, err
}

func (t *tracing) post(ctx context.Context, client *http.Client, path, body string, want int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+harness.AdminKey)
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("POST %s answered %d: %.300s", path, resp.StatusCode, answer)
	}
	return err
}

const (
	palletAsks  = 50
	palletFirst = 10 // of them, in which each connection to the file meets the statements
)

// pallet packs 100 cases of 100 items on a pallet, and asks what was in it.
func (t *tracing) pallet(ctx context.Context) error {
	const cases, per, first = 100, 100, 9_500_000
	sscc := func(i int) string { return fmt.Sprintf("urn:epc:id:sscc:4012345.%010d", i) }
	at := time.Date(2026, 2, 4, 0, 0, 0, 0, time.UTC)
	events, names := make([]string, 0, cases+1), make([]string, cases)
	for i := range cases {
		list, err := t.epcs(first+i*per, per)
		if err != nil {
			return err
		}
		names[i] = `"` + sscc(i+1) + `"`
		events = append(events, t.event("AggregationEvent", at, `"action":"ADD","bizStep":"packing","parentID":"`+sscc(i+1)+`","childEPCs":[`+list+"]"))
	}
	events = append(events, t.event("AggregationEvent", at, `"action":"ADD","bizStep":"packing","parentID":"`+sscc(0)+`","childEPCs":[`+strings.Join(names, ",")+"]"))
	body := traceHead + strings.Join(events, ",") + "]}}"
	if _, _, err := t.send(ctx, []string{body}, 1, "/epcis/capture", http.StatusAccepted); err != nil {
		return err
	}
	if err := t.told(ctx); err != nil {
		return err
	}
	var took []time.Duration
	for range palletAsks {
		var c struct {
			Items int64 `json:"items"`
		}
		start := time.Now()
		if err := t.Must(ctx, http.MethodGet, "/api/v1/containers/"+url.PathEscape(sscc(0))+"?deep=true&at=2026-02-28T00:00:00Z", nil, &c); err != nil {
			return err
		}
		if took = append(took, time.Since(start)); c.Items != cases*per {
			return fmt.Errorf("the pallet holds %d items, not %d", c.Items, cases*per)
		}
	}
	slowest := slices.Max(took[:palletFirst])
	took = took[palletFirst:]
	slices.Sort(took)
	t.rowf("what was in a pallet of 10,000 items in 100 cases, as of a time", "≤ 50 ms", "%.0f ms in the middle, %.0f ms at most; %.0f ms when asked for the first time",
		ms(took[len(took)/2]), ms(took[len(took)-1]), ms(slowest))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
