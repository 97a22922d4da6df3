package identityhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountApprovals(rt *httpx.Router) {
	rt.Allow("GET /api/v1/approvals", "approval:read", a.getApprovals)
	rt.Allow("GET /api/v1/approvals/{approval_id}", "approval:read", a.getApproval)
	rt.Allow("POST /api/v1/approvals/{approval_id}/approve", "approval:decide", a.postApprove)
	rt.Allow("POST /api/v1/approvals/{approval_id}/reject", "approval:decide", a.postReject)
}

type approvalView struct {
	ApprovalID string                 `json:"approval_id"`
	TenantID   identity.TenantID      `json:"tenant_id"`
	BrandID    ids.BrandID            `json:"brand_id"`
	To         string                 `json:"to"` // the state that the items shall have
	Items      int64                  `json:"items"`
	Request    json.RawMessage        `json:"request"`
	Reason     string                 `json:"reason"`
	AskedBy    string                 `json:"asked_by"`
	AskedAt    time.Time              `json:"asked_at"`
	State      identity.ApprovalState `json:"state"`
	DecidedBy  *string                `json:"decided_by"`
	DecidedAt  *time.Time             `json:"decided_at"`
	Note       string                 `json:"note"`
	ChangeID   *string                `json:"change_id"`
}

// requestShown is how much of a request an answer shows: one may name 100,000 codes.
const requestShown = 16 << 10

func viewApproval(v identity.Approval) approvalView {
	view := approvalView{
		ApprovalID: v.ID, TenantID: v.Tenant, BrandID: v.Brand, To: v.Kind, Items: v.Items, Request: json.RawMessage("null"), Reason: v.Reason,
		AskedBy: v.AskedBy, AskedAt: v.AskedAt, State: v.State, DecidedAt: orNull(v.DecidedAt), Note: v.Note,
	}
	if len(v.Body) <= requestShown {
		view.Request = v.Body
	}
	if v.DecidedBy != "" {
		view.DecidedBy = &v.DecidedBy
	}
	if v.Effect != "" {
		view.ChangeID = &v.Effect
	}
	return view
}

type approvalList struct {
	Approvals []approvalView `json:"approvals"`
	Cursor    *string        `json:"cursor"`
}

// getApprovals answers GET /api/v1/approvals?state=&limit=&cursor=, the newest first.
func (a *api) getApprovals(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	state := identity.ApprovalState(q.Get("state"))
	switch state {
	case "", identity.Pending, identity.Approved, identity.Done, identity.Rejected:
	default:
		return fault.Field("approval.bad_state", "state", "must be pending, approved, done or rejected")
	}
	before, beforeID := time.UnixMicro(1<<58), ""
	if text := q.Get("cursor"); text != "" {
		at, id, ok := strings.Cut(text, ".")
		us, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil {
			return fault.Field("approval.bad_cursor", "cursor", "is not a cursor of this list")
		}
		before, beforeID = time.UnixMicro(us), id
	}
	all, next, err := a.svc.Approvals(r.Context(), a.who(r), state, before, beforeID, limit)
	if err != nil {
		return err
	}
	list := approvalList{Approvals: each(all, viewApproval)}
	if next != nil {
		cursor := strconv.FormatInt(next.AskedAt.UnixMicro(), 10) + "." + next.ID
		list.Cursor = &cursor
	}
	return done(w, list)
}

// getApproval answers GET /api/v1/approvals/{approval_id}.
func (a *api) getApproval(w http.ResponseWriter, r *http.Request) error {
	v, err := a.svc.Approval(r.Context(), a.who(r), r.PathValue("approval_id"))
	if err != nil {
		return err
	}
	return done(w, viewApproval(v))
}

type decideAsk struct {
	Note string `json:"note"`
}

// postApprove answers POST /api/v1/approvals/{approval_id}/approve.
func (a *api) postApprove(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[decideAsk](w, r)
	if err != nil {
		return err
	}
	p := a.who(r)
	v, err := a.svc.Approve(r.Context(), p, r.PathValue("approval_id"), ask.Note, func(v identity.Approval) (string, error) {
		return a.change(r.Context(), v, p.ID)
	})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: v.ID, After: ask, Reason: ask.Note})
	return done(w, viewApproval(v))
}

// postReject answers POST /api/v1/approvals/{approval_id}/reject.
func (a *api) postReject(w http.ResponseWriter, r *http.Request) error {
	ask, _, err := read[decideAsk](w, r)
	if err != nil {
		return err
	}
	v, err := a.svc.Reject(r.Context(), a.who(r), r.PathValue("approval_id"), ask.Note)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: v.ID, After: ask, Reason: ask.Note})
	return done(w, viewApproval(v))
}
