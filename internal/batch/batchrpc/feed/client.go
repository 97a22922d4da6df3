package feed

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed/feedpb"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

// Client asks a process that has SQL.
type Client struct {
	conn  *grpc.ClientConn
	rpc   feedpb.FeedServiceClient
	clock clock.Clock
}

// The deadlines and the pace of a client.
const (
	callTimeout    = 5 * time.Second
	tryTimeout     = time.Second
	tryTimes       = 3
	pingEvery      = 500 * time.Millisecond
	silenceMax     = 5 * time.Second // a stream without a pong for so long is given up
	keepaliveEvery = 10 * time.Second
	connectTimeout = 3 * time.Second
)

// Dial names the other side, https://host:port. It does not wait for it.
func Dial(join string, creds credentials.TransportCredentials, c clock.Clock, more ...grpc.DialOption) (*Client, error) {
	u, err := url.Parse(join)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Port() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return nil, fault.Field("usage", "join", "must be https://host:port of a process with --role-listen")
	}
	conn, err := grpc.NewClient("dns:///"+u.Host, append(more,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MessageBytesMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveEvery, Timeout: silenceMax, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: connectTimeout,
		}))...)
	if err != nil {
		return nil, fmt.Errorf("--join: %w", err)
	}
	return &Client{conn, feedpb.NewFeedServiceClient(conn), c}, nil
}

// Conn is the connection, for what else is asked of the other side.
func (c *Client) Conn() grpc.ClientConnInterface { return c.conn }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Keys asks for the keys that verify, encoded.
func (c *Client) Keys(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.Keys(ctx, &feedpb.KeysRequest{})
	return r.GetKeyset(), grpcx.FromStatus(err)
}

// TryInner counts a try of an inner code. One whose answer is lost is asked again
// under the same name; an error means that it is not known whether it counted.
func (c *Client) TryInner(ctx context.Context, s ids.Serial, right bool) (batch.InnerRecord, error) {
	q := &feedpb.TryInnerRequest{Request: make([]byte, 16), Serial: uint64(s), Right: right}
	rand.Read(q.Request) // never fails: crypto/rand ends the process first
	var err error
	for range tryTimes {
		var r *feedpb.TryInnerResponse
		if r, err = c.tryInner(ctx, q); err == nil {
			return batch.InnerRecord{Tries: int(r.GetTries()), FirstAt: moment(r.GetFirstMicros()), Locked: r.GetLocked()}, nil
		}
		if ctx.Err() != nil || fault.KindOf(err) != fault.Unavailable && !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return batch.InnerRecord{}, err
}

func (c *Client) tryInner(ctx context.Context, q *feedpb.TryInnerRequest) (*feedpb.TryInnerResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	r, err := c.rpc.TryInner(ctx, q)
	return r, grpcx.FromStatus(err)
}

// Tally asks what is known for good of an item's scans. Who asks waits for it while a
// consumer waits for an answer, so ctx should be short.
func (c *Client) Tally(ctx context.Context, s ids.Serial) (t Tally, known bool, _ error) {
	r, err := c.rpc.Tally(ctx, &feedpb.TallyRequest{Serial: uint64(s)})
	if err != nil {
		return t, false, grpcx.FromStatus(err)
	}
	place := func(p *feedpb.ScanPlace) [3]string { return [3]string{p.GetCountry(), p.GetProvince(), p.GetCity()} }
	return Tally{
		Count: r.GetCount(), Sessions: r.GetSessions(), FirstAt: r.GetFirstMicros(), LastAt: r.GetLastMicros(),
		FirstIn: place(r.GetFirstIn()), LastIn: place(r.GetLastIn()),
	}, r.GetKnown(), nil
}

// Sink takes a snapshot: first every file, then labels.
type Sink interface {
	File(name string) (io.WriteCloser, error)
	PutLabels([]batch.Label) error
}

var errCutShort = fault.New(fault.Unavailable, "feed.cut_short", "the snapshot ended before it was whole")

// Snapshot brings a copy of the other side's projection. Without an error it is whole.
func (c *Client) Snapshot(ctx context.Context, to Sink) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.rpc.Snapshot(ctx, &feedpb.SnapshotRequest{})
	if err != nil {
		return grpcx.FromStatus(err)
	}
	var name string
	var file io.WriteCloser
	closeFile := func() error {
		if file == nil {
			return nil
		}
		f := file
		file = nil
		return f.Close()
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = errCutShort
		}
		if err != nil {
			return errors.Join(grpcx.FromStatus(err), closeFile())
		}
		switch {
		case m.GetDone():
			return closeFile()
		case m.GetFile() == "":
			labels := make([]batch.Label, len(m.GetLabels()))
			for i, l := range m.GetLabels() {
				labels[i] = fromLabel(l)
			}
			err = errors.Join(closeFile(), to.PutLabels(labels))
		case m.GetFile() != name || file == nil:
			if err = closeFile(); err == nil {
				name = m.GetFile()
				file, err = to.File(name)
			}
			fallthrough
		default:
			if err == nil {
				_, err = file.Write(m.GetData())
			}
		}
		if err != nil {
			return errors.Join(err, closeFile())
		}
	}
}

// Labels keeps what consumers read of products.
type Labels interface {
	PutLabels([]batch.Label) error
}

// Follow feeds a projection until ctx ends or the stream breaks, and says why. What
// consumers read of a product is kept before the entry that it came with is known.
func (c *Client) Follow(ctx context.Context, p *batch.Projection, labels Labels) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.rpc.Follow(ctx)
	if err != nil {
		return grpcx.FromStatus(err)
	}
	first := &feedpb.FollowRequest{Ping: c.clock.Now().UnixMicro()}
	for shard := range ids.Shard(ids.Shards) {
		first.Positions = append(first.Positions, p.Position(shard))
	}
	if err := stream.Send(first); err != nil {
		return follower(ctx, stream, err)
	}
	var heard atomic.Int64
	pinged := make(chan struct{})
	go func() { defer close(pinged); c.ping(ctx, cancel, stream, &heard) }()
	defer func() { cancel(nil); <-pinged }()
	for {
		m, err := stream.Recv()
		if err != nil {
			return follower(ctx, stream, err)
		}
		heard.Add(1)
		if err := take(m, p, labels); err != nil {
			return err
		}
	}
}

// ErrSilent says that the other side went silent.
var errSilent = fault.New(fault.Unavailable, "feed.silent", "the other side has been silent for %s", silenceMax)

// ping asks every now and then, and gives up a stream that went silent.
func (c *Client) ping(ctx context.Context, cancel context.CancelCauseFunc, stream feedpb.FeedService_FollowClient, heard *atomic.Int64) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	last, since := heard.Load(), time.Duration(0)
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := heard.Load(); now != last {
			last, since = now, 0
		} else if since += pingEvery; since >= silenceMax {
			cancel(errSilent)
			return
		}
		if stream.Send(&feedpb.FollowRequest{Ping: c.clock.Now().UnixMicro()}) != nil {
			return // Recv tells why
		}
	}
}

// follower is why a stream ended, in our words.
func follower(ctx context.Context, stream feedpb.FeedService_FollowClient, err error) error {
	if errors.Is(err, io.EOF) { // of Send: the reason is Recv's
		if _, reason := stream.Recv(); reason != nil {
			err = reason
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	return grpcx.FromStatus(err)
}

// take applies one message.
func take(m *feedpb.FollowResponse, p *batch.Projection, labels Labels) error {
	if m.GetShard() >= ids.Shards {
		return errDamaged
	}
	entries := make([]batch.Entry, len(m.GetEntries()))
	var news []batch.Label
	for i, raw := range m.GetEntries() {
		e, labels, err := fromEntry(raw)
		if err != nil {
			return err
		}
		entries[i], news = e, append(news, labels...)
	}
	if len(news) > 0 {
		if err := labels.PutLabels(news); err != nil {
			return err
		}
	}
	if err := p.Apply(ids.Shard(m.GetShard()), entries); err != nil {
		return err
	}
	if pong := m.GetPong(); pong != 0 {
		p.Heard(moment(pong))
	}
	return nil
}
