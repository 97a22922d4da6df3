// Package batchrpc is the seed's gRPC interface: CodeService of package code.
//
// Promise: the same rules, limits and idempotency as over HTTP, since the use cases
// are the same; a retry of a mutation under its idempotency key gives the answer of
// the first (TestGenerateIsIdempotent, TestUpdateIsIdempotent).
package batchrpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// Tasks is what the service wants of the task runner; *task.Runner is one. The
// subject of a file task is its batch.
type Tasks interface {
	Find(ctx context.Context, id ids.TaskID) (task.Task, error)
}

// Verifier answers scans.
type Verifier interface {
	// Verify answers a scan and counts it. Its error for a code that is not ours is
	// NotFound with the stable code code.unknown; every known code has an answer.
	Verify(ctx context.Context, s Scan) (Scanned, error)
}

// Scan is one scan's question.
type Scan struct {
	Code       codebook.Code
	ClientIP   netip.Addr // of who scanned; the connection's own unless a caller with a key says another
	UserAgent  string     // likewise
	Authorised bool
	Named      bool // a caller with a key said whose scan it is
}

// Scanned is what a scan is told.
type Scanned struct {
	Verdict   string
	Valid     bool
	BrandID   ids.BrandID
	ProductID ids.ProductID
	BatchNo   string
	State     gs1.Disposition
	Expired   bool // by its batch's date, whatever its state

	Unconfirmed bool // what is known may be out of date: neither valid nor not valid

	Version   uint16
	ExpiresAt time.Time // zero = never
}

// Observer is told of codes that were issued, or of a request for some that failed,
// for metrics. brand is 0 when the request named none that exists.
type Observer interface {
	Generated(brand ids.BrandID, codes int64, err error)
}

// Server implements CodeService.
type Server struct {
	codepb.UnimplementedCodeServiceServer

	svc      *batch.Service
	tasks    Tasks
	verifier Verifier
	observer Observer
}

var _ codepb.CodeServiceServer = (*Server)(nil)

// New makes the service.
func New(svc *batch.Service, tasks Tasks, verifier Verifier, observer Observer) *Server {
	return &Server{svc: svc, tasks: tasks, verifier: verifier, observer: observer}
}

// NewScanner makes the service of a process that answers scans and does nothing else
// of it.
func NewScanner(verifier Verifier) *Scanner { return &Scanner{verifier: verifier} }

// Scanner is CodeService with VerifyCode alone.
type Scanner struct {
	codepb.UnimplementedCodeServiceServer

	verifier Verifier
}

var _ codepb.CodeServiceServer = (*Scanner)(nil)

// Add adds the service to a server; VerifyCode needs no key.
func (s *Scanner) Add(to *grpcx.Server) {
	codepb.RegisterCodeServiceServer(to, s)
	to.Public(codepb.CodeService_VerifyCode_FullMethodName)
}

// VerifyCode implements CodeService.
func (s *Scanner) VerifyCode(ctx context.Context, q *codepb.VerifyCodeRequest) (*codepb.VerifyCodeResponse, error) {
	return verifyCode(ctx, s.verifier, q)
}

// Add adds the service to a server; VerifyCode needs no key.
func (s *Server) Add(to *grpcx.Server) {
	codepb.RegisterCodeServiceServer(to, s)
	to.Public(codepb.CodeService_VerifyCode_FullMethodName)
	to.Allow(codepb.CodeService_GenerateCodes_FullMethodName, "batch:issue")
	to.Allow(codepb.CodeService_UpdateCodeStatus_FullMethodName, "code:change")
}

// command says who asks and which mutation it is. The question is hashed in a form
// of our own: protobuf's bytes may differ from one version of it to the next.
func command(ctx context.Context, question any) (batch.Command, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return batch.Command{}, fmt.Errorf("encode question: %w", err)
	}
	caller, _ := grpcx.Caller(ctx)
	return batch.Command{Request: grpcx.Request(ctx, body), Actor: caller.Name}, nil
}
