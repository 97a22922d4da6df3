package h2_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/h2"
)

// world is a server with the package in it, with and without TLS.
type world struct {
	*httptest.Server

	ended atomic.Int64
}

func newWorld(t *testing.T, secure bool, h http.Handler) *world {
	t.Helper()
	w := &world{Server: httptest.NewUnstartedServer(h)}
	w.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of each that is ended
	w.Config.Protocols = &http.Protocols{}
	w.Config.Protocols.SetHTTP1(true)
	w.Config.Protocols.SetHTTP2(true)
	w.Config.Protocols.SetUnencryptedHTTP2(true)
	if err := h2.Configure(w.Config, clock.System{}, func(net.Addr) { w.ended.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if secure {
		w.EnableHTTP2 = true
		w.StartTLS()
	} else {
		w.Start()
	}
	t.Cleanup(w.Close)
	return w
}

// dial begins to speak HTTP/2.
func (w *world) dial(t *testing.T) (*http2.Framer, net.Conn) {
	t.Helper()
	addr := w.Listener.Addr().String()
	var c net.Conn
	var err error
	if w.TLS != nil {
		c, err = (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}).DialContext(t.Context(), "tcp", addr)
	} else {
		c, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return fr, c
}

// away reads until the server sends the client away, or ends.
func away(fr *http2.Framer) (http2.ErrCode, error) {
	for {
		frame, err := fr.ReadFrame()
		if err != nil {
			return 0, err
		}
		if gone, ok := frame.(*http2.GoAwayFrame); ok {
			return gone.ErrCode, nil
		}
	}
}

func head(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes() // a literal that is indexed again and again is sound
}

// TestRapidReset: whatever keeps a server busy for nobody ends soon, with a reason.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	block := head(t)
	ask := func(fr *http2.Framer, id uint32) error {
		return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true})
	}
	for name, send := range map[string]func(fr *http2.Framer, id uint32) error{
		"requests that are taken back": func(fr *http2.Framer, id uint32) error {
			return errors.Join(ask(fr, id), fr.WriteRSTStream(id, http2.ErrCodeCancel))
		},
		"requests that the server must take back": func(fr *http2.Framer, id uint32) error {
			return errors.Join(ask(fr, id), fr.WriteRawFrame(http2.FrameWindowUpdate, 0, id, []byte{0, 0, 0, 0}))
		},
		"pings":    func(fr *http2.Framer, _ uint32) error { return fr.WritePing(false, [8]byte{}) },
		"settings": func(fr *http2.Framer, _ uint32) error { return fr.WriteSettings() },
		"windows":  func(fr *http2.Framer, _ uint32) error { return fr.WriteWindowUpdate(0, 1) },
		"priorities": func(fr *http2.Framer, id uint32) error {
			return fr.WritePriority(id, http2.PriorityParam{Weight: 1})
		},
		"what nobody knows": func(fr *http2.Framer, id uint32) error { return fr.WriteRawFrame(0xbe, 0, id, []byte("x")) },
		"bodies of nothing": func(fr *http2.Framer, id uint32) error {
			if id == 1 {
				if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true}); err != nil {
					return err
				}
			}
			return fr.WriteData(1, false, nil)
		},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var asked atomic.Int64
				w := newWorld(t, secure, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					<-r.Context().Done()
				}))
				fr, c := w.dial(t)
				go func() { // ends when the server closes the connection
					defer c.Close()
					for id := uint32(1); id < 100_000 && send(fr, id) == nil; id += 2 {
					}
				}()
				if code, err := away(fr); err != nil || code != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("sent away with %v, %v", code, err)
				}
				if n := w.ended.Load(); n != 1 {
					t.Errorf("%d connections were said to be ended", n)
				}
				if n := asked.Load(); n > 1000 {
					t.Errorf("%d requests reached the handler", n)
				}
			})
		}
	}
}

// TestOrdinary: who asks much, uploads, downloads and gives up half of it stays, and sees what
// he would see otherwise.
func TestOrdinary(t *testing.T) {
	t.Parallel()
	const rounds, large = 600, 8 << 20
	waiting := make(chan struct{})
	for _, secure := range []bool{false, true} {
		w := newWorld(t, secure, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor != 2 || (r.TLS != nil) != secure || r.Context().Value(http.ServerContextKey) == nil {
				t.Errorf("%s, TLS %v", r.Proto, r.TLS != nil)
			}
			switch r.URL.Path {
			case "/up":
				n, _ := io.Copy(io.Discard, r.Body)
				if n != large {
					t.Errorf("%d bytes came", n)
				}
			case "/down":
				_, _ = io.Copy(w, io.LimitReader(zeros{}, large))
			case "/wait":
				waiting <- struct{}{}
				<-r.Context().Done()
			}
		}))
		client := w.Client()
		if !secure {
			var p http.Protocols
			p.SetUnencryptedHTTP2(true)
			client = &http.Client{Transport: &http.Transport{Protocols: &p}}
		}
		ask := func(ctx context.Context, path string, body io.Reader) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL+path, body)
			if err != nil {
				return err
			}
			resp, err := client.Do(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}
		for n := range rounds {
			if err := ask(t.Context(), "/", strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 { // half of all are given up
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- ask(ctx, "/wait", nil) }()
				<-waiting
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
		}
		for _, path := range []string{"/up", "/down"} {
			if err := ask(t.Context(), path, io.LimitReader(zeros{}, large)); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.ended.Load(); n != 0 {
			t.Errorf("%d connections were ended", n)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
