package servers

import (
	"bytes"
	"net"
	"sync"
)

// Fate is what becomes of a connection when a certain statement passes.
type Fate int

// The fates.
const (
	RequestLost Fate = iota + 1 // the statement never reaches the server
	ReplyLost                   // the server acts on it, and nobody hears
)

// Proxy stands between clients and a server: it cuts connections, loses replies, holds
// bytes back and takes in nobody, as it is told.
type Proxy struct {
	Addr string // where it listens, on loopback

	listen net.Listener
	wait   sync.WaitGroup

	mu     sync.Mutex
	server string // guarded by mu, as all below
	plans  []plan
	losses loss
	barred []byte        // who sends this is hung up on
	closed bool          // nobody is let in
	held   chan struct{} // closed when bytes may pass again; nil = they may
	conns  map[net.Conn]bool
	over   bool
}

type plan struct {
	text []byte
	fate Fate
}

// loss is the fate of one in so many statements.
type loss struct {
	text  []byte
	oneIn int
	seen  int
}

// NewProxy makes a proxy for the server at an address.
func NewProxy(server string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), server: server, listen: l, conns: map[net.Conn]bool{}}
	p.wait.Go(p.accept)
	return p, nil
}

// SetServer names the server for connections from now on.
func (p *Proxy) SetServer(addr string) { p.locked(func() { p.server = addr }) }

// Cut plans a fate for the next statement that holds the text. Plans are carried out
// in their order.
func (p *Proxy) Cut(text string, fate Fate) {
	p.locked(func() { p.plans = append(p.plans, plan{[]byte(text), fate}) })
}

// Left is how many plans were not carried out yet.
func (p *Proxy) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.plans)
}

// Forget drops what is still planned.
func (p *Proxy) Forget() { p.locked(func() { p.plans = nil }) }

// Lose drops the reply to one in so many statements that hold the text, after the server
// has acted, until oneIn is 0.
func (p *Proxy) Lose(text string, oneIn int) {
	p.locked(func() { p.losses = loss{text: []byte(text), oneIn: oneIn} })
}

// Bar hangs up on everyone who is connected and on whoever sends the text from now on;
// "" ends that.
func (p *Proxy) Bar(text string) {
	p.locked(func() { p.barred = []byte(text) })
	if text != "" {
		p.Reset()
	}
}

// Shut resets every connection and lets nobody in until it is opened again.
func (p *Proxy) Shut(shut bool) {
	p.locked(func() { p.closed = shut })
	if shut {
		p.Reset()
	}
}

// Reset ends every connection the hard way.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // RST, not FIN
		}
		_ = c.Close()
	}
}

// Hold keeps back every byte, both ways, until release is called.
func (p *Proxy) Hold() (release func()) {
	held := make(chan struct{})
	p.locked(func() { p.held = held })
	return sync.OnceFunc(func() {
		p.locked(func() { p.held = nil })
		close(held)
	})
}

// Close ends the proxy with all of its connections.
func (p *Proxy) Close() {
	p.locked(func() { p.over = true })
	p.Reset()
	_ = p.listen.Close()
	p.wait.Wait()
}

func (p *Proxy) locked(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		addr, in := p.server, !p.closed && !p.over
		p.mu.Unlock()
		var server net.Conn
		if in {
			server, err = net.Dial("tcp", addr)
		}
		if !in || err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		in = !p.closed && !p.over
		p.mu.Unlock()
		p.wait.Go(func() { p.serve(client, server, in) })
	}
}

// serve passes bytes on. A statement comes in one piece: the client sends it with one
// write, and only then waits.
func (p *Proxy) serve(client, server net.Conn, in bool) {
	defer func() {
		_, _ = client.Close(), server.Close()
		p.locked(func() {
			delete(p.conns, client)
			delete(p.conns, server)
		})
	}()
	if !in {
		return
	}
	var back sync.WaitGroup
	defer back.Wait()
	var deaf sync.Mutex // held while a reply is due that nobody shall hear
	back.Go(func() { p.replies(client, server, &deaf) })
	buf, silent := make([]byte, 64<<10), false
	for {
		n, err := client.Read(buf)
		switch p.fateOf(buf[:n]) {
		case RequestLost:
			_, _ = client.Close(), server.Close()
			return
		case ReplyLost:
			if !silent { // for good: the connection ends with the reply
				deaf.Lock()
				silent = true
			}
		}
		p.pass()
		if _, werr := server.Write(buf[:n]); werr != nil || err != nil {
			_ = server.Close()
			return
		}
	}
}

func (p *Proxy) replies(client, server net.Conn, deaf *sync.Mutex) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		p.pass()
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
}

// pass waits while bytes are held back.
func (p *Proxy) pass() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (p *Proxy) fateOf(packet []byte) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.barred) > 0 && bytes.Contains(packet, p.barred) {
		return RequestLost
	}
	if p.losses.oneIn > 0 && bytes.Contains(packet, p.losses.text) {
		if p.losses.seen++; p.losses.seen%p.losses.oneIn == 0 {
			return ReplyLost
		}
	}
	if len(p.plans) == 0 || !bytes.Contains(packet, p.plans[0].text) {
		return 0
	}
	fate := p.plans[0].fate
	p.plans = p.plans[1:]
	return fate
}
