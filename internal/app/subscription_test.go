package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestSubscriptionsAreServed has a running installation send events by webhook and by
// WebSocket.
func TestSubscriptionsAreServed(t *testing.T) {
	t.Parallel()
	s := serveTest(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	came := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.HasPrefix(r.Header.Get("GS1-Signature"), "sha256=") {
			t.Errorf("it came as %v, %v", r.Header, err)
		}
		came <- string(body)
	}))
	defer receiver.Close()
	post := func(path, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+matrixAdminKey)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if said, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode >= 300 {
			t.Fatalf("%s: %d %s %v", path, answer.StatusCode, said, err)
		}
	}
	post("/epcis/queries", `{"name":"q","query":{"EQ_bizStep":["shipping"]}}`)
	post("/epcis/queries/q/subscriptions", `{"dest":"`+receiver.URL+`","signatureToken":"x","stream":true}`)
	conn, _, err := websocket.Dial(ctx, "ws://"+s.addr+"/epcis/queries/q/events?stream=true",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + matrixAdminKey}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	for n := range 3 {
		id := fmt.Sprint("urn:n:", n)
		post("/epcis/capture", `{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"EPCISDocument","schemaVersion":"2.0",
			"creationDate":"2026-01-01T00:00:00Z","epcisBody":{"eventList":[{"type":"ObjectEvent","eventID":"`+id+`","eventTime":"2026-01-01T00:00:00Z",
			"eventTimeZoneOffset":"+00:00","action":"OBSERVE","bizStep":"shipping","epcList":["https://example.com/`+id+`"]}]}}`)
		_, heard, err := conn.Read(ctx)
		if err != nil || !bytes.Contains(heard, []byte(id)) || !json.Valid(heard) {
			t.Fatalf("%s by WebSocket: %s, %v", id, heard, err)
		}
		select {
		case body := <-came:
			if !strings.Contains(body, id) {
				t.Errorf("%s by webhook: %s", id, body)
			}
		case <-ctx.Done():
			t.Fatalf("%s did not come by webhook", id)
		}
	}
}
