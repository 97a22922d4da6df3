package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// forwarded are the headers by which a proxy tells where a request came from, with
// addresses drawn at random: a limit by address that believed them would never bite.
func forwarded() [3][2]string {
	a, b := address(), address()
	node := a.String()
	if a.Is6() {
		node = `"[` + node + `]"` // RFC 7239, section 6
	}
	return [3][2]string{
		{"X-Forwarded-For", a.String() + ", " + b.String()},
		{"Forwarded", "for=" + node + ";proto=https"},
		{"X-Real-Ip", a.String()},
	}
}

func appendForwarded(b []byte) []byte {
	for _, h := range forwarded() {
		b = append(append(append(append(b, h[0]...), ": "...), h[1]...), "\r\n"...)
	}
	return b
}

// address is of one family or the other.
func address() netip.Addr {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], rand.Uint64())
	if raw[0]&1 == 0 {
		return netip.AddrFrom4([4]byte(raw[4:8]))
	}
	raw[0], raw[1] = 0x20, 0x01 // a global address, 2001::/16
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	return netip.AddrFrom16(raw)
}
