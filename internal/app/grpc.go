package app

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/chopmark/chopmark/internal/batch/batchrpc"
	"github.com/chopmark/chopmark/internal/identity/identityrpc"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/verify"
)

// listenGRPC opens the gRPC listener with the seed's service on it.
func (a *App) listenGRPC() (server, string, error) {
	cfg := grpcx.Config{Guard: a.guard}
	if a.tracer != nil {
		cfg.Tracer = callTraces{a.tracer}
	}
	var auth grpcx.Authenticator = noBearers{}
	if a.identity != nil {
		auth, cfg.Audit = identityrpc.NewAuthenticator(a.identity, a.quotas), identityrpc.NewAuditor(a.identity, a.log)
	}
	var scans batchrpc.Verifier = noScans{}
	if a.Runs(RoleEdge) {
		scans = rpcScans{a}
	}
	s := grpcx.New(cfg, auth, a.metrics, a.log, a.clock)
	if a.Runs(RoleIssue) {
		batchrpc.New(a.Batches, a.tasks, scans, a.product).Add(s)
	} else {
		batchrpc.NewScanner(scans).Add(s)
	}
	ln, err := (&net.ListenConfig{}).Listen(a.background, "tcp", a.GRPCListen)
	if err != nil {
		return server{}, "", fmt.Errorf("--grpc-listen: %w", err)
	}
	return server{serve: func() error { return s.Serve(ln) }, stop: s.Stop, ready: s.SetReady}, ln.Addr().String(), nil
}

// noScans is of a process that answers none.
type noScans struct{}

var errNoScans = fault.New(fault.Method, "scan.other_role", "this process answers no scans; ask an edge")

// Verify implements batchrpc.Verifier.
func (noScans) Verify(context.Context, batchrpc.Scan) (batchrpc.Scanned, error) {
	return batchrpc.Scanned{}, errNoScans
}

// rpcScans answers gRPC scans with the verify domain.
type rpcScans struct{ app *App }

var _ batchrpc.Verifier = rpcScans{}

// Verify implements batchrpc.Verifier.
func (s rpcScans) Verify(ctx context.Context, q batchrpc.Scan) (batchrpc.Scanned, error) {
	// a caller with a key is no stranger, but whose scans he asks for may be one
	counted := (!q.Authorised || q.Named) && !q.ClientIP.IsLoopback()
	if counted {
		if err := s.app.guard.Admit(q.ClientIP); err != nil && (!errors.Is(err, limit.ErrProof) || !s.app.guard.Proven(q.ClientIP, grpcx.Proof(ctx))) {
			return batchrpc.Scanned{}, err
		}
	}
	var a verify.Answer
	err := s.app.Verify.Verify(ctx, &verify.Query{
		Code: q.Code, Source: verify.FromGRPC, Count: true,
		Client: verify.Client{IP: q.ClientIP, Agent: q.UserAgent, Trace: traceOf(ctx)},
	}, &a)
	if errors.Is(err, verify.ErrRefused) {
		s.app.product.Verified(0, verify.Unknown)
		if counted {
			s.app.guard.Miss(q.ClientIP, int32(a.Item.BrandID))
		}
	}
	if err != nil {
		return batchrpc.Scanned{}, err
	}
	s.app.product.Verified(a.Item.BrandID, a.Verdict)
	return batchrpc.Scanned{
		Verdict: a.Verdict.String(), Valid: a.Verdict.Valid(), BrandID: a.Item.BrandID, ProductID: a.Item.ProductID,
		BatchNo: a.Item.BatchNo, State: a.Item.State, Expired: a.Verdict == verify.Expired,
		Unconfirmed: a.Verdict == verify.Unconfirmed, Version: a.Version, ExpiresAt: a.Item.ExpiresAt,
	}, nil
}
