package identityhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

func (a *api) mountAudit(rt *httpx.Router) {
	rt.Allow("GET /api/v1/audit", "audit:read", a.getAudit)
}

type entryView struct {
	N         int64           `json:"n"`
	At        time.Time       `json:"at"`
	Actor     string          `json:"actor"`
	Role      identity.Role   `json:"role"`
	Action    string          `json:"action"`
	Subject   string          `json:"subject"`
	Ends      *int64          `json:"ends"`   // the number of the entry whose outcome this is; null = asked for
	Status    *int            `json:"status"` // null = not yet
	Before    json.RawMessage `json:"before"`
	After     json.RawMessage `json:"after"`
	Reason    string          `json:"reason"`
	RequestID string          `json:"request_id"`
}

type auditList struct {
	TenantID identity.TenantID `json:"tenant_id"`
	Entries  []entryView       `json:"entries"`
	Cursor   *string           `json:"cursor"`
}

// getAudit answers GET /api/v1/audit?tenant_id=&limit=&cursor=, the newest first.
func (a *api) getAudit(w http.ResponseWriter, r *http.Request) error {
	p, q := a.who(r), r.URL.Query()
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	var before int64
	if text := q.Get("cursor"); text != "" {
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return fault.Field("audit.bad_cursor", "cursor", "is not a cursor of this list")
		}
	}
	tenant := identity.TenantID(q.Get("tenant_id"))
	all, err := a.svc.Audit(r.Context(), p, tenant, before, limit)
	if err != nil {
		return err
	}
	list := auditList{TenantID: tenant, Entries: each(all, viewEntry)}
	if tenant == "" {
		list.TenantID = p.Tenant
	}
	if len(all) == limit && all[limit-1].N > 1 {
		next := strconv.FormatInt(all[limit-1].N, 10)
		list.Cursor = &next
	}
	return done(w, list)
}

func viewEntry(e identity.Entry) entryView {
	v := entryView{
		N: e.N, At: e.At, Actor: e.Actor, Role: e.Role, Action: e.Action, Subject: e.Subject, Before: rawOrNull(e.Before), After: rawOrNull(e.After),
		Reason: e.Reason, RequestID: e.RequestID,
	}
	if e.Ends != 0 {
		v.Ends = &e.Ends
	}
	if e.Status != 0 {
		v.Status = &e.Status
	}
	return v
}

// rawOrNull is JSON as it was kept; what was cut off is shown as text.
func rawOrNull(text string) json.RawMessage {
	if text == "" {
		return json.RawMessage("null")
	}
	if !json.Valid([]byte(text)) {
		quoted, err := json.Marshal(text)
		if err != nil {
			return json.RawMessage("null")
		}
		return quoted
	}
	return json.RawMessage(text)
}
