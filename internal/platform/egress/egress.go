// Package egress connects to addresses that others name, and keeps them out of this
// network.
//
// Promise: an address is judged when a connection is made to it, after its name was looked
// up, so a name that leads elsewhere the second time leads nowhere (TestNamesAreJudged).
package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// ErrRefused answers for an address that no connection is made to.
var ErrRefused = errors.New("egress: the address leads to a network that is not asked")

const dialTimeout = 5 * time.Second

// Dialer makes connections. It is safe for concurrent use.
type Dialer struct{ dialer net.Dialer }

// New makes a dialer. private lets it reach this machine and private networks, but not
// link-local addresses, where clouds keep what a machine may know of itself.
func New(private bool) *Dialer {
	return &Dialer{net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !Allowed(at.Addr(), private) {
			return ErrRefused
		}
		return nil
	}}}
}

// DialContext is as net.Dialer's.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dialer.DialContext(ctx, network, address)
}

// Allowed reports whether a connection to an address is made.
func Allowed(ip netip.Addr, private bool) bool {
	ip = ip.Unmap()
	if ip.Zone() != "" || !ip.IsValid() {
		return false
	}
	if ip.IsLoopback() || ip.IsPrivate() {
		return private
	}
	if !ip.IsGlobalUnicast() {
		return false // unspecified, multicast, link-local, broadcast
	}
	for _, text := range [...]string{
		"0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"100.64.0.0/10",                                                         // of carriers
		"64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10", // hold another address
		"2001:db8::/32", "100::/64",
	} {
		if netip.MustParsePrefix(text).Contains(ip) {
			return false
		}
	}
	return true
}
