// Package lane answers the few requests that make up nearly all of the load without
// net/http's machinery for each of them, and gives every other connection to
// net/http as if it had never been here.
//
// Promise: a handler sees what net/http would have shown it, and a client gets the
// same answer but for the order of its headers. The lane reads only what it is sure
// of: a GET without a body, HTTP/1.1, one Host, plain characters, within one read.
// Whatever is not exactly that goes to net/http, byte for byte (FuzzSameAsNetHTTP).
//
// Why: a handler that waits for a group commit costs net/http a goroutine, a read
// and a wake-up beside its own. docs/adr/0007-a-lane-for-scans.md has the measurement.
package lane

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a lane is told.
type Options struct {
	Handler http.Handler
	// Takes reports whether a path (without its query) is answered here. Its handler
	// must not stream, hijack, change the request's header, or keep the request after it
	// returned.
	Takes         func(path string) bool
	HeaderTimeout time.Duration // for the first request of a connection
	IdleTimeout   time.Duration // between requests, and for a client that does not read
	ConnState     func(net.Conn, http.ConnState)
	Log           *slog.Logger
}

// Lane is a listener in front of a listener: Accept gives the connections that are
// net/http's.
type Lane struct {
	Options
	ln      net.Listener
	given   chan net.Conn
	closed  chan struct{}
	closing atomic.Bool
	failed  error // of the listener; read after closed
	once    sync.Once
	running sync.WaitGroup // connections, and the accept loop

	date atomic.Pointer[date]

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
}

var _ net.Listener = (*Lane)(nil)

// New starts to accept.
func New(ln net.Listener, o Options) *Lane {
	l := &Lane{Options: o, ln: ln, given: make(chan net.Conn), closed: make(chan struct{}), conns: map[*conn]struct{}{}}
	l.running.Go(l.accept)
	return l
}

// Accept implements net.Listener.
func (l *Lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.given:
		return c, nil
	case <-l.closed:
		return nil, l.failed
	}
}

// Addr implements net.Listener.
func (l *Lane) Addr() net.Addr { return l.ln.Addr() }

// Close ends the listening; what is being answered goes on. See Shutdown.
func (l *Lane) Close() error {
	l.closing.Store(true)
	err := l.ln.Close()
	l.end(net.ErrClosed)
	return err
}

func (l *Lane) end(err error) {
	l.once.Do(func() {
		l.failed = err
		close(l.closed)
	})
}

// Shutdown ends the listening and waits until every request that was read has been
// answered; idle connections are closed.
func (l *Lane) Shutdown(ctx context.Context) error {
	err := l.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // net/http has closed it: it owns the listener too
	}
	l.mu.Lock()
	for c := range l.conns {
		c.endIdle()
	}
	l.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the last connection
		l.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
		l.mu.Lock()
		for c := range l.conns {
			_ = c.net.Close() // the time for answers is over
		}
		l.mu.Unlock()
	}
	return err
}

// accept gives every connection a loop of its own.
func (l *Lane) accept() {
	var pause time.Duration
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if temporary := net.Error(nil); errors.As(err, &temporary) && temporary.Timeout() || isExhausted(err) {
				// out of descriptors: connections that end make room
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				l.Log.Error("cannot accept connections", "error", err, "retry_in", pause)
				if !l.rest(pause) {
					return
				}
				continue
			}
			l.end(err)
			return
		}
		pause = 0
		c := &conn{lane: l, net: nc}
		l.mu.Lock()
		l.conns[c] = struct{}{}
		l.mu.Unlock()
		l.running.Go(c.serve)
	}
}

// rest waits; false = the lane was closed.
func (l *Lane) rest(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.closed:
		return false
	}
}

func (l *Lane) forget(c *conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// give hands a connection to net/http with the bytes that were read of it.
func (l *Lane) give(nc net.Conn, read []byte) {
	select {
	case l.given <- &replayed{nc, read}:
	case <-l.closed:
		_ = nc.Close() // nobody is there any more
	}
}

// date is a second in the words of HTTP.
type date struct {
	second int64
	text   string
}

// dateOf is the Date header of a moment; it is made once a second.
func (l *Lane) dateOf(now time.Time) string {
	if d := l.date.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
	l.date.Store(d)
	return d.text
}

// replayed is a connection whose first bytes were read already.
type replayed struct {
	net.Conn
	read []byte
}

// Read implements net.Conn. Only one goroutine reads at a time.
func (c *replayed) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		if c.read = c.read[n:]; len(c.read) == 0 {
			c.read = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// ReadFrom implements io.ReaderFrom: net/http lets the kernel copy files by it.
func (c *replayed) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite lets net/http say that it has no more to say.
func (c *replayed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
