// Package timelinehttp shows items' stories, as JSON and as the page that consumers read,
// and takes what brands call places.
//
// Promise: an answer has the shape that docs/openapi.yaml gives it; nothing is kept by
// caches; a code that is not ours, and a display mark's code without a key, get one and the
// same refusal (TestOneRefusal).
package timelinehttp

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/timeline"
)

// Pages renders what people see.
type Pages interface {
	Story(w io.Writer, lang string, zone *time.Location, s *timeline.Story) error
	Refused(w io.Writer, lang string) error
	Malformed(w io.Writer, lang, reason string) error
	ContentSecurityPolicy() string
}

// Deps is what the routes need.
type Deps struct {
	Service *timeline.Service
	Brands  Brands
	Pages   Pages
	// Products gives a product its name, for reports.
	Products func(ctx context.Context, id ids.ProductID) (string, error)
	Auth     httpx.Authenticator
	Clock    clock.Clock
	Traced   func(took time.Duration)             // how long a trace query took
	Asked    func(brand ids.BrandID, signed bool) // told of each story that was told
}

type api struct {
	Deps

	packer httpx.Packer
}

const codeRead httpx.Permission = "code:read"

// Mount adds the routes.
func Mount(rt *httpx.Router, d Deps) {
	a := &api{Deps: d}
	rt.Public("GET /api/v1/trace/{code}", a.getTrace)
	rt.Allow("GET /api/v1/brands/{brand_id}/places", "brand:read", a.getPlaces)
	rt.Allow("PATCH /api/v1/brands/{brand_id}/places", "brand:change", a.patchPlaces)
	rt.Allow("GET /api/v1/reports/trace-flow", "scan:read", a.getFlow)
	rt.Allow("GET /api/v1/reports/trace-completeness", "scan:read", a.getCompleteness)
}

type storyView struct {
	Code     string     `json:"code"`
	Timeline []stepView `json:"timeline"`
}

type stepView struct {
	Stage     string         `json:"stage"`
	Time      *time.Time     `json:"time,omitempty"`
	TimeLocal string         `json:"time_local,omitempty"`
	Location  string         `json:"location,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
	Status    string         `json:"status,omitempty"` // "loading": the source did not answer in time
}

// nowhere is the location of a step that names none.
const nowhere = "unknown"

// getTrace answers GET /api/v1/trace/{code}: JSON, or the page when a browser asks.
func (a *api) getTrace(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept, Accept-Language")
	start := a.Clock.Now()
	defer func() { a.Traced(a.Clock.Now().Sub(start)) }()
	story, zone, err := a.tell(r)
	if wantsPage(r) {
		return a.page(w, r, story, zone, err)
	}
	if err != nil {
		return err
	}
	view := storyView{story.Item.Code, make([]stepView, len(story.Steps))}
	for i, s := range story.Steps {
		view.Timeline[i] = viewOf(&s, zone)
	}
	return httpx.OK(w, view)
}

func viewOf(s *timeline.Step, zone *time.Location) stepView {
	v := stepView{Stage: s.Stage, Location: s.Location, Details: s.Details, Status: s.Status}
	if s.Status != "" {
		return v
	}
	if v.Location == "" {
		v.Location = nowhere
	}
	if v.Details == nil {
		v.Details = map[string]any{}
	}
	if !s.Time.IsZero() {
		at := s.Time.UTC()
		v.Time = &at
		if zone != nil {
			v.TimeLocal = at.In(zone).Format(time.RFC3339Nano)
		}
	}
	return v
}

func (a *api) tell(r *http.Request) (story timeline.Story, zone *time.Location, _ error) {
	may, err := a.mayRead(r)
	if err != nil {
		return story, nil, err
	}
	if zone, err = httpx.Zone(r); err != nil {
		return story, nil, err
	}
	it, err := a.Service.Items.Item(r.PathValue("code"), may)
	if err != nil {
		return story, zone, err
	}
	signed := may.Has(it.Brand)
	story, err = a.Service.Tell(r.Context(), &it, signed)
	if err == nil && r.Method == http.MethodGet {
		a.Asked(it.Brand, signed)
	}
	return story, zone, err
}

// page answers a browser. Only a wrong code is answered by a page of its own; other errors
// are the router's.
func (a *api) page(w http.ResponseWriter, r *http.Request, story timeline.Story, zone *time.Location, err error) error {
	var page bytes.Buffer
	lang, status := httpx.Language(r), http.StatusOK
	f, isFault := fault.From(err)
	switch {
	case err == nil:
		err = a.Pages.Story(&page, lang, zone, &story)
	case isFault && f.Kind == fault.NotFound:
		status, err = http.StatusNotFound, a.Pages.Refused(&page, lang)
	case isFault && f.Kind == fault.Invalid:
		status, err = http.StatusBadRequest, a.Pages.Malformed(&page, lang, f.Text)
	}
	if err != nil {
		return err
	}
	return a.packer.HTML(w, r, status, a.Pages.ContentSecurityPolicy(), page.Bytes())
}

// wantsPage reports that a browser asks: it names HTML, and does not want JSON rather.
func wantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !httpx.PrefersJSON(r)
}

// mayRead is whose codes the caller of a public route may read beyond what the public may. A
// key that is not valid is refused rather than passed over; a session that has ended is none.
func (a *api) mayRead(r *http.Request) (ids.Scope, error) {
	key := r.Header.Get("Authorization") != ""
	if !key && r.Header.Get("Cookie") == "" {
		return ids.Scope{}, nil
	}
	p, err := a.Auth.Authenticate(r)
	if err != nil && !key {
		return ids.Scope{}, nil // anybody may ask
	}
	if err != nil || !p.May(codeRead) {
		return ids.Scope{}, err
	}
	return p.Access.Scope(), nil
}
