package sqldbtest

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Fate is what becomes of a connection when a certain statement passes.
type Fate int

// The fates.
const (
	RequestLost Fate = iota + 1 // the statement never reaches the server
	ReplyLost                   // the server acts on it, and nobody hears
)

// Proxy stands between a client and a server and cuts connections on demand.
type Proxy struct {
	URL string // as the server's, through the proxy

	server string
	listen net.Listener
	wait   sync.WaitGroup

	mu    sync.Mutex
	plans []plan // guarded by mu
	conns map[net.Conn]bool
	over  bool
}

type plan struct {
	text []byte
	fate Fate
}

// NewProxy makes a proxy for the server of the URL. It ends with the test.
func NewProxy(t *testing.T, serverURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{server: u.Host, listen: l, conns: map[net.Conn]bool{}}
	u.Host = l.Addr().String()
	p.URL = u.String()
	p.wait.Go(func() { p.accept(context.WithoutCancel(t.Context())) })
	t.Cleanup(p.close)
	return p
}

// Cut plans a fate for the next statement that holds the text. Plans are carried out
// in their order.
func (p *Proxy) Cut(text string, fate Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans = append(p.plans, plan{[]byte(text), fate})
}

// Left is how many plans were not carried out yet.
func (p *Proxy) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.plans)
}

// Forget drops what is still planned.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plans = nil
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.over = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	_ = p.listen.Close()
	p.wait.Wait()
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		over := p.over
		p.mu.Unlock()
		if over {
			_, _ = client.Close(), server.Close()
			return
		}
		p.wait.Go(func() { p.serve(client, server) })
	}
}

// serve passes bytes on. A statement comes in one piece: the client sends it with one
// write, and only then waits.
func (p *Proxy) serve(client, server net.Conn) {
	defer func() {
		_, _ = client.Close(), server.Close()
		p.mu.Lock()
		delete(p.conns, client)
		delete(p.conns, server)
		p.mu.Unlock()
	}()
	var back sync.WaitGroup
	defer back.Wait()
	var deaf sync.Mutex // held while a reply is due that nobody shall hear
	back.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if n > 0 {
				if !deaf.TryLock() {
					_ = client.Close() // the server has acted
					return
				}
				_, werr := client.Write(buf[:n])
				deaf.Unlock()
				if werr != nil {
					return
				}
			}
			if err != nil {
				_ = client.Close()
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		switch p.fateOf(buf[:n]) {
		case RequestLost:
			_, _ = client.Close(), server.Close()
			return
		case ReplyLost:
			deaf.Lock() // for good: the connection ends with the reply
		}
		if _, werr := server.Write(buf[:n]); werr != nil || err != nil {
			_ = server.Close()
			return
		}
	}
}

func (p *Proxy) fateOf(packet []byte) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.plans) == 0 || !bytes.Contains(packet, p.plans[0].text) {
		return 0
	}
	fate := p.plans[0].fate
	p.plans = p.plans[1:]
	return fate
}
