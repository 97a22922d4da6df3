package httpx

import (
	"net/netip"
)

// coarse cuts "host:port" to the host's network, /24 or /48: enough to see where
// trouble comes from, too little to name a person.
func coarse(remote string) string {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	ip := addr.Addr().Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	network, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return network.String()
}
