package batchrpc

import (
	"context"
	"strings"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

// updateAsk is what an idempotency key of UpdateCodeStatus is bound to, as
// generateAsk is.
type updateAsk struct {
	Codes  []string `json:"codes"`
	Status int32    `json:"status"`
	Reason string   `json:"reason"`
}

var errBadStatus = fault.Field("state.bad_status", "status", "must be 1 (inactive), 2 (active) or 3 (void)")

// UpdateCodeStatus implements CodeService. Its answer counts the items that moved:
// those that were there already, those that the transition table refuses and codes
// that are not known are left alone and not counted.
func (s *Server) UpdateCodeStatus(ctx context.Context, q *codepb.UpdateCodeStatusRequest) (*codepb.UpdateCodeStatusResponse, error) {
	var to gs1.Disposition
	switch q.GetStatus() {
	case statusInactive:
		to = gs1.Inactive
	case statusActive:
		to = gs1.Active
	case statusVoid:
		to = gs1.Void
	default:
		return nil, errBadStatus
	}
	if len(q.GetCodes()) == 0 {
		return nil, fault.Field("select.empty", "codes", "name at least one code")
	}
	cmd, err := command(ctx, updateAsk{q.GetCodes(), q.GetStatus(), q.GetReason()})
	if err != nil {
		return nil, err
	}
	change, replayed, err := s.svc.ChangeState(ctx, cmd, batch.StateSpec{
		Select: batch.Selection{Codes: q.GetCodes()}, To: to.String(), Reason: q.GetReason(),
	})
	if err != nil {
		return nil, inOurWords(err)
	}
	resp := &codepb.UpdateCodeStatusResponse{Updated: int32(change.Items)}
	if replayed {
		return resp, grpcx.Replayed(ctx)
	}
	return resp, nil
}

// inOurWords names the fields of an input fault as this request does: the use case
// knows them by their place in the HTTP body.
func inOurWords(err error) error {
	f, ok := fault.From(err)
	if !ok || len(f.Details) == 0 {
		return err
	}
	const place = "select."
	ours := f.Textf("%s", strings.TrimPrefix(f.Text, place))
	ours.Details = nil
	for _, d := range f.Details {
		d.Field = strings.TrimPrefix(d.Field, place)
		ours.Details = append(ours.Details, d)
	}
	return ours
}
