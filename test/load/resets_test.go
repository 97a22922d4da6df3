package load

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestRapidResets: requests reach the server and are taken back, and Close ends it.
func TestRapidResets(t *testing.T) {
	t.Parallel()
	var asked, cancelled atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
		cancelled.Add(1)
	}))
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	c, err := RapidResets(t.Context(), s.URL, "/x", nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	for asked.Load() < 100 || cancelled.Load() < 100 {
		if t.Context().Err() != nil {
			t.Fatalf("%d asked, %d cancelled", asked.Load(), cancelled.Load())
		}
	}
	c.Close()
	if c.Asked() < 100 {
		t.Errorf("%d sent", c.Asked())
	}
}
