package load

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

const crowdSize = 20

// TestIdle: connections stay and can ask again; when the server ends them, that is
// seen, whether asked or not.
func TestIdle(t *testing.T) {
	t.Parallel()
	var asked, status atomic.Int64
	status.Store(http.StatusOK)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write([]byte("ok"))
	}))
	defer s.Close()
	c, err := Idle(t.Context(), s.URL, "/x", crowdSize)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ask(t.Context(), "/x"); err != nil || c.Alive() != crowdSize || asked.Load() != 2*crowdSize {
		t.Fatalf("%v: %d alive, %d requests", err, c.Alive(), asked.Load())
	}
	status.Store(http.StatusServiceUnavailable)
	if err := c.Ask(t.Context(), "/x"); err == nil || c.Alive() != crowdSize {
		t.Errorf("answers of 503 passed; %d alive", c.Alive())
	}
	s.CloseClientConnections()
	c.wg.Wait() // every connection has seen its end
	if err := c.Ask(t.Context(), "/x"); err == nil || c.Alive() != 0 {
		t.Errorf("%d alive after the server ended all, and Ask said %v", c.Alive(), err)
	}
}

// TestIdleRefused: a crowd that is not served is none.
func TestIdleRefused(t *testing.T) {
	t.Parallel()
	url := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if c, err := Idle(t.Context(), url, "/x", 3); err == nil {
		c.Close()
		t.Error("a status of 500 passed")
	}
	if _, err := Idle(t.Context(), "http://127.0.0.1:1", "/x", 3); err == nil {
		t.Error("nobody listens, and no error")
	}
}

// TestSlowWriters: a server without a limit keeps them, one with a limit does not.
func TestSlowWriters(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{0, 50 * time.Millisecond} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("a request that has no end was served")
		}))
		s.Config.ReadHeaderTimeout = limit
		s.Start()
		c, err := SlowWriters(t.Context(), s.URL, crowdSize)
		if err != nil {
			t.Fatal(err)
		}
		want := crowdSize
		if limit > 0 {
			c.wg.Wait() // ends when the server has ended every one
			want = 0
		}
		if c.Alive() != want {
			t.Errorf("limit %v: %d alive, want %d", limit, c.Alive(), want)
		}
		c.Close()
		s.Close()
	}
}

// TestSlowReaders: the server's answers come to a stop, and a limit on writing ends
// the connections.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	big := make([]byte, 1<<20)
	var done atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 16 { // more than the buffers of both sides take
			if _, err := w.Write(big); err != nil {
				return
			}
		}
		done.Add(1)
	}))
	s.Config.WriteTimeout = 200 * time.Millisecond
	s.Start()
	defer s.Close()
	c, err := SlowReaders(t.Context(), s.URL, "/x", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Alive() != 3 {
		t.Errorf("%d alive, want 3", c.Alive())
	}
	c.wg.Wait() // ends when the server has ended every one
	if done.Load() != 0 || c.Alive() != 0 {
		t.Errorf("%d answers were taken whole, %d alive", done.Load(), c.Alive())
	}
}
