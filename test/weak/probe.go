package main

import (
	"context"
	"encoding/binary"
	"net"
	"time"
)

// probed is the link as packets through it find it.
type probed struct {
	RTT  time.Duration
	Rate float64 // bits a second of IP packets, upwards
	Loss float64 // both ways
}

const (
	probeBytes  = 100 // of payload, in small packets
	probeHead   = 28  // IP and UDP
	probeMany   = 200
	probeLarge  = 12
	probeLargeN = 1000
)

// echo answers each packet with its first eight bytes, until the socket closes.
func echo(socket net.PacketConn) {
	for b := make([]byte, packetMax); ; {
		n, from, err := socket.ReadFrom(b)
		if err != nil {
			return
		}
		_, _ = socket.WriteTo(b[:min(n, 8)], from)
	}
}

// probe measures the link: the time of a small packet alone, the pace of large ones back to
// back, and how many of many come back.
func probe(ctx context.Context, to string) (*probed, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", to)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	p := &probed{}
	for range 5 {
		begun := time.Now()
		if got := exchange(conn, 1, 8); len(got) == 1 && (p.RTT == 0 || got[0].at.Sub(begun) < p.RTT) {
			p.RTT = got[0].at.Sub(begun)
		}
	}
	if got := exchange(conn, probeLarge, probeLargeN); len(got) > 1 {
		first, last := got[0], got[len(got)-1] // one that was lost took its time all the same
		p.Rate = float64(last.no-first.no) * (probeLargeN + probeHead) * 8 / last.at.Sub(first.at).Seconds()
	}
	arrived := 0
	for range probeMany / 20 {
		arrived += len(exchange(conn, 20, probeBytes))
	}
	p.Loss = 1 - float64(arrived)/probeMany
	return p, ctx.Err()
}

// came is an echo.
type came struct {
	no uint64
	at time.Time
}

// exchange sends packets back to back and gives when their echoes came, until all are here
// or none came for a while.
func exchange(conn net.Conn, n, size int) (echoes []came) {
	packet := make([]byte, size)
	for i := range n {
		binary.BigEndian.PutUint64(packet, uint64(i))
		if _, err := conn.Write(packet); err != nil {
			return nil
		}
	}
	for b := make([]byte, packetMax); len(echoes) < n; {
		if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return echoes
		}
		if _, err := conn.Read(b); err != nil {
			return echoes
		}
		echoes = append(echoes, came{binary.BigEndian.Uint64(b), time.Now()})
	}
	return echoes
}
