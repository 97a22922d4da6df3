// Package sourcerpc asks systems by gRPC, as proto/source/source.proto says.
//
// Promise: it makes connections to as many addresses as it remembers, and forgets the one
// that was asked longest ago (TestConnectionsAreBounded).
package sourcerpc

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourcerpc/sourcepb"
)

const (
	answerMax = 256 << 10
	headerMax = 16 << 10
	connsMax  = 64

	connectMax = 5 * time.Second
	backoffMax = 5 * time.Second
)

// soon is when a system that was away is looked for again: the breaker is what spares it.
func soon() backoff.Config {
	c := backoff.DefaultConfig
	c.MaxDelay = backoffMax
	return c
}

// Client asks systems. Close ends its connections.
type Client struct {
	dialer *egress.Dialer
	max    int

	mu    sync.Mutex
	order list.List                // guarded by mu: of *conn, the one that was asked last in front
	conns map[string]*list.Element // guarded by mu: by scheme and host
}

type conn struct {
	to string
	*grpc.ClientConn
	users int  // guarded by the client's mu
	gone  bool // guarded by the client's mu: the last user closes it
}

var _ source.Asker = (*Client)(nil)

// NewClient makes a client.
func NewClient(d *egress.Dialer) *Client {
	return &Client{dialer: d, max: connsMax, conns: map[string]*list.Element{}}
}

// Close ends all connections.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, e := range c.conns {
		errs = append(errs, of(e).Close())
	}
	clear(c.conns)
	c.order.Init()
	return errors.Join(errs...)
}

func of(e *list.Element) *conn {
	one, ok := e.Value.(*conn)
	if !ok {
		panic("sourcerpc: the list has connections only")
	}
	return one
}

// take gives the connection to an address, until give.
func (c *Client) take(u *url.URL) (*conn, error) {
	to := u.Scheme + "://" + u.Host
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.conns[to]; e != nil {
		c.order.MoveToFront(e)
		of(e).users++
		return of(e), nil
	}
	safe := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()})
	if u.Scheme == "grpc" {
		safe = insecure.NewCredentials()
	}
	cc, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(safe), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("chopmark"), grpc.WithMaxHeaderListSize(headerMax), grpc.WithDisableRetry(),
		grpc.WithContextDialer(c.dial), grpc.WithConnectParams(grpc.ConnectParams{Backoff: soon(), MinConnectTimeout: connectMax}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(answerMax)))
	if err != nil {
		return nil, source.ErrNoAnswer.Because(err)
	}
	one := &conn{to: to, ClientConn: cc, users: 1}
	c.conns[to] = c.order.PushFront(one)
	if c.order.Len() > c.max {
		c.forget(c.order.Back())
	}
	return one, nil
}

// forget drops a connection; the caller holds mu.
func (c *Client) forget(e *list.Element) {
	one := of(e)
	c.order.Remove(e)
	delete(c.conns, one.to)
	if one.gone = true; one.users == 0 {
		_ = one.Close() // nobody asks there any more
	}
}

func (c *Client) give(one *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.users--; one.gone && one.users == 0 {
		_ = one.Close()
	}
}

// Ask implements source.Asker. Its errors do not quote the address.
func (c *Client) Ask(ctx context.Context, address, token string, q source.Ask) (source.Answer, error) {
	u, err := url.Parse(address)
	if err != nil {
		return source.Answer{}, source.ErrNoAnswer.Textf("its address is none")
	}
	to, err := c.take(u)
	if err != nil {
		return source.Answer{}, err
	}
	defer c.give(to)
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	a, err := sourcepb.NewTraceSourceServiceClient(to).Ask(ctx, &sourcepb.AskRequest{
		Code: q.Code, BrandId: int32(q.Brand), BatchNo: q.BatchNo, ProductId: int32(q.Product),
	})
	if err != nil {
		return source.Answer{}, failure(err)
	}
	out := source.Answer{Code: a.GetCode()}
	for _, p := range a.GetParts() {
		part := source.Part{Stage: p.GetStage(), Location: p.GetLocation(), Details: p.GetDetails().AsMap()}
		if at := p.GetTime(); at.IsValid() {
			part.Time = at.AsTime()
		}
		out.Parts = append(out.Parts, part)
	}
	return out, nil
}

func failure(err error) error {
	st := status.Convert(err)
	switch st.Code() {
	case codes.ResourceExhausted, codes.Internal:
		return source.ErrWrong.Textf("it answers %s: its answer may have %d bytes", st.Code(), answerMax)
	case codes.Unavailable:
		if strings.Contains(st.Message(), egress.ErrRefused.Error()) {
			return source.ErrAddress
		}
		return source.ErrNoAnswer.Because(err)
	}
	return source.ErrNoAnswer.Textf("it answers %s", st.Code())
}

func (c *Client) dial(ctx context.Context, address string) (net.Conn, error) {
	return c.dialer.DialContext(ctx, "tcp", address)
}
