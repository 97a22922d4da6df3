package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type settingsView struct {
	BrandID ids.BrandID `json:"brand_id"`
	Version int64       `json:"version"`
	Limits  struct {
		MissesPerHour int `json:"misses_per_hour"`
	} `json:"limits"`
	Page struct {
		HidePlaces bool    `json:"hide_places"`
		Logo       *string `json:"logo"` // where it is; null = there is none
	} `json:"page"`
	Trace          batch.TraceRules `json:"trace"`
	GS1Prefixes    []string         `json:"gs1_prefixes"`
	ChangedAt      *time.Time       `json:"changed_at"` // null = nobody ever set them
	ChangedAtLocal string           `json:"changed_at_local,omitempty"`
}

type settingsAsk struct {
	Limits struct {
		MissesPerHour *int `json:"misses_per_hour"`
	} `json:"limits"`
	Page struct {
		HidePlaces *bool `json:"hide_places"`
	} `json:"page"`
	Trace       *batch.TraceRules `json:"trace"`
	GS1Prefixes *[]string         `json:"gs1_prefixes"`
}

type settingsMade struct {
	BrandID ids.BrandID `json:"brand_id"`
	Version int64       `json:"version"`
}

// getSettings answers GET /api/v1/brands/{brand_id}/settings.
func (a *api) getSettings(w http.ResponseWriter, r *http.Request) error {
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	id, err := number("brand_id", r.PathValue("brand_id"))
	if err != nil {
		return err
	}
	s, err := a.Service.Settings(r.Context(), ids.BrandID(id))
	if err != nil {
		return err
	}
	view := settingsView{BrandID: s.BrandID, Version: s.Version}
	view.Limits.MissesPerHour = s.MissesPerHour
	view.Page.HidePlaces, view.Page.Logo, view.Trace = s.HidePlaces, logoURL(s.Logo), s.Trace
	view.GS1Prefixes = append([]string{}, s.GS1Prefixes...)
	if !s.ChangedAt.IsZero() {
		view.ChangedAt, view.ChangedAtLocal = &s.ChangedAt, local(s.ChangedAt, zone)
	}
	return httpx.OK(w, view)
}

// patchSettings answers PATCH /api/v1/brands/{brand_id}/settings.
func (a *api) patchSettings(w http.ResponseWriter, r *http.Request) error {
	id, err := number("brand_id", r.PathValue("brand_id"))
	if err != nil {
		return err
	}
	ask, cmd, err := decode[settingsAsk](w, r, httpx.BodyMax)
	if err != nil {
		return err
	}
	version, replayed, err := a.Service.ChangeSettings(r.Context(), cmd, batch.SettingsChange{
		BrandID: ids.BrandID(id), MissesPerHour: ask.Limits.MissesPerHour, HidePlaces: ask.Page.HidePlaces, Trace: ask.Trace,
		GS1Prefixes: ask.GS1Prefixes,
	})
	if err != nil {
		return err
	}
	return answer(w, replayed, settingsMade{ids.BrandID(id), version})
}
