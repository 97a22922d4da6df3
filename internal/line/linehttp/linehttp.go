// Package linehttp is the HTTP side of packing lines.
//
// Promise: a child that is refused is named with a code of its own, and then nothing of the
// request was done (TestRefusalsNameTheChild).
package linehttp

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/line"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

const (
	mayRead  httpx.Permission = "trace:read"
	mayWrite httpx.Permission = "trace:write"

	pageUsual = 100
	pageMax   = 1000
)

type api struct{ service *line.Service }

// Mount adds the routes. Where a thing is by the events, which GET /api/v1/containers/{epc}
// tells, is not a line's to say.
func Mount(rt *httpx.Router, s *line.Service) {
	a := &api{s}
	rt.Allow("POST /api/v1/containers", mayWrite, a.open)
	rt.Allow("GET /api/v1/containers", mayRead, a.list)
	rt.Allow("GET /api/v1/containers/{epc}/packing", mayRead, a.get)
	rt.Allow("POST /api/v1/containers/{epc}/add", mayWrite, a.change(s.Add))
	rt.Allow("POST /api/v1/containers/{epc}/remove", mayWrite, a.change(s.Remove))
	rt.Allow("POST /api/v1/containers/{epc}/close", mayWrite, a.close)
	rt.Allow("POST /api/v1/containers/{epc}/discard", mayWrite, a.discard)
}

type view struct {
	EPC       string      `json:"epc"`
	SSCC      string      `json:"sscc"`
	BrandID   ids.BrandID `json:"brand_id"`
	Kind      line.Kind   `json:"kind"`
	State     line.State  `json:"state"`
	Capacity  int         `json:"capacity"`
	Children  int         `json:"children"`
	Location  string      `json:"biz_location"`
	ReadPoint string      `json:"read_point"`
	OpenedBy  string      `json:"opened_by"`
	OpenedAt  time.Time   `json:"opened_at"`
	ClosedAt  *time.Time  `json:"closed_at"` // its event's eventTime; null = it was not closed
	EventID   *string     `json:"event_id"`  // null = it has no event
}

func viewOf(c *line.Container) view {
	v := view{
		EPC: c.EPC, SSCC: c.SSCC, BrandID: c.Brand, Kind: c.Kind, State: c.State, Capacity: c.Capacity, Children: c.Children, Location: c.Location,
		ReadPoint: c.ReadPoint, OpenedBy: c.OpenedBy, OpenedAt: c.OpenedAt,
	}
	if !c.ClosedAt.IsZero() {
		v.ClosedAt = &c.ClosedAt
	}
	if c.EventID != "" {
		v.EventID = &c.EventID
	}
	return v
}

func replay(w http.ResponseWriter, replayed bool) {
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
}

// numbered reads the number of a brand; 0 = there is none.
func numbered(text, field string) (ids.BrandID, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, fault.Field("input.bad_number", field, "must be the number of a brand")
	}
	return ids.BrandID(n), nil
}

// of reads which container a request is about. An SSCC that several brands have used needs
// the brand too.
func of(r *http.Request) (ids.BrandID, string, error) {
	brand, err := numbered(r.Header.Get("X-Brand-ID"), "X-Brand-ID")
	return brand, r.PathValue("epc"), err
}

// open answers POST /api/v1/containers.
func (a *api) open(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		BrandID   ids.BrandID `json:"brand_id"`
		Kind      line.Kind   `json:"kind"`
		EPC       string      `json:"epc"`
		Prefix    string      `json:"gs1_company_prefix"`
		Capacity  int         `json:"capacity"`
		Location  string      `json:"biz_location"`
		ReadPoint string      `json:"read_point"`
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
	c, replayed, err := a.service.Open(r.Context(), req, line.Opening{
		Brand: ask.BrandID, Kind: ask.Kind, EPC: ask.EPC, Prefix: ask.Prefix, Capacity: ask.Capacity, Location: ask.Location, ReadPoint: ask.ReadPoint, Actor: caller.Name,
	})
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: c.EPC})
	replay(w, replayed)
	return httpx.OK(w, viewOf(&c))
}

// list answers GET /api/v1/containers?brand_id=&state=&limit=&cursor=.
func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	brand, err := numbered(q.Get("brand_id"), "brand_id")
	if err == nil && brand == 0 {
		err = fault.Field("line.no_brand", "brand_id", "is missing")
	}
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	page, err := a.service.List(r.Context(), brand, line.State(q.Get("state")), q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	out := struct {
		Containers []view  `json:"containers"`
		Cursor     *string `json:"cursor"`
	}{Containers: make([]view, 0, len(page))}
	for i := range page {
		out.Containers = append(out.Containers, viewOf(&page[i]))
	}
	if len(page) == limit {
		out.Cursor = &page[len(page)-1].SSCC
	}
	return httpx.OK(w, out)
}

// get answers GET /api/v1/containers/{epc}/packing: the container, and what is in it.
func (a *api) get(w http.ResponseWriter, r *http.Request) error {
	brand, epc, err := of(r)
	if err != nil {
		return err
	}
	c, err := a.service.Find(r.Context(), brand, epc)
	if err != nil {
		return err
	}
	children, err := a.service.Children(r.Context(), &c)
	if err != nil {
		return err
	}
	out := struct {
		view

		Codes []string `json:"codes"` // items, and null when the event alone tells
		EPCs  []string `json:"epcs"`  // containers, as well
	}{view: viewOf(&c)}
	if !c.Forgotten {
		out.Codes, out.EPCs = []string{}, []string{}
	}
	for _, child := range children {
		if child.IsItem() {
			out.Codes = append(out.Codes, child.Key)
		} else {
			out.EPCs = append(out.EPCs, child.EPC)
		}
	}
	return httpx.OK(w, out)
}

// changes is what changes what is in a container.
type changes = func(ctx context.Context, r ids.Request, brand ids.BrandID, epc string, texts []string) (line.Container, line.Change, bool, error)

// change answers POST /api/v1/containers/{epc}/add and …/remove.
func (a *api) change(do changes) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		brand, epc, err := of(r)
		if err != nil {
			return err
		}
		var ask struct {
			Children []string `json:"children"`
		}
		raw, err := httpx.Decode(w, r, httpx.BodyMax, &ask)
		if err != nil {
			return err
		}
		req, err := httpx.Request(r, httpx.Caller(r).ID, raw)
		if err != nil {
			return err
		}
		c, done, replayed, err := do(r.Context(), req, brand, epc, ask.Children)
		if err != nil {
			return err
		}
		httpx.Annotate(r.Context(), httpx.Note{Subject: c.EPC})
		replay(w, replayed)
		return httpx.OK(w, struct {
			EPC      string `json:"epc"`
			SSCC     string `json:"sscc"`
			Changed  int    `json:"changed"`  // children that were put in or taken out
			Children int    `json:"children"` // that are in it now
		}{c.EPC, c.SSCC, done.Changed, done.Children})
	}
}

// close answers POST /api/v1/containers/{epc}/close. A repeat finds the same event and says
// the same, so it needs no key of its own.
func (a *api) close(w http.ResponseWriter, r *http.Request) error {
	brand, epc, err := of(r)
	if err != nil {
		return err
	}
	c, err := a.service.Close(r.Context(), brand, epc)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: c.EPC})
	return httpx.OK(w, viewOf(&c))
}

// discard answers POST /api/v1/containers/{epc}/discard.
func (a *api) discard(w http.ResponseWriter, r *http.Request) error {
	brand, epc, err := of(r)
	if err != nil {
		return err
	}
	req, err := httpx.Request(r, httpx.Caller(r).ID, nil)
	if err != nil {
		return err
	}
	c, replayed, err := a.service.Discard(r.Context(), req, brand, epc)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: c.EPC})
	replay(w, replayed)
	return httpx.OK(w, viewOf(&c))
}
