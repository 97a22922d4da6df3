package batchrpc

import (
	"context"
	"net/netip"

	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

const userAgentBytesMax = 512

// VerifyCode implements CodeService.
func (s *Server) VerifyCode(ctx context.Context, q *codepb.VerifyCodeRequest) (*codepb.VerifyCodeResponse, error) {
	return verifyCode(ctx, s.verifier, q)
}

func verifyCode(ctx context.Context, verifier Verifier, q *codepb.VerifyCodeRequest) (*codepb.VerifyCodeResponse, error) {
	code, err := codebook.ParseCode(q.GetCode())
	if err != nil {
		return nil, err
	}
	scan := Scan{Code: code, ClientIP: grpcx.Peer(ctx), UserAgent: grpcx.UserAgent(ctx)}
	if _, scan.Authorised = grpcx.Caller(ctx); scan.Authorised {
		if err := scan.believe(q); err != nil {
			return nil, err
		}
	}
	scan.UserAgent = scan.UserAgent[:min(len(scan.UserAgent), userAgentBytesMax)]
	a, err := verifier.Verify(ctx, scan)
	if err != nil {
		return nil, err
	}
	resp := &codepb.VerifyCodeResponse{Valid: a.Valid, CodeInfo: a.info(q.GetCode())}
	if !a.Valid {
		resp.ErrorMessage = a.Verdict
	}
	return resp, nil
}

// believe takes what a server says of the person that it asks for.
func (s *Scan) believe(q *codepb.VerifyCodeRequest) error {
	if text := q.GetClientIp(); text != "" {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return fault.Field("input.bad_ip", "client_ip", "is not an IP address")
		}
		s.ClientIP, s.Named = ip.Unmap(), true
	}
	if q.GetUserAgent() != "" {
		s.UserAgent = q.GetUserAgent()
	}
	return nil
}

func (a *Scanned) info(code string) *codepb.CodeInfo {
	info := &codepb.CodeInfo{
		Code: code, BrandId: int32(a.BrandID), ProductId: int32(a.ProductID), BatchNo: a.BatchNo,
		Status: a.status(), Version: int32(a.Version),
	}
	if !a.ExpiresAt.IsZero() {
		info.ExpireTime = a.ExpiresAt.Unix()
	}
	return info
}

// The seed's states of a code.
const (
	statusUnconfirmed = 0
	statusInactive    = 1
	statusActive      = 2
	statusVoid        = 3
)

// status is the seed's state of an item: not active yet, in the market or sold, or
// off the market; 0, which the seed does not have, where none is sure. What is not known counts as off.
func (a *Scanned) status() int32 {
	switch {
	case a.Unconfirmed:
		return statusUnconfirmed
	case a.Expired:
		return statusVoid
	}
	switch a.State {
	case gs1.Encoded, gs1.Inactive:
		return statusInactive
	case gs1.Active, gs1.InProgress, gs1.InTransit, gs1.SellableAccessible, gs1.SellableNotAccessible,
		gs1.RetailSold, gs1.Dispensed, gs1.Returned:
		return statusActive
	default:
		return statusVoid
	}
}
