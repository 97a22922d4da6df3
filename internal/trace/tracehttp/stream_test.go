package tracehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/tracetest"
)

// meter takes an answer and looks now and then what is alive while it is written.
type meter struct {
	head         http.Header
	bytes, since int
	peak         uint64
}

func (m *meter) Header() http.Header { return m.head }
func (m *meter) WriteHeader(int)     {}

func (m *meter) Write(part []byte) (int, error) {
	m.bytes += len(part)
	if m.since += len(part); m.since > 2<<20 {
		m.since, m.peak = 0, max(m.peak, alive())
	}
	return len(part), nil
}

// alive is what the heap holds that is in use.
func alive() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// bigEvents are events of items of ours, and events of others' items, whose text is kept.
func (w *world) bigEvents(n int) {
	w.Helper()
	const items, others = 3000, 150
	for from := 0; from < n; from += 20 {
		var events []map[string]any
		for i := from; i < from+20; i++ {
			epcs := make([]string, 0, items)
			if i%2 == 0 {
				for k := range items {
					epcs = append(epcs, tracetest.EPC(1, i*items+k))
				}
			} else {
				for k := range others {
					epcs = append(epcs, fmt.Sprintf("https://example.com/%s/%d/%d", strings.Repeat("x", 80), i, k))
				}
			}
			events = append(events, tracetest.Event(map[string]any{"eventTime": fmt.Sprintf("2026-02-01T10:%02d:%02d.000Z", i/60%60, i%60), "epcList": epcs}))
		}
		w.want(w.ask("POST", "/epcis/capture", []byte(tracetest.Document(events...))), http.StatusAccepted)
	}
}

// TestMemoryStaysFlat asks for pages of more and more events: what is alive while they are
// written does not grow with them.
func TestMemoryStaysFlat(t *testing.T) { //nolint:paralleltest // it looks at the heap of the process
	w := newWorld(t)
	w.bigEvents(240)
	for _, kind := range []string{"application/json", "application/xml"} {
		measure := func(events int) *meter {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/epcis/events?perPage=%d", events), http.NoBody)
			r.Header.Set("Authorization", key)
			r.Header.Set("Accept", kind)
			m := &meter{head: http.Header{}}
			before := alive()
			w.rt.ServeHTTP(m, r)
			m.peak -= min(m.peak, before)
			return m
		}
		few, many := measure(40), measure(240)
		if few.bytes < 3<<20 || many.bytes < 5*few.bytes {
			t.Fatalf("%s: answers of %d and %d bytes", kind, few.bytes, many.bytes)
		}
		t.Logf("%s: %d bytes of answer hold %d, %d bytes %d", kind, few.bytes, few.peak, many.bytes, many.peak)
		if grown := int(many.peak) - int(few.peak); grown > (many.bytes-few.bytes)/5 {
			t.Errorf("%s: %d bytes more are alive for %d more bytes of answer", kind, grown, many.bytes-few.bytes)
		}
	}
}

// failing reads no further events after so many times.
type failing struct {
	tracetest.Store

	left atomic.Int64
}

func (f *failing) Events(ctx context.Context, numbers []int64) ([]trace.Stored, error) {
	if f.left.Add(-1) < 0 {
		return nil, errors.New("the disk is gone")
	}
	return f.Store.Events(ctx, numbers)
}

// TestHalfAnAnswerIsNoWholeOne: an error before the first byte is a problem, and one after it
// ends the connection, so that nobody takes what came for all.
func TestHalfAnAnswerIsNoWholeOne(t *testing.T) {
	t.Parallel()
	store := &failing{Store: newStore(t)}
	w := worldOf(t, store)
	store.left.Store(1 << 40)
	w.bigEvents(240)
	server := httptest.NewServer(w.rt)
	defer server.Close()
	ask := func(kind string, reads int64) (status int, body []byte, err error) {
		store.left.Store(reads)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/epcis/events?perPage=240", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", key)
		r.Header.Set("Accept", kind)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err = io.ReadAll(resp.Body)
		return resp.StatusCode, body, err
	}
	for _, kind := range []string{"application/json", "application/xml"} {
		status, whole, err := ask(kind, 1<<40)
		if status != http.StatusOK || err != nil {
			t.Fatalf("%s: %d, %v", kind, status, err)
		}
		reads := 1<<40 - store.left.Load() // half of them look the events through
		if reads < 4 {
			t.Fatalf("%s: only %d reads", kind, reads)
		}
		if status, body, err := ask(kind, reads/2-1); status != http.StatusInternalServerError || err != nil || len(body) > 1000 {
			t.Errorf("%s, at the beginning: %d, %v, %d bytes", kind, status, err, len(body))
		}
		status, part, err := ask(kind, reads-1)
		if status != http.StatusOK || err == nil || len(part) == 0 || len(part) >= len(whole) {
			t.Errorf("%s, in the middle: %d, %v, %d of %d bytes", kind, status, err, len(part), len(whole))
		}
	}
}
