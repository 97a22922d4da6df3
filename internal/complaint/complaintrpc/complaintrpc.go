// Package complaintrpc carries complaints from processes without SQL to one that has it.
package complaintrpc

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/chopmark/chopmark/internal/complaint"
	"github.com/chopmark/chopmark/internal/complaint/complaintrpc/complaintpb"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

// Filer keeps complaints.
type Filer interface {
	File(ctx context.Context, r ids.Request, ask complaint.Ask) error
}

// Server implements ComplaintService. Who calls has held the sender to his limit.
type Server struct {
	complaintpb.UnimplementedComplaintServiceServer

	filer Filer
}

var _ complaintpb.ComplaintServiceServer = (*Server)(nil)

// New makes the service.
func New(filer Filer) *Server { return &Server{filer: filer} }

// Add adds the service to a server.
func (s *Server) Add(to *grpcx.Server) { complaintpb.RegisterComplaintServiceServer(to, s) }

var errBadRequest = fault.New(fault.Invalid, "complaint.bad_request", "key and body of a request have 32 bytes")

// File implements ComplaintService.
func (s *Server) File(ctx context.Context, q *complaintpb.FileRequest) (*complaintpb.FileResponse, error) {
	var r ids.Request
	if n := len(q.GetKey()); n != 0 && (n != len(r.Key) || len(q.GetBody()) != len(r.Body)) {
		return nil, errBadRequest
	}
	copy(r.Key[:], q.GetKey())
	copy(r.Body[:], q.GetBody())
	err := s.filer.File(ctx, r, complaint.Ask{
		Code: q.GetCode(), Token: q.GetToken(), Text: q.GetText(), Place: q.GetPlace(), Photo: q.GetPhoto(),
	})
	return &complaintpb.FileResponse{}, err
}

// Client asks a process that has SQL.
type Client struct {
	rpc complaintpb.ComplaintServiceClient
}

var _ Filer = (*Client)(nil)

// NewClient asks over a connection.
func NewClient(conn grpc.ClientConnInterface) *Client {
	return &Client{complaintpb.NewComplaintServiceClient(conn)}
}

// callTimeout is for a photo on a slow line between the two.
const callTimeout = 30 * time.Second

// File implements Filer. When nobody answers, what became of it is not known: the same
// request again settles it.
func (c *Client) File(ctx context.Context, r ids.Request, ask complaint.Ask) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	q := &complaintpb.FileRequest{Code: ask.Code, Token: ask.Token, Text: ask.Text, Place: ask.Place, Photo: ask.Photo}
	if !r.IsZero() {
		q.Key, q.Body = r.Key[:], r.Body[:]
	}
	_, err := c.rpc.File(ctx, q)
	if err == nil {
		return nil
	}
	if err = grpcx.FromStatus(err); fault.KindOf(err) == fault.Internal || fault.KindOf(err) == fault.Unavailable {
		return complaint.ErrAway.Because(err)
	}
	return err
}
