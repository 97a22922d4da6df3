package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type linkView struct {
	URL              string     `json:"url"`
	Token            string     `json:"token"`
	Version          uint16     `json:"version"`
	EpochEndsAt      *time.Time `json:"epoch_ends_at"` // null = this link does not rotate
	EpochEndsAtLocal string     `json:"epoch_ends_at_local,omitempty"`
}

// getLink answers GET /api/v1/codes/{code}/link.
func (a *api) getLink(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	l, err := a.Service.Link(r.Context(), r.PathValue("code"))
	if err != nil {
		return err
	}
	return httpx.OK(w, linkView{l.URL, l.Token.String(), l.Version, orNull(l.EndsAt), local(l.EndsAt, zone)})
}
