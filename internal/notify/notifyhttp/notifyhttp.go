// Package notifyhttp is the HTTP side of webhooks: the routes of operators, and the posts
// that are sent.
//
// Promise: a secret is in the answer that made the endpoint and in no other
// (TestWebhooks). A post follows no redirect: what is signed goes where the operator said.
package notifyhttp

import (
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

const (
	listUsual = 100
	listMost  = 1000
)

type api struct{ service *notify.Service }

// Mount adds the routes. All of them need a key.
func Mount(rt *httpx.Router, s *notify.Service) {
	a := &api{s}
	rt.Admin("POST /api/v1/webhooks", a.register)
	rt.Admin("GET /api/v1/webhooks", a.list)
	rt.Admin("DELETE /api/v1/webhooks/{webhook_id}", a.remove)
}

type webhook struct {
	ID        notify.EndpointID `json:"webhook_id"`
	BrandID   ids.BrandID       `json:"brand_id"`
	URL       string            `json:"url"`
	Types     []string          `json:"types"`
	CreatedBy string            `json:"created_by"`
	CreatedAt time.Time         `json:"created_at"`
	Secret    string            `json:"secret,omitempty"`
}

func view(e *notify.Endpoint) webhook {
	types := e.Types
	if types == nil {
		types = []string{}
	}
	return webhook{e.ID, e.Brand, e.URL, types, e.CreatedBy, e.CreatedAt, ""}
}

// register answers POST /api/v1/webhooks.
func (a *api) register(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		BrandID ids.BrandID `json:"brand_id"`
		URL     string      `json:"url"`
		Types   []string    `json:"types"`
	}
	raw, err := httpx.Decode(w, r, httpx.BodyMax, &ask)
	if err != nil {
		return err
	}
	caller := httpx.Caller(r)
	req, err := httpx.Request(r, caller.ID, raw)
	if err != nil {
		return err
	}
	e, secret, replayed, err := a.service.Register(r.Context(), req, caller.Name, ask.BrandID, ask.URL, ask.Types)
	if err != nil {
		return err
	}
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Cache-Control", "no-store")
	out := view(&e)
	out.Secret = secret.String()
	return httpx.OK(w, out)
}

// list answers GET /api/v1/webhooks?brand_id=&limit=&cursor=.
func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	brand := int64(0)
	if text := q.Get("brand_id"); text != "" {
		var err error
		if brand, err = strconv.ParseInt(text, 10, 32); err != nil || brand <= 0 {
			return fault.Field("input.bad_number", "brand_id", "must be a whole number in its range")
		}
	}
	limit, err := httpx.Page(r, listUsual, listMost)
	if err != nil {
		return err
	}
	after := q.Get("cursor")
	if after != "" && !ids.Valid("whk", after) {
		return fault.Field("webhook.bad_cursor", "cursor", "is not a cursor of this list")
	}
	page, err := a.service.Endpoints(r.Context(), ids.BrandID(brand), notify.EndpointID(after), limit)
	if err != nil {
		return err
	}
	out := struct {
		Webhooks []webhook          `json:"webhooks"`
		Cursor   *notify.EndpointID `json:"cursor"`
	}{Webhooks: make([]webhook, 0, len(page))}
	for i := range page {
		out.Webhooks = append(out.Webhooks, view(&page[i]))
	}
	if len(page) == limit {
		out.Cursor = &page[len(page)-1].ID
	}
	return httpx.OK(w, out)
}

// remove answers DELETE /api/v1/webhooks/{webhook_id}. A repeat finds nothing more to
// remove and says the same, so it needs no key of its own.
func (a *api) remove(w http.ResponseWriter, r *http.Request) error {
	id := notify.EndpointID(r.PathValue("webhook_id"))
	if err := a.service.Remove(r.Context(), id); err != nil {
		return err
	}
	return httpx.OK(w, map[string]notify.EndpointID{"removed": id})
}
