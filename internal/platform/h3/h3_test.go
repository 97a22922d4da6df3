package h3

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestEarly is a return visit: it is answered early, and counts afterwards.
func TestEarly(t *testing.T) {
	t.Parallel()
	for tries := 5; ; tries-- { // where the machine is busy the handshake may end before the request is looked at
		w, v := serve(t, certificate(t, 0), nil), newVisitor()
		v.first(t, w)
		c := v.dial(t, w.addr)
		if got := c.ask(t, http3.MethodGet0RTT, "/scan"); got != "early" {
			if tries > 0 {
				continue
			}
			t.Fatalf("a return visit was %s", got)
		}
		w.wants(t, "early")
		w.wants(t, "proven")
		if got := c.ask(t, http.MethodGet, "/scan"); got != "late" {
			t.Errorf("the second request of a connection was %s", got)
		}
		return
	}
}

// TestReplay holds that one flight of early data, sent over and over by whoever recorded
// it, is proven at most once.
func TestReplay(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 0), func(o *Options) { o.HandshakeTimeout = 2 * time.Second }), newVisitor()
	v.first(t, w)
	r := newRelay(t, w)
	r.deaf.Store(true) // the client never hears the server, so its handshake cannot complete
	c := v.dial(t, r.front.LocalAddr())
	c.early(t, http.MethodGet, "/scan")
	w.wants(t, "early")
	flight := r.recorded()
	r.deaf.Store(false) // now it does
	w.wants(t, "proven")
	c.close(t, w)
	w.until(t, "all connections have ended", func() bool { return w.conns.Load() == 0 })
	for range 2 {
		again := replay(t, w, flight)
		for seen := false; !seen; { // for some seconds the server knows the packets as those of a connection that it closed
			select {
			case got := <-w.events:
				if seen = got == "early"; !seen {
					t.Fatalf("saw %q", got)
				}
			case <-time.After(500 * time.Millisecond):
				for _, p := range flight {
					if _, err := again.Write(p); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		w.until(t, "the repetition has failed", func() bool { return w.conns.Load() == 0 && w.running.Load() == 0 })
	}
	if early, proven := w.early.Load(), w.proven.Load(); early != 3 || proven != 1 {
		t.Errorf("%d times early, %d times proven; want 3 and 1", early, proven)
	}
}

// TestEarlyWaits holds that early data which Early does not take is not acted upon before
// its handshake: neither a POST, nor another path, nor what comes from an address that did
// not prove itself.
func TestEarlyWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, path string
		forget             bool // the proof of the address
	}{
		{"POST", http.MethodPost, "/scan", false},
		{"another path", http.MethodGet, "/other", false},
		{"an address without a proof", http.MethodGet, "/scan", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, v := serve(t, certificate(t, 0), nil), newVisitor()
			v.first(t, w)
			if c.forget {
				v.quic.TokenStore = quic.NewLRUTokenStore(1, 1)
			}
			r := newRelay(t, w)
			r.deaf.Store(true)
			conn := v.dial(t, r.front.LocalAddr())
			conn.early(t, c.method, c.path)
			w.until(t, "the request waits", func() bool { return w.running.Load() == 1 })
			if n := w.seen.Load(); n != 1 { // the first visit's
				t.Fatalf("the handler saw %d requests before the handshake", n)
			}
			r.deaf.Store(false)
			w.wants(t, "late")
		})
	}
}

// TestAmplification holds that an address which only ever sent one packet gets at most
// three times as much.
func TestAmplification(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 80), nil), newVisitor() // more certificate than may be sent
	v.tls.CurvePreferences = []tls.CurveID{tls.X25519}      // so that the client's hello is one packet
	sink := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tr := &quic.Transport{Conn: listen(t)}
	defer tr.Close()
	go func() { _, _ = tr.Dial(ctx, sink.LocalAddr(), v.tls, v.quic) }() // nobody answers; ends with ctx
	packet := make([]byte, 2048)
	sent, _, err := sink.ReadFrom(packet)
	if err != nil {
		t.Fatal(err)
	}
	got, c := 0, replay(t, w, [][]byte{packet[:sent]})
	if err := c.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil { // the server repeats itself after a second
		t.Fatal(err)
	}
	for b := make([]byte, 2048); ; {
		n, err := c.Read(b)
		if err != nil {
			break
		}
		got += n
	}
	if got < sent || got > 3*sent {
		t.Errorf("%d bytes for one packet of %d", got, sent)
	}
}

func listen(t *testing.T) net.PacketConn {
	t.Helper()
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return socket
}

// TestRetry holds that many open handshakes make strangers prove their address, and that
// who can is let in.
func TestRetry(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 0), nil), newVisitor()
	w.unproven.Add(unprovenMax)
	r := newRelay(t, w)
	c := v.dial(t, r.front.LocalAddr())
	if got := c.ask(t, http.MethodGet, "/scan"); got != "late" {
		t.Errorf("answered %q", got)
	}
	if first := r.answered()[0][0]; first&0xf0 != 0xf0 {
		t.Errorf("the first packet of the server begins with %#x, which is no Retry", first)
	}
	w.unproven.Add(-unprovenMax)
	w.until(t, "the handshake is no longer open", func() bool { return w.unproven.Load() == 0 })
}

// TestConnectionsMax holds that a server that is full refuses further connections.
func TestConnectionsMax(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 0), nil), newVisitor()
	w.open.Add(connectionsMax)
	tr := &quic.Transport{Conn: listen(t)}
	defer tr.Close()
	if _, err := tr.Dial(t.Context(), w.addr, v.tls, v.quic); err == nil {
		t.Error("one connection too many")
	}
	w.open.Add(-connectionsMax)
	v.first(t, w)
}

// TestStreamsMax holds that a connection has at most so many requests at once.
func TestStreamsMax(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 0), nil), newVisitor()
	c := v.dial(t, w.addr)
	c.ask(t, http.MethodGet, "/")
	for range streamsMax {
		c.early(t, http.MethodGet, "/hold")
	}
	w.until(t, "all are held", func() bool { return w.seen.Load() == streamsMax+1 })
	if stream, err := c.quic.OpenStream(); err == nil {
		t.Errorf("stream %d was opened beside %d", stream.StreamID(), streamsMax)
	}
	close(w.hold)
}

// TestHeaderMax holds that long headers are refused.
func TestHeaderMax(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 0), nil), newVisitor()
	c := v.dial(t, w.addr)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://localhost/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X", strings.Repeat("x~", 8<<10))
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || w.seen.Load() != 0 {
		t.Errorf("answered %d, %d requests seen", resp.StatusCode, w.seen.Load())
	}
}

// TestSlow holds that neither a head nor a body may take for ever, whatever else keeps the
// connection alive.
func TestSlow(t *testing.T) {
	t.Parallel()
	t.Run("head", func(t *testing.T) {
		t.Parallel()
		w, v := serve(t, certificate(t, 0), func(o *Options) { o.IdleTimeout = 300 * time.Millisecond }), newVisitor()
		v.quic.KeepAlivePeriod = 50 * time.Millisecond
		c := v.dial(t, w.addr)
		stream, err := c.quic.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write([]byte{0x01, 0x20}); err != nil { // HEADERS of 32 bytes that never come
			t.Fatal(err)
		}
		select {
		case <-c.quic.Context().Done():
		case <-time.After(20 * time.Second):
			t.Error("the connection is still open")
		}
	})
	t.Run("body", func(t *testing.T) {
		t.Parallel()
		w, v := serve(t, certificate(t, 0), func(o *Options) { o.ReadTimeout = 300 * time.Millisecond }), newVisitor()
		c := v.dial(t, w.addr)
		body, hold := io.Pipe()
		defer hold.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://localhost/body", body)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // ends with the connection
			if resp, err := c.RoundTrip(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
		w.wants(t, "late")
		w.wants(t, "cut")
	})
}

// TestShutdown holds that what was accepted is answered, and that the wait ends.
func TestShutdown(t *testing.T) {
	t.Parallel()
	w, v := serve(t, certificate(t, 0), nil), newVisitor()
	c := v.dial(t, w.addr)
	answer := make(chan string, 1)
	go func() { answer <- c.ask(t, http.MethodGet, "/hold") }()
	w.wants(t, "late")
	stopped := make(chan error, 1)
	go func() { stopped <- w.Shutdown(context.WithoutCancel(t.Context())) }()
	<-w.served // nobody is let in any more
	close(w.hold)
	if got := <-answer; got != "late" {
		t.Errorf("answered %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestAdvertise holds that the port is the client's.
func TestAdvertise(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"example.org": `h3=":443"; ma=86400`, "example.org:8443": `h3=":8443"; ma=86400`, "[::1]:9": `h3=":9"; ma=86400`, `x:"`: `h3=":443"; ma=86400`,
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Host = host
		Advertise(http.NotFoundHandler()).ServeHTTP(rec, r)
		if got := rec.Header().Get("Alt-Svc"); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}
