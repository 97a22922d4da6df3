package batchrpc

import (
	"context"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/grpcx"
)

// generateAsk is what an idempotency key of GenerateCodes is bound to, for ever:
// append fields with omitempty, never rename.
type generateAsk struct {
	BrandID     int32  `json:"brand_id"`
	ProductID   int32  `json:"product_id"`
	BatchNo     string `json:"batch_no"`
	Quantity    int32  `json:"quantity"`
	ExpireHours int32  `json:"expire_hours"`
}

// GenerateCodes implements CodeService.
func (s *Server) GenerateCodes(ctx context.Context, q *codepb.GenerateCodesRequest) (*codepb.GenerateCodesResponse, error) {
	task, replayed, err := s.generate(ctx, q)
	s.count(q, replayed, err)
	if err != nil {
		return nil, err
	}
	if replayed {
		if err := grpcx.Replayed(ctx); err != nil {
			return nil, err
		}
	}
	resp := &codepb.GenerateCodesResponse{TaskId: string(task), EstimatedTime: estimatedSeconds(q.GetQuantity())}
	if q.GetQuantity() <= batch.ClaimCodesInline {
		resp.Codes, err = s.codesOf(ctx, task)
	}
	return resp, err
}

func (s *Server) generate(ctx context.Context, q *codepb.GenerateCodesRequest) (_ ids.TaskID, replayed bool, _ error) {
	if q.GetBrandId() == 0 { // the core's word for "the product's"
		return "", false, batch.ErrUnknownBrand
	}
	cmd, err := command(ctx, generateAsk{q.GetBrandId(), q.GetProductId(), q.GetBatchNo(), q.GetQuantity(), q.GetExpireHours()})
	if err != nil {
		return "", false, err
	}
	return s.svc.Generate(ctx, cmd, batch.BatchSpec{
		BrandID: ids.BrandID(q.GetBrandId()), ProductID: ids.ProductID(q.GetProductId()), No: q.GetBatchNo(),
		Quantity: int64(q.GetQuantity()), ExpireHours: q.GetExpireHours(),
	})
}

// count tells the metrics of codes that were issued or refused. A brand gets its
// own label only once it is known to exist.
func (s *Server) count(q *codepb.GenerateCodesRequest, replayed bool, err error) {
	brand := ids.BrandID(q.GetBrandId())
	switch kind := fault.KindOf(err); {
	case replayed:
	case err == nil:
		s.observer.Generated(brand, int64(q.GetQuantity()), nil)
	case kind == fault.NotFound, kind == fault.Invalid:
		s.observer.Generated(0, 0, err)
	default:
		s.observer.Generated(brand, 0, err)
	}
}

// codesOf lists all codes of the batch that a task was made with. They are
// arithmetic, so they are there before the task has begun.
func (s *Server) codesOf(ctx context.Context, id ids.TaskID) ([]string, error) {
	t, err := s.tasks.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	b, err := s.svc.Batch(ctx, ids.BatchID(t.Subject))
	if err != nil {
		return nil, err
	}
	return s.svc.Codes(&b, batch.Run{From: 1, To: b.Quantity}), nil
}

// codesPerSecond is what a file task writes on a small machine.
const codesPerSecond = 200_000

// estimatedSeconds is how long a file of so many codes takes, at least one second.
func estimatedSeconds(quantity int32) int32 { return (quantity + codesPerSecond - 1) / codesPerSecond }
