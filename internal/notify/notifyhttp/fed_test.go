package notifyhttp

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
)

// TestFedEndpoint has a document signed with the receiver's own token, which is kept sealed;
// one that fails comes again, and a removed endpoint gets nothing.
func TestFedEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const token = "my own secret"
	var got, fails atomic.Int64
	fails.Store(2)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := hmac.New(sha256.New, []byte(token))
		m.Write(body)
		if r.Header.Get("GS1-Signature") != "sha256="+hex.EncodeToString(m.Sum(nil)) || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Webhook-Signature") != "" {
			t.Errorf("it came as %v", r.Header)
		}
		if fails.Add(-1) >= 0 {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got.Add(1)
	}))
	t.Cleanup(server.Close)
	id := notify.EndpointID(ids.New("whk"))
	for range 2 {
		if err := w.service.OpenFed(t.Context(), id, "alice", 1, server.URL, token); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.service.OpenFed(t.Context(), "whk_x", "alice", 1, "ftp://x", token); err == nil {
		t.Error("an address of another kind was taken")
	}
	w.want(200, `"webhooks":[],"cursor":null`)(w.ask("GET", "/api/v1/webhooks", ""))
	m := w.register(1, "https://erp.invalid/")
	w.tell(1) // goes to the webhook alone
	w.onTheWay(1)
	w.want(200, m.Data.ID)(w.ask("DELETE", "/api/v1/webhooks/"+m.Data.ID, ""))
	if err := w.service.Feed(t.Context(), id, "doc_1", []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	waits := func(want bool) {
		t.Helper()
		if waiting, dead, err := w.service.OnTheWay(t.Context(), id, "doc_1"); waiting != want || dead || err != nil {
			t.Errorf("waiting %v, dead %v, %v", waiting, dead, err)
		}
	}
	for range 3 {
		waits(true)
		w.look()
		w.now.Add(int64(time.Minute))
	}
	waits(false)
	if got.Load() != 1 {
		t.Errorf("it came %d times", got.Load())
	}
	due, err := w.store.Due(t.Context(), w.clock(), 10)
	if err != nil || len(due) != 0 {
		t.Errorf("%d are due, %v", len(due), err)
	}
	if err := w.service.Feed(t.Context(), id, "doc_2", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	due, err = w.store.Due(t.Context(), w.clock(), 10)
	if err != nil || len(due) != 1 || len(due[0].Sealed) == 0 || bytes.Contains(due[0].Sealed, []byte(token)) {
		t.Errorf("on the way are %+v, %v", due, err)
	}
	if err := w.service.Remove(context.WithoutCancel(t.Context()), id); err != nil {
		t.Fatal(err)
	}
	if err := w.service.Feed(t.Context(), id, "doc_3", []byte(`{}`)); err != nil {
		t.Error(err)
	}
	w.onTheWay(0)
}
