package batch

import (
	"context"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Claimed is the answer to a claim: the block, and the task that writes its codes
// when there are too many to answer with.
type Claimed struct {
	Claim
	TaskID   ids.TaskID
	Replayed bool
}

// Claim takes a block of a batch's numbers for a line.
func (s *Service) Claim(ctx context.Context, cmd Command, batch ids.BatchID, quantity int64, claimant string) (Claimed, error) {
	b, err := s.Batch(ctx, batch)
	if err != nil {
		return Claimed{}, err
	}
	if err := CheckQuantity(quantity, BatchMax); err != nil {
		return Claimed{}, err
	}
	if err := CheckName("claimant", claimant, nameBytesMax); err != nil {
		return Claimed{}, err
	}
	return s.claim(ctx, cmd, &b, quantity, claimant)
}

func (s *Service) claim(ctx context.Context, cmd Command, b *Batch, quantity int64, claimant string) (Claimed, error) {
	var task *NewTask
	if quantity > ClaimCodesInline {
		task = s.newTask(cmd, TaskExport, b, FileSpec{Format: FormatCSV}, claimedRuns)
	}
	ask := ClaimAsk{BatchID: b.ID, Shard: b.Shard(), Claimant: claimant, Quantity: quantity, CreatedAt: s.clock.Now()}
	claims, effect, replayed, err := s.store.Claim(ctx, cmd.Request, ask, task)
	if err != nil {
		return Claimed{}, err
	}
	var out Claimed
	if replayed {
		return s.claimedBefore(ctx, effect)
	}
	out.Claim = claims[0]
	if task != nil {
		out.TaskID = task.ID
		return out, s.wake(ctx, task.ID)
	}
	return out, nil
}

// claimedBefore is the answer to a claim that is asked for again. Its batch need
// not be the one that is next in the pool now. Whoever committed it may have ended before
// its task was woken.
func (s *Service) claimedBefore(ctx context.Context, effect string) (Claimed, error) {
	c, err := s.store.FindClaim(ctx, "", ids.ClaimID(effect))
	if err != nil {
		return Claimed{}, err
	}
	out := Claimed{Claim: c, TaskID: c.TaskID, Replayed: true}
	if c.TaskID == "" {
		return out, nil
	}
	return out, s.wake(ctx, c.TaskID)
}

// ClaimFromPool takes a block from the product's batch that expires first, and
// fills the pool up again when it has become low.
func (s *Service) ClaimFromPool(ctx context.Context, cmd Command, product ids.ProductID, quantity int64, claimant string) (Claimed, error) {
	p, err := s.Product(ctx, product)
	if err != nil {
		return Claimed{}, err
	}
	if err := CheckQuantity(quantity, BatchMax); err != nil {
		return Claimed{}, err
	}
	if err := CheckName("claimant", claimant, nameBytesMax); err != nil {
		return Claimed{}, err
	}
	if effect, replayed, err := s.store.Effect(ctx, cmd.Request); err != nil {
		return Claimed{}, err
	} else if replayed {
		return s.claimedBefore(ctx, effect)
	}
	out, err := s.claimNearest(ctx, cmd, &p, quantity, claimant)
	if isExhausted(err) && p.Pool.Target > 0 && quantity <= p.Pool.BatchQuantity {
		out, err = s.fillAndClaim(ctx, cmd, &p, quantity, claimant)
	}
	if err != nil {
		return Claimed{}, err
	}
	// The block is taken and must be answered. A pool that cannot be filled up is
	// told to the claim that finds it empty.
	_ = s.fillPool(ctx, &p, 1)
	return out, nil
}

// fillAndClaim serves claims that found nothing, one after the other, so that what
// one of them fills in is not taken by the next.
func (s *Service) fillAndClaim(ctx context.Context, cmd Command, p *Product, quantity int64, claimant string) (out Claimed, err error) {
	s.filling.Lock()
	defer s.filling.Unlock()
	for range poolTriesMax {
		if err := s.fillPool(ctx, p, quantity); err != nil {
			return Claimed{}, err
		}
		if out, err = s.claimNearest(ctx, cmd, p, quantity, claimant); !isExhausted(err) {
			break
		}
	}
	return out, err
}

// poolTriesMax bounds how often others may take what was filled in for a claim.
const poolTriesMax = 8

func isExhausted(err error) bool {
	f, ok := fault.From(err)
	return ok && f.Is(ErrExhausted)
}

func (s *Service) claimNearest(ctx context.Context, cmd Command, p *Product, quantity int64, claimant string) (Claimed, error) {
	candidates, _, err := s.store.PoolCandidates(ctx, p.ID, quantity, s.clock.Now())
	if err != nil {
		return Claimed{}, err
	}
	for _, id := range candidates {
		b, err := s.store.Batch(ctx, id)
		if err != nil {
			return Claimed{}, err
		}
		out, err := s.claim(ctx, cmd, &b, quantity, claimant)
		if isExhausted(err) {
			continue // another line was faster; the next batch may have room
		}
		return out, err
	}
	return Claimed{}, ErrExhausted
}

// Codes lists the codes of a claim's block.
func (s *Service) Codes(b *Batch, r Run) []string {
	out := make([]string, 0, r.Len())
	coder := s.items.Coder()
	var buf [18]byte
	for no := r.From; no <= r.To; no++ {
		out = append(out, string(coder.AppendCode(buf[:0], b.Serial(no))))
	}
	return out
}

// ReturnClaim gives the numbers from..end of a claim back to the pool, unless any
// of them was scanned or changed.
func (s *Service) ReturnClaim(ctx context.Context, cmd Command, batch ids.BatchID, id ids.ClaimID, from int64) (Claim, bool, error) {
	b, err := s.Batch(ctx, batch)
	if err != nil {
		return Claim{}, false, err
	}
	if !ids.Valid("clm", string(id)) {
		return Claim{}, false, ErrUnknownClaim
	}
	// A state change of these numbers must not slip in between the look and the
	// commit: it would be a change of numbers that no one holds. The lock keeps those of
	// this process out, the decided position those of others.
	lock := &s.deciding[b.Shard()]
	lock.Lock()
	defer lock.Unlock()
	for range decideTriesMax {
		c, replayed, err := s.returnUnused(ctx, cmd, &b, id, from)
		if f, ok := fault.From(err); ok && f.Is(ErrRaced) {
			continue
		}
		return c, replayed, err
	}
	return Claim{}, false, ErrRaced
}

func (s *Service) returnUnused(ctx context.Context, cmd Command, b *Batch, id ids.ClaimID, from int64) (Claim, bool, error) {
	c, err := s.store.FindClaim(ctx, b.ID, id)
	if err != nil {
		return Claim{}, false, err
	}
	if err := s.catchUp(ctx, b.Shard()); err != nil {
		return Claim{}, false, err
	}
	decided := s.proj.Position(b.Shard())
	if c.From <= from && from <= c.To {
		if err := s.unused(b, Run{from, c.To}); err != nil {
			return Claim{}, false, err
		}
	}
	return s.store.ReturnClaim(ctx, cmd.Request, c, from, decided)
}

func (s *Service) unused(b *Batch, r Run) error {
	if !s.proj.Untouched(b, r) {
		return ErrClaimInUse
	}
	scanned, err := s.scans.AnyIn(b.Serial(r.From), b.Serial(r.To))
	if err != nil {
		return err
	}
	if scanned {
		return ErrClaimInUse
	}
	return nil
}

// Export writes the claimed numbers of a run to a file; with unclaimed the rest of
// the run is claimed for it.
func (s *Service) Export(ctx context.Context, cmd Command, batch ids.BatchID, within Run, spec FileSpec, unclaimed bool) (ids.TaskID, bool, error) {
	b, err := s.Batch(ctx, batch)
	if err != nil {
		return "", false, err
	}
	if err := spec.check(); err != nil {
		return "", false, err
	}
	r, err := (&Selection{From: within.From, To: within.To}).run(&b)
	if err != nil {
		return "", false, err
	}
	if spec.Link == "gs1" {
		p, err := s.store.Product(ctx, b.ProductID)
		if err != nil {
			return "", false, err
		}
		if p.GTIN == "" || b.Mark == Display {
			return "", false, fault.Field("export.no_gtin", "link", "a Digital Link needs a print batch of a product with a GTIN")
		}
	}
	ask := ClaimAsk{BatchID: b.ID, Shard: b.Shard(), Claimant: cmd.Actor, CreatedAt: s.clock.Now()}
	if unclaimed {
		ask.Within = r
	}
	free, err := s.store.Free(ctx, b.ID)
	if err != nil {
		return "", false, err
	}
	task := s.newTask(cmd, TaskExport, &b, spec, func(claimed []Claim) (Runs, []ids.ClaimID) {
		mine, release := claimedRuns(claimed)
		return Runs{r}.Minus(free).Union(mine), release
	})
	_, id, replayed, err := s.store.Claim(ctx, cmd.Request, ask, task)
	if err != nil {
		return "", false, err
	}
	return ids.TaskID(id), replayed, s.wake(ctx, ids.TaskID(id))
}
