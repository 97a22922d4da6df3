package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// HalfOpen is a flood of first packets of HTTP/3 from many ports, none of which goes on: each
// is a handshake that the server begins for nobody.
type HalfOpen struct {
	stop    context.CancelFunc
	wg      sync.WaitGroup
	ports   []*port
	packets [][]byte
}

// port is one address of the flood.
type port struct {
	conn                   net.Conn
	sent, sentBytes        atomic.Int64
	got, gotBytes, retries atomic.Int64
}

const (
	// halfOpenPackets are different first packets: one that is sent again begins another
	// handshake when the one before is over.
	halfOpenPackets = 4_000
	halfOpenPorts   = 500
	packetMax       = 2048
	longHeader      = 0xf0 // with the type of a Retry
)

// HalfOpenFlood sends first packets to a server, so many a second, until Close.
func HalfOpenFlood(ctx context.Context, to string, perSecond int) (*HalfOpen, error) {
	packets, err := firstPackets(ctx, halfOpenPackets)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	f := &HalfOpen{stop: stop, packets: packets}
	for range halfOpenPorts {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "udp", to)
		if err != nil {
			f.Close()
			return nil, err
		}
		p := &port{conn: conn}
		f.ports = append(f.ports, p)
		f.wg.Go(p.listen)
	}
	f.wg.Go(func() { f.send(ctx, perSecond) })
	return f, nil
}

func (f *HalfOpen) send(ctx context.Context, perSecond int) {
	const every = 10 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	begun, n := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(begun).Seconds() * float64(perSecond)); n < due; n++ {
			p, packet := f.ports[n%len(f.ports)], f.packets[n%len(f.packets)]
			if _, err := p.conn.Write(packet); err == nil { // a full buffer drops it, as a network does
				p.sent.Add(1)
				p.sentBytes.Add(int64(len(packet)))
			}
		}
	}
}

// listen counts what comes back until the port is closed.
func (p *port) listen() {
	b := make([]byte, packetMax)
	for {
		n, err := p.conn.Read(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the port of a server that has ended
		}
		p.got.Add(1)
		p.gotBytes.Add(int64(n))
		if b[0]&longHeader == longHeader {
			p.retries.Add(1)
		}
	}
}

// HalfOpenSeen is what a flood sent and got.
type HalfOpenSeen struct {
	Sent, Retries int64   // packets
	Amplified     float64 // bytes for each that was sent, at the port that got most
}

// Seen tells what came of it so far.
func (f *HalfOpen) Seen() (s HalfOpenSeen) {
	for _, p := range f.ports {
		s.Sent += p.sent.Load()
		s.Retries += p.retries.Load()
		if sent := p.sentBytes.Load(); sent > 0 {
			s.Amplified = max(s.Amplified, float64(p.gotBytes.Load())/float64(sent))
		}
	}
	return s
}

// Close ends it.
func (f *HalfOpen) Close() {
	f.stop()
	for _, p := range f.ports {
		_ = p.conn.Close()
	}
	f.wg.Wait()
}

// firstPackets records what clients send first to somebody who never answers.
func firstPackets(ctx context.Context, n int) ([][]byte, error) {
	var lc net.ListenConfig
	sink, err := lc.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = sink.Close() }()
	socket, err := lc.ListenPacket(ctx, "udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	from := &quic.Transport{Conn: socket}
	defer func() { _ = from.Close(); _ = socket.Close() }()
	client := &tls.Config{
		NextProtos: []string{"h3"}, ServerName: "localhost", MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, // so that a hello is one packet
	}
	var all [][]byte
	seen := map[string]bool{}
	b := make([]byte, packetMax)
	for len(all) < n {
		dial, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { _, _ = from.Dial(dial, sink.LocalAddr(), client, &quic.Config{}); close(done) }()
		if err := sink.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			cancel()
			return nil, err
		}
		got, _, err := sink.ReadFrom(b)
		cancel()
		<-done
		if err != nil {
			return nil, fmt.Errorf("record a first packet: %w", err)
		}
		const idsEnd = 6 + 20 // flags, version, length and the longest connection ID, which names the handshake
		if id := string(b[:min(got, idsEnd)]); b[0]&0x80 != 0 && b[0]&0x30 == 0 && got >= 1200 && !seen[id] {
			seen[id] = true
			all = append(all, append([]byte(nil), b[:got]...))
		}
	}
	return all, nil
}
