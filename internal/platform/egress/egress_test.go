package egress

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestAllowed(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]bool{ // without private, with it
		"93.184.216.34": {true, true}, "2606:4700::1111": {true, true}, "1.1.1.1": {true, true},
		"127.0.0.1": {false, true}, "127.9.9.9": {false, true}, "::1": {false, true}, "::ffff:127.0.0.1": {false, true},
		"10.1.2.3": {false, true}, "172.16.0.1": {false, true}, "192.168.1.1": {false, true}, "fd00::1": {false, true},
		"172.32.0.1":      {true, true},
		"169.254.169.254": {}, "fe80::1": {}, "fe80::1%eth0": {}, "::ffff:169.254.169.254": {}, "64:ff9b::a9fe:a9fe": {},
		"0.0.0.0": {}, "0.1.2.3": {}, "::": {}, "224.0.0.1": {}, "ff02::1": {}, "255.255.255.255": {}, "100.64.0.1": {}, "198.18.0.1": {},
		"2002:7f00:1::": {}, "2001:db8::1": {},
	} {
		ip := netip.MustParseAddr(address)
		if got := [2]bool{Allowed(ip, false), Allowed(ip, true)}; got != want {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
	if Allowed(netip.Addr{}, true) {
		t.Error("no address is allowed")
	}
}

// TestNamesAreJudged: what a name leads to is refused as the address itself.
func TestNamesAreJudged(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "127.1.2.3"} {
		if conn, err := New(false).DialContext(t.Context(), "tcp4", net.JoinHostPort(host, port)); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, %v", host, conn, err)
		}
	}
	conn, err := New(true).DialContext(t.Context(), "tcp4", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
