package app

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/obs"
)

// tlsWorld is the TLS of a process with a keyset, at a time that the test sets.
type tlsWorld struct {
	*tlsKeys
	now time.Time
	log bytes.Buffer
}

func newTLSWorld(t *testing.T, dir string, set *keyset.Set, onEdge bool) *tlsWorld {
	t.Helper()
	w := &tlsWorld{now: time.Date(2026, 11, 27, 23, 0, 0, 0, time.UTC)}
	at := clock.Func(func() time.Time { return w.now })
	a := &App{Config: Config{Data: dir, TLSSelfSigned: true}, clock: at}
	certFile, keyFile, err := a.tlsFiles()
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeyring(set, at)
	w.tlsKeys = &tlsKeys{
		certFile: certFile, keyFile: keyFile, clock: at, log: slog.New(slog.NewTextHandler(&w.log, nil)),
		sessions: func() []keyset.Key { return keys.visitKeys(onEdge) },
	}
	if err := w.load(); err != nil {
		t.Fatal(err)
	}
	return w
}

// shake makes a handshake and gives the client's view of it.
func shake(t *testing.T, w *tlsWorld, client *tls.Config) tls.ConnectionState {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			s := tls.Server(c, w.present())
			_, err = s.Write([]byte("x")) // after the ticket
			_ = c.Close()
		}
		served <- err
	}()
	conn, err := (&tls.Dialer{Config: client}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	return conn.(*tls.Conn).ConnectionState()
}

func tlsClient() *tls.Config {
	return &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
}

// TestTicketsOfAllProcesses holds that a client which visited one process resumes at
// another, also at an edge, on the next days and after a rotation; and not for ever.
func TestTicketsOfAllProcesses(t *testing.T) {
	t.Parallel()
	set := keyset.New(clock.System{})
	main := newTLSWorld(t, t.TempDir(), set, false)
	edge := newTLSWorld(t, t.TempDir(), edgeShare(set), true)
	rotated, err := set.Rotate(keyset.Session, main.now, 0)
	if err != nil {
		t.Fatal(err)
	}
	later := newTLSWorld(t, t.TempDir(), rotated, false)
	stranger := newTLSWorld(t, t.TempDir(), keyset.New(clock.System{}), false)
	for _, c := range []struct {
		name     string
		from, to *tlsWorld
		after    time.Duration
		resumed  bool
	}{
		{"the same", main, main, 0, true},
		{"an edge", main, edge, 0, true},
		{"from an edge", edge, main, 0, true},
		{"the next day", main, edge, 24 * time.Hour, true},
		{"a clock ahead", edge, main, -2 * time.Hour, true},
		{"a week later", main, main, 9 * 24 * time.Hour, false},
		{"after a rotation", main, later, 0, true},
		{"another installation", main, stranger, 0, false},
	} {
		client, day := tlsClient(), c.to.now
		shake(t, c.from, client)
		c.to.now, c.to.until = day.Add(c.after), time.Time{}
		if got := shake(t, c.to, client).DidResume; got != c.resumed {
			t.Errorf("%s: resumed is %v", c.name, got)
		}
		c.to.now, c.to.until = day, time.Time{}
	}
}

// TestCertificateReload holds that a certificate which is replaced is shown, and that one
// which cannot be read leaves the one before.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newTLSWorld(t, dir, keyset.New(clock.System{}), false)
	serial := func() string { return shake(t, w, tlsClient()).PeerCertificates[0].SerialNumber.String() }
	first := serial()
	if err := (&App{clock: w.clock}).makeCertificate(w.certFile, w.keyFile); err != nil {
		t.Fatal(err)
	}
	if serial() != first {
		t.Error("looked at the files again at once: that is a cost of each handshake")
	}
	w.now = w.now.Add(tlsRenew)
	second := serial()
	if second == first {
		t.Error("the new certificate is not shown")
	}
	if err := os.WriteFile(filepath.Join(dir, dirTLS, "cert.pem"), []byte("half of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(tlsRenew)
	if serial() != second || !strings.Contains(w.log.String(), "cannot be read") {
		t.Errorf("a broken file: the log says %q", w.log.String())
	}
}

// TestEarlyTakes holds which requests may be answered before their handshake.
func TestEarlyTakes(t *testing.T) {
	t.Parallel()
	rt := httpx.NewRouter(nil, nil, slog.New(slog.DiscardHandler))
	rt.First(func(path string) bool { return path == "/scan" }, "/scan", nil)
	for _, c := range []struct {
		method, target string
		want           bool
	}{
		{"GET", "/scan", true},
		{"GET", "/scan?lang=en", true},
		{"GET", "/scan?inner=A", false},
		{"POST", "/scan", false},
		{"HEAD", "/scan", false},
		{"GET", "/api/v1/brands", false},
		{"GET", "/sca%6e", false},
	} {
		if got := early(rt, httptest.NewRequest(c.method, c.target, http.NoBody)); got != c.want {
			t.Errorf("%s %s: %v", c.method, c.target, got)
		}
	}
}

// listenTLS serves a handler as the program does, with TLS.
func listenTLS(t *testing.T, h http.Handler) string {
	t.Helper()
	w := newTLSWorld(t, t.TempDir(), keyset.New(clock.System{}), false)
	a := &App{metrics: obs.NewMetrics(), clock: clock.System{}, log: slog.New(slog.DiscardHandler)}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.httpServer(h)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(tls.NewListener(ln, w.present())) }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}

// TestRapidReset holds that a client which opens requests and resets them at once runs no
// more of them side by side than one that is honest, and is sent away.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	hold := make(chan struct{})
	addr := listenTLS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-hold
		running.Add(-1)
	}))
	t.Cleanup(func() { close(hold) }) // before the server is closed
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	block := bytes.Clone(head.Bytes()) // a literal that is indexed again and again is sound
	go func() {                        // ends when the server closes the connection
		_ = framer.WriteSettings()
		for id := uint32(1); id < 20_000; id += 2 {
			if framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}) != nil ||
				framer.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
		}
	}()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			if away.ErrCode != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("sent away with %v", away.ErrCode)
			}
			break
		}
	}
	if n := most.Load(); n == 0 || n > streamsMax {
		t.Errorf("%d requests ran side by side", n)
	}
}

// TestSlowHead holds that a connection on which a head never ends is closed.
func TestSlowHead(t *testing.T) {
	t.Parallel()
	addr := listenTLS(t, http.NotFoundHandler())
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * headerTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("still open")
	}
}
