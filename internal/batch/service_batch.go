package batch

import (
	"context"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// BatchSpec asks for a batch.
type BatchSpec struct {
	BrandID        ids.BrandID // 0 = the product's
	ProductID      ids.ProductID
	No             string
	Quantity       int64
	RotateEvery    time.Duration
	Mark           Mark
	InnerCode      bool
	Signed         bool // its labels carry a signature that verifies offline
	ExpiresAt      time.Time
	ExpireHours    int32 // from now; 0 = not said
	ProductionDate string
	Description    string
}

func (spec *BatchSpec) check() error {
	if err := CheckName("batch_no", spec.No, batchNoBytesMax); err != nil {
		return err
	}
	if err := checkText("description", spec.Description); err != nil {
		return err
	}
	if spec.ProductionDate != "" {
		if _, err := time.Parse(time.DateOnly, spec.ProductionDate); err != nil {
			return fault.Field("batch.bad_date", "production_date", "must be a date such as 2026-01-31")
		}
	}
	return spec.checkSettings()
}

// checkSettings is what a batch and a pool have in common.
func (spec *BatchSpec) checkSettings() error {
	if err := CheckRotation(spec.RotateEvery); err != nil {
		return err
	}
	switch spec.Mark {
	case "":
		spec.Mark = Print
	case Print, Display:
	default:
		return fault.Field("batch.bad_mark", "mark", `must be "print" or "display"`)
	}
	if spec.Signed && spec.Mark == Display {
		return fault.Field("batch.signed_display", "label_signature",
			"is for printed marks: what a display shows would verify offline for ever, also from a photograph")
	}
	if spec.ExpireHours < 0 || spec.ExpireHours > expireHoursMax {
		return fault.Field("batch.bad_expiry", "expire_hours", "must be between 1 and %d, or absent for never", expireHoursMax)
	}
	return nil
}

// CreateBatch allocates a batch. It takes the same time whatever the quantity.
func (s *Service) CreateBatch(ctx context.Context, cmd Command, spec BatchSpec) (Batch, bool, error) {
	if err := CheckQuantity(spec.Quantity, BatchMax); err != nil {
		return Batch{}, false, err
	}
	if id, replayed, err := s.store.Effect(ctx, cmd.Request); err != nil {
		return Batch{}, false, err
	} else if replayed { // its expiry may have passed since
		b, err := s.store.Batch(ctx, ids.BatchID(id))
		return b, true, err
	}
	n, err := s.newBatch(ctx, spec)
	if err != nil {
		return Batch{}, false, err
	}
	if n.Event, err = generated(&n.Batch, "batch", nil); err != nil {
		return Batch{}, false, err
	}
	id, replayed, err := s.create(ctx, cmd, n)
	if err != nil {
		return Batch{}, false, err
	}
	if err := s.catchUp(ctx, n.Shard); err != nil {
		return Batch{}, false, err
	}
	b, err := s.store.Batch(ctx, ids.BatchID(id))
	return b, replayed, err
}

// Generate is the seed's call: a batch, all of it claimed, and a task that writes
// its file. The answer is the task.
func (s *Service) Generate(ctx context.Context, cmd Command, spec BatchSpec) (ids.TaskID, bool, error) {
	if err := CheckQuantity(spec.Quantity, GenerateMax); err != nil {
		return "", false, err
	}
	if id, replayed, err := s.store.Effect(ctx, cmd.Request); err != nil || replayed {
		return ids.TaskID(id), replayed, err
	}
	n, err := s.newBatch(ctx, spec)
	if err != nil {
		return "", false, err
	}
	n.Claim = &Claim{
		ID: ids.ClaimID(ids.NewIn(n.Shard, "clm")), BatchID: n.Batch.ID, Claimant: cmd.Actor,
		From: 1, To: spec.Quantity, CreatedAt: n.Batch.CreatedAt,
	}
	n.Task = s.newTask(cmd, TaskGenerate, &n.Batch, FileSpec{Format: FormatCSV}, claimedRuns)
	if n.Event, err = generated(&n.Batch, "batch", n.Task); err != nil {
		return "", false, err
	}
	id, replayed, err := s.create(ctx, cmd, n)
	if err != nil {
		return "", false, err
	}
	if err := s.catchUp(ctx, n.Shard); err != nil {
		return "", false, err
	}
	return ids.TaskID(id), replayed, s.wake(ctx, ids.TaskID(id))
}

// newBatch checks the specification against the product and fills in the rest.
func (s *Service) newBatch(ctx context.Context, spec BatchSpec) (NewBatch, error) {
	if err := spec.check(); err != nil {
		return NewBatch{}, err
	}
	if spec.BrandID != 0 {
		if _, err := s.Brand(ctx, spec.BrandID); err != nil {
			return NewBatch{}, err
		}
	}
	p, err := s.Product(ctx, spec.ProductID)
	if err != nil {
		return NewBatch{}, err
	}
	if spec.BrandID != 0 && spec.BrandID != p.BrandID {
		return NewBatch{}, ErrForeignProduct
	}
	now := s.clock.Now()
	b := Batch{
		ID: ids.BatchID(ids.NewIn(ids.ShardOf(p.BrandID), "bat")), ProductID: p.ID, BrandID: p.BrandID, No: spec.No, Quantity: spec.Quantity,
		Mark: spec.Mark, RotateEvery: spec.RotateEvery, ExpiresAt: spec.ExpiresAt, ProductionDate: spec.ProductionDate,
		Description: spec.Description, CreatedAt: now,
	}
	switch {
	case spec.ExpireHours > 0 && !spec.ExpiresAt.IsZero():
		return NewBatch{}, fault.Field("batch.bad_expiry", "expire_hours", "name expires_at or expire_hours, not both")
	case spec.ExpireHours > 0:
		b.ExpiresAt = now.Add(time.Duration(spec.ExpireHours) * time.Hour)
	case spec.ExpiresAt.IsZero():
		b.ExpiresAt = *s.expires.Load()
	}
	if !b.ExpiresAt.IsZero() && !b.ExpiresAt.After(now) {
		return NewBatch{}, fault.Field("batch.bad_expiry", "expires_at", "lies in the past")
	}
	if spec.InnerCode {
		b.InnerKeyID = s.keys.InnerKeyID()
	}
	if spec.Signed {
		b.SignatureKeyID, b.SignatureGTIN = s.keys.SignatureKeyID(), p.GTIN
	}
	return NewBatch{Batch: b, Shard: ids.ShardOf(p.BrandID), Region: s.Region, Limit: ShardLimit(s.Region)}, nil
}

// BatchView is a batch with what is known of its numbers.
type BatchView struct {
	Batch
	Counts    Counts
	Unclaimed int64
}

// View loads a batch with its counts.
func (s *Service) View(ctx context.Context, id ids.BatchID) (BatchView, error) {
	b, err := s.Batch(ctx, id)
	if err != nil {
		return BatchView{}, err
	}
	free, err := s.store.Free(ctx, b.ID)
	if err != nil {
		return BatchView{}, fmt.Errorf("read pool of batch %s: %w", b.ID, err)
	}
	counts, _ := s.proj.Counts(b.First)
	return BatchView{b, counts, free.Count()}, nil
}

// poolPrefix begins the batch_no of a batch that a pool allocated.
const poolPrefix = "POOL-"

// fillPool allocates batches until the product's pool has its target again and a
// block of quantity numbers is free. The number of the next pool batch makes two
// racing fills one: batch_no is unique, and who comes second looks again.
func (s *Service) fillPool(ctx context.Context, p *Product, quantity int64) error {
	if p.Pool.Target == 0 {
		return nil
	}
	for n := 1; ; n++ {
		now := s.clock.Now()
		candidates, free, err := s.store.PoolCandidates(ctx, p.ID, quantity, now)
		if err != nil || len(candidates) > 0 && free >= p.Pool.Target {
			return err
		}
		_, _, err = s.CreateBatch(ctx, Command{Actor: "pool"}, BatchSpec{
			ProductID: p.ID, No: fmt.Sprintf("%s%s-%03d", poolPrefix, now.Format("20060102"), n),
			Quantity: p.Pool.BatchQuantity, RotateEvery: p.Pool.RotateEvery,
			Mark: p.Pool.Mark, InnerCode: p.Pool.InnerCode, Signed: p.Pool.Signed, ExpireHours: p.Pool.ExpireHours,
		})
		if f, ok := fault.From(err); ok && f.Is(ErrBatchExists) {
			continue
		}
		if s.Filled != nil {
			s.Filled(p.BrandID, p.Pool.BatchQuantity, err)
		}
		if err != nil {
			return fmt.Errorf("fill pool of product %d: %w", p.ID, err)
		}
	}
}

// State is the one word for a batch: the state that most of its items are in.
func (v *BatchView) State() gs1.Disposition {
	best := FirstState
	for state, n := range v.Counts {
		if n > v.Counts[best] {
			best = gs1.Disposition(state)
		}
	}
	return best
}
