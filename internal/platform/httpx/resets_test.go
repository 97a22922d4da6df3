package httpx

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/limit"
)

// takingBack is a client of HTTP/2 that takes back each request that take says.
type takingBack struct {
	net.Conn

	fr   *http2.Framer
	head []byte
	next uint32
}

func newTakingBack(t *testing.T, addr string) *takingBack {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	c := &takingBack{conn, http2.NewFramer(conn, conn), head.Bytes(), 1}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := c.fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends a request, and takes it back once began says that it is worked on.
func (c *takingBack) ask(took bool, began <-chan struct{}) error {
	id := c.next
	c.next += 2
	if err := c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.head, EndStream: true, EndHeaders: true}); err != nil {
		return err
	}
	<-began
	if took {
		return c.fr.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	return c.answered(id)
}

func (c *takingBack) answered(id uint32) error {
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return err
		}
		if f.Header().StreamID == id && f.Header().Flags.Has(http2.FlagDataEndStream) {
			return nil
		}
	}
}

// TestResets: who takes back what he asks is cut off, who does it now and then is not.
func TestResets(t *testing.T) {
	t.Parallel()
	s := NewResets(limit.NewGuard(limit.Options{Limits: limit.Usual(), Clock: clock.System{}}), Proxies{})
	began := make(chan struct{})
	var waits atomic.Bool
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, ReadHeaderTimeout: time.Minute, ConnContext: s.Context, Handler: s.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		if waits.Load() {
			<-r.Context().Done()
		}
	}))}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(s.Listener(ln)) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })

	fair := newTakingBack(t, ln.Addr().String())
	for i := range 4 * resetsMin { // a third of them is taken back
		waits.Store(i%3 == 0)
		if err := fair.ask(i%3 == 0, began); err != nil {
			t.Fatalf("the connection of who takes back a third ended after %d: %v", i, err)
		}
	}
	waits.Store(true)
	foul := newTakingBack(t, ln.Addr().String())
	go func() { // what is worked on when the connection ends
		for range began {
		}
	}()
	for i := 0; ; i++ {
		if i == 100*resetsMin {
			t.Fatalf("%d requests were taken back on one connection", i)
		}
		id := foul.next
		foul.next += 2
		if foul.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: foul.head, EndStream: true, EndHeaders: true}) != nil ||
			foul.fr.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
	}
	if s.Ended() != 1 {
		t.Errorf("%d connections were ended, want one", s.Ended())
	}
	waits.Store(false)
	if err := fair.ask(false, closed()); err != nil {
		t.Errorf("another connection of the address: %v", err)
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// from is a listener whose connections come from one address.
type from struct {
	net.Listener

	addr netip.AddrPort
	left int
}

type fromConn struct {
	net.Conn

	addr net.Addr
}

func (c fromConn) RemoteAddr() net.Addr { return c.addr }

func (f *from) Accept() (net.Conn, error) {
	if f.left--; f.left < 0 {
		return nil, net.ErrClosed
	}
	here, there := net.Pipe()
	_ = there.Close()
	return fromConn{here, net.TCPAddrFromAddrPort(f.addr)}, nil
}

// TestResetsAtTheDoor: an address whose connections had to be ended is not let in; others are.
func TestResetsAtTheDoor(t *testing.T) {
	t.Parallel()
	proxies, err := ParseProxies([]string{"198.51.100.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	s := NewResets(limit.NewGuard(limit.Options{Limits: limit.Usual(), Clock: clock.System{}}), proxies)
	enters := func(addr string) bool {
		c, err := s.Listener(&from{addr: netip.MustParseAddrPort(addr), left: 1}).Accept()
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	for n := range 6 {
		for _, addr := range []string{"203.0.113.9:1", "198.51.100.7:1", "127.0.0.1:1"} {
			if !enters(addr) {
				t.Errorf("%s is refused after %d", addr, n)
			}
			here, _ := net.Pipe()
			c := &connection{Conn: fromConn{here, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}}
			for range resetsMin {
				s.note(c, true)
			}
		}
	}
	for addr, want := range map[string]bool{"203.0.113.9:2": false, "203.0.113.10:2": true, "198.51.100.7:2": true, "127.0.0.1:2": true, "[::ffff:203.0.113.9]:2": false} {
		if enters(addr) != want {
			t.Errorf("%s enters: %v", addr, !want)
		}
	}
}
