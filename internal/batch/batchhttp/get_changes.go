package batchhttp

import (
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

type changeList struct {
	Code    string       `json:"code"`
	Changes []changeView `json:"changes"`
}

type changeView struct {
	ChangeID         ids.ChangeID `json:"change_id"`
	Kind             string       `json:"kind"` // a state, "reissued" or "inner_code_checked"
	EffectiveAt      time.Time    `json:"effective_at"`
	EffectiveAtLocal string       `json:"effective_at_local,omitempty"`
	At               *time.Time   `json:"at"`
	AtLocal          string       `json:"at_local,omitempty"`
	Place            string       `json:"place"`
	Reason           string       `json:"reason"`
	Actor            string       `json:"actor"`
	Reverts          *string      `json:"reverts"`
	Version          *uint16      `json:"version"` // of a reissue
	EventID          string       `json:"event_id,omitempty"`
	Flags            []string     `json:"flags,omitempty"`
	FlagReason       string       `json:"flag_reason,omitempty"`
}

// getChanges answers GET /api/v1/codes/{code}/changes, the oldest first.
func (a *api) getChanges(w http.ResponseWriter, r *http.Request) error {
	noStore(w)
	zone, err := httpx.Zone(r)
	if err != nil {
		return err
	}
	code := r.PathValue("code")
	steps, err := a.Service.CodeHistory(r.Context(), code)
	if err != nil {
		return err
	}
	return httpx.OK(w, changeList{code, each(steps, func(s batch.HistoryStep) changeView {
		v := changeView{
			ChangeID: s.ChangeID, Kind: s.Kind, EffectiveAt: s.At, EffectiveAtLocal: local(s.At, zone),
			At: orNull(s.Happened), AtLocal: local(s.Happened, zone), Place: s.Place, Reason: s.Reason, Actor: s.Actor,
			Reverts: orNullText(string(s.Reverts)), EventID: s.Event,
		}
		if s.Illegal != "" {
			v.Flags, v.FlagReason = []string{"illegal"}, s.Illegal
		}
		if s.Version > 0 {
			v.Version = &s.Version
		}
		return v
	})})
}
