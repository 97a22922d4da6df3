package identity

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ApprovalState is how far a request for a second person's word has come.
type ApprovalState string

// The states. Between Approved and Done the change is being made; a crash in between
// lets it be approved again, and the change's own identity makes it one.
const (
	Pending  ApprovalState = "pending"
	Approved ApprovalState = "approved"
	Done     ApprovalState = "done"
	Rejected ApprovalState = "rejected"
)

// Approval is a change of goods that a second person must agree to.
type Approval struct {
	ID        string
	Tenant    TenantID // of who asked
	Brand     ids.BrandID
	Kind      string // the state that the items shall have
	Items     int64
	Body      []byte // the request as it was made
	Reason    string
	AskedBy   string
	AskedAt   time.Time
	State     ApprovalState
	DecidedBy string
	DecidedAt time.Time
	Note      string // of who decided
	Effect    string // what the change is named
}

const (
	approvalPrefix  = "apv"
	approvalBodyMax = 4 << 20
)

// What a caller may be told.
var (
	ErrUnknownApproval = fault.New(fault.NotFound, "approval.unknown", "no such approval")
	ErrDecided         = fault.New(fault.Conflict, "approval.decided", "this was decided already")
	ErrSamePerson      = fault.New(fault.Denied, "approval.same_person", "who asks cannot approve; another person must")
)

// Hold keeps a change for a second person when it is of more items than the tenant lets
// one person change; held is false when it needs none.
func (s *Service) Hold(ctx context.Context, r ids.Request, p *Principal, a Approval) (id string, held bool, _ error) {
	t, ok := s.dir.Load().tenants[p.Tenant]
	if !ok || t.FourEyesAbove == 0 || a.Items <= t.FourEyesAbove {
		return "", false, nil
	}
	a.ID, a.Tenant, a.AskedBy, a.AskedAt, a.State = ids.New(approvalPrefix), p.Tenant, p.ID, s.clock.Now(), Pending
	if len(a.Body) > approvalBodyMax {
		return "", true, fault.New(fault.TooLarge, "approval.too_large", "a change that needs a second person may have at most %d bytes", approvalBodyMax)
	}
	id, _, err := s.store.AddApproval(ctx, r, a)
	return id, true, wrap("keep a change for a second person", err)
}

// Approval gives one that the caller may see.
func (s *Service) Approval(ctx context.Context, p *Principal, id string) (Approval, error) {
	if !ids.Valid(approvalPrefix, id) {
		return Approval{}, ErrUnknownApproval
	}
	a, err := s.store.Approval(ctx, id)
	if err == nil && !p.sees(&a) {
		return Approval{}, ErrUnknownApproval
	}
	return a, err
}

func (p *Principal) sees(a *Approval) bool {
	return p.scope.Has(a.Brand) && (p.Tenant == Platform || p.Tenant == a.Tenant)
}

// Approvals lists those that the caller may see, the newest first. Pages may be short.
func (s *Service) Approvals(ctx context.Context, p *Principal, state ApprovalState, before time.Time, beforeID string, limit int) (own []Approval, next *Approval, _ error) {
	page, err := s.store.ListApprovals(ctx, state, before, beforeID, limit+1)
	if err != nil {
		return nil, nil, err
	}
	if len(page) > limit {
		page = page[:limit]
		next = &page[limit-1]
	}
	for i := range page {
		if p.sees(&page[i]) {
			own = append(own, page[i])
		}
	}
	return own, next, nil
}

// Approve lets make change what was asked for, for the second person. What make names is
// kept. It must be idempotent for the approval's id.
func (s *Service) Approve(ctx context.Context, p *Principal, id, note string, change func(Approval) (effect string, _ error)) (Approval, error) {
	a, err := s.decidable(ctx, p, id, note)
	if err != nil {
		return a, err
	}
	if a.State == Pending {
		a.State, a.DecidedBy, a.DecidedAt, a.Note = Approved, p.ID, s.clock.Now(), note
		if err := s.store.DecideApproval(ctx, id, Pending, a); err != nil {
			return a, err
		}
	}
	if a.Effect, err = change(a); err != nil {
		return a, err
	}
	a.State = Done
	return a, s.store.DecideApproval(context.WithoutCancel(ctx), id, Approved, a)
}

// person is who stands behind an id: a key speaks for who made it.
func (s *Service) person(id string) string {
	if maker := s.dir.Load().people[id]; maker != "" {
		return maker
	}
	return id
}

// Reject ends it without a change. Who asked may also take it back.
func (s *Service) Reject(ctx context.Context, p *Principal, id, note string) (Approval, error) {
	a, err := s.Approval(ctx, p, id)
	if err != nil {
		return a, err
	}
	if a.State != Pending {
		return a, ErrDecided
	}
	if err := checkReason(note); err != nil {
		return a, err
	}
	a.State, a.DecidedBy, a.DecidedAt, a.Note = Rejected, p.ID, s.clock.Now(), note
	return a, s.store.DecideApproval(ctx, id, Pending, a)
}

func (s *Service) decidable(ctx context.Context, p *Principal, id, note string) (Approval, error) {
	a, err := s.Approval(ctx, p, id)
	switch {
	case err != nil:
		return a, err
	case !p.IsUser() || s.person(a.AskedBy) == p.ID:
		return a, ErrSamePerson
	case a.State == Rejected || a.State == Done:
		return a, ErrDecided
	}
	return a, checkReason(note)
}
