package lane

import (
	"bytes"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	requestBytesMax = 4 << 10 // a longer head is net/http's
	// Setting a deadline costs as much as parsing a request, so it is moved only
	// when this much of it is gone.
	deadlineSlack = time.Second
)

// conn is one connection. Everything is reused from request to request.
type conn struct {
	lane *Lane
	net  net.Conn
	idle atomic.Bool // waits for a request

	in       []byte // what was read and not used up is in[from:to]
	from, to int
	deadline time.Time
	request  request
	answer   answer
	out      []byte
}

func (c *conn) serve() {
	l := c.lane
	given := false
	l.ConnState(c.net, http.StateNew)
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // net/http panics with this very value
			l.Log.Error("a connection's loop panicked", "panic", p, "stack", string(debug.Stack()))
		}
		l.forget(c)
		l.ConnState(c.net, http.StateClosed)
		if !given {
			_ = c.net.Close() // the client may have closed it first
		}
	}()
	c.request.init(c.net)
	c.in = make([]byte, 1<<10)
	c.extend(time.Now(), l.HeaderTimeout)
	for {
		if !c.fill() {
			return
		}
		head, ok := c.head()
		if !ok || !c.request.parse(head, l.Takes) {
			given = true
			l.forget(c)
			_ = c.net.SetDeadline(time.Time{}) // net/http sets its own
			l.give(c.net, bytes.Clone(c.in[c.from:c.to]))
			return
		}
		c.from += len(head)
		if !c.respond() {
			return
		}
	}
}

// fill waits until there is something to parse.
func (c *conn) fill() bool {
	if c.from < c.to {
		return true // the client sent requests one after another
	}
	c.from, c.to = 0, 0
	c.idle.Store(true)
	defer c.idle.Store(false)
	if c.lane.closing.Load() {
		return false
	}
	n, err := c.net.Read(c.in)
	c.to = n
	return err == nil && n > 0
}

// extend moves the deadline of what is read and written from now on.
func (c *conn) extend(now time.Time, timeout time.Duration) {
	if until := now.Add(timeout); until.Sub(c.deadline) > deadlineSlack || until.Before(c.deadline) {
		c.deadline = until
		_ = c.net.SetDeadline(until) // a dead connection shows at its next use
	}
}

// endIdle wakes a connection that waits for a request.
func (c *conn) endIdle() {
	if c.idle.Load() {
		_ = c.net.SetReadDeadline(time.Unix(1, 0)) // it ends either way
	}
}

// head gives the whole head of the next request, or reports that it is net/http's:
// longer than a read, or in pieces.
func (c *conn) head() ([]byte, bool) {
	if end := bytes.Index(c.in[c.from:c.to], endOfHead); end >= 0 {
		return c.in[c.from : c.from+end+len(endOfHead)], true
	}
	have := c.to - c.from
	if have == 0 || have >= requestBytesMax || c.to < len(c.in) {
		return nil, false
	}
	// the buffer was too small for what came in one piece
	bigger := make([]byte, requestBytesMax)
	copy(bigger, c.in[c.from:c.to])
	c.in, c.from, c.to = bigger, 0, have
	if c.in[0] != 'G' {
		return nil, false
	}
	n, err := c.net.Read(c.in[c.to:])
	if err != nil {
		return nil, false
	}
	c.to += n
	end := bytes.Index(c.in[:c.to], endOfHead)
	if end < 0 {
		return nil, false
	}
	return c.in[:end+len(endOfHead)], true
}

var endOfHead = []byte("\r\n\r\n")

// respond lets the handler answer and sends what it said.
func (c *conn) respond() bool {
	a, now := &c.answer, time.Now()
	c.extend(now, c.lane.IdleTimeout)
	a.reset()
	c.lane.Handler.ServeHTTP(a, &c.request.http)
	last := c.lane.closing.Load()
	c.out = a.append(c.out[:0], c.lane.dateOf(now), last)
	_, err := c.net.Write(c.out)
	if cap(c.out) > outKept {
		c.out = nil
	}
	return err == nil && !last
}

// outKept is up to which size a connection keeps its buffers.
const outKept = 16 << 10

// answer is the http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	body   []byte
}

var _ http.ResponseWriter = (*answer)(nil)

func (a *answer) reset() {
	if a.header == nil {
		a.header = make(http.Header, 8)
	}
	clear(a.header)
	a.status, a.body = 0, a.body[:0]
	if cap(a.body) > outKept {
		a.body = nil
	}
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, p...)
	return len(p), nil
}

// append puts the whole answer together.
func (a *answer) append(b []byte, date string, last bool) []byte {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(append(b, ' '), http.StatusText(a.status)...)
	b = append(b, "\r\n"...)
	for name, values := range a.header {
		if name == "Content-Length" || name == "Date" || name == "Connection" {
			continue // ours to say
		}
		for _, v := range values {
			b = append(append(b, name...), ": "...)
			b = append(appendValue(b, v), "\r\n"...)
		}
	}
	b = append(b, "Date: "...)
	b = append(append(b, date...), "\r\n"...)
	if last {
		b = append(b, "Connection: close\r\n"...)
	}
	if a.status == http.StatusNoContent || a.status == http.StatusNotModified {
		return append(b, "\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(a.body)), 10), "\r\n\r\n"...)
	return append(b, a.body...)
}

// appendValue writes a header's value as net/http does: a line cannot end in it.
func appendValue(b []byte, v string) []byte {
	for i := range len(v) {
		if c := v[i]; c == '\r' || c == '\n' {
			b = append(b, ' ')
		} else {
			b = append(b, c)
		}
	}
	return b
}
