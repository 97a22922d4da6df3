// Package resolverpc carries links to processes without SQL.
package resolverpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/resolve"
	"github.com/chopmark/chopmark/internal/resolve/resolverpc/linkspb"
)

// Source is what the server gives from.
type Source interface {
	Changes(ctx context.Context, after int64, limit int) ([]resolve.Record, error)
	Head(ctx context.Context) (int64, error)
}

// Server implements LinksService.
type Server struct {
	linkspb.UnimplementedLinksServiceServer

	source Source
}

var _ linkspb.LinksServiceServer = (*Server)(nil)

// New makes the service.
func New(source Source) *Server { return &Server{source: source} }

// Add adds the service to a server.
func (s *Server) Add(to *grpcx.Server) { linkspb.RegisterLinksServiceServer(to, s) }

const pageRecords = 200

// Changes implements LinksService.
func (s *Server) Changes(ctx context.Context, q *linkspb.ChangesRequest) (*linkspb.ChangesResponse, error) {
	page, err := s.source.Changes(ctx, q.GetAfter(), pageRecords)
	if err != nil {
		return nil, err
	}
	head, err := s.source.Head(ctx)
	if err != nil {
		return nil, err
	}
	out := &linkspb.ChangesResponse{More: len(page) == pageRecords, Head: head}
	for i := range page {
		r := &page[i]
		out.Records = append(out.Records, &linkspb.Record{
			Name: r.Name, BrandId: int32(r.BrandID), Body: r.Body, Version: r.Version, ChangedMicros: r.ChangedAt.UnixMicro(),
		})
	}
	return out, nil
}

// Client asks a process that has SQL.
type Client struct{ rpc linkspb.LinksServiceClient }

// NewClient asks over a connection.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{linkspb.NewLinksServiceClient(conn)}
}

const callTimeout = 5 * time.Second

// Page is what came of a question.
type Page struct {
	Records []resolve.Record
	More    bool
	Head    int64 // below what was asked from: the other side's past is another one
}

// Changes asks for records above a version.
func (c *Client) Changes(ctx context.Context, after int64) (Page, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.rpc.Changes(ctx, &linkspb.ChangesRequest{After: after})
	if err != nil {
		return Page{}, fmt.Errorf("ask for links: %w", grpcx.FromStatus(err))
	}
	p := Page{More: r.GetMore(), Head: r.GetHead()}
	for _, one := range r.GetRecords() {
		p.Records = append(p.Records, resolve.Record{
			Name: one.GetName(), BrandID: ids.BrandID(one.GetBrandId()), Body: one.GetBody(), Version: one.GetVersion(),
			ChangedAt: time.UnixMicro(one.GetChangedMicros()).UTC(),
		})
	}
	return p, nil
}
