// Package sourcehttp is the HTTP side of sources: the routes of those who register systems
// and push what they know, and the client that asks them.
//
// Promise: a token is in no answer and in no log, and the secret that a system signs with
// is in the answer that made it known and in no other (TestSources). A redirect is not
// followed, and an address in this network is not asked unless the operator lets it
// (TestClient).
package sourcehttp

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/source"
)

const (
	sourceRead   httpx.Permission = "source:read"
	sourceChange httpx.Permission = "source:change"
	sourcePush   httpx.Permission = "source:push"

	listUsual = 100
	listMost  = 1000
)

type api struct{ service *source.Service }

// Mount adds the routes.
func Mount(rt *httpx.Router, s *source.Service) {
	a := &api{s}
	rt.Allow("POST /api/v1/trace-sources", sourceChange, a.register)
	rt.Allow("GET /api/v1/trace-sources", sourceRead, a.list)
	rt.Allow("PATCH /api/v1/trace-sources/{source_id}", sourceChange, a.change)
	rt.Allow("POST /api/v1/trace-sources/{source_id}/remove", sourceChange, a.remove)
	rt.Allow("POST /api/v1/trace-sources/{source_id}/test", sourceChange, a.try)
	rt.Public("POST /api/v1/trace-sources/{source_id}/push", a.signed)
	rt.Allow("POST /api/v1/trace-data", sourcePush, a.push)
	rt.Allow("POST /api/v1/trace-data/import", sourcePush, a.importTable)
	rt.Allow("GET /api/v1/trace-data/{code}", sourceRead, a.parts)
}

type systemView struct {
	ID        source.SystemID `json:"source_id"`
	BrandID   ids.BrandID     `json:"brand_id"` // 0 = of all brands
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	URL       string          `json:"url"`
	HasToken  bool            `json:"has_token"`
	Enabled   bool            `json:"enabled"`
	Version   int64           `json:"version"`
	CreatedBy string          `json:"created_by"`
	CreatedAt time.Time       `json:"created_at"`
	Secret    string          `json:"secret,omitempty"`
}

func view(s *source.System) systemView {
	return systemView{s.ID, s.Brand, s.Kind, s.Name, s.URL, len(s.Token) > 0, s.Enabled, s.Version, s.CreatedBy, s.CreatedAt, ""}
}

// noted tells the audit what became of a source; the body may hold its token.
func noted(r *http.Request, s *source.System) {
	httpx.Annotate(r.Context(), httpx.Note{Subject: string(s.ID), After: view(s), Private: true})
}

func replay(w http.ResponseWriter, replayed bool) {
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
}

// register answers POST /api/v1/trace-sources.
func (a *api) register(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Private: true}) // also when it is refused
	var ask struct {
		BrandID ids.BrandID `json:"brand_id"`
		Kind    string      `json:"kind"`
		Name    string      `json:"name"`
		URL     string      `json:"url"`
		Token   string      `json:"token"`
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
	if ask.BrandID < 0 {
		return fault.Field("input.bad_number", "brand_id", "must be a brand's number, or 0 for all brands")
	}
	sys, secret, replayed, err := a.service.Register(r.Context(), req, caller.Name,
		source.Registration{Brand: ask.BrandID, Kind: ask.Kind, Name: ask.Name, URL: ask.URL, Token: ask.Token})
	if err != nil {
		return err
	}
	noted(r, &sys)
	replay(w, replayed)
	w.Header().Set("Cache-Control", "no-store")
	out := view(&sys)
	out.Secret = secret.String()
	return httpx.OK(w, out)
}

// brandOf reads ?brand_id=; 0 when it is not there.
func brandOf(r *http.Request) (ids.BrandID, error) {
	text := r.URL.Query().Get("brand_id")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 {
		return 0, fault.Field("input.bad_number", "brand_id", "must be a whole number in its range")
	}
	return ids.BrandID(n), nil
}

// list answers GET /api/v1/trace-sources?brand_id=&limit=&cursor=.
func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, listUsual, listMost)
	if err != nil {
		return err
	}
	after := r.URL.Query().Get("cursor")
	if after != "" && !ids.Valid("src", after) {
		return fault.Field("source.bad_cursor", "cursor", "is not a cursor of this list")
	}
	page, err := a.service.Systems(r.Context(), brand, source.SystemID(after), limit)
	if err != nil {
		return err
	}
	out := struct {
		Sources []systemView     `json:"sources"`
		Cursor  *source.SystemID `json:"cursor"`
	}{Sources: make([]systemView, 0, len(page))}
	for i := range page {
		out.Sources = append(out.Sources, view(&page[i]))
	}
	if len(page) == limit {
		out.Cursor = &page[len(page)-1].ID
	}
	return httpx.OK(w, out)
}

func idOf(r *http.Request) source.SystemID { return source.SystemID(r.PathValue("source_id")) }

// change answers PATCH /api/v1/trace-sources/{source_id}.
func (a *api) change(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Subject: string(idOf(r)), Private: true})
	var ask struct {
		Name    *string `json:"name"`
		URL     *string `json:"url"`
		Token   *string `json:"token"`
		Enabled *bool   `json:"enabled"`
	}
	raw, err := httpx.Decode(w, r, httpx.BodyMax, &ask)
	if err != nil {
		return err
	}
	req, err := httpx.Request(r, httpx.Caller(r).ID, raw)
	if err != nil {
		return err
	}
	sys, replayed, err := a.service.ChangeSystem(r.Context(), req, idOf(r),
		source.Change{Name: ask.Name, URL: ask.URL, Token: ask.Token, Enabled: ask.Enabled})
	if err != nil {
		return err
	}
	noted(r, &sys)
	replay(w, replayed)
	return httpx.OK(w, view(&sys))
}

// remove answers POST /api/v1/trace-sources/{source_id}/remove. A repeat finds nothing more
// to do and says the same, so it needs no key of its own.
func (a *api) remove(w http.ResponseWriter, r *http.Request) error {
	if err := a.service.Remove(r.Context(), idOf(r)); err != nil {
		return err
	}
	return httpx.OK(w, map[string]source.SystemID{"removed": idOf(r)})
}

type partView struct {
	Stage    string         `json:"stage"`
	Source   string         `json:"source"`
	Status   string         `json:"status,omitempty"`
	Time     *time.Time     `json:"time,omitempty"`
	Location string         `json:"location,omitempty"`
	Details  map[string]any `json:"details,omitempty"`
}

func viewParts(parts []source.Part) []partView {
	out := make([]partView, len(parts))
	for i, p := range parts {
		out[i] = partView{Stage: p.Stage, Source: p.Source, Status: p.Status, Location: p.Location, Details: p.Details}
		if !p.Time.IsZero() {
			out[i].Time = &parts[i].Time
		}
	}
	return out
}

// try answers POST /api/v1/trace-sources/{source_id}/test.
func (a *api) try(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Code string `json:"code"`
	}
	if _, err := httpx.Decode(w, r, httpx.BodyMax, &ask); err != nil {
		return err
	}
	t, err := a.service.Try(r.Context(), idOf(r), ask.Code)
	if err != nil {
		return err
	}
	return httpx.OK(w, struct {
		OK         bool       `json:"ok"`
		Problem    string     `json:"problem,omitempty"`
		TookMillis int64      `json:"took_millis"`
		Parts      []partView `json:"parts"`
	}{t.Problem == "", t.Problem, t.Took.Milliseconds(), viewParts(t.Parts)})
}

// parts answers GET /api/v1/trace-data/{code}: what is known of an item, as its timeline
// gets it.
func (a *api) parts(w http.ResponseWriter, r *http.Request) error {
	parts, err := a.service.Known(r.Context(), r.PathValue("code"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httpx.OK(w, map[string]any{"parts": viewParts(parts)})
}

// body reads what is not taken apart yet.
func body(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, httpx.ErrBodyTooLarge.Textf("the body is larger than the %d bytes that this route takes", most)
	}
	if err != nil {
		return nil, httpx.ErrBadJSON.Because(err).Textf("the body ended before its end")
	}
	return raw, nil
}
