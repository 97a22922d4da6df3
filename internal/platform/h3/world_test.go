package h3

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// certificate is for localhost and so many further names.
func certificate(t testing.TB, names int) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for i := range names {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("name-%d.%s.example.org", i, strings.Repeat("x", 40)))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// world is a server and what its handler saw.
type world struct {
	*Server
	addr   net.Addr
	early  atomic.Int64  // requests that were seen as early data
	seen   atomic.Int64  // all
	proven atomic.Int64  // early ones whose handshake completed
	events chan string   // what was seen, "early", "late" or "proven"
	hold   chan struct{} // nil, or what /hold waits for
	conns  atomic.Int64
	served chan struct{} // closed when Serve has returned
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.seen.Add(1)
	what := "late"
	if proven := httpx.Early(r); proven != nil {
		what = "early"
		w.early.Add(1)
		proven(func() { w.proven.Add(1); w.events <- "proven" })
	}
	w.events <- what
	switch r.URL.Path {
	case "/hold":
		select {
		case <-w.hold:
		case <-r.Context().Done():
		}
	case "/body":
		if _, err := io.ReadAll(r.Body); err != nil {
			w.events <- "cut"
			return
		}
	}
	_, _ = io.WriteString(rw, what)
}

// serve starts a server; change may alter its options.
func serve(t *testing.T, cert tls.Certificate, change func(*Options)) *world {
	t.Helper()
	w := &world{events: make(chan string, 1000), hold: make(chan struct{}), served: make(chan struct{})}
	o := Options{
		Handler: w, Early: func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Path == "/scan" },
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, HeaderBytesMax: 4 << 10, HandshakeTimeout: 20 * time.Second, ReadTimeout: time.Minute, IdleTimeout: time.Minute,
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				w.conns.Add(1)
			case http.StateClosed:
				w.conns.Add(-1)
			}
		},
		Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if w.Server, err = Listen(socket, o); err != nil {
		t.Fatal(err)
	}
	w.addr = socket.LocalAddr()
	var served error
	go func() { served = w.Serve(); close(w.served) }() // ends with Shutdown
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		select {
		case <-w.served: // the test has stopped it
		default:
			if err := w.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}
		<-w.served
		if served != nil {
			t.Error(served)
		}
	})
	return w
}

// wants takes the next event.
func (w *world) wants(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w.events:
		if got != want {
			t.Fatalf("saw %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("waited for %q", want)
	}
}

// visitor keeps what a client brings along to its next visit.
type visitor struct {
	tls   *tls.Config
	quic  *quic.Config
	saved chan struct{} // a token came
}

type tokens struct {
	quic.TokenStore
	saved chan struct{}
}

func (s tokens) Put(key string, token *quic.ClientToken) {
	s.TokenStore.Put(key, token)
	s.saved <- struct{}{}
}

func newVisitor() *visitor {
	v := &visitor{saved: make(chan struct{}, 100)}
	v.tls = &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	v.quic = &quic.Config{TokenStore: tokens{quic.NewLRUTokenStore(4, 4), v.saved}, DisablePathMTUDiscovery: true, HandshakeIdleTimeout: 20 * time.Second}
	return v
}

// visiting is one connection.
type visiting struct {
	*http3.ClientConn
	quic      *quic.Conn
	transport *quic.Transport
}

func (v *visitor) dial(t *testing.T, to net.Addr) *visiting {
	t.Helper()
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &visiting{transport: &quic.Transport{Conn: socket}}
	t.Cleanup(func() { _ = c.transport.Close(); _ = socket.Close() })
	if c.quic, err = c.transport.DialEarly(t.Context(), to, v.tls, v.quic); err != nil {
		t.Fatal(err)
	}
	c.ClientConn = (&http3.Transport{}).NewClientConn(c.quic)
	return c
}

// ask sends a request and gives the answer's text.
func (c *visiting) ask(t *testing.T, method, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://localhost"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// early sends the head of a request in early data and does not wait for an answer.
func (c *visiting) early(t *testing.T, method, path string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://localhost"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.OpenRequestStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendRequestHeader(r), stream.Close()); err != nil {
		t.Fatal(err)
	}
}

// close ends a connection and waits until the server knows.
func (c *visiting) close(t *testing.T, w *world) {
	t.Helper()
	before := w.conns.Load()
	if err := c.quic.CloseWithError(0, ""); err != nil {
		t.Fatal(err)
	}
	w.until(t, "the connection has ended", func() bool { return w.conns.Load() < before })
}

// until polls for what no event tells.
func (w *world) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case <-poll.C:
		case <-limit:
			t.Fatalf("waited until %s", what)
		}
	}
}

// first makes a whole visit, so that the next one may have early data.
func (v *visitor) first(t *testing.T, w *world) {
	t.Helper()
	c := v.dial(t, w.addr)
	if got := c.ask(t, http.MethodGet, "/scan"); got != "late" {
		t.Fatalf("a first visit was %s", got)
	}
	w.wants(t, "late")
	<-v.saved
	c.close(t, w)
}

// relay stands between a client and the server, and notes what passes.
type relay struct {
	front net.PacketConn // the client talks to it
	back  net.Conn       // to the server
	deaf  atomic.Bool    // nothing comes back to the client

	mu     sync.Mutex
	client net.Addr // guarded by mu
	up     [][]byte // guarded by mu
	down   [][]byte // guarded by mu
}

func newRelay(t *testing.T, w *world) *relay {
	t.Helper()
	r := &relay{}
	var err error
	if r.front, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if r.back, err = (&net.Dialer{}).DialContext(t.Context(), "udp", w.addr.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.front.Close(); _ = r.back.Close() })
	go r.upwards() // both end with their sockets
	go r.downwards()
	return r
}

func (r *relay) upwards() {
	for b := make([]byte, 2048); ; {
		n, from, err := r.front.ReadFrom(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.client = from
		r.up = append(r.up, append([]byte(nil), b[:n]...))
		r.mu.Unlock()
		_, _ = r.back.Write(b[:n])
	}
}

func (r *relay) downwards() {
	for b := make([]byte, 2048); ; {
		n, err := r.back.Read(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.down = append(r.down, append([]byte(nil), b[:n]...))
		to := r.client
		r.mu.Unlock()
		if !r.deaf.Load() {
			_, _ = r.front.WriteTo(b[:n], to)
		}
	}
}

// recorded is what the client sent so far.
func (r *relay) recorded() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.up...)
}

// answered is what the server sent so far.
func (r *relay) answered() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.down...)
}

// replay sends packets again, from another port.
func replay(t *testing.T, w *world, packets [][]byte) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "udp", w.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, p := range packets {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
