package httpx

import (
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Proxies are the networks whose word on who is behind them is taken. No one else's
// is: a forwarded header of a stranger is ignored. Copies are one; the zero value trusts
// nobody.
type Proxies struct {
	networks *atomic.Pointer[[]netip.Prefix]
}

// ParseProxies reads networks and single addresses.
func ParseProxies(list []string) (Proxies, error) {
	var all []netip.Prefix
	for _, text := range list {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			addr, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return Proxies{}, err
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, network.Masked())
	}
	p := Proxies{&atomic.Pointer[[]netip.Prefix]{}}
	p.networks.Store(&all)
	return p, nil
}

// Set has all copies trust those whom the other one trusts now. Both were parsed.
func (p Proxies) Set(next Proxies) { p.networks.Store(next.networks.Load()) }

func (p Proxies) trusts(a netip.Addr) bool {
	if p.networks == nil {
		return false
	}
	for _, network := range *p.networks.Load() {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// Forwards reports whether a request comes through a trusted proxy.
func (p Proxies) Forwards(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && p.trusts(peer.Addr().Unmap())
}

// Client is the address that a request comes from: the peer's, or behind trusted
// proxies the last in X-Forwarded-For that is none of them. The zero Addr is not
// known.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap()
	if !p.trusts(client) {
		return client
	}
	hops := strings.Join(r.Header["X-Forwarded-For"], ",")
	for hops != "" && p.trusts(client) {
		at := strings.LastIndexByte(hops, ',')
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[at+1:]))
		if err != nil {
			break // what stands before it cannot be trusted either
		}
		client, hops = hop.Unmap().WithZone(""), hops[:max(at, 0)]
	}
	return client
}
