// Package feed carries what a process without SQL needs between roles: the feed of
// changes, a projection to begin with, the keys, and tries of inner codes.
//
// Promise: a projection at the other end is, when AsOf says so, at least as new as
// everything committed before that moment; no two clocks are compared for it, since
// the moment is the follower's own (TestFollow). A try that is asked again counts
// once (TestTryInnerIsAskedAgain).
package feed

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/feed/feedpb"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

// Deps are what the service works with.
type Deps struct {
	Source  batch.Source
	Catalog batch.Catalog
	Proj    *batch.Projection // of this process: tells when to look
	// Snapshot makes a copy of the projection's local half in a directory below Dir
	// that does not exist yet.
	Snapshot func(dir string) error
	Dir      string
	Keys     func() ([]byte, error) // what verifies, encoded
	// TryInner counts a try once for each request.
	TryInner func(ctx context.Context, r ids.Request, s ids.Serial, right bool) (batch.InnerRecord, error)
	// Tally tells what is known for good of an item's scans; nil = this process shares
	// no counts.
	Tally func(ctx context.Context, s ids.Serial) (t Tally, known bool, _ error)
}

// Tally is what an item's scans add up to.
type Tally struct {
	Count, Sessions int64
	FirstAt, LastAt int64     // microseconds
	FirstIn, LastIn [3]string // country, province, city
}

// Server implements FeedService.
type Server struct {
	feedpb.UnimplementedFeedServiceServer
	Deps

	copying chan struct{} // a place for each snapshot that is being sent
}

var _ feedpb.FeedServiceServer = (*Server)(nil)

// The limits of what is sent.
const (
	// MessageBytesMax is of one message between roles: a change of very many scattered
	// items is one.
	MessageBytesMax = 256 << 20
	pageBytes       = 1 << 20
	pageEntries     = 500
	pieceBytes      = 256 << 10
	labelsPage      = 500
	snapshotsMax    = 4
	// passEvery is how often a stream looks at most: what comes between goes together.
	passEvery = 20 * time.Millisecond
)

// What a caller may be told.
var (
	ErrAhead = fault.New(fault.Conflict, "feed.ahead",
		"the caller knows more than the database, which was restored from an older backup: it must begin anew")
	errPositions = fault.Field("feed.bad_positions", "positions", "must be one for each shard")
	errBusy      = fault.New(fault.Limited, "feed.busy", "too many snapshots are being sent; try again").After(5 * time.Second)
	errRequest   = fault.Field("feed.bad_request", "request", "must be 16 to 64 bytes")
)

// New makes the service. Copies that an earlier process left in Dir are removed.
func New(d Deps) (*Server, error) {
	if err := errors.Join(os.RemoveAll(d.Dir), os.MkdirAll(d.Dir, 0o700)); err != nil {
		return nil, fmt.Errorf("make room for snapshots: %w", err)
	}
	return &Server{Deps: d, copying: make(chan struct{}, snapshotsMax)}, nil
}

// Add adds the service to a server.
func (s *Server) Add(to *grpcx.Server) { feedpb.RegisterFeedServiceServer(to, s) }

// Keys implements FeedService.
func (s *Server) Keys(context.Context, *feedpb.KeysRequest) (*feedpb.KeysResponse, error) {
	raw, err := s.Deps.Keys()
	return &feedpb.KeysResponse{Keyset: raw}, err
}

// TryInner implements FeedService.
func (s *Server) TryInner(ctx context.Context, q *feedpb.TryInnerRequest) (*feedpb.TryInnerResponse, error) {
	if n := len(q.GetRequest()); n < 16 || n > 64 {
		return nil, errRequest
	}
	caller, _ := grpcx.Caller(ctx)
	r := ids.Request{
		Key:  sha256.Sum256(fmt.Appendf(nil, "inner\x00%s\x00%s", caller.Name, q.GetRequest())),
		Body: sha256.Sum256(fmt.Appendf(nil, "%d %v", q.GetSerial(), q.GetRight())),
	}
	rec, err := s.Deps.TryInner(ctx, r, ids.Serial(q.GetSerial()), q.GetRight())
	if err != nil {
		return nil, err
	}
	return &feedpb.TryInnerResponse{Tries: int32(rec.Tries), FirstMicros: micros(rec.FirstAt), Locked: rec.Locked}, nil
}

// Tally implements FeedService.
func (s *Server) Tally(ctx context.Context, q *feedpb.TallyRequest) (*feedpb.TallyResponse, error) {
	if s.Deps.Tally == nil {
		return nil, errNoTally
	}
	t, known, err := s.Deps.Tally(ctx, ids.Serial(q.GetSerial()))
	if err != nil {
		return nil, err
	}
	place := func(p [3]string) *feedpb.ScanPlace {
		return &feedpb.ScanPlace{Country: p[0], Province: p[1], City: p[2]}
	}
	return &feedpb.TallyResponse{
		Known: known, Count: t.Count, Sessions: t.Sessions, FirstMicros: t.FirstAt, LastMicros: t.LastAt,
		FirstIn: place(t.FirstIn), LastIn: place(t.LastIn),
	}, nil
}

var errNoTally = fault.New(fault.Unavailable, "feed.no_tally", "the process that was joined shares no counts: give it --redis too")

// Follow implements FeedService.
func (s *Server) Follow(stream feedpb.FeedService_FollowServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	f := follow{Server: s, stream: stream, labels: map[ids.ProductID]*batch.Label{}}
	if len(first.GetPositions()) != ids.Shards {
		return errPositions
	}
	copy(f.at[:], first.GetPositions())
	for shard, at := range f.at {
		head, err := s.Source.FeedHead(ctx, ids.Shard(shard))
		if err != nil {
			return fmt.Errorf("read head of shard %d: %w", shard, err)
		}
		if at > head {
			return ErrAhead
		}
		f.heads[shard] = -1 // look at every shard once
	}
	applied, stop := s.Proj.Watch()
	defer stop()
	pings := make(chan int64, 1)
	gone := make(chan error, 1)
	go func() { gone <- f.listen(pings) }() // ends with the stream
	for ping := first.GetPing(); ; {
		if err := f.pass(ctx, ping); err != nil {
			return err
		}
		select {
		case <-time.After(passEvery):
		case err := <-gone:
			return err
		}
		select {
		case ping = <-pings:
		case <-applied:
			ping = 0
		case err := <-gone:
			return err
		}
	}
}

// follow is one caller's stream.
type follow struct {
	*Server
	stream feedpb.FeedService_FollowServer
	at     [ids.Shards]int64              // the last entry that was sent
	heads  [ids.Shards]int64              // the order of commit up to which that is everything
	labels map[ids.ProductID]*batch.Label // that were read for this stream
}

// listen keeps the last ping until it is taken.
func (f *follow) listen(pings chan int64) error {
	for {
		q, err := f.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-pings: // an older one that nobody took
		default:
		}
		pings <- q.GetPing() // has room: this goroutine alone sends
	}
}

// pass sends everything that was committed before it began, then the ping back.
func (f *follow) pass(ctx context.Context, ping int64) error {
	heads, err := f.Source.FeedHeads(ctx)
	if err != nil {
		return fmt.Errorf("read heads of the feed: %w", err)
	}
	for shard := range ids.Shard(ids.Shards) {
		if heads[shard] == f.heads[shard] {
			continue
		}
		if err := f.sendShard(ctx, shard); err != nil {
			return err
		}
		f.heads[shard] = heads[shard]
	}
	if ping == 0 {
		return nil
	}
	return f.stream.Send(&feedpb.FollowResponse{Pong: ping})
}

func (f *follow) sendShard(ctx context.Context, shard ids.Shard) error {
	for {
		page, err := f.Source.Feed(ctx, shard, f.at[shard], pageEntries)
		if err != nil {
			return fmt.Errorf("read feed of shard %d: %w", shard, err)
		}
		out, bytes := &feedpb.FollowResponse{Shard: uint32(shard)}, 0
		for i := range page {
			e := &page[i]
			labels, err := f.labelsOf(ctx, e)
			if err != nil {
				return err
			}
			out.Entries = append(out.Entries, toEntry(e, labels))
			f.at[shard] = e.Seq
			if bytes += size(e) + len(labels)*labelBytes; bytes < pageBytes && i+1 < len(page) {
				continue
			}
			if err := f.stream.Send(out); err != nil {
				return err
			}
			out, bytes = &feedpb.FollowResponse{Shard: uint32(shard)}, 0
		}
		if len(page) < pageEntries {
			return nil
		}
	}
}

const (
	labelsKept = 10_000 // bounds what a stream remembers
	labelBytes = 256    // about what one takes
)

// labelsOf are what consumers read of the products that an entry is about.
func (f *follow) labelsOf(ctx context.Context, e *batch.Entry) ([]*batch.Label, error) {
	switch {
	case e.Kind == batch.BatchCreated:
		l, err := f.label(ctx, e.Batch.ProductID)
		return []*batch.Label{l}, err
	case e.Kind != batch.TextsChanged:
		return nil, nil
	}
	clear(f.labels)
	if e.Texts.ProductID != 0 {
		l, err := f.label(ctx, e.Texts.ProductID)
		return []*batch.Label{l}, err
	}
	b, err := f.Catalog.Brand(ctx, e.Texts.BrandID)
	if err != nil {
		return nil, fmt.Errorf("read brand %d: %w", e.Texts.BrandID, err)
	}
	var all []*batch.Label
	for after := ids.ProductID(0); ; after = all[len(all)-1].Product {
		page, err := f.Catalog.Products(ctx, b.ID, after, labelsPage)
		if err != nil {
			return nil, fmt.Errorf("read products of brand %d: %w", b.ID, err)
		}
		for i := range page {
			all = append(all, labelOf(&page[i], b.Name))
		}
		if len(page) < labelsPage {
			return all, nil
		}
	}
}

// label reads one product's, if this stream did not.
func (f *follow) label(ctx context.Context, id ids.ProductID) (*batch.Label, error) {
	if l, ok := f.labels[id]; ok {
		return l, nil
	}
	p, err := f.Catalog.Product(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read product %d: %w", id, err)
	}
	b, err := f.Catalog.Brand(ctx, p.BrandID)
	if err != nil {
		return nil, fmt.Errorf("read brand %d: %w", p.BrandID, err)
	}
	if len(f.labels) >= labelsKept {
		clear(f.labels)
	}
	f.labels[id] = labelOf(&p, b.Name)
	return f.labels[id], nil
}

func labelOf(p *batch.Product, brand string) *batch.Label {
	return &batch.Label{Product: p.ID, Name: p.Name, BrandID: p.BrandID, Brand: brand, Help: p.Help, GTIN: p.GTIN}
}

// Snapshot implements FeedService.
func (s *Server) Snapshot(_ *feedpb.SnapshotRequest, stream feedpb.FeedService_SnapshotServer) error {
	select {
	case s.copying <- struct{}{}:
		defer func() { <-s.copying }()
	default:
		return errBusy
	}
	if err := s.Proj.Checkpoint(); err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, ids.New("copy"))
	defer os.RemoveAll(dir) //nolint:errcheck // the next start removes what is left
	if err := s.Deps.Snapshot(dir); err != nil {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return sendFile(stream, path, d.Name())
	})
	if err == nil {
		err = s.sendLabels(stream)
	}
	if err != nil {
		return fmt.Errorf("send a snapshot: %w", err)
	}
	return stream.Send(&feedpb.SnapshotResponse{Done: true})
}

func sendFile(stream feedpb.FeedService_SnapshotServer, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	piece := make([]byte, pieceBytes)
	for {
		n, err := io.ReadFull(f, piece)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return err
		}
		if err := stream.Send(&feedpb.SnapshotResponse{File: name, Data: piece[:n]}); err != nil || last {
			return err
		}
	}
}

// sendLabels sends those of all products there are. A batch of a later one brings its own.
func (s *Server) sendLabels(stream feedpb.FeedService_SnapshotServer) error {
	ctx, brands := stream.Context(), map[ids.BrandID]string{}
	for after := ids.ProductID(0); ; {
		page, err := s.Catalog.Products(ctx, 0, after, labelsPage)
		if err != nil {
			return err
		}
		out := &feedpb.SnapshotResponse{}
		for i := range page {
			p := &page[i]
			name, ok := brands[p.BrandID]
			if !ok {
				b, err := s.Catalog.Brand(ctx, p.BrandID)
				if err != nil {
					return err
				}
				name = b.Name
				brands[p.BrandID] = name
			}
			out.Labels = append(out.Labels, toLabel(labelOf(p, name)))
			after = p.ID
		}
		if err := stream.Send(out); err != nil || len(page) < labelsPage {
			return err
		}
	}
}
