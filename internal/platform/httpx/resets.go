package httpx

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/chopmark/chopmark/internal/platform/limit"
)

// Resets ends HTTP/2 connections whose requests are taken back at once, most of them: a stranger can ask so for more
// than he could ever read. Who goes on like that with new connections is not let in for a while, unless he is this machine
// or a trusted proxy. net/http itself only bounds what waits on one connection.
type Resets struct {
	guard   *limit.Guard
	proxies Proxies
	ended   atomic.Int64
}

// NewResets counts ended connections for the peer's address.
func NewResets(g *limit.Guard, p Proxies) *Resets { return &Resets{guard: g, proxies: p} }

// resetsMin is how many requests a connection may take back before anybody minds: a page that is left takes all of its own.
const resetsMin = 200

// connection counts what became of one connection's requests.
type connection struct {
	net.Conn

	asked, taken atomic.Int64
	over         atomic.Bool
}

type connectionKey struct{}

// Context is for http.Server.ConnContext.
func (s *Resets) Context(ctx context.Context, c net.Conn) context.Context {
	if below, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = below.NetConn() // TLS would say goodbye first, and wait for that
	}
	return context.WithValue(ctx, connectionKey{}, &connection{Conn: c})
}

// Handler counts h's requests.
func (s *Resets) Handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connectionKey{}).(*connection); ok && r.ProtoMajor == 2 {
			defer func() { s.note(c, r.Context().Err() != nil) }()
		}
		h.ServeHTTP(w, r)
	})
}

func (s *Resets) note(c *connection, taken bool) {
	asked := c.asked.Add(1)
	if !taken {
		return
	}
	if n := c.taken.Add(1); n < resetsMin || 2*n < asked || c.over.Swap(true) {
		return
	}
	s.ended.Add(1)
	if a := peer(c); s.minds(a) {
		s.guard.Reset(a)
	}
	_ = c.Close()
}

// Ended is how many connections were ended.
func (s *Resets) Ended() int64 { return s.ended.Load() }

func peer(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

func (s *Resets) minds(a netip.Addr) bool {
	return a.IsValid() && !a.IsLoopback() && !s.proxies.trusts(a)
}

// Listener does not let those in who go on.
func (s *Resets) Listener(ln net.Listener) net.Listener { return &doorkeeper{ln, s} }

type doorkeeper struct {
	net.Listener

	resets *Resets
}

// Accept implements net.Listener.
func (d *doorkeeper) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if a := peer(c); !d.resets.minds(a) || d.resets.guard.Enters(a) {
			return c, nil
		}
		_ = c.Close()
	}
}
