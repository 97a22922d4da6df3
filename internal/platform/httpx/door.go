package httpx

import (
	"net"
	"net/netip"
)

// Door takes no connections from addresses whose connections had to be ended too often.
func (l *Limits) Door(ln net.Listener) net.Listener { return &door{ln, l} }

type door struct {
	net.Listener

	limits *Limits
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, ok := d.limits.stranger(c.RemoteAddr())
		if !ok || d.limits.guard.Welcome(from) {
			return c, nil
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // nothing is left to be remembered of it
		}
		_ = c.Close() // it was never used
	}
}

// Ended notes that a connection was ended since it kept the server busy for nobody.
func (l *Limits) Ended(peer net.Addr) {
	if from, ok := l.stranger(peer); ok {
		l.guard.Ended(from)
	}
}

// stranger is the address of a peer that speaks for itself alone: neither this machine nor a
// trusted proxy, which others would pay for.
func (l *Limits) stranger(peer net.Addr) (_ netip.Addr, ok bool) {
	tcp, ok := peer.(*net.TCPAddr)
	if l == nil || !ok {
		return netip.Addr{}, false
	}
	from := tcp.AddrPort().Addr().Unmap().WithZone("")
	return from, !from.IsLoopback() && !l.proxies.trusts(from)
}
