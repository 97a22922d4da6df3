package tracehttp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/chopmark/chopmark/internal/trace/tracetest"
)

// listen opens a WebSocket, and gives what comes as the eventIDs of one document.
func (w *world) listen(ctx context.Context, server *httptest.Server, path string) (conn *websocket.Conn, next func() []string) {
	w.Helper()
	conn, answer, err := websocket.Dial(ctx, server.URL+path, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {key}}})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(16 << 20)
	if _, err := time.Parse(time.RFC3339Nano, answer.Header.Get("GS1-Query-Min-Record-Time")); err != nil {
		w.Error(err)
	}
	return conn, func() (ids []string) {
		w.Helper()
		_, raw, err := conn.Read(ctx)
		if err != nil {
			w.Fatal(err)
		}
		var d struct {
			EPCISBody struct {
				QueryResults struct {
					ResultsBody struct {
						EventList []struct{ EventID string }
					}
				}
			}
		}
		if err := json.Unmarshal(raw, &d); err != nil {
			w.Fatal(err)
		}
		for _, e := range d.EPCISBody.QueryResults.ResultsBody.EventList {
			ids = append(ids, e.EventID)
		}
		return ids
	}
}

func TestWebSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	server := httptest.NewServer(w.rt)
	t.Cleanup(server.Close)
	w.want(w.ask("POST", "/epcis/queries", []byte(`{"name":"q","query":{"EQ_bizStep":["shipping"]}}`)), http.StatusCreated)
	send := func(from, to int) {
		t.Helper()
		var events []map[string]any
		for n := from; n < to; n++ {
			step := "shipping"
			if n%2 == 1 {
				step = "packing"
			}
			events = append(events, tracetest.Event(map[string]any{"eventID": fmt.Sprint("urn:n:", n), "bizStep": step, "epcList": []string{tracetest.EPC(1, n)}}))
		}
		w.want(w.ask("POST", "/epcis/capture", []byte(tracetest.Document(events...))), http.StatusAccepted)
		w.standing.Wake()
	}
	const at = "/epcis/queries/q/events?stream=true"
	early, next := w.listen(ctx, server, at)
	send(0, 10)
	if ids := next(); len(ids) != 5 || ids[0] != "urn:n:0" || ids[4] != "urn:n:8" {
		t.Errorf("as they come: %v", ids)
	}
	_, again := w.listen(ctx, server, at+"&initialRecordTime="+tracetest.Start().Add(-time.Hour).Format(time.RFC3339))
	if ids := again(); len(ids) != 5 {
		t.Errorf("from an earlier time on: %v", ids)
	}
	send(10, 1010)
	for got := 0; got < 500; {
		ids := next()
		if len(ids) == 0 || ids[0] != fmt.Sprint("urn:n:", 10+2*got) {
			t.Fatalf("behind %d events: %v", got, ids)
		}
		got += len(ids)
	}
	for path, status := range map[string]int{
		"/epcis/queries/q/events": 400, at + "&hour=1": 400, "/epcis/queries/none/events?stream=true": 404, at + "&initialRecordTime=x": 400,
		"/epcis/queries/q/events?hour=99": 400,
	} {
		if _, answer, err := websocket.Dial(t.Context(), server.URL+path, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {key}}}); err == nil || answer.StatusCode != status {
			t.Errorf("%s: %v, want %d", path, err, status)
		}
	}
	foreign := http.Header{"Authorization": {key}, "Origin": {"https://evil.example"}}
	if _, answer, err := websocket.Dial(t.Context(), server.URL+at, &websocket.DialOptions{HTTPHeader: foreign}); err == nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("from another origin's page: %v", err)
	}
	if _, answer, err := websocket.Dial(t.Context(), server.URL+at, nil); err == nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a key: %v", err)
	}
	w.want(w.ask("DELETE", "/epcis/queries/q", nil), http.StatusNoContent)
	if _, _, err := early.Read(ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("when its query was removed: %v", err)
	}
}
