// Package h2 serves HTTP/2 as net/http does, and ends connections that keep the server busy
// for nobody.
//
// Promise: a client that takes back nearly all that it asks, or sends frames that ask for
// nothing, is told ENHANCE_YOUR_CALM after some two hundred of them (TestRapidReset), however
// fast the server is with each; net/http waits until its handlers fall behind, which is some
// fifty thousand later. Who reads pages, uploads, downloads, and leaves half of it early is
// never ended (TestOrdinary).
package h2

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// What a connection may send beside what it asks for: half of it may be taken back, and as many
// other frames may come as it asks for (a Go client sends a ping with each reset).
const (
	freeFrames      = 100 // at once: a browser takes back a whole page that it leaves
	freePerSecond   = 10
	bytesPerUpdate  = 1 << 10 // of answers, for which a client tells its window once
	prefaceBytes    = len(http2.ClientPreface)
	headBytes       = 9
	resetBytes      = headBytes + 4
	unencryptedName = "unencrypted_http2" // net/http's, for connections without TLS
)

// Configure makes s serve HTTP/2, as its Protocols and HTTP2 say. ended is told who a
// connection was ended for.
func Configure(s *http.Server, c clock.Clock, ended func(from net.Addr)) error {
	conf := &http2.Server{}                                //nolint:staticcheck // net/http's own takes no connection of ours
	if err := http2.ConfigureServer(s, conf); err != nil { //nolint:staticcheck // as above
		return fmt.Errorf("configure HTTP/2: %w", err)
	}
	serve := func(hs *http.Server, nc net.Conn, h http.Handler, prefaced bool) {
		o := &http2.ServeConnOpts{BaseConfig: hs, Handler: h, SawClientPreface: prefaced} //nolint:staticcheck // as above
		if of, ok := h.(interface{ BaseContext() context.Context }); ok {
			o.Context = of.BaseContext()
		}
		conf.ServeConn(nc, o) //nolint:staticcheck // as above
	}
	s.TLSNextProto[http2.NextProtoTLS] = func(hs *http.Server, nc *tls.Conn, h http.Handler) {
		serve(hs, &secureConn{conn{Conn: nc, clock: c, start: c.Now(), in: frames{skip: prefaceBytes}, ended: ended}, nc.ConnectionState}, h, false)
	}
	s.TLSNextProto[unencryptedName] = func(hs *http.Server, nc *tls.Conn, h http.Handler) {
		of, ok := nc.NetConn().(interface{ UnencryptedNetConn() net.Conn })
		if !ok { // net/http says how it passes them on
			_ = nc.NetConn().Close()
			return
		}
		serve(hs, &conn{Conn: of.UnencryptedNetConn(), clock: c, start: c.Now(), ended: ended}, h, true)
	}
	return nil
}

// conn counts the frames that come in, and what is taken back on either side.
type conn struct {
	net.Conn

	clock   clock.Clock
	start   time.Time
	ended   func(net.Addr)
	in, out frames // Read alone uses one, Write alone the other
	asks    int    // HEADERS that came
	idle    int    // frames that came and ask for nothing, but for resets
	resets  atomic.Int64
	written atomic.Int64
}

// secureConn is one over TLS: x/net asks for its state.
type secureConn struct {
	conn

	state func() tls.ConnectionState
}

// ConnectionState implements what http2 looks for.
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.state() }

// Write implements net.Conn. What a client asks and breaks is taken back by the server: that is
// the same work for nobody. A body that nobody reads is taken back without an error.
func (c *conn) Write(b []byte) (int, error) {
	c.out.each(b, func(f frame) bool {
		if f.kind == http2.FrameRSTStream && f.code != http2.ErrCodeNo {
			c.resets.Add(1)
		}
		return true
	})
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// Read implements net.Conn. Its error is one that http2 tells the client.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && !c.in.each(b[:n], c.judge) {
		c.ended(c.RemoteAddr())
		return 0, http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return n, err
}

// judge counts a frame that came; false = it is enough.
func (c *conn) judge(f frame) bool {
	switch f.kind {
	case http2.FrameHeaders:
		c.asks++
	case http2.FrameContinuation: // http2 bounds headers
	case http2.FrameRSTStream:
		c.resets.Add(1)
	case http2.FrameData:
		if f.size == 0 && !f.flags.Has(http2.FlagDataEndStream) {
			c.idle++
		}
	default: // pings, settings, priorities, windows and what nobody knows
		c.idle++
	}
	more := max(int(c.resets.Load())-c.asks/2, c.idle-c.asks-int(c.written.Load()/bytesPerUpdate)) - freeFrames
	return more <= 0 || more <= int(c.clock.Now().Sub(c.start)/time.Second)*freePerSecond
}

// frames finds the frames of one direction.
type frames struct {
	skip int              // bytes until the next one
	head [resetBytes]byte // of the frame; of a reset all of it
	have int              // of head
}

// frame is what is known of one.
type frame struct {
	kind  http2.FrameType
	flags http2.Flags
	size  int           // of what follows its head
	code  http2.ErrCode // of a reset
}

// each tells of every frame whose head ends in b, until tell has enough.
func (f *frames) each(b []byte, tell func(frame) bool) bool {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, len(b))
			b, f.skip = b[n:], f.skip-n
			continue
		}
		want := headBytes
		if f.have >= headBytes {
			want = resetBytes
		}
		n := copy(f.head[f.have:want], b)
		b, f.have = b[n:], f.have+n
		if f.have < want {
			return true
		}
		one := frame{kind: http2.FrameType(f.head[3]), flags: http2.Flags(f.head[4]), size: int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])}
		if one.kind == http2.FrameRSTStream && one.size == resetBytes-headBytes {
			if want == headBytes {
				continue
			}
			one.code = http2.ErrCode(binary.BigEndian.Uint32(f.head[headBytes:]))
		}
		f.have, f.skip = 0, one.size-(want-headBytes)
		if !tell(one) {
			return false
		}
	}
	return true
}
