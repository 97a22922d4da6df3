package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Transport opens connections.
type Transport interface {
	Dial(ctx context.Context) (Conn, error)
}

// Conn sends GET requests that accept JSON, one at a time.
type Conn interface {
	// Do sends a request and fills the answer. After an error the connection must
	// not be used again; errClosing means that nothing was sent. The context that it
	// was dialed with ends it too.
	Do(ctx context.Context, path []byte, a *Answer) error
	Close() error
}

var (
	_ Transport = (*http1)(nil)
	_ Transport = (*http2)(nil)
)

const (
	requestMax = 10 * time.Second // no answer by then is none
	bodyMax    = 1 << 20
	linesMax   = 100
)

// NewTransport speaks to the server at base, http://host[:port] or https.
func NewTransport(base string, useHTTP2 bool) (Transport, error) {
	return newTransport(base, useHTTP2, false)
}

// NewForwarded is as NewTransport, but each request claims to come from addresses
// drawn at random. A server believes that of a proxy that it trusts, and of us not.
func NewForwarded(base string, useHTTP2 bool) (Transport, error) {
	return newTransport(base, useHTTP2, true)
}

func newTransport(base string, useHTTP2, forwarded bool) (Transport, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is not an address such as http://127.0.0.1:8080", base)
	}
	if useHTTP2 {
		return &http2{base: u.Scheme + "://" + u.Host, forwarded: forwarded}, nil
	}
	t := &http1{host: u.Host, address: u.Host, forwarded: forwarded}
	if u.Scheme == "https" {
		t.tls = &tls.Config{ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), u.Scheme)
	}
	return t, nil
}

// http1 speaks HTTP/1.1 by hand over a connection each: a client that costs little.
type http1 struct {
	host, address string
	tls           *tls.Config // nil = cleartext
	forwarded     bool
}

// Dial implements Transport.
func (t *http1) Dial(ctx context.Context) (Conn, error) {
	dialer := &net.Dialer{Timeout: requestMax}
	dial := dialer.DialContext
	if t.tls != nil {
		dial = (&tls.Dialer{NetDialer: dialer, Config: t.tls}).DialContext
	}
	conn, err := dial(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	c := &http1Conn{Conn: conn, in: bufio.NewReaderSize(conn, 8<<10), forwarded: t.forwarded,
		head: " HTTP/1.1\r\nHost: " + t.host + "\r\nAccept: application/json\r\n"}
	c.forget = context.AfterFunc(ctx, func() { _ = conn.Close() }) // unblocks a read
	return c, nil
}

type http1Conn struct {
	net.Conn
	in        *bufio.Reader
	head      string // what follows the path
	forwarded bool
	out       []byte
	body      []byte
	closed    bool // the server said that this was its last answer
	forget    func() bool
}

// Close implements Conn.
func (c *http1Conn) Close() error {
	c.forget()
	return c.Conn.Close()
}

var errClosing = errors.New("the server closed the connection with its answer before")

// Do implements Conn.
func (c *http1Conn) Do(_ context.Context, path []byte, a *Answer) error {
	if c.closed {
		return errClosing
	}
	if err := c.SetDeadline(time.Now().Add(requestMax)); err != nil {
		return err
	}
	c.out = append(append(append(c.out[:0], "GET "...), path...), c.head...)
	if c.forwarded {
		c.out = appendForwarded(c.out)
	}
	c.out = append(c.out, "\r\n"...)
	if _, err := c.Write(c.out); err != nil {
		return err
	}
	return c.read(a)
}

// read takes the answer to a request that was sent.
func (c *http1Conn) read(a *Answer) error {
	length, err := c.readHead(a)
	if err != nil {
		return err
	}
	if length < 0 { // what net/http refuses by itself it ends with the connection
		a.Body, err = io.ReadAll(io.LimitReader(c.in, bodyMax))
		return err
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	a.Body = c.body[:length]
	_, err = io.ReadFull(c.in, a.Body)
	return err
}

// readHead gives the body's length, -1 when it goes to the connection's end.
func (c *http1Conn) readHead(a *Answer) (length int, _ error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("not an HTTP/1.1 answer: %.40q", line)
	}
	if a.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("not a status: %.40q", line)
	}
	length, a.RetryAfter = -1, false
	for range linesMax {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) <= 2 && length < 0 && !c.closed:
			return 0, errors.New("an answer without Content-Length")
		case len(line) <= 2:
			return length, nil
		case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil || length < 0 || length > bodyMax {
				return 0, fmt.Errorf("not a length: %.40q", line)
			}
		case len(name) == len("Connection") && bytes.EqualFold(name, []byte("Connection")):
			c.closed = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		case len(name) == len("Retry-After") && bytes.EqualFold(name, []byte("Retry-After")):
			a.RetryAfter = true
		}
	}
	return 0, fmt.Errorf("an answer with more than %d header lines", linesMax)
}

// streamsPerConn is how many of our connections are streams of one TCP connection.
const streamsPerConn = 16

// http2 carries several connections of ours as streams of one, as browsers do.
type http2 struct {
	base      string
	forwarded bool
	mu        sync.Mutex
	last      *http.Transport // guarded by mu
	taken     int             // streams of last; guarded by mu
}

// Dial implements Transport. The TCP connection opens with the first request.
func (t *http2) Dial(context.Context) (Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || t.taken == streamsPerConn {
		var protocols http.Protocols
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
		t.last, t.taken = &http.Transport{Protocols: &protocols, DisableCompression: true}, 0
	}
	t.taken++
	return &http2Conn{base: t.base, forwarded: t.forwarded, transport: t.last}, nil
}

type http2Conn struct {
	base      string
	forwarded bool
	transport *http.Transport
	body      bytes.Buffer
}

// Do implements Conn.
func (c *http2Conn) Do(ctx context.Context, path []byte, a *Answer) error {
	ctx, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+string(path), http.NoBody)
	if err != nil {
		return err
	}
	r.Header["Accept"] = []string{"application/json"}
	if c.forwarded {
		for _, h := range forwarded() {
			r.Header.Set(h[0], h[1])
		}
	}
	resp, err := c.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		return fmt.Errorf("the server answered with %s", resp.Proto)
	}
	c.body.Reset()
	n, err := c.body.ReadFrom(io.LimitReader(resp.Body, bodyMax+1))
	if err != nil {
		return err
	}
	if n > bodyMax {
		return fmt.Errorf("a body of more than %d bytes", bodyMax)
	}
	a.Status, a.RetryAfter, a.Body = resp.StatusCode, resp.Header.Get("Retry-After") != "", c.body.Bytes()
	return nil
}

// Close implements Conn. Streams of the same connection that are still in use stay.
func (c *http2Conn) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}
