package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slowPause  = time.Second // between two bytes of those who are slow
	slowBuffer = 4 << 10     // what a slow reader's system takes for it
)

// Crowd is connections beside a load. A server should keep idle ones at little cost,
// and lose nothing by slow ones.
type Crowd struct {
	conns []*member
	alive atomic.Int64
	stop  context.CancelFunc
	wg    sync.WaitGroup // of every goroutine of every member
}

// member is one connection.
type member struct {
	conn    *http1Conn
	gone    chan struct{} // closed when the server has ended it, or we have
	end     sync.Once
	answers chan Answer // of an idle one
}

// Idle opens n HTTP/1.1 connections that have asked for path once and were answered,
// and now wait. A status of 500 or more is an error.
func Idle(ctx context.Context, base, path string, n int) (*Crowd, error) {
	c, err := gather(ctx, base, n)
	if err != nil {
		return nil, err
	}
	for _, m := range c.conns {
		c.wg.Go(func() { c.wait(m) })
	}
	if err := c.Ask(ctx, path); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// SlowWriters opens n connections that send a request's head, one byte a second and
// without an end.
func SlowWriters(ctx context.Context, base string, n int) (*Crowd, error) {
	c, err := gather(ctx, base, n)
	if err != nil {
		return nil, err
	}
	for _, m := range c.conns {
		c.wg.Go(func() { c.writeSlowly(m) })
		c.wg.Go(func() { // notices the end
			_, _ = io.Copy(io.Discard, m.conn.in)
			c.left(m)
		})
	}
	return c, nil
}

// SlowReaders opens n connections that ask for path over and over without waiting for
// the answers, and read one byte a second: soon the server cannot get rid of its own.
func SlowReaders(ctx context.Context, base, path string, n int) (*Crowd, error) {
	c, err := gather(ctx, base, n)
	if err != nil {
		return nil, err
	}
	for _, m := range c.conns {
		if tcp, ok := m.conn.Conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(slowBuffer) // a wish: the system may round it up
		}
		c.wg.Go(func() {
			defer c.left(m)
			request := []byte("GET " + path + m.conn.head + "\r\n")
			for { // stops at full buffers until the server reads on
				if _, err := m.conn.Write(request); err != nil {
					return
				}
			}
		})
		c.wg.Go(func() { c.readSlowly(m) })
	}
	return c, nil
}

func gather(ctx context.Context, base string, n int) (*Crowd, error) {
	t, err := NewTransport(base, false)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	c := &Crowd{stop: stop}
	for range n {
		conn, err := t.Dial(ctx)
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("connection %d of %d: %w", len(c.conns)+1, n, err)
		}
		own, ok := conn.(*http1Conn)
		if !ok { // never: that is what HTTP/1.1 was asked for
			c.Close()
			return nil, errors.New("not a connection of HTTP/1.1")
		}
		c.conns = append(c.conns, &member{conn: own, gone: make(chan struct{}), answers: make(chan Answer)})
		c.alive.Add(1)
	}
	return c, nil
}

// left notes that a connection has ended.
func (c *Crowd) left(m *member) {
	m.end.Do(func() {
		c.alive.Add(-1)
		close(m.gone)
		_ = m.conn.Close() // it has ended
	})
}

// wait takes what comes on an idle connection: an answer that Ask waits for, or its end.
func (c *Crowd) wait(m *member) {
	defer c.left(m)
	for {
		if _, err := m.conn.in.Peek(1); err != nil {
			return
		}
		var a Answer
		if m.conn.read(&a) != nil {
			return
		}
		select {
		case m.answers <- a:
		case <-m.gone:
			return
		case <-time.After(requestMax): // what nobody asked for is no answer
			return
		}
		if m.conn.closed {
			return
		}
	}
}

func (c *Crowd) writeSlowly(m *member) {
	defer c.left(m)
	tick := time.NewTicker(slowPause)
	defer tick.Stop()
	head := []byte("GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: ")
	for i := 0; ; i++ {
		b := []byte{'x'}
		if i < len(head) {
			b[0] = head[i]
		}
		if _, err := m.conn.Write(b); err != nil {
			return
		}
		select {
		case <-m.gone:
			return
		case <-tick.C:
		}
	}
}

func (c *Crowd) readSlowly(m *member) {
	defer c.left(m)
	tick := time.NewTicker(slowPause)
	defer tick.Stop()
	var b [1]byte
	for {
		if _, err := m.conn.Read(b[:]); err != nil {
			return
		}
		select {
		case <-m.gone:
			return
		case <-tick.C:
		}
	}
}

// askAtOnce is how many idle connections ask at the same time.
const askAtOnce = 64

// Alive is how many the server still keeps, as far as it has said.
func (c *Crowd) Alive() int { return int(c.alive.Load()) }

// Ask lets every idle connection ask for path once more and checks that each is
// answered: what the system still calls open may long be of no use.
func (c *Crowd) Ask(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	failed := make(chan error, len(c.conns))
	turn := make(chan struct{}, askAtOnce) // the connections are the load here, not their requests
	for i, m := range c.conns {
		go func() { // ends by ctx; waited for below
			turn <- struct{}{}
			failed <- inConn(i, m.ask(ctx, path))
			<-turn
		}()
	}
	var all []error
	for range c.conns {
		if err := <-failed; err != nil && len(all) < wrongKept {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

func inConn(i int, err error) error {
	if err != nil {
		return fmt.Errorf("idle connection %d: %w", i, err)
	}
	return nil
}

func (m *member) ask(ctx context.Context, path string) error {
	if _, err := m.conn.Write([]byte("GET " + path + m.conn.head + "\r\n")); err != nil {
		return err
	}
	select {
	case a := <-m.answers:
		if a.Status >= http.StatusInternalServerError {
			return fmt.Errorf("answered %d %.300s", a.Status, a.Body)
		}
		return nil
	case <-m.gone:
		return errors.New("the server has ended it")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all connections and waits until nothing of the crowd runs.
func (c *Crowd) Close() {
	c.stop()
	for _, m := range c.conns {
		c.left(m)
	}
	c.wg.Wait()
}
