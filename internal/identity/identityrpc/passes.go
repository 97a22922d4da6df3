package identityrpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identityrpc/peoplepb"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

// PassesServer implements PassesService.
type PassesServer struct {
	peoplepb.UnimplementedPassesServiceServer

	passes *identity.Passes
}

var _ peoplepb.PassesServiceServer = (*PassesServer)(nil)

// NewPassesServer gives what a process with SQL knows.
func NewPassesServer(p *identity.Passes) *PassesServer { return &PassesServer{passes: p} }

// Add adds the service to a server.
func (s *PassesServer) Add(to *grpcx.Server) { peoplepb.RegisterPassesServiceServer(to, s) }

const (
	pageEnded   = 1000
	callTimeout = 5 * time.Second
)

var errDamaged = fault.New(fault.Invalid, "passes.damaged", "this names no session")

// Ended implements PassesService.
func (s *PassesServer) Ended(_ context.Context, q *peoplepb.EndedRequest) (*peoplepb.EndedResponse, error) {
	after := identity.EndedAfter{Seq: q.GetAfterSeq()}
	if copy(after.Session[:], q.GetAfterSession()) != len(q.GetAfterSession()) {
		return nil, errDamaged
	}
	page := s.passes.Ended(after, pageEnded)
	out := &peoplepb.EndedResponse{More: page.More, Head: page.Head}
	for i := range page.Ended {
		e := &page.Ended[i]
		out.Ended = append(out.Ended, &peoplepb.EndedSession{Seq: e.Seq, Session: e.Session[:], Until: e.Until})
	}
	return out, nil
}

// PassesClient asks a process that has SQL.
type PassesClient struct {
	rpc    peoplepb.PassesServiceClient
	passes *identity.Passes
}

// NewPassesClient keeps passes up to date over a connection.
func NewPassesClient(conn grpc.ClientConnInterface, p *identity.Passes) *PassesClient {
	return &PassesClient{peoplepb.NewPassesServiceClient(conn), p}
}

// CatchUp asks for all that ended since it was last asked, and forgets what is over.
func (c *PassesClient) CatchUp(ctx context.Context) error {
	for more := true; more; {
		page, err := c.page(ctx)
		if err != nil {
			return err
		}
		c.passes.Hear(page)
		more = page.More
	}
	c.passes.Forget()
	return nil
}

func (c *PassesClient) page(ctx context.Context) (page identity.EndedPage, _ error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	after := c.passes.Heard()
	r, err := c.rpc.Ended(ctx, &peoplepb.EndedRequest{AfterSeq: after.Seq, AfterSession: after.Session[:]})
	if err != nil {
		return page, fmt.Errorf("ask for ended sessions: %w", grpcx.FromStatus(err))
	}
	page.More, page.Head = r.GetMore(), r.GetHead()
	for _, one := range r.GetEnded() {
		e := identity.EndedPass{EndedAfter: identity.EndedAfter{Seq: one.GetSeq()}, Until: one.GetUntil()}
		if len(one.GetSession()) != len(e.Session) {
			return page, errDamaged
		}
		copy(e.Session[:], one.GetSession())
		page.Ended = append(page.Ended, e)
	}
	if page.More && len(page.Ended) == 0 {
		return page, errDamaged
	}
	return page, nil
}
