package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// TestHalfOpenFlood: a server sees handshakes that it cannot tell from real ones, and what it
// sends for them is counted.
func TestHalfOpenFlood(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var begun atomic.Int64
	server := &quic.Transport{
		Conn: socket, VerifySourceAddress: func(net.Addr) bool { return begun.Load() >= 20 },
		ConnContext: func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) { begun.Add(1); return ctx, nil },
	}
	listener, err := server.ListenEarly(&tls.Config{NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &quic.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close(); _ = server.Close(); _ = socket.Close() }()
	f, err := HalfOpenFlood(t.Context(), socket.LocalAddr().String(), 500)
	if err != nil {
		t.Fatal(err)
	}
	for s := f.Seen(); s.Retries < 50; s = f.Seen() {
		if time.Sleep(time.Millisecond); t.Context().Err() != nil {
			t.Fatalf("%+v, %d begun", s, begun.Load())
		}
	}
	f.Close()
	if s := f.Seen(); begun.Load() < 20 || s.Sent < 50 || s.Amplified <= 0 || s.Amplified > 3 {
		t.Errorf("%+v, %d begun", s, begun.Load())
	}
}
