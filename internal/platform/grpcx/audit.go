package grpcx

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Auditor keeps what callers change, as httpx.Auditor does.
type Auditor interface {
	// Begin must note durably that a call which may change something is about to be acted
	// upon. What it gives is told how that ended, as a status of HTTP, and with which question,
	// as JSON; none = it is too long to be kept.
	Begin(ctx context.Context, method, requestID string, p *httpx.Principal) (end func(status int, question []byte), _ error)
}

// auditBytesMax is how long a question may be to be kept.
const auditBytesMax = 4 << 10

// audited keeps who asked for a change before it is made, and then what came of it. Every
// method that asks for a key may change something.
func (s *Server) audited(ctx context.Context, c *call, req any, h grpc.UnaryHandler) (resp any, err error) {
	if s.cfg.Audit == nil || !c.authorised || s.public[c.method] || s.tools[c.method] {
		return h(ctx, req)
	}
	end, err := s.cfg.Audit.Begin(ctx, c.method, c.requestID, &c.caller)
	if err != nil {
		return nil, err
	}
	ended := http.StatusInternalServerError // of a handler that panics
	defer func() { end(ended, question(req)) }()
	if resp, err = h(ctx, req); err == nil {
		ended = http.StatusOK
		return resp, nil
	}
	code, gone := gaveUp(err)
	if !gone {
		code = status.Code(err)
	}
	ended = httpStatusOf(err, code)
	return nil, err
}

func question(req any) []byte {
	m, ok := req.(proto.Message)
	if !ok || proto.Size(m) > auditBytesMax {
		return nil
	}
	raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil || len(raw) > auditBytesMax {
		return nil
	}
	return raw
}
