package httpx

import (
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/limit"
)

// arrivals gives connections of some addresses, and then an error.
type arrivals struct {
	net.Listener

	from   []string
	closed []string
}

type arrival struct {
	net.Conn

	from string
	of   *arrivals
}

func (a *arrival) RemoteAddr() net.Addr { return peerAt(a.from) }

func (a *arrival) Close() error {
	a.of.closed = append(a.of.closed, a.from)
	return nil
}

func peerAt(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1234} }

var errNoMore = errors.New("no more")

func (a *arrivals) Accept() (net.Conn, error) {
	if len(a.from) == 0 {
		return nil, errNoMore
	}
	c := &arrival{from: a.from[0], of: a}
	a.from = a.from[1:]
	return c, nil
}

// TestDoor: connections of who was ended too often are closed at once, but for this machine's
// and for those of proxies, which others would pay for.
func TestDoor(t *testing.T) {
	t.Parallel()
	proxies, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	l := NewLimits(limit.NewGuard(limit.Options{Limits: limit.Usual(), Clock: clock.System{}}), proxies)
	const bad, also, good = "192.0.2.1", "2001:db8::1", "192.0.2.2"
	for range 10 {
		for _, from := range []string{bad, also, "127.0.0.1", "::1", "10.0.0.1"} {
			l.Ended(peerAt(from))
		}
	}
	of := &arrivals{from: []string{bad, good, bad, also, "2001:db8::2", "127.0.0.1", "::ffff:192.0.2.1", "::1", "10.0.0.1", bad}}
	door := l.Door(of)
	var taken []string
	for {
		c, err := door.Accept()
		if err != nil {
			if !errors.Is(err, errNoMore) {
				t.Fatal(err)
			}
			break
		}
		taken = append(taken, c.(*arrival).from)
	}
	if want := []string{good, "127.0.0.1", "::1", "10.0.0.1"}; !slices.Equal(taken, want) {
		t.Errorf("took %q, want %q", taken, want)
	}
	// a customer has a /64 of IPv6 for himself
	if want := []string{bad, bad, also, "2001:db8::2", "::ffff:192.0.2.1", bad}; !slices.Equal(of.closed, want) {
		t.Errorf("closed %q, want %q", of.closed, want)
	}
}
