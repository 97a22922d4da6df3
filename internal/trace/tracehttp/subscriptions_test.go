package tracehttp

import (
	"encoding/json"
	"net/http"
	"testing"
)

// TestUndelivered: what was given up of a subscription is told to who may manage it, and to
// nobody who only reads.
func TestUndelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.want(w.ask("POST", "/epcis/queries", []byte(`{"name":"q","query":{}}`)), http.StatusCreated)
	var made [2]subscriptionView
	for i := range made {
		raw := w.want(w.ask("POST", "/epcis/queries/q/subscriptions", []byte(`{"dest":"https://erp.example/in","signatureToken":"x","stream":true}`)), http.StatusCreated)
		if err := json.Unmarshal(raw, &made[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, document := range []string{"doc_1", "doc_2"} {
		if err := w.mail.Send(t.Context(), made[0].SubscriptionID, document, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.mail.Bury(made[0].SubscriptionID)
	for as, want := range map[string]int{key: 2, key + " to read": 0} {
		var all []subscriptionView
		if err := json.Unmarshal(w.want(w.ask("GET", "/epcis/queries/q/subscriptions", nil, "Authorization", as), http.StatusOK), &all); err != nil || len(all) != 2 {
			t.Fatal(err, all)
		}
		var one subscriptionView
		if err := json.Unmarshal(w.want(w.ask("GET", "/epcis/queries/q/subscriptions/"+made[0].SubscriptionID, nil, "Authorization", as), http.StatusOK), &one); err != nil {
			t.Fatal(err)
		}
		for _, v := range append(all, one) {
			n := want
			if v.SubscriptionID != made[0].SubscriptionID {
				n = 0
			}
			if v.Undelivered != n || (v.UndeliveredReason != "") != (n > 0) {
				t.Errorf("%s is told of %s: %d %q", as, v.SubscriptionID, v.Undelivered, v.UndeliveredReason)
			}
		}
	}
}

// TestOtherMethod: a method that a resource has not is told in the standard's form.
func TestOtherMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for method, path := range map[string]string{"PATCH": "/epcis/events", "DELETE": "/epcis/epcs", "PUT": "/epcis/queries/q"} {
		got := w.ask(method, path, nil)
		if got.Code != http.StatusMethodNotAllowed || got.Header().Get("Content-Type") != "application/problem+json" || got.Header().Get("Allow") == "" {
			t.Errorf("%s %s answers %d %v %s", method, path, got.Code, got.Header(), got.Body)
		}
	}
}
