package batchhttp

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/outbox"
)

func (a *api) cloudEvent(e outbox.Event) outbox.CloudEvent {
	return e.CloudEvent(a.Service.PublicURL)
}

type eventList struct {
	Events []outbox.CloudEvent `json:"events"`
	Cursor string              `json:"cursor"` // after the last event; never null, so that one can ask again later
}

// getEvents answers GET /api/v1/events: a page, or with Accept: text/event-stream
// all that comes.
func (a *api) getEvents(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	text, stream := r.URL.Query().Get("cursor"), wantsStream(r)
	if last := r.Header.Get("Last-Event-ID"); stream && last != "" {
		text = last // a reconnecting browser repeats its first address
	}
	cursor, err := outbox.ParseCursor(text)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	if stream {
		return a.streamEvents(w, r, cursor)
	}
	events, next, err := a.ownEvents(r, cursor, limit)
	if err != nil {
		return err
	}
	return httpx.OK(w, eventList{each(events, a.cloudEvent), next.String()})
}

// ownEvents gives the next events of the caller's brands. It looks at a bounded number
// of others: a page may be empty, and its cursor goes on behind them.
func (a *api) ownEvents(r *http.Request, cursor outbox.Cursor, limit int) (own []outbox.Event, _ outbox.Cursor, _ error) {
	scope := ids.ScopeOf(r.Context())
	for range foreignPagesMax {
		events, next, err := a.Outbox.Read(r.Context(), cursor, limit)
		if err != nil {
			return nil, cursor, err
		}
		cursor = next
		own = append(own, ownOnly(events, scope)...)
		if scope.All() || len(events) == 0 || len(own) > 0 {
			break
		}
	}
	return own, cursor, nil
}

// foreignPagesMax bounds how many pages without an own event one request looks at.
const foreignPagesMax = 20

func ownOnly(events []outbox.Event, scope ids.Scope) []outbox.Event {
	if scope.All() {
		return events
	}
	return slices.DeleteFunc(events, func(e outbox.Event) bool { return !scope.Has(e.BrandID) })
}

// wantsStream reports whether the caller accepts an event stream and no JSON before it.
func wantsStream(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			switch kind, _, _ := mime.ParseMediaType(part); kind {
			case "text/event-stream":
				return true
			case "application/json":
				return false
			}
		}
	}
	return false
}
