package batchhttp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch/batchhttp"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	empty := w.get("/api/v1/events").ok().has(`"events":[]`).text("cursor")
	_, product := w.brand("Acme")
	_, other := w.brand("Other")
	b := w.batch(product, "B", 5000, nil)
	w.pass(time.Second)
	w.batch(other, "C", 10, nil)
	w.pass(time.Second)
	w.post("/api/v1/codes/state", object{"select": object{"batch_id": b}, "to": "active", "reason": "packed"}).ok()

	all := w.get("/api/v1/events?cursor="+empty).ok().has(
		`"specversion":"1.0"`, `"source":"`+publicURL+`"`, `"datacontenttype":"application/json"`, `"brandid":1001`, `"brandid":1002`,
		`"subject":"`+b+`"`, `"runs":[{"from_no":1,"to_no":5000}]`, `"time":"2026-03-01T08:30:15.123456Z"`).lacks("serial")
	if got := len(all.list("events")); got != 3 {
		t.Fatalf("%d events", got)
	}
	w.get("/api/v1/events?cursor="+all.text("cursor")).ok().has(`"events":[]`, `"cursor":"`+all.text("cursor")+`"`)

	var seen []string
	for cursor := ""; ; {
		page := w.get("/api/v1/events?limit=1&cursor=" + cursor).ok()
		events := page.list("events")
		if len(events) == 0 {
			break
		}
		if len(events) > 1 {
			t.Errorf("a page of %d", len(events))
		}
		seen = append(seen, events[0].(object)["id"].(string))
		cursor = page.text("cursor")
	}
	for i, e := range all.list("events") {
		if id := e.(object)["id"].(string); i >= len(seen) || seen[i] != id {
			t.Errorf("event %d is %s, pages gave %v", i, id, seen)
		}
	}
	for _, bad := range []string{"x", "%21", strings.Repeat("A", 4000), all.text("cursor")[1:]} {
		w.get("/api/v1/events?cursor="+bad).fails(400, "events.bad_cursor")
	}
	w.get("/api/v1/events?limit=0").fails(400, "input.bad_limit")
	w.get("/api/v1/events", "Authorization: ").fails(401, "auth.required")
}

// listener reads a stream.
type listener struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

type streamed struct{ id, kind, data, comment string }

func (w *world) listen(ctx context.Context, url string, headers ...string) (*listener, *http.Response) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+aliceKey)
	r.Header.Set("Accept", "text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { answer.Body.Close() })
	return &listener{w.t, answer.Body, bufio.NewReader(answer.Body)}, answer
}

// next reads one block of the stream.
func (l *listener) next() (s streamed, _ error) {
	for {
		line, err := l.in.ReadString('\n')
		if err != nil {
			return s, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "":
			if line == "" {
				return s, nil
			}
			s.comment = value
		case "id":
			s.id = value
		case "event":
			s.kind = value
		case "data":
			s.data = value
		}
		if strings.HasPrefix(line, ":") {
			s.comment = line
		}
	}
}

// event reads up to the next event, and past a few hundred signs of life.
func (l *listener) event() streamed {
	l.t.Helper()
	for range 500 {
		s, err := l.next()
		if err != nil {
			l.t.Fatal(err)
		}
		if s.data != "" {
			return s
		}
	}
	l.t.Fatal("no event comes")
	return streamed{}
}

func TestStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := w.serve()
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 1, nil)
	l, answer := w.listen(t.Context(), server.URL)
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %s", got)
	}
	first := l.event()
	var e object
	if err := json.Unmarshal([]byte(first.data), &e); err != nil {
		t.Fatal(err)
	}
	if first.kind != "code.generated" || e["type"] != "code.generated" || e["subject"] != b || first.id == "" {
		t.Errorf("first event %+v", first)
	}
	for { // an idle stream says so
		s, err := l.next()
		if err != nil {
			t.Fatal(err)
		}
		if s.comment == ": still here" {
			break
		}
	}
	// codes of many short runs: several events of one transaction
	second := w.batch(product, "C", 30_000, nil)
	if got := l.event(); !strings.Contains(got.data, second) {
		t.Errorf("second event %+v", got)
	}
	codes := w.codes(second, 10_000)
	var scattered []string
	for i := 0; i < len(codes); i += 2 {
		scattered = append(scattered, codes[i])
	}
	w.state("active", scattered...).ok()
	var ids []string
	for range 5 {
		ids = append(ids, l.event().id)
	}
	for _, id := range ids[:4] {
		if id == ids[4] {
			t.Error("the cursor passes a transaction before its last event")
		}
	}
	// who was cut off in the middle of it gets all of it again, and then what follows
	resumed, _ := w.listen(t.Context(), server.URL, "Last-Event-ID: "+ids[2])
	for range 5 {
		if got := resumed.event(); got.kind != "code.state_changed" {
			t.Errorf("resumed with %+v", got)
		}
	}
	w.state("void", codes[0]).ok()
	for _, l := range []*listener{l, resumed} {
		if got := l.event(); !strings.Contains(got.data, `"kind":"void"`) {
			t.Errorf("after it %+v", got)
		}
	}
	w.stop() // the process begins to stop
	for _, l := range []*listener{l, resumed} {
		for {
			if _, err := l.next(); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("the stream ended with %v", err)
				}
				break
			}
		}
	}
}

// TestStreamLeaves holds the stream to give its place back when a client leaves.
func TestStreamLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := w.serve()
	var leave []context.CancelFunc
	open := func() (context.CancelFunc, *listener, *http.Response) {
		ctx, cancel := context.WithCancel(t.Context())
		l, answer := w.listen(ctx, server.URL)
		return cancel, l, answer
	}
	for range 3 {
		for held, tries := 0, 0; held < 64; tries++ { // those that left give their places back
			cancel, l, answer := open()
			switch answer.StatusCode {
			case http.StatusServiceUnavailable:
				if tries > 2000 {
					t.Fatal("places are not given back")
				}
				cancel()
				time.Sleep(5 * time.Millisecond)
				continue
			case http.StatusOK:
				held++
			default:
				t.Fatalf("status %d", answer.StatusCode)
			}
			if _, err := l.next(); err != nil {
				t.Fatal(err)
			}
			leave = append(leave, cancel)
		}
		cancel, _, answer := open()
		if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("one too many: status %d", answer.StatusCode)
		}
		cancel()
		for _, cancel := range leave {
			cancel()
		}
		leave = nil
	}
}

func TestStreamRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const stream = "Accept: text/event-stream"
	w.get("/api/v1/events?cursor=x", stream).fails(400, "events.bad_cursor")
	w.get("/api/v1/events", stream, "Last-Event-ID: x").fails(400, "events.bad_cursor")
	w.get("/api/v1/events", stream, "Authorization: ").fails(401, "auth.required")
	w.get("/api/v1/events", "Accept: application/json, text/event-stream").ok().has(`"events":[]`)
	w.get("/api/v1/events", "Accept: */*").ok().has(`"events":[]`)
}

func TestMountNeedsItsDeps(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Mount took Deps without a service")
		}
	}()
	w := newWorld(t)
	batchhttp.Mount(w.rt, batchhttp.Deps{})
}
